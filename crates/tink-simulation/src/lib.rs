//! Server and workers in a simulated world that repeats itself from a seed.
//!
//! What runs is the product: the engine, its state machine and its timers, the service of today's wire with its messages
//! encoded and decoded, the worker's loop, journal, executor, reporter and transport. What is simulated is what they stand
//! on: time, disk, network, container engine, the store's commits. A world has some workflows, one to three machines (two of
//! which may call themselves the same worker), a server, and for a while everything goes wrong that can; then the faults
//! stop, and everything must come to its end.
//!
//! ```
//! let run = tink_simulation::run(1, None, false);
//! assert_eq!(run.violation, None);
//! assert_eq!(run.hash, tink_simulation::run(1, None, true).hash, "a seed is always the same world");
//! ```
//!
//! Everything happens in one thread under a clock that jumps to the next thing that is due. Nothing may depend on the time
//! of day, on threads, on the order of hash tables, or on `select!` without `biased`; a test compares the traces of two runs
//! of the same seed.
//!
//! Limits: HTTP/2 and TCP are not simulated (a message is lost, late or doubled as a whole), nor are SQLite (the store is
//! one in memory under the same contract), hooks, and the wires of 2021 and 2023.

mod disk;
mod ledger;
mod life;
mod machine;
mod network;
mod random;
mod server;
mod world;

pub use ledger::Stats;
pub use tink_mutation::Mutation;
pub use world::{Run, run};
