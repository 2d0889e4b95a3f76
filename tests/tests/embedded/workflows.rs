//! Workflows on the embedded runtime.

use std::fs;

use anyhow::{Result, anyhow, ensure};
use rustix::process::Signal;
use tink_e2e::stack::{DEADLINE, action_of, path_text};
use tink_e2e::{Census, Process, eventually, scenario};

use crate::site::{Site, appears, stop, task};

/// What the embedded runtime keeps of a container's output, in four segments, and one of them.
const ENGINE_LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
const SEGMENT_BYTES: u64 = ENGINE_LOG_BYTES_MAX / 4;
/// Twice what an unoptimized worker has, and a fraction of what the actions print: who kept that would have much more.
const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[test]
fn a_failed_action_leaves_its_last_words_and_nothing_else() -> Result<()> {
    scenario("a_failed_action_leaves_its_last_words_and_nothing_else", |run| {
        let site = Site::start(run)?;
        let worker = site.worker("w")?.start(run)?;
        let (shared, volume) = site.shared("shared")?;
        let breaks = "echo working; printf 'no space left on /dev/sda\\n' >&2; exit 3";
        let actions = [site.action("breaks", breaks, "")?, site.action("after", "touch /shared/ran", &volume)?];
        site.stack.create("fails", &task("only", "w", &actions))?;
        let workflow = site.stack.wait_for_state("fails", "FAILED")?;
        let message = action_of(&workflow, "breaks")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("exit code 3") && message.contains("no space left on /dev/sda"), "{message:?}");
        assert_eq!(action_of(&workflow, "after")?["state"], "PENDING");
        assert_eq!(fs::read_dir(&shared)?.count(), 0);
        assert_eq!(site.stack.tink(["workflow", "watch", "fails"])?.code, Some(3));
        stop(worker)?;
        site.leaves_nothing(&["w"], &["breaks", "after"])
    })
}

#[test]
fn a_timeout_ends_everything_that_an_action_started() -> Result<()> {
    scenario("a_timeout_ends_everything_that_an_action_started", |run| {
        let site = Site::start(run)?;
        let worker = site.worker("w")?.args(["--stop-grace", "1s"]).start(run)?;
        let (shared, volume) = site.shared("shared")?;
        // One that ignores SIGTERM, and one more that has left for a session of its own.
        let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; touch /shared/away; while true; do sleep 1; done' & \
                      echo started; while true; do sleep 1; done";
        let action = site.action("endless", script, &volume)?.replace("timeout: 60", "timeout: 3");
        site.stack.create("slow", &task("only", "w", &[action]))?;
        let workflow = site.stack.wait_for_state("slow", "TIMEOUT")?;
        let message = action_of(&workflow, "endless")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("started"), "the last output is missing: {message:?}");
        ensure!(shared.join("away").exists(), "nothing left the session, so the test shows nothing");
        stop(worker)?;
        site.leaves_nothing(&["w"], &["endless"])
    })
}

/// Processes that call themselves so, with a word in what `/proc` says of them in `file`.
fn processes(name: &str, file: &str, word: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let says = |pid: u32, file: &str, word: &str| {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(word)
    };
    pids.filter(|&pid| says(pid, "comm", name) && says(pid, file, word)).collect()
}

/// The most memory that a process ever had, none when it is gone.
fn memory_peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Bytes in the logs of a worker's containers.
fn engine_log_bytes(site: &Site<'_>) -> u64 {
    let containers = fs::read_dir(site.stack.worker_dir("w").join("containers")).into_iter().flatten().flatten();
    let logs = containers.filter_map(|container| fs::read_dir(container.path().join("log")).ok());
    logs.flatten().flatten().filter_map(|segment| segment.metadata().ok()).map(|segment| segment.len()).sum()
}

#[test]
fn an_action_that_never_stops_printing_times_out() -> Result<()> {
    scenario("an_action_that_never_stops_printing_times_out", |run| {
        let site = Site::start(run)?;
        let worker = site.worker("w")?.args(["--stop-grace", "1s"]).start(run)?;
        let endless = [("loops", "while :; do echo x; done"), ("yes", "yes"), ("unbroken", "tr '\\0' x < /dev/zero")];
        for (name, script) in endless {
            let action = site.action(name, script, "")?.replace("timeout: 60", "timeout: 3");
            site.stack.create(name, &task("only", "w", &[action]))?;
            let (mut shim_bytes, mut log_bytes) = (0, 0);
            let workflow = eventually("the timeout", DEADLINE, || {
                for shim in processes("tink-shim", "cmdline", path_text(run.scratch())?) {
                    shim_bytes = memory_peak_bytes(shim).unwrap_or_default().max(shim_bytes);
                }
                log_bytes = engine_log_bytes(&site).max(log_bytes);
                let workflow = site.stack.workflow(name)?;
                let state = workflow["status"]["state"].clone();
                if state == "TIMEOUT" { Ok(workflow) } else { Err(anyhow!("the workflow is {state}")) }
            })?;
            // That the log came near to its bound says that there was much to keep, or to let go.
            ensure!(log_bytes > ENGINE_LOG_BYTES_MAX / 2, "{name}: no more than {log_bytes} bytes of log were seen");
            ensure!(log_bytes <= ENGINE_LOG_BYTES_MAX + SEGMENT_BYTES, "{name}: {log_bytes} bytes of log");
            let worker_bytes = memory_peak_bytes(worker.pid()).unwrap_or_default();
            for (part, bytes) in [("worker", worker_bytes), ("shim", shim_bytes)] {
                ensure!((1..MEMORY_BYTES_MAX).contains(&bytes), "{name}: the {part} had {bytes} bytes of memory");
            }
            let message = action_of(&workflow, name)?["message"].as_str().unwrap_or_default().to_owned();
            ensure!(message.contains("stopped after its timeout of 3 s"), "{message:?}");
        }
        stop(worker)?;
        site.leaves_nothing(&["w"], &endless.map(|(name, _)| name))
    })
}

/// What a worker and its forker have open when no container is left and two looks in a row see the same.
fn open_when_settled(site: &Site<'_>, worker: &Process) -> Result<Vec<String>> {
    let mut last = None;
    eventually("a worker at rest", DEADLINE, || {
        ensure!(site.ps("w")?.is_empty(), "there is a container");
        let forkers = processes("tink-forker", "status", &format!("PPid:\t{}\n", worker.pid()));
        ensure!(forkers.len() == 1, "not one forker: {forkers:?}");
        let seen = [Census::open_fds(worker.pid())?, Census::open_fds(forkers[0])?].concat();
        if last.as_ref() == Some(&seen) { Ok(seen) } else { Err(anyhow!("{:?}", last.insert(seen))) }
    })
}

#[test]
fn a_worker_leaks_no_file_descriptor_over_twenty_actions() -> Result<()> {
    scenario("a_worker_leaks_no_file_descriptor_over_twenty_actions", |run| {
        let site = Site::start(run)?;
        let worker = site.worker("w")?.start(run)?;
        site.stack.create("first", &task("only", "w", &[site.action("nth-1", "echo said", "")?]))?;
        site.stack.wait_for_state("first", "SUCCESS")?;
        let after_one = open_when_settled(&site, &worker)?;
        let more: Vec<_> =
            (2..=20).map(|nth| site.action(&format!("nth-{nth}"), "echo said", "")).collect::<Result<_>>()?;
        site.stack.create("more", &task("only", "w", &more))?;
        site.stack.wait_for_state("more", "SUCCESS")?;
        // An idle connection to the registry may have ended since.
        eventually("no more open files than after the first action", DEADLINE, || {
            let now = open_when_settled(&site, &worker)?;
            ensure!(now.len() <= after_one.len(), "{now:?}, and not {after_one:?}");
            Ok(())
        })?;
        stop(worker)?;
        site.leaves_nothing(&["w"], &["nth-"])
    })
}

#[test]
fn an_action_outlives_its_worker_and_runs_once() -> Result<()> {
    scenario("an_action_outlives_its_worker_and_runs_once", |run| {
        let site = Site::start(run)?;
        for (name, signal) in [("terminated", Signal::TERM), ("killed", Signal::KILL)] {
            let (shared, volume) = site.shared(name)?;
            let script = "echo ran >> /shared/runs; until [ -e /shared/go ]; do sleep 0.1; done; echo finished; exit 0";
            let mut worker = site.worker("w")?.start(run)?;
            let long = format!("long-{name}");
            let actions = [site.action(&long, script, &volume)?, site.action("next", "true", "")?];
            site.stack.create(name, &task("only", "w", &actions))?;
            site.stack.wait_for_action(name, &long, "RUNNING")?;
            appears(&shared.join("runs"))?;
            worker.signal(signal)?;
            let status = worker.wait(DEADLINE)?;
            ensure!(signal == Signal::KILL || status.success(), "the worker ended with {status}");
            assert_eq!(site.ps("w")?.len(), 1, "the action did not outlive its worker");

            let again = site.worker("w")?.start(run)?;
            fs::write(shared.join("go"), "")?;
            let workflow = site.stack.wait_for_state(name, "SUCCESS")?;
            assert_eq!(fs::read_to_string(shared.join("runs"))?, "ran\n", "the action ran more than once");
            assert_eq!(action_of(&workflow, &long)?["state"], "SUCCESS");
            stop(again)?;
        }
        site.leaves_nothing(&["w"], &["long-terminated", "long-killed", "next"])
    })
}

#[test]
fn an_action_that_ended_while_no_worker_was_there_is_reported() -> Result<()> {
    scenario("an_action_that_ended_while_no_worker_was_there_is_reported", |run| {
        let site = Site::start(run)?;
        let (shared, volume) = site.shared("shared")?;
        let script = "touch /shared/started; until [ -e /shared/go ]; do sleep 0.1; done; echo last words; exit 9";
        let mut worker = site.worker("w")?.start(run)?;
        site.stack.create("alone", &task("only", "w", &[site.action("alone", script, &volume)?]))?;
        site.stack.wait_for_action("alone", "alone", "RUNNING")?;
        appears(&shared.join("started"))?;
        worker.kill()?;
        fs::write(shared.join("go"), "")?;
        tink_e2e::eventually("the end of the action", DEADLINE, || {
            let listed = site.ps("w").map_err(|error| format!("{error:#}"))?;
            if listed.iter().all(|one| one["state"] == "exited") { Ok(()) } else { Err(format!("{listed:?}")) }
        })?;
        let again = site.worker("w")?.start(run)?;
        let workflow = site.stack.wait_for_state("alone", "FAILED")?;
        let message = action_of(&workflow, "alone")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("exit code 9") && message.contains("last words"), "{message:?}");
        stop(again)?;
        site.leaves_nothing(&["w"], &["alone"])
    })
}

#[test]
fn pulls_that_fail_say_what_the_registry_said_and_no_password() -> Result<()> {
    scenario("pulls_that_fail_say_what_the_registry_said_and_no_password", |run| {
        let site = Site::start(run)?;
        let right = site.worker("right")?.start(run)?;
        let wrong = site.worker_with("wrong", "not-the-password")?.start(run)?;
        let missing = site.action("missing", "true", "")?.replace("busybox:v1", "busybox:v2");
        site.stack.create("missing", &task("only", "right", &[missing]))?;
        site.stack.create("refused", &task("only", "wrong", &[site.action("refused", "true", "")?]))?;
        site.stack.create("pulled", &task("only", "right", &[site.action("pulled", "grep -q pulls /etc/run", "")?]))?;
        site.stack.wait_for_state("pulled", "SUCCESS")?;
        for (name, words) in [("missing", "v2"), ("refused", "HTTP 401")] {
            let workflow = site.stack.wait_for_state(name, "FAILED")?;
            let message = action_of(&workflow, name)?["message"].as_str().unwrap_or_default().to_owned();
            ensure!(message.contains("pull") && message.contains(words), "{name}: {message:?}");
        }
        for worker in [&right, &wrong] {
            let logged = worker.stdout().text();
            ensure!(logged.contains("default/"), "nothing was logged: {logged}");
            ensure!(!logged.contains("not-the-password") && !logged.contains("correct-horse"), "a password was logged");
        }
        let events = site.stack.tink_ok(["workflow", "get", "refused", "-o", "json"])?;
        ensure!(!events.contains("not-the-password"), "the password leaked: {events}");
        stop(right)?;
        stop(wrong)?;
        site.leaves_nothing(&["right", "wrong"], &["missing", "refused", "pulled"])
    })
}

#[test]
fn a_registry_that_comes_back_is_asked_again() -> Result<()> {
    scenario("a_registry_that_comes_back_is_asked_again", |run| {
        let mut site = Site::start(run)?;
        site.registry.stop()?;
        let worker = site.worker("w")?.start(run)?;
        site.stack.create("patient", &task("only", "w", &[site.action("pulls", "true", "")?]))?;
        worker.stdout().wait_for("a pull that is tried again", DEADLINE, |line| {
            line.contains("failed to pull") && !line.contains("\"level\":\"ERROR\"")
        })?;
        site.registry.start_again(run)?;
        site.stack.wait_for_state("patient", "SUCCESS")?;
        Ok(())
    })
}
