//! Pulling from a real registry.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use support::{PASSWORD, Registry, credential, pull, quick, read, registries, small_image, store};
use tink_image::{ImageError, PullSource, Registries};

#[tokio::test]
async fn a_pushed_image_is_pulled_with_its_files_and_its_configuration() {
    let registry = Registry::start();
    let work = tempfile::tempdir().unwrap();
    let name = registry.image("actions/small:v1");
    let built = small_image().push(&registries(), &name, work.path()).await.unwrap();
    let store = store(&work.path().join("store"));
    let pulled = pull(&store, &registries(), &name).await;
    assert!(matches!(pulled.source, PullSource::Registry));
    let image = pulled.image;
    assert_eq!(image.id, built.id);
    assert_eq!(image.digest, built.manifest);
    assert_eq!(image.layers.len(), 2);
    assert_eq!(read(&image, "etc/motd"), b"hello\n");
    assert_eq!(read(&image, "bin/busybox").len(), 100_000);
    assert_eq!(image.config.config.entrypoint, ["/bin/busybox"]);
    assert_eq!(image.config.config.user, "1000:1000");
    assert_eq!(image.config.config.labels["org.example"], "yes");
}

#[tokio::test]
async fn the_image_that_is_here_will_do_when_the_registry_is_gone() {
    let mut registry = Registry::start();
    let work = tempfile::tempdir().unwrap();
    let name = registry.image("small:v1");
    small_image().push(&registries(), &name, work.path()).await.unwrap();
    let store = store(&work.path().join("store"));
    drop(pull(&store, &registries(), &name).await);
    registry.stop();
    let again = pull(&store, &registries(), &name).await;
    let PullSource::LocalAfter(error) = again.source else { panic!("{:?}", again.source) };
    assert!(error.retryable(), "{}", error.chain());
    assert_eq!(read(&again.image, "etc/motd"), b"hello\n");
    let other = registry.image("other:v1");
    let error = store.pull(&registries(), &other, &tink_image::Progress::none()).await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "{}", error.chain());
}

#[tokio::test]
async fn a_password_opens_a_registry_and_a_wrong_one_does_not() {
    let registry = Registry::start_with_passwords();
    let work = tempfile::tempdir().unwrap();
    let name = registry.image("small:v1");
    let with = |password: &str, host: &str| {
        let mut config = quick();
        config.credentials = vec![credential(host, password)];
        Registries::new(config).unwrap()
    };
    let right = with(PASSWORD, &registry.host());
    small_image().push(&right, &name, work.path()).await.unwrap();
    let store = store(&work.path().join("store"));
    for (registries, given) in [(with("wrong", &registry.host()), true), (with(PASSWORD, "127.0.0.1"), false)] {
        let error = store.pull(&registries, &name, &tink_image::Progress::none()).await.unwrap_err();
        assert!(!error.retryable());
        match error {
            ImageError::Denied { status: 401, with_credentials, .. } => assert_eq!(with_credentials, given),
            other => panic!("{}", other.chain()),
        }
    }
    pull(&store, &right, &name).await;
}
