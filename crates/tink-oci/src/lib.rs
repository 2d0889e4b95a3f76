//! The embedded container runtime: launcher and shim
