//! Registries that break, lie, redirect, ask for tokens, or stand behind mirrors and proxies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use support::server::{Answer, Asked, Served, Server};
use support::{PASSWORD, credential, pull, quick, read, registries, small_image, store};
use tempfile::TempDir;
use tink_image::{
    Compression, Image, ImageBuilder, ImageError, ImageRef, LayerError, LayerState, Progress, ProxyConfig, PullSource,
    Registries, RegistryConfig, Secret,
};

/// One layer that no compression makes small.
fn large_image() -> ImageBuilder {
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..1_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from(state >> 24).unwrap()
        })
        .collect();
    let mut image = ImageBuilder::new();
    image.compression(Compression::Gzip).bytes("/noise", noise, 0o644);
    image
}

async fn try_pull(registries: &Registries, image: &ImageRef) -> Result<(TempDir, Image), ImageError> {
    let directory = tempfile::tempdir().unwrap();
    let pulled = store(directory.path()).pull(registries, image, &Progress::none()).await?;
    assert!(matches!(pulled.source, PullSource::Registry));
    Ok((directory, pulled.image))
}

async fn must_pull(registries: &Registries, image: &ImageRef) -> (TempDir, Image) {
    try_pull(registries, image).await.unwrap_or_else(|error| panic!("{}", error.chain()))
}

fn with(change: impl FnOnce(&mut RegistryConfig)) -> Registries {
    let mut config = quick();
    change(&mut config);
    Registries::new(config).unwrap()
}

fn layer_error(error: ImageError) -> LayerError {
    match error {
        ImageError::Layer { source, .. } => *source,
        other => panic!("{}", other.chain()),
    }
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_it_broke() {
    let served = Served::new(&large_image());
    let (layer, whole) = (served.layers[0].clone(), served.blob(&served.layers[0]).len());
    let server = Server::plain({
        let layer = layer.clone();
        move |asked| {
            let answer = served.answer(asked);
            if asked.target.contains(&layer) && asked.before < 4 { answer.cut(200_000) } else { answer }
        }
    })
    .await;
    must_pull(&registries(), &server.image("a:v1")).await;
    let ranges: Vec<Option<String>> =
        server.asked_for(&layer).iter().map(|asked| asked.headers.get("range").cloned()).collect();
    let expected = [None, Some(200_000), Some(400_000), Some(600_000), Some(800_000)];
    assert_eq!(ranges, expected.map(|start| start.map(|start| format!("bytes={start}-"))));
    assert!(whole > 800_000);
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_read_again_from_the_start() {
    let served = Served::new(&large_image());
    let server = Server::plain(move |asked| {
        let mut whole = asked.clone();
        whole.headers.remove("range");
        let answer = served.answer(&whole);
        if asked.target.contains(&served.layers[0]) && asked.before < 2 { answer.cut(300_000) } else { answer }
    })
    .await;
    let (_directory, image) = must_pull(&registries(), &server.image("a:v1")).await;
    assert_eq!(read(&image, "noise").len(), 1_000_000);
}

#[tokio::test]
async fn a_server_that_sends_another_range_is_not_believed() {
    let served = Served::new(&large_image());
    let server = Server::plain(move |asked| {
        let mut answer = served.answer(asked);
        if asked.headers.contains_key("range") {
            answer.headers.retain(|(name, _)| name != "content-range");
            return answer.header("content-range", "bytes 0-1/2");
        }
        if asked.target.contains(&served.layers[0]) { answer.cut(1000) } else { answer }
    })
    .await;
    let error = try_pull(&registries(), &server.image("a:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::Protocol { .. }), "{}", error.chain());
}

#[tokio::test]
async fn a_connection_that_always_breaks_is_given_up_and_may_be_tried_later() {
    let served = Served::new(&large_image());
    let server = Server::plain(move |asked| {
        let answer = served.answer(asked);
        if asked.target.contains(&served.layers[0]) { answer.cut(0) } else { answer }
    })
    .await;
    let error = try_pull(&registries(), &server.image("a:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }) && error.retryable(), "{}", error.chain());
}

#[tokio::test]
async fn a_server_that_falls_silent_is_not_waited_for_endlessly() {
    let served = Served::new(&large_image());
    let server = Server::plain(move |asked| {
        let mut answer = served.answer(asked);
        if asked.target.contains(&served.layers[0]) && asked.before == 0 {
            answer.silent = true;
            return answer.cut(500_000);
        }
        answer
    })
    .await;
    let registries = with(|config| config.timeouts.silence = Duration::from_millis(200));
    must_pull(&registries, &server.image("a:v1")).await;
    assert!(
        server.asked().iter().any(|asked| asked.headers.get("range").is_some_and(|range| range == "bytes=500000-"))
    );
}

#[tokio::test]
async fn a_layer_damaged_once_is_fetched_again_and_damaged_twice_is_refused() {
    let served = Served::new(&large_image());
    for (damaged, fine) in [(1, true), (2, false)] {
        let served = served.clone();
        let layer = served.layers[0].clone();
        let server = Server::plain(move |asked| {
            let mut answer = served.answer(asked);
            if asked.target.contains(&layer) && asked.before < damaged {
                answer.body[5000] ^= 1;
            }
            answer
        })
        .await;
        match try_pull(&registries(), &server.image("a:v1")).await {
            Ok(_) => assert!(fine),
            Err(error) => {
                assert!(!fine && !error.retryable());
                assert!(matches!(layer_error(error), LayerError::Digest { .. }));
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_the_named_one_is_refused() {
    let served = Served::new(&small_image());
    let digest = served.digest.to_string();
    let server = Server::plain(move |asked| {
        let mut answer = served.answer(asked);
        answer.headers.clear();
        answer.body.push(b' ');
        answer
    })
    .await;
    let by_digest = ImageRef::parse(&format!("{}/a@{digest}", server.host())).unwrap();
    let error = try_pull(&registries(), &by_digest).await.unwrap_err();
    assert!(matches!(error, ImageError::Digest { .. }) && !error.retryable(), "{}", error.chain());
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_again_and_then_given_up() {
    let served = Served::new(&small_image());
    let server =
        Server::plain(move |asked| if asked.before < 2 { Answer::new(503, "busy") } else { served.answer(asked) })
            .await;
    must_pull(&registries(), &server.image("a:v1")).await;
    let server = Server::plain(|_| Answer::new(500, "out of\norder")).await;
    let error = try_pull(&registries(), &server.image("a:v1")).await.unwrap_err();
    assert!(
        error.retryable() && error.to_string().contains("500") && error.to_string().contains("out of order"),
        "{error}"
    );
    assert_eq!(server.asked_for("/manifests/").len(), 3);
}

#[tokio::test]
async fn an_image_that_is_not_there_is_asked_for_once() {
    let server = Server::plain(|_| Answer::new(404, "")).await;
    let error = try_pull(&registries(), &server.image("a:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::NotFound { .. }) && !error.retryable());
    assert!(error.to_string().contains(&server.host()) && error.to_string().contains("a:v1"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_token_is_fetched_with_the_password_and_used_for_all_that_follows() {
    let served = Served::new(&small_image());
    let server = Server::plain(move |asked| {
        if asked.target.starts_with("/token?") {
            let known = asked.headers.get("authorization").is_some_and(|value| value.starts_with("Basic "));
            return if known {
                Answer::new(200, r#"{"access_token":"t0ken","expires_in":300}"#)
            } else {
                Answer::new(401, "")
            };
        }
        if asked.headers.get("authorization").is_some_and(|value| value == "Bearer t0ken") {
            return served.answer(asked);
        }
        let realm = format!("http://{}/token", asked.headers["host"]);
        let challenge = format!("Bearer realm=\"{realm}\",service=\"test service\",scope=\"repository:x/a:pull\"");
        Answer::new(401, "").header("www-authenticate", challenge)
    })
    .await;
    let image = server.image("x/a:v1");
    must_pull(&with(|config| config.credentials = vec![credential(&server.host(), PASSWORD)]), &image).await;
    let tokens = server.asked_for("/token");
    assert_eq!(tokens.len(), 1, "kept for manifest, configuration and layers");
    assert_eq!(tokens[0].target, "/token?service=test%20service&scope=repository:x/a:pull");
    let error = try_pull(&registries(), &image).await.unwrap_err();
    assert!(matches!(error, ImageError::Token { .. }) && !error.retryable(), "{}", error.chain());
    assert!(!server.asked().iter().any(|asked| asked.target.starts_with("/v2")
        && asked.headers.get("authorization").is_some_and(|value| value.starts_with("Basic"))));
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let served = Served::new(&small_image());
    let storage = Server::plain({
        let served = served.clone();
        move |asked| served.answer(asked)
    })
    .await;
    let elsewhere = storage.host();
    let server = Server::plain(move |asked| {
        if !asked.headers.contains_key("authorization") {
            return Answer::new(401, "").header("www-authenticate", "Basic realm=\"x\"");
        }
        if asked.target.contains("/blobs/") {
            return Answer::new(307, "").header("location", format!("http://{elsewhere}{}", asked.target));
        }
        served.answer(asked)
    })
    .await;
    must_pull(&with(|config| config.credentials = vec![credential(&server.host(), PASSWORD)]), &server.image("a:v1"))
        .await;
    assert_eq!(storage.asked().len(), 3, "two layers and the configuration");
    assert!(storage.asked().iter().all(|asked| !asked.headers.contains_key("authorization")));
    assert!(server.asked_for("/blobs/").iter().any(|asked| asked.headers.contains_key("authorization")));
}

#[tokio::test]
async fn endless_redirects_end() {
    let server = Server::plain(|asked| Answer::new(302, "").header("location", asked.target.clone())).await;
    let error = try_pull(&registries(), &server.image("a:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::Protocol { .. }), "{}", error.chain());
}

/// A certs.d directory with a `hosts.toml` for one registry.
fn hosts(registry: &str, text: &str) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join(registry);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("hosts.toml"), text).unwrap();
    let path = root.path().to_owned();
    (root, path)
}

#[tokio::test]
async fn mirrors_are_asked_in_order_and_the_registry_last() {
    let served = Served::new(&small_image());
    let empty = Server::plain(|_| Answer::new(404, "")).await;
    let layers_only = Server::plain({
        let served = served.clone();
        move |asked| {
            if asked.headers.get("x-mirror").is_some_and(|value| value == "yes") {
                served.answer(asked)
            } else {
                Answer::new(403, "")
            }
        }
    })
    .await;
    let origin = Server::plain(move |asked| served.answer(asked)).await;
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\n[host.\"http://{}/sub\"]\ncapabilities = [\"pull\"]\n\
         [host.\"http://{}/sub\".header]\nx-mirror = \"yes\"\n",
        origin.host(),
        empty.host(),
        layers_only.host(),
        layers_only.host()
    );
    let (_root, certs_d) = hosts("registry.test", &text);
    let image = ImageRef::parse("registry.test/a:v1").unwrap();
    must_pull(&with(|config| config.certs_d = vec![certs_d]), &image).await;
    assert!(empty.asked().iter().all(|asked| asked.target.ends_with("?ns=registry.test")));
    assert!(layers_only.asked_for("/manifests/").is_empty(), "a tag is resolved only by who may");
    let blobs = layers_only.asked_for("/blobs/");
    assert_eq!(blobs.len(), 3);
    assert!(blobs[0].target.starts_with("/sub/v2/a/blobs/"));
    assert_eq!(origin.asked_for("/manifests/").len(), 1);
    assert!(origin.asked_for("/blobs/").is_empty());
}

#[tokio::test]
async fn a_layer_begun_at_a_mirror_is_finished_by_the_registry() {
    let served = Served::new(&large_image());
    let layer = served.layers[0].clone();
    let mirror = Server::plain({
        let served = served.clone();
        move |asked| match (asked.target.contains(&served.layers[0]), asked.before) {
            (true, 0) => served.answer(asked).cut(100_000),
            (true, _) => Answer::new(200, "").cut(0),
            (false, _) => served.answer(asked),
        }
    })
    .await;
    let origin = Server::plain(move |asked| served.answer(asked)).await;
    let (_root, certs_d) = hosts(
        "registry.test",
        &format!("server = \"http://{}\"\n[host.\"http://{}\"]\n", origin.host(), mirror.host()),
    );
    let image = ImageRef::parse("registry.test/a:v1").unwrap();
    must_pull(&with(|config| config.certs_d = vec![certs_d]), &image).await;
    assert_eq!(origin.asked_for(&layer)[0].headers["range"], "bytes=100000-");
}

#[tokio::test]
async fn an_error_names_every_endpoint_that_was_tried() {
    let mirror = Server::plain(|_| Answer::new(404, "")).await;
    let origin = Server::plain(|_| Answer::new(403, "")).await;
    let (_root, certs_d) = hosts(
        "registry.test",
        &format!("server = \"http://{}\"\n[host.\"http://{}\"]\n", origin.host(), mirror.host()),
    );
    let image = ImageRef::parse("registry.test/a:v1").unwrap();
    let error = try_pull(&with(|config| config.certs_d = vec![certs_d]), &image).await.unwrap_err();
    let text = error.to_string();
    for part in ["registry.test", &mirror.host(), &origin.host(), "404", "403", "user name"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!error.retryable());
}

/// A CA, and a server certificate of it for 127.0.0.1 and registry.test.
struct Authority {
    ca_pem: String,
    server: rustls::ServerConfig,
}

fn authority(not_before: Option<(i32, u8, u8)>) -> Authority {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "registry.test".to_owned()]).unwrap();
    if let Some((year, month, day)) = not_before {
        params.not_before = rcgen::date_time_ymd(year, month, day);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let server = server_config().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    Authority { ca_pem: ca.pem(), server }
}

fn server_config() -> rustls::ConfigBuilder<rustls::ServerConfig, rustls::WantsVerifier> {
    rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
}

/// Docker's way to trust a CA for one registry.
fn docker_ca(registry: &str, pem: &str) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join(registry)).unwrap();
    std::fs::write(root.path().join(registry).join("ca.crt"), pem).unwrap();
    let path = root.path().to_owned();
    (root, path)
}

async fn tls_server(config: rustls::ServerConfig) -> Server {
    let served = Served::new(&small_image());
    Server::tls(config, move |asked| served.answer(asked)).await
}

#[tokio::test]
async fn a_registry_with_a_private_ca_is_trusted_by_its_ca_file_alone() {
    let Authority { ca_pem, server } = authority(None);
    let server = tls_server(server).await;
    let (_root, right) = docker_ca(&server.host(), &ca_pem);
    must_pull(&with(|config| config.certs_d = vec![right.clone()]), &server.image("a:v1")).await;
    let extra = right.join(server.host()).join("ca.crt");
    must_pull(&with(|config| config.extra_ca_files = vec![extra]), &server.image("a:v1")).await;
    let (_root, wrong) = docker_ca(&server.host(), &authority(None).ca_pem);
    let error = try_pull(&with(|config| config.certs_d = vec![wrong]), &server.image("a:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::Certificate { .. }) && !error.retryable(), "{}", error.chain());
    assert!(error.to_string().contains("ca.crt"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_tomorrow_means_that_the_clock_is_behind_and_is_tried_again() {
    let Authority { ca_pem, server } = authority(Some((4000, 1, 1)));
    let server = tls_server(server).await;
    let (_root, certs_d) = docker_ca(&server.host(), &ca_pem);
    let error = try_pull(&with(|config| config.certs_d = vec![certs_d]), &server.image("a:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::ClockBehind { .. }) && error.retryable(), "{}", error.chain());
}

#[tokio::test]
async fn loopback_and_skip_verify_take_any_certificate() {
    let server = tls_server(authority(None).server).await;
    must_pull(&registries(), &server.image("a:v1")).await;
    let server = tls_server(authority(None).server).await;
    let text = format!("server = \"https://{}\"\nskip_verify = true\n", server.host());
    let (_root, certs_d) = hosts("registry.test", &text);
    let image = ImageRef::parse("registry.test/a:v1").unwrap();
    must_pull(&with(|config| config.certs_d = vec![certs_d]), &image).await;
}

fn proxied(proxy: &Server, change: impl FnOnce(&mut RegistryConfig)) -> Registries {
    let address = Secret::new(format!("http://u:p@{}", proxy.host()));
    with(|config| {
        config.proxy = ProxyConfig { http: Some(address.clone()), https: Some(address), no_proxy: None };
        change(config);
    })
}

#[tokio::test]
async fn https_goes_through_a_proxy_by_a_tunnel() {
    let Authority { ca_pem, server } = authority(None);
    let server = tls_server(server).await;
    let to = server.port.to_string();
    let proxy = Server::plain(move |asked| {
        let known = asked.headers.get("proxy-authorization").is_some_and(|value| value == "Basic dTpw");
        if asked.method == "CONNECT" && known { Answer::new(200, to.clone()) } else { Answer::new(407, "") }
    })
    .await;
    let (_root, certs_d) = docker_ca("registry.test", &ca_pem);
    let image = ImageRef::parse("registry.test/a:v1").unwrap();
    must_pull(&proxied(&proxy, |config| config.certs_d = vec![certs_d.clone()]), &image).await;
    assert!(proxy.asked().iter().all(|asked| asked.target == "registry.test:443"));
    assert!(server.asked().iter().all(|asked| !asked.headers.contains_key("proxy-authorization")));
    let closed = Server::plain(|_| Answer::new(502, "")).await;
    let error = try_pull(&proxied(&closed, |config| config.certs_d = vec![certs_d]), &image).await.unwrap_err();
    assert!(error.retryable() && error.chain().contains("502"), "{}", error.chain());
}

#[tokio::test]
async fn an_insecure_registry_is_asked_plainly_through_the_proxy_after_tls_failed() {
    let served = Served::new(&small_image());
    let proxy = Server::plain(move |asked: &Asked| {
        if asked.method == "CONNECT" {
            return Answer::new(503, "");
        }
        assert!(asked.target.starts_with("http://registry.test/"), "{}", asked.target);
        assert_eq!(asked.headers["proxy-authorization"], "Basic dTpw");
        served.answer(asked)
    })
    .await;
    let image = ImageRef::parse("registry.test/a:v1").unwrap();
    must_pull(&proxied(&proxy, |config| config.insecure = vec!["registry.test".to_owned()]), &image).await;
    let tunnels = proxy.asked().iter().filter(|asked| asked.method == "CONNECT").count();
    assert_eq!(tunnels, 1, "that it speaks no TLS is remembered");
    let error = try_pull(&proxied(&proxy, |_| ()), &image).await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "not listed, never asked plainly: {}", error.chain());
}

#[tokio::test]
async fn an_index_leads_to_the_manifest_for_this_machine() {
    let served = Served::new(&small_image());
    let host = tink_image::Platform::host();
    let descriptor = |architecture: &str, digest: &str, size: usize| {
        serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let other = format!("sha256:{}", "0".repeat(64));
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifests": [descriptor("s390x", &other, 7), descriptor(&host.architecture, served.digest.as_str(), served.manifest.len())]});
    let server = Server::plain(move |asked| {
        if asked.target.ends_with("/manifests/v1") { Answer::new(200, index.to_string()) } else { served.answer(asked) }
    })
    .await;
    must_pull(&registries(), &server.image("a:v1")).await;
    let elsewhere =
        tink_image::Platform { os: "linux".to_owned(), architecture: "riscv64".to_owned(), variant: String::new() };
    let error = try_pull(&with(|config| config.platform = Some(elsewhere)), &server.image("a:v1")).await.unwrap_err();
    assert!(error.to_string().contains("riscv64") && error.to_string().contains("s390x"), "{error}");
}

#[tokio::test]
async fn schema_1_is_refused_with_a_word_on_what_to_do() {
    let server = Server::plain(|_| {
        Answer::new(200, r#"{"schemaVersion":1,"fsLayers":[]}"#)
            .header("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
    })
    .await;
    let error = try_pull(&registries(), &server.image("a:v1")).await.unwrap_err();
    assert!(error.chain().contains("schema 1") && error.chain().contains("push the image again"), "{}", error.chain());
}

#[tokio::test]
async fn progress_ends_with_every_byte_of_every_layer() {
    let served = Served::new(&small_image());
    let total: u64 = served.layers.iter().map(|layer| served.blob(layer).len() as u64).sum();
    let server = Server::plain(move |asked| served.answer(asked)).await;
    let directory = tempfile::tempdir().unwrap();
    let (progress, watcher) = Progress::new();
    let store = store(directory.path());
    store.pull(&registries(), &server.image("a:v1"), &progress).await.unwrap();
    assert_eq!(watcher.borrow().bytes(), (total, total));
    assert!(watcher.borrow().layers.iter().all(|layer| layer.state == LayerState::Done));
    store.pull(&registries(), &server.image("a:v1"), &progress).await.unwrap();
    assert!(watcher.borrow().layers.iter().all(|layer| layer.state == LayerState::Present));
}

#[tokio::test]
async fn layers_that_are_here_are_not_fetched_again() {
    let served = Served::new(&small_image());
    let server = Server::plain(move |asked| served.answer(asked)).await;
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    pull(&store, &registries(), &server.image("a:v1")).await;
    assert_eq!(server.asked_for("/blobs/").len(), 3);
    pull(&store, &registries(), &server.image("a:v1")).await;
    pull(&store, &registries(), &server.image("b:v2")).await;
    assert_eq!(server.asked_for("/blobs/").len(), 3);
}

#[tokio::test]
async fn an_image_named_by_digest_that_is_here_needs_no_registry() {
    let served = Served::new(&small_image());
    let digest = served.digest.to_string();
    let server = Server::plain(move |asked| served.answer(asked)).await;
    let image = ImageRef::parse(&format!("{}/a@{digest}", server.host())).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    pull(&store, &registries(), &image).await;
    let asked = server.asked().len();
    assert!(matches!(pull(&store, &registries(), &image).await.source, PullSource::Here));
    assert_eq!(server.asked().len(), asked);
}

#[tokio::test]
async fn a_pull_that_is_dropped_leaves_nothing_half_made() {
    let served = Served::new(&large_image());
    let server = Server::plain(move |asked| {
        let mut answer = served.answer(asked);
        if asked.target.contains(&served.layers[0]) {
            answer.silent = true;
            return answer.cut(500_000);
        }
        answer
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let (progress, mut watcher) = Progress::new();
    let (registries, image) = (registries(), server.image("a:v1"));
    tokio::select! {
        _ = store.pull(&registries, &image, &progress) => panic!("nothing ends it"),
        seen = watcher.wait_for(|progress| progress.bytes().0 >= 500_000) => drop(seen.unwrap()),
    }
    // The unpacking thread notices by itself; opening waits for nobody and removes only what nobody holds.
    wait_until_empty(&directory.path().join("tmp")).await;
    assert!(store.list().unwrap().is_empty());
}

/// Until only lock files are left; the thread that removes the rest holds a lock on it meanwhile.
async fn wait_until_empty(directory: &Path) {
    let left = || std::fs::read_dir(directory).unwrap().any(|entry| entry.unwrap().path().is_dir());
    while left() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_registry_in_trouble_is_asked_once_when_the_image_is_here() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let served = Served::new(&small_image());
    let in_trouble = Arc::new(AtomicBool::new(false));
    let server = Server::plain({
        let in_trouble = Arc::clone(&in_trouble);
        move |asked| if in_trouble.load(Ordering::SeqCst) { Answer::new(503, "busy") } else { served.answer(asked) }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    drop(pull(&store, &registries(), &server.image("a:v1")).await);
    let before = server.asked_for("/manifests/").len();
    in_trouble.store(true, Ordering::SeqCst);
    let again = pull(&store, &registries(), &server.image("a:v1")).await;
    assert!(matches!(again.source, PullSource::LocalAfter(_)), "{:?}", again.source);
    assert_eq!(server.asked_for("/manifests/").len(), before + 1);
}

#[tokio::test]
async fn a_token_is_had_without_a_password_where_a_registry_gives_it_to_anybody() {
    let served = Served::new(&small_image());
    let server = Server::plain(move |asked| {
        if asked.target.starts_with("/token?") {
            let anonymous = !asked.headers.contains_key("authorization");
            return if anonymous { Answer::new(200, r#"{"token":"t0ken"}"#) } else { Answer::new(401, "") };
        }
        if asked.headers.get("authorization").is_some_and(|value| value == "Bearer t0ken") {
            return served.answer(asked);
        }
        let challenge = format!("Negotiate, Bearer realm=\"http://{}/token\",service=\"s\"", asked.headers["host"]);
        Answer::new(401, "").header("www-authenticate", challenge)
    })
    .await;
    must_pull(&registries(), &server.image("a:v1")).await;
    assert_eq!(server.asked_for("/token").len(), 1);
}

/// What `openssl req -x509` makes: its own issuer, and marked as a CA.
fn self_signed(name: &str, not_after: (i32, u8, u8)) -> Authority {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(not_after.0, not_after.1, not_after.2);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let der = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let server = server_config().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], der).unwrap();
    Authority { ca_pem: certificate.pem(), server }
}

const FAR: (i32, u8, u8) = (4000, 1, 1);

async fn pull_over_tls(server: rustls::ServerConfig, ca_pem: &str) -> Result<(), ImageError> {
    let server = tls_server(server).await;
    let (_root, certs_d) = docker_ca(&server.host(), ca_pem);
    try_pull(&with(|config| config.certs_d = vec![certs_d]), &server.image("a:v1")).await.map(drop)
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_by_itself_alone() {
    let good = self_signed("127.0.0.1", FAR);
    pull_over_tls(good.server, &good.ca_pem).await.unwrap_or_else(|error| panic!("{}", error.chain()));
    let (one, other) = (self_signed("127.0.0.1", FAR), self_signed("127.0.0.1", FAR));
    let elsewhere = self_signed("other.test", FAR);
    let expired = self_signed("127.0.0.1", (2001, 1, 1));
    for (server, ca_pem) in
        [(one.server, other.ca_pem), (elsewhere.server, elsewhere.ca_pem), (expired.server, expired.ca_pem)]
    {
        let error = pull_over_tls(server, &ca_pem).await.unwrap_err();
        assert!(matches!(error, ImageError::Certificate { .. }), "{}", error.chain());
    }
}

#[tokio::test]
async fn what_is_no_certificate_beside_a_good_one_spoils_nothing() {
    let Authority { ca_pem, server } = authority(None);
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    pull_over_tls(server, &format!("{junk}{ca_pem}")).await.unwrap_or_else(|error| panic!("{}", error.chain()));
    let error = pull_over_tls(authority(None).server, junk).await.unwrap_err();
    assert!(matches!(error, ImageError::Settings { .. }) && error.to_string().contains("ca.crt"), "{}", error.chain());
}

#[tokio::test]
async fn a_certificate_that_is_put_there_after_a_failure_counts_at_once() {
    let Authority { ca_pem, server } = authority(None);
    let server = tls_server(server).await;
    let (_root, certs_d) = docker_ca(&server.host(), &authority(None).ca_pem);
    let registries = with(|config| config.certs_d = vec![certs_d.clone()]);
    let error = try_pull(&registries, &server.image("a:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::Certificate { .. }), "{}", error.chain());
    std::fs::write(certs_d.join(server.host()).join("ca.crt"), ca_pem).unwrap();
    must_pull(&registries, &server.image("a:v1")).await;
}

#[tokio::test]
async fn hosts_toml_names_the_ca_and_the_certificate_that_a_client_shows() {
    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
    let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap(), key)
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
    let (certificate, key) = signed("127.0.0.1");
    let der = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = server_config().with_client_cert_verifier(clients);
    let server = tls_server(config.with_single_cert(vec![certificate.der().clone()], der).unwrap()).await;

    let text = |client: &str| format!("server = \"https://{}\"\nca = \"our-ca.pem\"\n{client}", server.host());
    let (_root, certs_d) = hosts("registry.test", &text("client = [[\"me.cert\", \"me.key\"]]\n"));
    let (certificate, key) = signed("client");
    for (name, pem) in [("our-ca.pem", ca.pem()), ("me.cert", certificate.pem()), ("me.key", key.serialize_pem())] {
        std::fs::write(certs_d.join("registry.test").join(name), pem).unwrap();
    }
    let image = ImageRef::parse("registry.test/a:v1").unwrap();
    must_pull(&with(|config| config.certs_d = vec![certs_d.clone()]), &image).await;
    std::fs::write(certs_d.join("registry.test/hosts.toml"), text("")).unwrap();
    let error = try_pull(&with(|config| config.certs_d = vec![certs_d]), &image).await.unwrap_err();
    assert!(error.chain().contains("ertificate"), "the server asks for one: {}", error.chain());
}

#[tokio::test]
async fn a_handshake_that_breaks_once_is_no_reason_to_do_without_tls() {
    let server = tls_server(authority(None).server).await;
    server.break_handshakes(1);
    must_pull(&registries(), &server.image("a:v1")).await;
    // Nor later, when it is known that the registry speaks TLS.
    let known = registries();
    must_pull(&known, &server.image("a:v1")).await;
    server.break_handshakes(1);
    must_pull(&known, &server.image("a:v1")).await;
    server.break_handshakes(usize::MAX);
    let error = try_pull(&registries(), &server.image("a:v1")).await.unwrap_err();
    assert!(error.retryable() && error.chain().contains("TLS handshake"), "{}", error.chain());
}

#[tokio::test]
async fn a_registry_without_tls_that_refuses_a_request_is_believed() {
    let refusal = r#"{"errors":[{"code":"NAME_INVALID"}]}"#;
    let server = Server::plain(move |_| Answer::new(400, refusal)).await;
    let error = try_pull(&registries(), &server.image("a:v1")).await.unwrap_err();
    assert!(!error.retryable() && error.chain().contains("NAME_INVALID"), "{}", error.chain());
}

#[tokio::test]
async fn damage_over_tls_is_told_as_such_where_plain_http_would_be_allowed() {
    let served = Served::new(&large_image());
    for (damaged, fine) in [(1, true), (2, false)] {
        let (served, layer) = (served.clone(), served.layers[0].clone());
        let server = Server::tls(authority(None).server, move |asked| {
            let mut answer = served.answer(asked);
            if asked.target.contains(&layer) && asked.before < damaged {
                answer.body[5000] ^= 1;
            }
            answer
        })
        .await;
        match try_pull(&registries(), &server.image("a:v1")).await {
            Ok(_) => assert!(fine),
            Err(error) => {
                assert!(!fine, "{}", error.chain());
                assert!(matches!(layer_error(error), LayerError::Digest { .. }));
            }
        }
    }
    let server = Server::tls(authority(None).server, move |asked| {
        let answer = served.answer(asked);
        if asked.target.contains(&served.layers[0]) { answer.cut(0) } else { answer }
    })
    .await;
    let error = try_pull(&registries(), &server.image("a:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }) && error.retryable(), "{}", error.chain());
}

#[tokio::test]
async fn a_ca_file_takes_no_insecure_registry_its_plain_way() {
    let served = Served::new(&small_image());
    let server = Server::plain(move |asked| served.answer(asked)).await;
    let (_root, certs_d) = docker_ca("_default", &authority(None).ca_pem);
    must_pull(&with(|config| config.certs_d = vec![certs_d]), &server.image("a:v1")).await;
}

#[tokio::test]
async fn of_manifests_that_an_index_does_not_describe_the_configuration_says_the_machine() {
    let ours = tink_image::Platform::host().architecture;
    let of = |architecture: &str| {
        let mut image = ImageBuilder::new();
        image.platform(tink_image::Platform::linux(architecture)).bytes("/for", architecture, 0o644);
        Served::new(&image)
    };
    let (other, right) = (of("s390x"), of(&ours));
    let undescribed = |served: &Served| {
        serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": served.digest.as_str(), "size": served.manifest.len()})
    };
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [undescribed(&other), undescribed(&right)]});
    let server = Server::plain(move |asked| {
        if asked.target.ends_with("/manifests/v1") {
            return Answer::new(200, index.to_string());
        }
        if asked.target.contains(other.digest.as_str()) {
            return other.answer(asked);
        }
        match right.answer(asked) {
            answer if answer.status == 404 => other.answer(asked),
            answer => answer,
        }
    })
    .await;
    let (_directory, image) = must_pull(&registries(), &server.image("a:v1")).await;
    assert_eq!(read(&image, "for"), ours.as_bytes());
}

#[tokio::test]
async fn what_was_pulled_is_kept_unpacked_only() {
    let served = Served::new(&large_image());
    let packed: Vec<Vec<u8>> = served.layers.iter().map(|layer| served.blob(layer).to_vec()).collect();
    let server = Server::plain(move |asked| served.answer(asked)).await;
    let (directory, image) = must_pull(&registries(), &server.image("a:v1")).await;
    assert_eq!(read(&image, "noise").len(), 1_000_000);
    let mut bytes = 0;
    for file in files(directory.path()) {
        let content = std::fs::read(&file).unwrap();
        assert!(!packed.contains(&content), "{} is a blob", file.display());
        bytes += content.len();
    }
    assert!(bytes < 1_100_000, "{bytes} bytes are kept of a file of 1000000");
}

fn files(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
