//! The server over real gRPC on loopback.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

mod admin;
mod agents;
mod bad_input;
mod contexts;
mod http;
mod legacy;
mod of_2021;
mod program;
mod storage;
mod tls;
mod watch;
mod world;
