//! The test environment itself: were it broken, other tests would fail for the wrong reason, or pass.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use tink_e2e::{
    Census, Compression, Containerd, Dockerd, Flavour, NetNs, Process, Registry, Scope, TestImage, TestRun, eventually,
    scenario,
};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_registry_lets_in_the_right_password_alone() -> Result<()> {
    scenario("a_registry_lets_in_the_right_password_alone", |run| {
        let registry = Registry::launch(run).auth("tink", "right").start()?;
        assert_eq!(registry.status_for(Some(("tink", "right")))?, 200);
        assert_eq!(registry.status_for(Some(("tink", "wrong")))?, 401);
        assert_eq!(registry.status_for(None)?, 401);
        eventually("three lines in the access log", SOON, || {
            let requests = registry.requests();
            if requests.len() == 3 { Ok(()) } else { Err(format!("{requests:?}")) }
        })?;
        Ok(())
    })
}

#[test]
fn a_registry_with_tls_is_known_by_its_authority() -> Result<()> {
    scenario("a_registry_with_tls_is_known_by_its_authority", |run| {
        let registry = Registry::launch(run).tls().start()?;
        assert!(registry.url().starts_with("https://"));
        assert!(registry.authority().is_some_and(|authority| authority.contains("BEGIN CERTIFICATE")));
        assert_eq!(registry.status_for(None)?, 200);
        let other = Registry::launch(run).tls().start()?;
        assert_ne!(other.authority(), registry.authority());
        Ok(())
    })
}

#[test]
fn a_registry_keeps_its_port_and_content_over_an_outage() -> Result<()> {
    scenario("a_registry_keeps_its_port_and_content_over_an_outage", |run| {
        let mut registry = Registry::launch(run).start()?;
        let image = TestImage::empty().file("a", 0o644, "x").flavour(Flavour::Oci).build()?;
        let pushed = registry.push("some/thing", "v1", &image)?;
        let address = registry.address();
        registry.stop()?;
        ensure!(registry.status_for(None).is_err(), "a stopped registry answered");
        registry.start_again(run)?;
        assert_eq!(registry.address(), address);
        assert_eq!(pushed.reference, format!("{address}/some/thing:v1"));
        assert_eq!(registry.push("some/thing", "v1", &image)?.digest, pushed.digest);
        let requests = eventually("the push in the access log", SOON, || {
            let requests = registry.requests();
            if requests.iter().any(|request| request.method == "PUT") {
                Ok(requests)
            } else {
                Err(format!("{requests:?}"))
            }
        })?;
        ensure!(!requests.iter().any(|request| request.method == "POST"), "blobs were lost: {requests:?}");
        Ok(())
    })
}

#[test]
fn docker_runs_a_privileged_container_from_our_registry() -> Result<()> {
    scenario("docker_runs_a_privileged_container_from_our_registry", |run| {
        let registry = Registry::launch(run).auth("tink", "secret").start()?;
        let docker = Dockerd::shared()?;
        for (tag, flavour, compression) in [
            ("docker", Flavour::Docker, Compression::Gzip),
            ("oci", Flavour::Oci, Compression::Gzip),
            ("plain", Flavour::Oci, Compression::None),
        ] {
            let image = TestImage::busybox()?.flavour(flavour).compression(compression);
            let image = image.layer().file("etc/motd", 0o644, format!("made as {tag}\n")).cmd(["cat", "/etc/motd"]);
            let image = registry.push("privileged", tag, &image.build()?)?;
            if tag == "docker" {
                let refused = docker.try_run(run, ["pull", &image.reference])?;
                assert_ne!(refused.code, Some(0));
                assert!(refused.stderr.contains("no basic auth credentials"), "{}", refused.stderr);
                docker.login(run, &registry)?;
            }
            let volumes = ["run", "--rm", "--privileged", "--volume", "/dev:/dev", "--pid", "host"];
            let output = docker.run(run, volumes.into_iter().chain([image.reference.as_str()]))?;
            assert_eq!(output.stdout, format!("made as {tag}\n"));
        }
        Ok(())
    })
}

#[test]
fn a_container_reaches_the_host_by_the_gateway() -> Result<()> {
    scenario("a_container_reaches_the_host_by_the_gateway", |run| {
        let registry = Registry::launch(run).start()?;
        let image = registry.push("net", "v1", &TestImage::busybox()?.build()?)?;
        let docker = Dockerd::shared()?;
        let gateway = docker.gateway(run)?;
        let listener = TcpListener::bind((gateway.as_str(), 0))?;
        let port = listener.local_addr()?.port().to_string();
        let host = thread::spawn(move || listener.accept()?.0.write_all(b"from the host"));
        let output = docker.run(run, ["run", "--rm", &image.reference, "nc", "-w", "10", &gateway, &port])?;
        assert_eq!(output.stdout, "from the host");
        ensure!(host.join().is_ok_and(|sent| sent.is_ok()), "the host could not send");
        Ok(())
    })
}

#[test]
fn an_engine_of_ones_own_can_be_stopped_and_leaves_nothing() -> Result<()> {
    scenario("an_engine_of_ones_own_can_be_stopped_and_leaves_nothing", |run| {
        let scope = Scope::Run(run, &[]);
        let before = Census::take(scope)?;
        let registry = Registry::launch(run).start()?;
        let image = registry.push("own", "v1", &TestImage::busybox()?.build()?)?;
        let mut docker = Dockerd::start(run)?;
        docker.run(run, ["run", "--detach", "--privileged", "--name", "sleeper", &image.reference, "sleep", "1000"])?;
        let left = Census::take(scope)?.since(&before);
        for kind in ["mount", "cgroup", "process"] {
            ensure!(left.iter().any(|entry| entry.starts_with(kind)), "the census sees no {kind}: {left:#?}");
        }
        docker.run(run, ["kill", "sleeper"])?;
        docker.stop()?;
        assert_ne!(docker.try_run(run, ["ps"])?.code, Some(0));
        docker.start_again(run)?;
        docker.run(run, ["start", "sleeper"])?;
        drop(docker);
        drop(registry);
        let after = Census::take(scope)?.since(&before);
        let left: Vec<_> = after.iter().filter(|entry| !is_the_parent_cgroup(entry)).collect();
        ensure!(left.is_empty(), "left behind: {left:#?}");
        Ok(())
    })
}

/// The parent of all cgroups of a run belongs to the run and goes with it.
fn is_the_parent_cgroup(entry: &str) -> bool {
    entry.starts_with("cgroup ") && entry.rsplit('/').next().is_some_and(|name| name.starts_with("tke-"))
}

#[test]
fn containerd_serves_on_a_socket_of_its_own() -> Result<()> {
    scenario("containerd_serves_on_a_socket_of_its_own", |run| {
        let containerd = Containerd::start(run)?;
        let address = containerd.socket().to_string_lossy().into_owned();
        let mut ctr = Process::program("ctr")?.args(["--address", &address, "version"]).start(run)?;
        assert_eq!(ctr.wait(SOON)?.code(), Some(0));
        assert!(ctr.stdout().text().contains("Server:"));
        Ok(())
    })
}

#[test]
fn a_cable_can_be_pulled_and_plugged() -> Result<()> {
    scenario("a_cable_can_be_pulled_and_plugged", |run| {
        let (one, other) = (NetNs::new()?, NetNs::new()?);
        let device = one.join("10.11.12.1/24", &other, "10.11.12.2/24")?;
        let ping = || -> Result<bool> {
            let args = ["ping", "-c", "1", "-w", "2", "10.11.12.2"];
            let mut process = Process::program("busybox")?.args(args).in_netns(&one).start(run)?;
            Ok(process.wait(SOON)?.success())
        };
        assert!(ping()?);
        one.unplug(&device)?;
        assert!(!ping()?);
        one.plug(&device)?;
        assert!(ping()?);
        Ok(())
    })
}

/// Prepares what [`what_a_killed_test_program_started_is_taken_away`] kills.
#[test]
#[ignore = "run, and killed, by what_a_killed_test_program_started_is_taken_away"]
fn a_victim() -> Result<()> {
    let run = TestRun::new("a_victim")?;
    let mut sleeper = Process::program("sleep")?.arg("30").start(&run)?;
    println!("victim {} {}", sleeper.pid(), run.scratch().display());
    sleeper.wait(Duration::from_secs(60))?;
    Ok(())
}

#[test]
fn what_a_killed_test_program_started_is_taken_away() -> Result<()> {
    scenario("what_a_killed_test_program_started_is_taken_away", |run| {
        let program = std::env::current_exe()?;
        let args = ["--ignored", "--exact", "a_victim", "--nocapture"];
        let mut victim = Process::program(&program.to_string_lossy())?.named("victim").args(args).start(run)?;
        let line = victim.stdout().wait_for_line("victim ", SOON)?;
        let mut words = line.split("victim ").nth(1).unwrap_or_default().split(' ');
        let (pid, scratch) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        ensure!(Path::new("/proc").join(pid).exists() && Path::new(scratch).exists(), "no victim in `{line}`");
        victim.kill()?;
        eventually("the end of all the victim had", SOON, || {
            if Path::new(scratch).exists() { Err(format!("{scratch} is there")) } else { Ok(()) }
        })?;
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        ensure!(state.is_empty() || state.contains(") Z "), "the victim's child lives: {state}");
        Ok(())
    })
}
