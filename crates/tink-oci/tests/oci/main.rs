//! Containers in real namespaces, as root, with a root file system made from busybox.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod entering;
mod failing;
mod life;
mod noise;
mod output;
mod places;
mod sight;
mod support;
mod volumes;
