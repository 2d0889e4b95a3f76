//! What actions print: bounded on disk, the newest kept, and sent to syslog without waiting for it.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tink_e2e::scenario;
use tink_e2e::stack::DEADLINE;

use crate::site::Site;

/// What the embedded runtime keeps of a container's output.
const ENGINE_LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What the journal keeps of an action's output.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn output_without_end_is_bounded_on_disk_and_the_newest_is_kept() -> Result<()> {
    scenario("output_without_end_is_bounded_on_disk_and_the_newest_is_kept", |run| {
        let site = Site::start(run)?;
        let _worker = site.worker()?.arg("--capture-action-logs=false").start(run)?;
        // 12 MiB: more than every bound.
        let script = "yes 'a line of sixty bytes, as a program prints when it has much to' | head -n 190000; echo last";
        site.create("chatty", &[site.action("talks", script, "")?])?;
        site.stack.wait_for_state("chatty", "SUCCESS")?;
        let journal = site.stack.worker_dir("w").join("assignments");
        let logs: Vec<_> = files_below(&journal)
            .into_iter()
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-")))
            .collect();
        let bytes: u64 = logs.iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
        ensure!(bytes > 0 && bytes <= LOG_BYTES_MAX, "{bytes} bytes of log");
        let newest = logs.iter().max().context("no log")?;
        ensure!(fs::read_to_string(newest)?.ends_with("last\n"), "the newest line is not there");
        Ok(())
    })
}

#[test]
fn a_worker_killed_after_the_log_rolled_over_goes_on_with_the_next_line() -> Result<()> {
    scenario("a_worker_killed_after_the_log_rolled_over_goes_on_with_the_next_line", |run| {
        let site = Site::start(run)?;
        let worker = || site.worker()?.arg("--capture-action-logs=true").start(run);
        let mut first = worker()?;
        // 24 MB, of which the engine keeps 16; and what is said while no worker is there.
        let lines = "BEGIN { fill = sprintf(\"%01000d\", 0); for (i = 1; i <= 24000; i++) print i, fill }";
        let script = format!(
            "busybox awk '{lines}'; echo told first; until [ -e /shared/go ]; do sleep 0.1; done; echo told second; \
             touch /shared/said; until [ -e /shared/end ]; do sleep 0.1; done; echo told last"
        );
        site.create("talks", &[site.action("talks", &script, "")?])?;
        first.stdout().wait_for_line("told first", DEADLINE)?;
        first.kill()?;
        let engine = site.stack.worker_dir("w");
        let bytes: u64 = files_below(&engine)
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .filter_map(|path| path.metadata().ok())
            .map(|meta| meta.len())
            .sum();
        ensure!((1..=ENGINE_LOG_BYTES_MAX).contains(&bytes), "{bytes} bytes of log");
        site.touch("go")?;
        site.appears("said")?;
        let second = worker()?;
        second.stdout().wait_for_line("told second", DEADLINE)?;
        site.touch("end")?;
        site.stack.wait_for_state("talks", "SUCCESS")?;
        let text = second.stdout().text();
        let told: Vec<_> = text.lines().filter(|line| line.contains("tink_worker::output")).collect();
        ensure!(told.len() == 2, "not the next two lines: {:#?}", told.iter().take(5).collect::<Vec<_>>());
        ensure!(told[0].contains("told second") && told[1].contains("told last"), "{told:#?}");
        Ok(())
    })
}

#[test]
fn syslog_gets_each_line_and_nobody_waits_for_it() -> Result<()> {
    scenario("syslog_gets_each_line_and_nobody_waits_for_it", |run| {
        let site = Site::start(run)?;
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        receiver.set_read_timeout(Some(Duration::from_secs(1)))?;
        let port = receiver.local_addr()?.port().to_string();
        let mut worker = site.worker()?.args(["--syslog-host", "127.0.0.1", "--syslog-port", &port]).start(run)?;
        let script = "echo to syslog; echo as an error >&2; touch /shared/said; until [ -e /shared/go ]; do sleep 0.1; done; \
                      i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done; echo done";
        site.create("talks", &[site.action("talks", script, "")?])?;
        site.appears("said")?;
        let mut messages = Vec::new();
        let mut buffer = [0; 65_536];
        while let Ok(length) = receiver.recv(&mut buffer) {
            messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        let has = |start: &str, end: &str| messages.iter().any(|one| one.starts_with(start) && one.ends_with(end));
        ensure!(has("<30>1 ", " w talks - - - to syslog"), "{messages:#?}");
        ensure!(has("<27>1 ", " w talks - - - as an error"), "{messages:#?}");
        ensure!(messages.iter().any(|one| one.contains(" tink-worker - - - action begins")), "{messages:#?}");
        // Nobody takes the rest: the port is closed, and the action ends all the same.
        drop(receiver);
        site.touch("go")?;
        site.stack.wait_for_state("talks", "SUCCESS")?;
        worker.stdout().wait_for_line("log messages were dropped on their way to syslog", DEADLINE)?;
        worker.terminate(DEADLINE)?;
        Ok(())
    })
}
