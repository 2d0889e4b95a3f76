//! OCI images: references, registry access, streaming pull and the layer store
