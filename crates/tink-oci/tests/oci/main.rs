//! Containers in real namespaces, as root, with a root file system made from busybox.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod bare;
mod entering;
mod failing;
mod first;
mod forker;
mod life;
mod noise;
mod output;
mod places;
mod sight;
mod starting;
mod support;
mod volumes;
