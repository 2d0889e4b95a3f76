//! The engine's socket, driven by a real client of Docker's API.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptions, InspectContainerOptions, StartContainerOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use tink_runtime::{HandleRecord, Progress};

use crate::contract::{Bench, shell, within};

/// A running container with the socket, and a client of it.
struct Served {
    client: Docker,
    record: HandleRecord,
    image: String,
    containers: std::path::PathBuf,
    _dir: File,
}

async fn serve(bench: &Bench, state: &Path, name: &str) -> Served {
    let mut spec = shell("sleep 1000");
    spec.identity.action_name = name.to_owned();
    spec.volumes = vec!["/var/run/docker.sock:/var/run/docker.sock".to_owned()];
    spec.environment = vec!["LEVEL=first".to_owned()];
    let record = bench.start(&spec).await;
    let containers = state.join("containers");
    let dir = File::open(containers.join(&record.container)).expect("it has a directory");
    // The path itself may be longer than a socket's may be.
    let socket = format!("/proc/self/fd/{}/engine.sock", dir.as_raw_fd());
    let client = Docker::connect_with_unix(&socket, 60, API_DEFAULT_VERSION).expect("a client");
    let client = client.negotiate_version().await.expect("it answers");
    Served { client, record, image: spec.image.to_string(), containers, _dir: dir }
}

impl Served {
    async fn create(&self, script: &str) -> Result<String, Error> {
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            host_config: Some(HostConfig { privileged: Some(true), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        Ok(self.client.create_container(None::<CreateContainerOptions>, body).await?.id)
    }

    async fn start(&self, id: &str) {
        self.client.start_container(id, None::<StartContainerOptions>).await.expect("it starts");
    }

    /// Every detached container of this one, in order of their ids.
    fn detached(&self) -> Vec<String> {
        let stem = format!("{}_detached-", self.record.container);
        let entries = std::fs::read_dir(&self.containers).expect("a directory").flatten();
        let mut ids: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.retain(|id| id.starts_with(&stem));
        ids.sort();
        ids
    }

    async fn remove(self, bench: &Bench) {
        for id in self.detached() {
            tink_oci::remove(&self.containers.join(id)).await.expect("it goes");
        }
        bench.remove(&self.record).await;
    }
}

pub async fn a_container_is_told_about_itself_and_others_are_refused(bench: &Bench, state: &Path) {
    let served = serve(bench, state, "asks").await;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let own = served.client.inspect_container(&host, None::<InspectContainerOptions>).await.expect("itself");
    assert_eq!(own.id.as_deref(), Some(served.record.container.as_str()));
    let config = own.config.expect("a configuration");
    let env = config.env.expect("an environment");
    assert!(env.contains(&"LEVEL=first".to_owned()) && env.iter().any(|pair| pair.starts_with("PATH=")), "{env:?}");
    assert_eq!(config.cmd.expect("a command").last().map(String::as_str), Some("sleep 1000"));
    let binds = own.host_config.expect("a host configuration").binds.expect("binds");
    assert_eq!(binds, ["/var/run/docker.sock:/var/run/docker.sock"], "as the action says it, for the next container");

    for (what, error) in [
        ("nosuch", served.client.inspect_container("nosuch", None::<InspectContainerOptions>).await.err()),
        ("../images", served.client.inspect_container("..%2Fimages", None::<InspectContainerOptions>).await.err()),
    ] {
        let error = error.expect("there is no such container");
        assert!(matches!(error, Error::DockerResponseServerError { status_code: 404, .. }), "{what}: {error}");
    }
    let error = served.client.info().await.expect_err("that is not served");
    assert!(error.to_string().contains("embedded runtime"), "{error}");
    let error = served.client.start_container(&served.record.container, None::<StartContainerOptions>).await;
    assert!(error.expect_err("it is an action's").to_string().contains("worker"), "only detached ones are started");
    served.remove(bench).await;
}

pub async fn the_socket_lives_as_long_as_its_container(bench: &Bench, state: &Path) {
    let served = serve(bench, state, "lives").await;
    let id = served.create("sleep 1000").await.expect("it is created");
    served.start(&id).await;
    let again = served.client.start_container(&id, None::<StartContainerOptions>).await;
    assert!(again.is_ok(), "started twice is started: {again:?}");
    within(bench.runtime.stop(&served.record, Duration::ZERO)).await.expect("stopped");
    let is_served = || async { served.client.ping().await.is_ok() };
    for _ in 0..1000 {
        if !is_served().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!is_served().await, "nobody is left to ask");
    let status = tink_oci::status(&served.containers.join(&id)).expect("a status");
    assert!(matches!(status, tink_oci::Status::Running(_)), "what it started lives on: {status:?}");
    served.remove(bench).await;
}

pub async fn a_container_that_is_started_twice_at_once_runs_once(bench: &Bench, state: &Path) {
    let served = serve(bench, state, "twice").await;
    for _ in 0..4 {
        let id = served.create("sleep 1000").await.expect("it is created");
        let start = || served.client.start_container(&id, None::<StartContainerOptions>);
        let (first, second, third) = tokio::join!(start(), start(), start());
        assert!(first.is_ok() && second.is_ok() && third.is_ok(), "{first:?} {second:?} {third:?}");
        // One that another start found may be a moment from running.
        let status = || tink_oci::status(&served.containers.join(&id)).expect("a status");
        while status() == tink_oci::Status::Starting {
            tokio::task::yield_now().await;
        }
        assert!(matches!(status(), tink_oci::Status::Running(_)), "{:?}", status());
    }
    served.remove(bench).await;
}

pub async fn detached_containers_are_bounded(bench: &Bench, state: &Path) {
    let served = serve(bench, state, "many").await;
    for _ in 0..6 {
        let id = served.create("true").await.expect("it is created");
        served.start(&id).await;
        let record = HandleRecord { container: id, ..served.record.clone() };
        bench.wait(&record).await;
    }
    // A pull is when a worker looks after them; which image does not matter.
    let _ = bench.runtime.pull(&crate::contract::image("127.0.0.1:1/nothing"), &Progress::new()).await;
    assert_eq!(served.detached().len(), 4, "the newest that ended are kept: {:?}", served.detached());

    for number in 0..17 {
        let created = served.create("sleep 1000").await;
        if number < 16 {
            served.start(&created.expect("it is created")).await;
        } else {
            let error = created.expect_err("that is one too many").to_string();
            assert!(error.contains("16 detached containers run already"), "{error}");
        }
    }
    served.remove(bench).await;
}
