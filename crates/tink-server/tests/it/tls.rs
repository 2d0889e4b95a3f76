//! TLS.

use std::path::Path;

use tink_server::{Config, ConfigError, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

/// A new certificate in the two files; returns it for clients to trust.
fn write_certificate(certificate: &Path, key: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(certificate, made.cert.pem()).unwrap();
    std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

async fn connect(running: &tink_server::Running, trusted: &str) -> Result<Channel, tonic::transport::Error> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted)).domain_name("localhost");
    Channel::from_shared(format!("https://{}", running.grpc_addr())).unwrap().tls_config(tls).unwrap().connect().await
}

async fn is_served(channel: Channel) -> bool {
    let mut client = tink_proto::admin::worker_service_client::WorkerServiceClient::new(channel);
    client.list(tink_proto::admin::ListWorkersRequest {}).await.is_ok()
}

#[tokio::test]
async fn tls_is_served_and_the_certificate_is_replaced_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
    let first = write_certificate(&certificate, &key);
    let config = Config {
        tls_cert: Some(certificate.clone()),
        tls_key: Some(key.clone()),
        insecure: false,
        ..Config::embedded()
    };
    let running = tink_server::start(config).await.unwrap();
    let standing = connect(&running, &first).await.unwrap();
    assert!(is_served(standing.clone()).await);
    let cert = async || {
        let mut stream = tokio::net::TcpStream::connect(running.http_addr().unwrap()).await.unwrap();
        stream.write_all(b"GET /cert HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n")
    };
    // What workers of 2021 trust from then on.
    assert_eq!(cert().await, first.replace("\r\n", "\n"));

    std::fs::write(&certificate, "not a certificate").unwrap();
    assert!(running.reload_tls().is_err());
    assert!(is_served(connect(&running, &first).await.unwrap()).await, "the old one stays");

    let second = write_certificate(&certificate, &key);
    running.reload_tls().unwrap();
    assert_eq!(cert().await, second.replace("\r\n", "\n"));
    assert!(is_served(connect(&running, &second).await.unwrap()).await);
    assert!(connect(&running, &first).await.is_err());
    assert!(is_served(standing).await, "connections that stand go on");

    // A client without TLS is turned away, and only that one.
    let plain = Channel::from_shared(format!("http://{}", running.grpc_addr())).unwrap().connect().await;
    assert!(match plain {
        Ok(channel) => !is_served(channel).await,
        Err(_) => true,
    });
    assert!(is_served(connect(&running, &second).await.unwrap()).await);
    running.shutdown().await;
}

#[tokio::test]
async fn files_that_are_no_certificate_are_named_before_anything_is_bound() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
    let refusal = async || {
        let (tls_cert, tls_key) = (Some(certificate.clone()), Some(key.clone()));
        let config = Config { tls_cert, tls_key, insecure: false, ..Config::embedded() };
        match tink_server::start(config).await {
            Err(StartError::Config(error @ ConfigError::Tls(_))) => tink_error::chain(&error),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it started"),
        }
    };
    assert!(refusal().await.contains("tls.crt"));
    write_certificate(&certificate, &key);
    std::fs::write(&key, "no key").unwrap();
    let error = refusal().await;
    assert!(error.contains("tls.key") && error.contains("--tls-key"), "{error}");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
    assert!(refusal().await.contains("must belong together"));
    std::fs::write(&certificate, "").unwrap();
    assert!(refusal().await.contains("find a certificate"));
}
