//! The worker in a world of doubles.

mod crash;
mod grpc;
mod leave;
mod life;
mod outage;
mod random;
