//! Faults, each with a defined behaviour: nothing runs twice, nothing is lost, the worker goes on. See docs/reliability.md.

mod faults;
mod leaving;
mod network;
mod older_wires;
mod output;
mod power;
mod site;
mod synced;
