//! Fetching a certificate from servers that misbehave, and trusting it.

use std::net::SocketAddr;
use std::sync::Mutex;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::GrpcSettings;
use super::super::v2025::Transport2025;
use super::*;
use crate::transport::Transport;

/// A web server that answers each request with the next of these, and then with the last one for ever; it keeps the
/// heads it saw.
async fn web(answers: &[&str]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    tokio::spawn(async move {
        let mut nth = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            let answer = &answers[nth.min(answers.len() - 1)];
            nth += 1;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, heads)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn web_tls() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

async fn fetch_from(address: SocketAddr, path: &str) -> Result<usize, String> {
    let url = CertUrl::parse(&format!("http://{address}{path}")).unwrap();
    let fetched = fetch(&url, &Proxy::none(), &web_tls()).await;
    fetched.map(|certificates| certificates.len()).map_err(|error| error.to_string())
}

fn self_signed() -> String {
    let key = KeyPair::generate().unwrap();
    CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
}

#[test]
fn urls_are_read_and_what_is_none_is_refused() {
    for (text, shown) in [
        ("http://192.168.1.1:42114/cert", "http://192.168.1.1:42114/cert"),
        ("http://tink/cert?x=1", "http://tink:80/cert?x=1"),
        ("https://tink", "https://tink:443/"),
        (" http://[::1]:1/cert\n", "http://[::1]:1/cert"),
    ] {
        assert_eq!(CertUrl::parse(text).unwrap().to_string(), shown);
    }
    for bad in ["", "tink:42114/cert", "ftp://tink/cert", "http://", "http://u:p@tink/cert", "/cert"] {
        assert!(CertUrl::parse(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn only_certificates_of_a_good_answer_are_taken() {
    let pem = self_signed();
    let two = format!("leaf first\n{pem}\n{pem}");
    let good = ok(&two);
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{pem}\r\n0\r\n\r\n", pem.len());
    let html = ok("<html><body>502 Bad Gateway</body></html>");
    for (answer, wanted) in [
        (good.as_str(), Ok(2)),
        (&chunked, Ok(1)),
        (&html, Err("begins with \"<html><body>502 Bad Gateway")),
        (&ok(""), Err("no certificate in PEM")),
        (&ok("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"), Err("no certificate in PEM")),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Err("HTTP 404 Not Found")),
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nx\ny", Err("HTTP 503")),
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", Err("HTTP 302")),
        ("HTTP/1.1 302 Found\r\nLocation: /cert\r\nContent-Length: 0\r\n\r\n", Err("more than 5 redirects")),
        ("HTTP/1.1 302 Found\r\nLocation: gopher://x/\r\nContent-Length: 0\r\n\r\n", Err("neither http")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", Err("from http://")),
        ("\0garbage\r\n\r\n", Err("from http://")),
        ("", Err("from http://")),
    ] {
        let (address, _) = web(&[answer]).await;
        match (fetch_from(address, "/cert").await, wanted) {
            (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{answer}"),
            (Err(error), Err(wanted)) => assert!(error.contains(wanted), "{answer}: {error}"),
            (found, _) => panic!("{answer}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn a_redirect_is_followed_and_a_huge_answer_is_not_read_to_its_end() {
    let (address, heads) = web(&[
        "HTTP/1.1 301 Moved\r\nLocation: /other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        &ok(&self_signed()),
    ])
    .await;
    assert_eq!(fetch_from(address, "/cert").await, Ok(1));
    let heads = heads.lock().unwrap().clone();
    assert!(
        heads[0].starts_with("GET /cert HTTP/1.1\r\n") && heads[1].starts_with("GET /other HTTP/1.1\r\n"),
        "{heads:?}"
    );
    let (address, _) = web(&[&ok(&"x".repeat(BODY_BYTES_MAX + 1))]).await;
    assert!(fetch_from(address, "/").await.unwrap_err().contains("length limit"));
}

#[tokio::test]
async fn plain_http_goes_through_the_http_proxy() {
    let (address, heads) = web(&[&ok(&self_signed())]).await;
    let proxy = format!("http://user:secret@{address}");
    let proxy = Proxy::from_env(|name| (name == "HTTP_PROXY").then(|| proxy.clone())).unwrap();
    let url = CertUrl::parse("http://tink.invalid:42114/cert").unwrap();
    assert_eq!(fetch(&url, &proxy, &web_tls()).await.unwrap().len(), 1);
    let head = heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.starts_with("get http://tink.invalid:42114/cert http/1.1\r\n"), "{head}");
    assert!(head.contains("host: tink.invalid:42114\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: basic dxnlcjpzzwnyzxq=\r\n"), "{head}");
}

/// A server's certificate for `names`, valid in these years, signed by an authority or by itself.
struct Identity {
    leaf: String,
    authority: String,
    acceptor: TlsAcceptor,
}

fn identity(names: &[&str], years: (i32, i32), signed: bool) -> Identity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let certificate = if signed {
        params.signed_by(&key, &authority).unwrap()
    } else {
        // As openssl makes them: a server's own certificate that calls itself an authority.
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap()
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Identity { leaf: certificate.pem(), authority: authority.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
}

/// A gRPC server without services behind this identity.
async fn grpc(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = sender.send(Ok::<_, std::io::Error>(stream)).await;
            }
        }
    });
    let server = tonic::transport::Server::builder().add_routes(tonic::service::Routes::default());
    tokio::spawn(server.serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(receiver)));
    address
}

/// What becomes of a call: the server's answer, or why there is none.
async fn call(transport: &Transport2025) -> Result<(), String> {
    match transport.next().await {
        Err(error) if error.is_unimplemented() => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(next) => panic!("{next:?}"),
    }
}

fn transport(server: &str, url: &str) -> Transport2025 {
    let settings = GrpcSettings { cert_url: Some(CertUrl::parse(url).unwrap()), ..GrpcSettings::plaintext(server) };
    Transport2025::new(&settings, tink_workflow::WorkerId::parse("w1").unwrap()).unwrap()
}

#[tokio::test]
async fn the_fetched_certificate_is_trusted_and_no_other() {
    let now = (2020, 2090);
    let past = (2000, 2001);
    let here = ["localhost", "127.0.0.1"];
    let stranger = identity(&here, now, true);
    let cases = [
        ("leaf and authority", identity(&here, now, true), 3, Ok(())),
        ("authority alone", identity(&here, now, true), 2, Ok(())),
        ("leaf alone", identity(&here, now, true), 1, Ok(())),
        ("a leaf of its own that calls itself an authority", identity(&here, now, false), 1, Ok(())),
        ("the very leaf, whatever the clock says", identity(&here, past, true), 1, Ok(())),
        ("a leaf that has ended, by its authority", identity(&here, past, true), 2, Err("TLS handshake")),
        ("another host's leaf", identity(&["other.example.com"], now, true), 3, Err("TLS handshake")),
        ("a stranger's", identity(&here, now, true), 0, Err("TLS handshake")),
    ];
    for (what, identity, parts, wanted) in cases {
        let mut body = String::new();
        if parts & 1 != 0 {
            body.push_str(&identity.leaf);
        }
        if parts & 2 != 0 {
            body.push_str(&identity.authority);
        }
        if parts == 0 {
            body.push_str(&stranger.leaf);
        }
        let server = grpc(identity.acceptor).await;
        let (address, _) = web(&[&ok(&body)]).await;
        let found = call(&transport(&server.to_string(), &format!("http://{address}/cert"))).await;
        match (found, wanted) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(wanted)) => assert!(error.contains(wanted), "{what}: {error}"),
            (found, _) => panic!("{what}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_had_is_asked_for_again_and_then_kept() {
    let identity = identity(&["127.0.0.1"], (2020, 2090), true);
    let server = grpc(identity.acceptor).await;
    let good = ok(&identity.leaf);
    let answers = [
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        &ok("<html>not yet</html>"),
        "",
        &good,
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ];
    let (address, heads) = web(&answers).await;
    let transport = transport(&server.to_string(), &format!("http://{address}/cert"));
    let mut failures = Vec::new();
    while let Err(error) = call(&transport).await {
        failures.push(error);
        assert!(failures.len() < 20, "{failures:#?}");
    }
    assert!(failures.iter().any(|error| error.contains("503")), "{failures:#?}");
    assert!(failures.iter().any(|error| error.contains("<html>")), "{failures:#?}");
    assert!(heads.lock().unwrap().len() >= 4);
}

#[tokio::test]
async fn a_name_or_a_port_that_is_not_there_yet_is_an_error_in_plain_words() {
    // Nobody listens there, and no other test gets the port.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = taken.local_addr().unwrap();
    for (url, words) in [
        (format!("http://{address}/cert"), "Connection refused"),
        ("http://tink.invalid:42114/cert".to_owned(), "look up tink.invalid:42114"),
    ] {
        let error = call(&transport("127.0.0.1:1", &url)).await.unwrap_err();
        assert!(error.contains(words) && error.contains("certificate from http://"), "{error}");
    }
}

#[tokio::test]
async fn with_verification_switched_off_nothing_is_fetched() {
    let identity = identity(&["other"], (2000, 2001), true);
    let server = grpc(identity.acceptor).await;
    let settings = GrpcSettings {
        cert_url: Some(CertUrl::parse("http://127.0.0.1:1/cert").unwrap()),
        insecure_tls: true,
        ..GrpcSettings::plaintext(server.to_string())
    };
    let transport = Transport2025::new(&settings, tink_workflow::WorkerId::parse("w1").unwrap()).unwrap();
    assert_eq!(call(&transport).await, Ok(()));
}
