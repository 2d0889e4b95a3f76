//! Pulls, from a real registry with a password.

use tink_e2e::{PushedImage, Registry, TestImage, TestRun};
use tink_runtime::{DockerRuntime, Progress, PullOutcome, Runtime, RuntimeError};

use super::{credentials, shared, test_run, within};
use crate::connect;
use crate::contract::image;

/// In base64 it has a `+` and a `/` in one place or another, whatever comes before it.
const PASSWORD: &str = "\u{3eb}\u{3eb}>>>???~~~\u{3ff}\u{3ff}";

/// A registry with a password, and an image that no other test has.
fn registry(run: &TestRun) -> (Registry, PushedImage) {
    let registry = Registry::launch(run).auth("tink", PASSWORD).start().expect("a registry starts");
    let layers = TestImage::empty().file("name", 0o644, run.name()).layer().file("more", 0o644, vec![7; 300_000]);
    let built = layers.build().expect("an image");
    let pushed = registry.push(run.name(), "v1", &built).expect("an image is pushed");
    (registry, pushed)
}

async fn pull(docker: &DockerRuntime, name: &str) -> (Result<PullOutcome, RuntimeError>, Progress) {
    let progress = Progress::new();
    (within(docker.pull(&image(name), &progress)).await, progress)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_with_a_password_and_progress() {
    let run = test_run("pull");
    let (registry, pushed) = registry(&run);
    let docker = connect(shared().socket(), credentials(&registry.address(), "tink", PASSWORD)).await;
    let (outcome, progress) = pull(&docker, &pushed.reference).await;
    assert!(matches!(outcome, Ok(PullOutcome::Registry)), "{outcome:?}");
    let last = progress.watch().borrow().clone();
    assert_eq!((last.layers_done(), last.layers.len()), (2, 2));
    let (done, total) = last.bytes();
    assert!(done <= total, "{last:?}");
    assert!(docker.has_image(&image(&pushed.reference)).await.expect("docker answers"));

    let (again, _) = pull(&docker, &pushed.reference).await;
    assert!(matches!(again, Ok(PullOutcome::Registry)), "{again:?}");
    let (by_digest, _) = pull(&docker, &pushed.pinned()).await;
    assert!(matches!(by_digest, Ok(PullOutcome::Registry)), "{by_digest:?}");
    assert!(docker.has_image(&image(&pushed.pinned())).await.expect("docker answers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_permanent_and_stays_secret() {
    let run = test_run("wrong-password");
    let (registry, pushed) = registry(&run);
    let docker = connect(shared().socket(), credentials(&registry.address(), "tink", "hunter2hunter2")).await;
    let error = pull(&docker, &pushed.reference).await.0.expect_err("the password is wrong");
    assert!(!error.is_retryable(), "{error}");
    let text = error.to_string();
    assert!(text.contains("user \"tink\" was tried") && !text.contains("hunter2"), "{text}");
    assert!(!format!("{docker:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_for_another_registry_is_not_sent() {
    let run = test_run("other-registry");
    let (registry, pushed) = registry(&run);
    let elsewhere = format!("localhost:{}", registry.address().rsplit(':').next().expect("a port"));
    let docker = connect(shared().socket(), credentials(&elsewhere, "tink", PASSWORD)).await;
    let error = pull(&docker, &pushed.reference).await.0.expect_err("the registry wants a password");
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().contains("none are configured for 127.0.0.1"), "{error}");
    assert!(
        registry
            .requests()
            .iter()
            .all(|request| request.status != 200 || request.method == "PUT" || request.path.contains("uploads")),
        "{:?}",
        registry.requests()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_nowhere_is_permanent() {
    let run = test_run("nowhere");
    let (registry, _) = registry(&run);
    let docker = connect(shared().socket(), credentials(&registry.address(), "tink", PASSWORD)).await;
    let error = pull(&docker, &format!("{}/no/such:v1", registry.address())).await.0.expect_err("it is not there");
    assert!(!error.is_retryable(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_is_transient_unless_the_image_is_here() {
    let run = test_run("down");
    let (mut registry, pushed) = registry(&run);
    let docker = connect(shared().socket(), credentials(&registry.address(), "tink", PASSWORD)).await;
    registry.stop().expect("it stops");
    let error = pull(&docker, &pushed.reference).await.0.expect_err("nobody serves it");
    assert!(error.is_retryable(), "{error}");
    registry.start_again(&run).expect("it starts");
    assert!(matches!(pull(&docker, &pushed.reference).await.0, Ok(PullOutcome::Registry)));
    registry.stop().expect("it stops");
    let outcome = pull(&docker, &pushed.reference).await.0;
    assert!(matches!(&outcome, Ok(PullOutcome::Local(error)) if error.is_retryable()), "{outcome:?}");
}

/// What is wrong is found while the layer is downloaded: the daemon has begun its answer with 200 by then.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_the_stream_is_seen() {
    let run = test_run("in-stream");
    let registry = Registry::launch(&run).start().expect("a registry starts");
    let image = TestImage::empty().file("name", 0o644, run.name()).build().expect("an image");
    let pushed = registry.push(run.name(), "v1", &image).expect("it is pushed");
    let (layer, content) = image.blobs.last().expect("a layer");
    let damaged: Vec<u8> = content.iter().rev().copied().collect();
    std::fs::write(blob_path(&run, layer), damaged).expect("the registry's file can be damaged");
    let docker = connect(shared().socket(), vec![]).await;
    let error = pull(&docker, &pushed.reference).await.0.expect_err("the layer is damaged");
    assert!(error.to_string().starts_with("failed to pull image 127.0.0.1"), "{error}");
    assert!(!docker.has_image(&crate::contract::image(&pushed.reference)).await.expect("docker answers"));
}

/// Where the registry keeps a blob.
fn blob_path(run: &TestRun, digest: &str) -> std::path::PathBuf {
    let hex = digest.trim_start_matches("sha256:");
    let tail = format!("blobs/sha256/{}/{hex}/data", &hex[..2]);
    let mut found = Vec::new();
    let mut todo = vec![run.scratch().to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
            let path = entry.path();
            if path.ends_with(&tail) {
                found.push(path);
            } else if path.is_dir() {
                todo.push(path);
            }
        }
    }
    found.pop().expect("the registry has the blob")
}
