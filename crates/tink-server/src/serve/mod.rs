//! The network: the gRPC port, the HTTP port, TLS.

pub mod gateway;
pub mod grpc;
pub mod http;
pub mod layer;
pub mod listener;
pub mod tls;
