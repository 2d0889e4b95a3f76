//! The server over real gRPC on loopback.

mod agents;
mod world;
