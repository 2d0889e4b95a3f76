//! Bounds on the shape of values.

/// How deep printing, comparing, copying and converting follow a value. A template can build a map that contains itself;
/// Go would run out of stack there.
pub(crate) const DEPTH_MAX: usize = 128;
