//! The worker in a world of doubles.

mod crash;
mod life;
mod random;
