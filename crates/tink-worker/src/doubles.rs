//! Doubles of the worker's seams, for its tests: an engine, a server and a disk that outlive the worker, and a fault
//! that hits at the Nth step of any of them.

mod disk;
mod engine;
mod fault;
mod server;
mod world;

pub(crate) use disk::FaultyDisk;
pub(crate) use engine::{Engine, Machine, Script};
pub(crate) use fault::{Fault, Steps};
pub(crate) use server::Server;
pub(crate) use world::{Life, Still, World, workflow};
