//! What is Docker's own: pulls through the daemon, leftovers of other agents, and a daemon that goes away.

mod containers;
mod daemon;
mod pulls;

use std::time::Duration;

use anyhow::Result;
use tink_e2e::{Dockerd, TestRun};
use tink_runtime::RegistryCredentials;

use crate::contract::{BUSYBOX, within};
use tink_runtime::{DockerRuntime, Secret};

/// The daemon all tests share, for those that need `docker` beside the runtime.
fn shared() -> tink_e2e::Engine {
    Dockerd::shared().expect("a dockerd can be had; `cargo xtask test` installs it")
}

fn test_run(name: &str) -> TestRun {
    TestRun::new(&format!("runtime-docker-{name}")).expect("directories can be made")
}

/// A daemon of the test's own with the contract's images; `settings` go into its daemon.json.
async fn own_dockerd(run: &TestRun, settings: &[(&str, serde_json::Value)]) -> (Dockerd, DockerRuntime) {
    let mut dockerd = Dockerd::start(run).expect("dockerd starts; `cargo xtask test` installs it");
    if !settings.is_empty() {
        configure(&mut dockerd, run, settings).expect("dockerd takes its settings");
    }
    let runtime = crate::connect(dockerd.socket(), vec![]).await;
    crate::import_images(&runtime).await;
    (dockerd, runtime)
}

fn configure(dockerd: &mut Dockerd, run: &TestRun, settings: &[(&str, serde_json::Value)]) -> Result<()> {
    let path = dockerd.socket().with_file_name("daemon.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    for (key, value) in settings {
        config[*key] = value.clone();
    }
    std::fs::write(&path, config.to_string())?;
    dockerd.stop()?;
    dockerd.start_again(run)
}

fn credentials(registry: &str, username: &str, password: &str) -> Vec<RegistryCredentials> {
    vec![RegistryCredentials {
        registry: registry.to_owned(),
        username: username.to_owned(),
        password: Secret::new(password),
    }]
}

const MINUTES: Duration = Duration::from_secs(180);
