//! The connection to a tink-server and what its answers mean for an exit code.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tink_proto::admin::Key;
use tink_proto::admin::object_service_client::ObjectServiceClient;
use tink_proto::admin::worker_service_client::WorkerServiceClient;
use tink_proto::admin::workflow_service_client::WorkflowServiceClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use crate::args::{Name, Server};
use crate::exit::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A list of thousands of workflows is one answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Clients of the administrators' services over one connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// Hardware and templates.
    pub objects: ObjectServiceClient<Channel>,
    /// Workflows.
    pub workflows: WorkflowServiceClient<Channel>,
    /// Workers.
    pub workers: WorkerServiceClient<Channel>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// A wrong address or CA file (64), a server that cannot be reached (69).
    pub async fn connect(server: &Server) -> Result<Self, Failure> {
        let url = url(&server.server)?;
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(|error| Failure::usage(anyhow!("{:?} is no server address: {error}", server.server)))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20));
        if url.starts_with("https://") {
            let mut tls = ClientTlsConfig::new().with_enabled_roots();
            if let Some(path) = &server.ca_file {
                let pem = std::fs::read(path)
                    .with_context(|| format!("failed to read the CA file {}", path.display()))
                    .map_err(Failure::usage)?;
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(tls).map_err(Failure::usage)?;
        }
        let channel = endpoint.connect().await.map_err(|error| {
            Failure::unreachable(
                anyhow::Error::from(error)
                    .context(format!("failed to reach the server at {url} (set --server or TINK_SERVER)")),
            )
        })?;
        Ok(Self::over(channel))
    }

    /// Clients over a connection that is there.
    pub fn over(channel: Channel) -> Self {
        Self {
            objects: ObjectServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            workflows: WorkflowServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            workers: WorkerServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
        }
    }
}

/// The URL behind an address: loopback without a scheme is plaintext, anything else TLS.
fn url(address: &str) -> Result<String, Failure> {
    if address.starts_with("http://") || address.starts_with("https://") {
        return Ok(address.to_owned());
    }
    if address.contains("://") || address.is_empty() {
        return Err(Failure::usage(anyhow!(
            "{address:?} is no server address; allowed: https://host:port, http://host:port, host:port"
        )));
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let loopback = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    Ok(format!("{}://{address}", if loopback { "http" } else { "https" }))
}

/// What a refused call means for whoever typed the command.
pub fn refused(doing: impl Into<String>) -> impl FnOnce(Status) -> Failure {
    let doing = doing.into();
    move |status| {
        let error = anyhow!("{}", status.message()).context(format!("failed to {doing}"));
        match status.code() {
            Code::Unavailable => Failure::unreachable(error),
            Code::InvalidArgument => Failure::usage(error),
            _ => Failure::from(error),
        }
    }
}

/// The key that `name` or `namespace/name` means.
pub fn key(name: &Name) -> Key {
    match name.name.split_once('/') {
        Some((namespace, name)) => Key { namespace: namespace.to_owned(), name: name.to_owned() },
        None => Key { namespace: name.namespace.clone(), name: name.name.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_plaintext_without_being_asked() {
        for (address, want) in [
            ("127.0.0.1:42113", "http://127.0.0.1:42113"),
            ("localhost:1", "http://localhost:1"),
            ("[::1]:1", "http://[::1]:1"),
            ("tink.example:42113", "https://tink.example:42113"),
            ("http://tink.example:1", "http://tink.example:1"),
        ] {
            assert_eq!(url(address).unwrap(), want);
        }
        assert!(url("ftp://x").is_err() && url("").is_err());
    }

    #[test]
    fn codes_tell_scripts_what_to_do() {
        assert_eq!(refused("x")(Status::unavailable("")).code(), crate::exit::UNREACHABLE);
        assert_eq!(refused("x")(Status::invalid_argument("")).code(), crate::exit::USAGE);
        assert_eq!(refused("x")(Status::not_found("")).code(), crate::exit::FAILED);
    }
}
