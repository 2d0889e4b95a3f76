//! Containers that are being built when somebody wants to end them.

use std::fs::File;
use std::path::Path;
use std::process::Child;

use rustix::fs::{FlockOperation, flock};
use tink_oci::{Outcome, Status, remove, status, stop};

use crate::support::Trial;

/// Held, it keeps a shim from getting on: as the image store does that looks whether a layer is in use.
fn hold(layer: &Path) -> File {
    let layer = File::open(layer).unwrap();
    flock(&layer, FlockOperation::LockExclusive).unwrap();
    layer
}

/// A container whose shim waits for what is held, and what its program would do.
async fn stuck(trial: &mut Trial) -> (Child, File) {
    let host = trial.host_dir();
    trial.script("echo ran > /host/ran; sleep 1000");
    trial.spec.volumes = vec![tink_oci::Volume::bind(&host, "/host")];
    let held = hold(trial.layer());
    let launcher = trial.spawn_launch();
    while status(trial.dir()).unwrap() != Status::Starting {
        tokio::task::yield_now().await;
    }
    (launcher, held)
}

/// Until somebody's wish to end the container is written down.
async fn marked(dir: &Path) {
    while !dir.join("stop").exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_container_that_is_stopped_while_it_is_built_never_runs() {
    let mut trial = Trial::new();
    let (launcher, held) = stuck(&mut trial).await;
    let let_go = async {
        marked(trial.dir()).await;
        drop(held);
    };
    let (stopped, ()) = tokio::join!(stop(trial.dir(), std::time::Duration::ZERO), let_go);
    stopped.unwrap();
    let Status::Exited(exit) = status(trial.dir()).unwrap() else { panic!("not ended") };
    let Outcome::NotStarted { failure } = &exit.outcome else { panic!("{exit:?}") };
    assert_eq!(failure.message, "the container was stopped before its program started");
    let output = launcher.wait_with_output().unwrap();
    assert!(!output.status.success(), "the launcher is told");
    assert!(!trial.host_dir().join("ran").exists());
}

#[tokio::test]
async fn a_container_that_is_removed_while_it_is_built_never_runs_and_is_gone() {
    let mut trial = Trial::new();
    let (mut launcher, held) = stuck(&mut trial).await;
    let let_go = async {
        marked(trial.dir()).await;
        drop(held);
    };
    let (removed, ()) = tokio::join!(remove(trial.dir()), let_go);
    removed.unwrap();
    assert!(!trial.dir().exists());
    assert!(!launcher.wait().unwrap().success());
    assert!(!trial.host_dir().join("ran").exists());
}

#[test]
fn a_claim_that_is_given_up_leaves_the_directory_to_the_next() {
    let trial = Trial::shell("true");
    let claim = tink_oci::Claim::take(trial.spec.clone()).unwrap();
    assert_eq!(status(trial.dir()).unwrap(), Status::Starting);
    let (_, message) = trial.try_launch().unwrap_err();
    assert!(message.contains("holds a container already"), "{message}");
    drop(claim);
    assert_eq!(status(trial.dir()).unwrap(), Status::Gone);
    trial.launch();
}
