//! What is served over gRPC: one module a protocol, each translating between its messages and the engine.

pub mod admin;
mod render;
mod timestamp;
pub mod v2025;

/// The address a call came from, put into its extensions by the listener.
#[derive(Clone, Debug)]
pub struct Peer(pub std::net::SocketAddr);

/// The caller's address as text, empty when unknown.
pub fn address_of<T>(request: &tonic::Request<T>) -> String {
    request.extensions().get::<Peer>().map(|peer| peer.0.to_string()).unwrap_or_default()
}
