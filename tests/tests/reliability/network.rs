//! Worker and server in network namespaces of their own, with a bad cable between them for the length of a workflow.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tink_e2e::stack::{DEADLINE, path_text};
use tink_e2e::{BuiltImage, Cable, Faults, NetNs, Process, TestImage, TestRun, eventually, scenario};

const IMAGE: &str = "actions.test/busybox:v1";
const LINES: u32 = 200;

/// A server and a worker with a cable between them. The worker has its image on disk.
struct Far<'r> {
    run: &'r TestRun,
    cable: Cable,
    server_netns: NetNs,
    worker: Process,
    _server: Process,
    shared: PathBuf,
}

impl<'r> Far<'r> {
    fn start(run: &'r TestRun, seed: u64) -> Result<Self> {
        let (server_netns, worker_netns) = (NetNs::new()?, NetNs::new()?);
        let cable = Cable::join(run, seed, (&server_netns, "10.77.2.1/24"), (&worker_netns, "10.77.2.2/24"))?;
        let images = run.scratch().join("images");
        fs::create_dir(&images)?;
        fs::write(images.join("busybox.tar"), archive(&TestImage::busybox()?.build()?)?)?;
        let shared = run.scratch().join("shared");
        fs::create_dir(&shared)?;
        let server = Process::binary("tink-server")?
            .args(["--insecure", "--grpc-addr", "0.0.0.0:42113", "--http-addr", "127.0.0.1:0", "--data"])
            .arg(run.scratch().join("far.db"))
            .in_netns(&server_netns)
            .start(run)?;
        server.wait_for_line("tink-server started", DEADLINE)?;
        let worker = Process::binary("tink-worker")?
            .args(["--id", "w", "--grpc-server", "10.77.2.1:42113", "--runtime", "embedded"])
            .args(["--backoff-max-interval", "1s", "--images"])
            .arg(&images)
            .arg("--state-dir")
            .arg(run.scratch().join("state"))
            .in_netns(&worker_netns)
            .start(run)?;
        worker.stdout().wait_for_line("the server answers", DEADLINE)?;
        Ok(Self { run, cable, server_netns, worker, _server: server, shared })
    }

    fn tink(&self, args: &[&str]) -> Result<String> {
        let mut process = Process::binary("tink")?
            .env("TINK_SERVER", "http://127.0.0.1:42113")
            .args(args)
            .in_netns(&self.server_netns)
            .start(self.run)?;
        let status = process.wait(DEADLINE)?;
        ensure!(status.success(), "tink {args:?}: {}", process.stderr().text());
        Ok(process.stdout().text())
    }

    fn create(&self, name: &str, actions: u32) -> Result<()> {
        let volume = json!(format!("{}:/shared", path_text(&self.shared)?));
        let mut tasks = format!("- name: only\n  worker: w\n  volumes: [{volume}]\n  actions:\n");
        for nth in 0..actions {
            let script = json!(format!(
                "echo {name}-{nth} >> /shared/runs; i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; done; sleep 0.5"
            ));
            tasks += &format!("  - {{name: a{nth}, image: '{IMAGE}', timeout: 300, command: [sh, -c, {script}]}}\n");
        }
        let file = self.run.scratch().join(format!("{name}.yaml"));
        fs::write(&file, tink_e2e::stack::manifests(name, &tasks))?;
        self.tink(&["apply", "-f", path_text(&file)?]).map(drop)
    }

    fn state(&self, name: &str) -> Result<String> {
        let text = self.tink(&["workflow", "get", name, "-o", "json"])?;
        let workflow: serde_json::Value = serde_json::from_str(&text)?;
        Ok(workflow["status"]["state"].as_str().context("no state")?.to_owned())
    }

    fn succeeds(&self, name: &str) -> Result<()> {
        let state = eventually(&format!("the end of {name}"), DEADLINE * 3, || {
            let state = self.state(name).map_err(|error| format!("{error:#}"))?;
            if ["PENDING", "RUNNING"].contains(&state.as_str()) { Err(state) } else { Ok(state) }
        })?;
        ensure!(state == "SUCCESS", "{name} is {state}");
        Ok(())
    }

    /// Each action wrote its line once, and the worker goes on.
    fn ran_once(&mut self, name: &str, actions: u32) -> Result<()> {
        let text = fs::read_to_string(self.shared.join("runs")).unwrap_or_default();
        let runs: Vec<_> = text.lines().filter(|line| line.starts_with(&format!("{name}-"))).collect();
        let wanted: Vec<_> = (0..actions).map(|nth| format!("{name}-{nth}")).collect();
        ensure!(runs == wanted, "{runs:?}");
        ensure!(!self.worker.has_ended(), "the worker ended");
        Ok(())
    }
}

/// An image as an archive in the OCI layout.
fn archive(image: &BuiltImage) -> Result<Vec<u8>> {
    let manifest = (image.digest(), image.manifest.clone());
    let annotations = json!({"io.containerd.image.name": IMAGE, "org.opencontainers.image.ref.name": IMAGE});
    let descriptor = json!({
        "mediaType": image.media_type, "digest": image.digest(), "size": image.manifest.len(), "annotations": annotations,
    });
    let index = json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string().into_bytes();
    let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    files.push(("index.json".to_owned(), index));
    for (digest, content) in image.blobs.iter().chain([&manifest]) {
        files.push((format!("blobs/{}", digest.replacen(':', "/", 1)), content.clone()));
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    Ok(archive.into_inner()?)
}

/// One workflow of three actions with these faults from its start to its end; what the cable did must have happened.
fn whole_workflow(name: &str, faults: Faults, did: fn([u64; 5]) -> bool) -> Result<()> {
    scenario(name, |run| {
        let mut far = Far::start(run, 7)?;
        far.cable.set(faults)?;
        far.create("bad", 3)?;
        far.succeeds("bad")?;
        far.ran_once("bad", 3)?;
        let counts = far.cable.counts()?;
        ensure!(did(counts), "the cable was too good to show anything: {counts:?}");
        Ok(())
    })
}

#[test]
fn a_cable_that_loses_packets_loses_no_result() -> Result<()> {
    let faults = Faults { loss: 20, ..Faults::default() };
    whole_workflow("a_cable_that_loses_packets_loses_no_result", faults, |counts| counts[1] > 3)
}

#[test]
fn a_cable_that_delays_and_doubles_packets_runs_nothing_twice() -> Result<()> {
    let faults = Faults { delay_ms: 150, duplicate: 30, ..Faults::default() };
    whole_workflow("a_cable_that_delays_and_doubles_packets_runs_nothing_twice", faults, |counts| counts[2] > 3)
}

#[test]
fn a_cable_that_damages_packets_loses_no_result() -> Result<()> {
    let faults = Faults { corrupt: 20, ..Faults::default() };
    whole_workflow("a_cable_that_damages_packets_loses_no_result", faults, |counts| counts[3] > 3)
}

#[test]
fn a_cable_that_resets_connections_loses_no_result() -> Result<()> {
    let faults = Faults { reset: 12, ..Faults::default() };
    whole_workflow("a_cable_that_resets_connections_loses_no_result", faults, |counts| counts[4] > 1)
}

#[test]
fn a_cable_with_every_fault_at_once_loses_no_result() -> Result<()> {
    let faults = Faults { loss: 8, duplicate: 8, corrupt: 8, reset: 3, delay_ms: 40, blackhole: false };
    whole_workflow("a_cable_with_every_fault_at_once_loses_no_result", faults, |counts| counts[1] + counts[3] > 3)
}

#[test]
fn a_connection_that_is_dead_on_one_side_only_is_given_up() -> Result<()> {
    scenario("a_connection_that_is_dead_on_one_side_only_is_given_up", |run| {
        let mut far = Far::start(run, 11)?;
        // The worker's request for work is held by the server; then nothing passes any more, in silence.
        far.cable.set(Faults { blackhole: true, ..Faults::default() })?;
        far.create("unseen", 2)?;
        far.worker.stdout().wait_for_line("no work can be taken from the server", DEADLINE * 2)?;
        ensure!(far.state("unseen")? != "SUCCESS", "something passed");
        far.cable.set(Faults::default())?;
        far.succeeds("unseen")?;
        far.ran_once("unseen", 2)
    })
}
