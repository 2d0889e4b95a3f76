//! The contract, and what is Docker's own, against a real dockerd.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod contract;
mod docker_cases;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use tink_e2e::{BuiltImage, Dockerd};
use tink_runtime::{DockerRuntime, RegistryCredentials, Runtime};
use tokio::sync::OnceCell;

use contract::{Again, Bench, archive_of, contract_cases};

macro_rules! tests {
    ($($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                contract::$case(&bench().await).await;
            }
        )*
    };
}
contract_cases!(tests);

static SOCKET: OnceCell<PathBuf> = OnceCell::const_new();

/// The daemon that all tests share, with the contract's images.
async fn socket() -> &'static PathBuf {
    let prepare = || async {
        let engine = tokio::task::spawn_blocking(Dockerd::shared).await.expect("no panic");
        let socket = engine.expect("a dockerd can be had; `cargo xtask test` installs it").socket().to_owned();
        import_images(&connect(&socket, vec![]).await).await;
        socket
    };
    SOCKET.get_or_init(prepare).await
}

async fn connect(socket: &Path, credentials: Vec<RegistryCredentials>) -> DockerRuntime {
    DockerRuntime::connect(socket, credentials).await.expect("dockerd answers")
}

async fn import_images(docker: &DockerRuntime) {
    for (image, name) in contract::images() {
        import(docker, &image, name).await;
    }
}

/// The archive goes over in two parts, so that more than one chunk is seen to work.
async fn import(docker: &DockerRuntime, image: &BuiltImage, name: &str) {
    let mut archive = Bytes::from(archive_of(image, name));
    let first = archive.split_to(archive.len() / 2);
    let chunks = futures_util::stream::iter([Ok(first), Ok(archive)]);
    assert_eq!(docker.import("the contract's image", chunks).await.expect("docker takes the image"), [name]);
}

async fn bench() -> Bench {
    bench_on(socket().await).await
}

/// An engine with the contract's images.
async fn bench_on(socket: &Path) -> Bench {
    let (again, root) = (socket.to_owned(), data_root(socket));
    Bench {
        log_dir: Arc::new(move |record| root.join("containers").join(&record.container)),
        runtime: Arc::new(connect(socket, vec![]).await),
        again: Arc::new(move || -> Again {
            let socket = again.clone();
            Box::pin(async move { Arc::new(connect(&socket, vec![]).await) as Arc<dyn Runtime> })
        }),
    }
}

fn data_root(socket: &Path) -> PathBuf {
    let asked = Command::new("docker")
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .args(["info", "--format", "{{.DockerRootDir}}"])
        .output()
        .expect("docker runs");
    PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim())
}
