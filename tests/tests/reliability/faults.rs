//! State directories, registries, name servers and servers that misbehave: the worker says so, waits, and goes on.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use tink_e2e::stack::{DEADLINE, action_of};
use tink_e2e::{Answers, NameServer, NetNs, Process, Proxy, eventually, scenario};

use crate::site::Site;

/// What the worker says once when it cannot remember an assignment.
const CANNOT_REMEMBER: &str = "the journal cannot be written and nothing is started without it";

/// What it says once when it cannot start a container.
const CANNOT_START: &str = "the engine cannot start the container; trying again";

#[test]
fn a_full_state_directory_starts_nothing_until_there_is_room() -> Result<()> {
    scenario("a_full_state_directory_starts_nothing_until_there_is_room", |run| {
        let site = Site::start(run)?;
        let disk = site.disk(48)?;
        let mut worker = site.worker()?.start(run)?;
        site.create("before", &[site.action("first", "true", "")?])?;
        site.stack.wait_for_state("before", "SUCCESS")?;
        disk.fill()?;
        site.create("during", &[site.action("second", "true", "")?])?;
        // A closed entry of the journal may give just enough room for the assignment, but not for a container.
        let waits = |line: &str| line.contains(CANNOT_REMEMBER) || line.contains(CANNOT_START);
        worker.stdout().wait_for("what the worker waits for", DEADLINE, waits)?;
        assert_eq!(site.runs(), ["first"]);
        disk.free()?;
        site.stack.wait_for_state("during", "SUCCESS")?;
        assert_eq!(site.runs(), ["first", "second"]);
        ensure!(!worker.has_ended(), "the worker ended");
        let said = worker.stdout().lines().iter().filter(|line| waits(line)).count();
        assert!(said <= 2, "said at every try: {said} times");
        worker.terminate(DEADLINE)?;
        Ok(())
    })
}

#[test]
fn a_disk_that_fills_up_while_an_action_runs_loses_no_result() -> Result<()> {
    scenario("a_disk_that_fills_up_while_an_action_runs_loses_no_result", |run| {
        let site = Site::start(run)?;
        let disk = site.disk(48)?;
        let mut worker = site.worker()?.start(run)?;
        let script = "touch /shared/up; until [ -e /shared/go ]; do sleep 0.1; done; echo last words; exit 3";
        site.create("long", &[site.action("works", script, "")?])?;
        site.appears("up")?;
        disk.fill()?;
        site.touch("go")?;
        // The exit waits for room in the shim, and the result is reported when it is there.
        worker.stdout().wait_for("that the disk is full", Duration::from_secs(5), |line| line.contains("stored")).ok();
        disk.free()?;
        let workflow = site.stack.wait_for_state("long", "FAILED")?;
        let message = action_of(&workflow, "works")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("exit code 3"), "{message:?}");
        site.create("after", &[site.action("next", "true", "")?])?;
        site.stack.wait_for_state("after", "SUCCESS")?;
        assert_eq!(site.runs(), ["works", "next"]);
        worker.terminate(DEADLINE)?;
        Ok(())
    })
}

#[test]
fn a_state_directory_that_refuses_writes_starts_nothing_until_it_takes_them() -> Result<()> {
    scenario("a_state_directory_that_refuses_writes_starts_nothing_until_it_takes_them", |run| {
        let site = Site::start(run)?;
        let disk = site.disk(48)?;
        let mut worker = site.worker()?.start(run)?;
        worker.stdout().wait_for_line("the server answers", DEADLINE).ok();
        site.create("before", &[site.action("first", "true", "")?])?;
        site.stack.wait_for_state("before", "SUCCESS")?;
        disk.set_read_only("assignments", true)?;
        site.create("during", &[site.action("second", "true", "")?])?;
        worker.stdout().wait_for_line(CANNOT_REMEMBER, DEADLINE)?;
        assert_eq!(site.runs(), ["first"]);
        disk.set_read_only("assignments", false)?;
        site.stack.wait_for_state("during", "SUCCESS")?;
        assert_eq!(site.runs(), ["first", "second"]);
        worker.terminate(DEADLINE)?;
        Ok(())
    })
}

#[test]
fn a_state_directory_that_vanishes_fails_what_ran_in_it_and_nothing_else() -> Result<()> {
    scenario("a_state_directory_that_vanishes_fails_what_ran_in_it_and_nothing_else", |run| {
        let site = Site::start(run)?;
        let mut disk = site.disk(48)?;
        let mut worker = site.worker()?.start(run)?;
        let script = "touch /shared/up; until [ -e /shared/go ]; do sleep 0.1; done";
        site.create("doomed", &[site.action("runs", script, "")?])?;
        site.appears("up")?;
        disk.vanish()?;
        site.touch("go")?;
        let workflow = site.stack.wait_for_state("doomed", "FAILED")?;
        let message = action_of(&workflow, "runs")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("vanished"), "{message:?}");
        site.create("after", &[site.action("next", "true", "")?])?;
        site.stack.wait_for_state("after", "SUCCESS")?;
        assert_eq!(site.runs(), ["runs", "next"]);
        ensure!(!worker.has_ended(), "the worker ended");
        worker.terminate(DEADLINE)?;
        Ok(())
    })
}

/// What the worker says once when it starts on a state directory that refuses writes.
const REFUSES_WRITES: &str = "the state directory cannot be written; what its journal holds";

/// Runs until it is told to end.
const UNTIL_TOLD: &str = "touch /shared/up; until [ -e /shared/go ]; do sleep 0.1; done; exit 3";

#[test]
fn a_worker_that_starts_on_a_full_state_directory_takes_up_what_runs() -> Result<()> {
    scenario("a_worker_that_starts_on_a_full_state_directory_takes_up_what_runs", |run| {
        let site = Site::start(run)?;
        let disk = site.disk(48)?;
        let mut first = site.worker()?.start(run)?;
        site.create("long", &[site.action("works", UNTIL_TOLD, "")?])?;
        site.appears("up")?;
        first.kill()?;
        disk.fill()?;
        disk.fill_names()?;
        let mut second = site.worker()?.start(run)?;
        second.stdout().wait_for_line(REFUSES_WRITES, DEADLINE)?;
        site.touch("go")?;
        second.stdout().wait_for_line("the container engine does not answer", DEADLINE)?;
        disk.free()?;
        disk.free_names()?;
        let workflow = site.stack.wait_for_state("long", "FAILED")?;
        let message = action_of(&workflow, "works")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("exit code 3"), "{message:?}");
        assert_eq!(site.runs(), ["works"]);
        site.create("after", &[site.action("next", "true", "")?])?;
        site.stack.wait_for_state("after", "SUCCESS")?;
        ensure!(!second.has_ended(), "the worker ended");
        second.terminate(DEADLINE)?;
        Ok(())
    })
}

#[test]
fn a_worker_that_starts_on_a_read_only_state_directory_takes_up_what_runs() -> Result<()> {
    scenario("a_worker_that_starts_on_a_read_only_state_directory_takes_up_what_runs", |run| {
        let site = Site::start(run)?;
        let disk = site.disk(48)?;
        let mut first = site.worker()?.start(run)?;
        site.create("long", &[site.action("works", UNTIL_TOLD, "")?])?;
        site.appears("up")?;
        first.kill()?;
        let read_only = disk.read_only()?;
        let mut second = site.worker()?.start(run)?;
        second.stdout().wait_for_line(REFUSES_WRITES, DEADLINE)?;
        // The embedded runtime's state is on the same disk.
        second.stdout().wait_for_line("the container engine does not answer", DEADLINE)?;
        drop(read_only);
        site.touch("go")?;
        let workflow = site.stack.wait_for_state("long", "FAILED")?;
        let message = action_of(&workflow, "works")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("exit code 3"), "{message:?}");
        site.create("after", &[site.action("next", "true", "")?])?;
        site.stack.wait_for_state("after", "SUCCESS")?;
        assert_eq!(site.runs(), ["works", "next"]);
        ensure!(!second.has_ended(), "the worker ended");
        second.terminate(DEADLINE)?;
        Ok(())
    })
}

#[test]
fn a_stored_result_is_reported_from_a_read_only_state_directory_and_without_an_engine() -> Result<()> {
    scenario("a_stored_result_is_reported_from_a_read_only_state_directory_and_without_an_engine", |run| {
        let mut site = Site::start(run)?;
        let disk = site.disk(48)?;
        let mut first = site.worker()?.start(run)?;
        site.create("done", &[site.action("works", UNTIL_TOLD, "")?])?;
        site.appears("up")?;
        site.stack.stop_server()?;
        site.touch("go")?;
        first.stdout().wait_for_line("action ended", DEADLINE)?;
        first.kill()?;
        let _read_only = disk.read_only()?;
        let mut second = site.worker()?.start(run)?;
        second.stdout().wait_for_line("the container engine does not answer", DEADLINE)?;
        site.stack.start_server()?;
        site.stack.wait_for_state("done", "FAILED")?;
        assert_eq!(site.runs(), ["works"]);
        ensure!(!second.has_ended(), "the worker ended");
        second.terminate(DEADLINE)?;
        Ok(())
    })
}

#[test]
fn a_registry_that_stalls_in_the_middle_of_a_layer_is_asked_again() -> Result<()> {
    scenario("a_registry_that_stalls_in_the_middle_of_a_layer_is_asked_again", |run| {
        let mut site = Site::start(run)?;
        let proxy = Proxy::start(site.registry.address().parse()?)?;
        site.image = site.image.replace(&site.registry.address(), &proxy.address().to_string());
        // The manifest and the configuration pass, and a part of the layer.
        proxy.stall_after(200_000);
        let _worker = site.worker()?.start(run)?;
        site.create("slow", &[site.action("works", "true", "")?.replace("timeout: 100", "timeout: 300")])?;
        eventually("a connection that stalls", DEADLINE, || if proxy.stalled() > 0 { Ok(()) } else { Err("none") })?;
        proxy.flow();
        // The silent connection is given up after a while; see tink-image.
        let ended = eventually("the end", DEADLINE * 3, || {
            let workflow = site.stack.workflow("slow").map_err(|error| format!("{error:#}"))?;
            let state = workflow["status"]["state"].as_str().unwrap_or_default().to_owned();
            if state == "SUCCESS" || state == "FAILED" { Ok(state) } else { Err(state) }
        })?;
        assert_eq!(ended, "SUCCESS");
        assert_eq!(site.runs(), ["works"]);
        Ok(())
    })
}

#[test]
fn a_name_that_cannot_be_looked_up_for_a_while_stops_no_worker() -> Result<()> {
    scenario("a_name_that_cannot_be_looked_up_for_a_while_stops_no_worker", |run| {
        let (near, far) = (NetNs::new()?, NetNs::new()?);
        near.join("10.77.1.1/24", &far, "10.77.1.2/24")?;
        let names = NameServer::start(&near, Ipv4Addr::new(10, 77, 1, 2))?;
        names.answer(Answers::NoSuchName);
        let conf = run.scratch().join("resolv.conf");
        std::fs::write(&conf, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
        let server = Process::binary("tink-server")?
            .args(["--insecure", "--grpc-addr", "0.0.0.0:42113", "--http-addr", "127.0.0.1:0", "--data"])
            .arg(run.scratch().join("named.db"))
            .in_netns(&far)
            .start(run)?;
        server.wait_for_line("tink-server started", DEADLINE)?;
        let mut worker = Process::binary("tink-worker")?
            .args(["--id", "w", "--grpc-server", "tink.example:42113", "--runtime", "embedded"])
            .args(["--backoff-max-interval", "1s", "--state-dir"])
            .arg(run.scratch().join("state"))
            .in_netns(&near)
            .resolv_conf(&conf)
            .start(run)?;
        worker.stdout().wait_for_line("no work can be taken from the server", DEADLINE)?;
        for answers in [Answers::Failure, Answers::Silence, Answers::NoSuchName] {
            let before = names.asked();
            names.answer(answers);
            eventually("more questions", DEADLINE, || if names.asked() > before + 1 { Ok(()) } else { Err("none") })?;
            ensure!(!worker.has_ended(), "the worker ended at {answers:?}");
        }
        names.answer(Answers::Right);
        worker.stdout().wait_for_line("the server answers", DEADLINE)?;
        worker.terminate(DEADLINE)?;
        Ok(())
    })
}

#[test]
fn a_server_that_talks_garbage_is_said_once_and_waited_out() -> Result<()> {
    scenario("a_server_that_talks_garbage_is_said_once_and_waited_out", |run| {
        let mut site = Site::start(run)?;
        let address = site.stack.grpc().to_owned();
        site.stack.stop_server()?;
        let listener = TcpListener::bind(&address)?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&stop);
        let babbler = thread::spawn(move || {
            let mut heard = 0;
            while !own.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((mut client, _)) => {
                        heard += 1;
                        let _ = client.write_all(&[0xa5; 4096]);
                    }
                    #[expect(clippy::disallowed_methods, reason = "polls for connections until it is stopped")]
                    Err(_) => thread::sleep(Duration::from_millis(10)),
                }
            }
            heard
        });
        let mut worker = site.worker()?.start(run)?;
        worker.stdout().wait_for_line("no work can be taken from the server", DEADLINE)?;
        let lines = || worker.stdout().text().matches("no work can be taken from the server").count();
        eventually("some more tries", DEADLINE, || {
            let text = worker.stdout().text();
            if text.len() > 100 { Ok(()) } else { Err("none") }
        })?;
        ensure!(lines() <= 3, "said {} times", lines());
        stop.store(true, Ordering::SeqCst);
        let heard = babbler.join().map_err(|_| anyhow::anyhow!("the babbler panicked"))?;
        ensure!(heard > 0, "nobody called");
        site.stack.start_server()?;
        site.create("after", &[site.action("works", "true", "")?])?;
        site.stack.wait_for_state("after", "SUCCESS")?;
        worker.terminate(DEADLINE)?;
        Ok(())
    })
}
