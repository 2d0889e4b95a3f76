//! The worker in a world of doubles.

mod before_engine;
mod crash;
mod grpc;
mod leave;
mod life;
mod outage;
mod random;
