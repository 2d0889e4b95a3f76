//! The worker in a world of doubles.

mod crash;
mod grpc;
mod life;
mod random;
