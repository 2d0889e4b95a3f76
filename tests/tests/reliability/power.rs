//! Power cuts at any write of the real programs: what was acknowledged is there, and nothing is damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tink_e2e::power::{Cut, WriteTrace, recorded};
use tink_e2e::stack::DEADLINE;
use tink_e2e::{Process, TestRun, scenario};

use crate::site::Site;

/// Cuts of one run; `TINK_E2E_CUTS` asks for more.
const CUTS: usize = 60;
const CUTS_VARIABLE: &str = "TINK_E2E_CUTS";
const SEED_VARIABLE: &str = "TINK_E2E_SEED";

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The moment now, by the clock that the recorder reads.
#[expect(clippy::disallowed_methods, reason = "compared with times that strace took from the same clock")]
fn now() -> Result<Duration> {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")
}

fn seed() -> u64 {
    from_environment(SEED_VARIABLE, 1)
}

/// Tries some cuts of the whole run.
fn try_cuts(run: &TestRun, trace: &WriteTrace, check: impl Fn(&Path, Cut) -> Result<()>) -> Result<()> {
    let wanted = usize::try_from(from_environment(CUTS_VARIABLE, CUTS as u64))?;
    try_each(run, trace, trace.cuts(wanted, seed()), check)
}

/// Tries every cut on a disk of its own; says which one broke it.
fn try_each(run: &TestRun, trace: &WriteTrace, cuts: Vec<Cut>, check: impl Fn(&Path, Cut) -> Result<()>) -> Result<()> {
    let seed = seed();
    eprintln!("{} operations, {} syncs, {} cuts, seed {seed}", trace.len(), trace.syncs(), cuts.len());
    ensure!(trace.len() > 50 && trace.syncs() > 10, "the trace is too short to show anything: {}", trace.len());
    for (nth, cut) in cuts.into_iter().enumerate() {
        let disk = run.scratch().join(format!("cut-{nth}"));
        trace.write_disk(cut, &disk)?;
        check(&disk, cut).with_context(|| format!("{cut:?} of a run with {SEED_VARIABLE}={seed}"))?;
        fs::remove_dir_all(&disk)?;
    }
    Ok(())
}

/// A program that does not sync loses what it told: were it not found out, the cuts would show nothing.
fn found_out(run: &TestRun, trace: &WriteTrace, check: impl Fn(&Path, Cut) -> Result<()>) -> Result<()> {
    for (nth, cut) in trace.cuts(40, 2).into_iter().enumerate() {
        let disk = run.scratch().join(format!("careless-{nth}"));
        trace.write_disk(cut, &disk)?;
        if check(&disk, cut).is_err() {
            return Ok(());
        }
        fs::remove_dir_all(&disk)?;
    }
    anyhow::bail!("a program without syncs was not found out in 40 cuts")
}

/// What the server had said by a moment.
struct Said {
    at: Duration,
    workflow: String,
    /// Of the workflow.
    state: String,
}

#[test]
fn a_power_cut_takes_nothing_from_the_server_that_it_acknowledged() -> Result<()> {
    scenario("a_power_cut_takes_nothing_from_the_server_that_it_acknowledged", |run| {
        let data = run.scratch().join("data");
        fs::create_dir(&data)?;
        let log = run.scratch().join("server.strace");
        let mut site = Site::start(run)?;
        site.stack.stop_server()?;
        let grpc = site.stack.grpc().to_owned();
        let mut server = recorded("tink-server", &log)?
            .args(["--insecure", "--grpc-addr", &grpc, "--http-addr", "127.0.0.1:0", "--data"])
            .arg(data.join("tink.db"))
            .start(run)?;
        server.wait_for_line("tink-server started", DEADLINE)?;
        let worker = site.worker()?.start(run)?;
        let mut said = Vec::new();
        for nth in 0..4 {
            let name = format!("w{nth}");
            site.create(&name, &[site.action(&format!("a{nth}"), "true", "")?])?;
            said.push(Said { at: now()?, workflow: name.clone(), state: "PENDING".to_owned() });
            site.stack.wait_for_state(&name, "SUCCESS")?;
            said.push(Said { at: now()?, workflow: name, state: "SUCCESS".to_owned() });
        }
        drop(worker);
        stop_recorded(&mut server, "tink-server")?;
        let trace = WriteTrace::read(&log, &data)?;
        try_cuts(run, &trace, |disk, cut| server_has(run, &trace, disk, cut, &said))?;
        let careless = trace.without_syncs();
        found_out(run, &careless, |disk, cut| server_has(run, &careless, disk, cut, &said))
    })
}

/// The server under the recorder is its child.
fn stop_recorded(recorder: &mut Process, program: &str) -> Result<()> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", recorder.pid()))?;
    let child: i32 = children.split_whitespace().next().with_context(|| format!("no {program}"))?.parse()?;
    let pid = rustix::process::Pid::from_raw(child).context("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    recorder.wait(DEADLINE).map(drop)
}

fn server_has(run: &TestRun, trace: &WriteTrace, disk: &Path, cut: Cut, said: &[Said]) -> Result<()> {
    let mut server = Process::binary("tink-server")?
        .named("server-again")
        .args(["--insecure", "--log-format", "json", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"])
        .arg("--data")
        .arg(disk.join("tink.db"))
        .start(run)?;
    let line: Value = serde_json::from_str(&server.wait_for_line("tink-server started", DEADLINE)?)?;
    let address = line["grpc"].as_str().context("no address")?;
    let mut list = Process::binary("tink")?
        .env("TINK_SERVER", format!("http://{address}"))
        .args(["workflow", "list", "-o", "json"])
        .start(run)?;
    ensure!(list.wait(DEADLINE)?.success(), "{}", list.stderr().text());
    let found: Value = serde_json::from_str(&list.stdout().text())?;
    let state_of = |name: &str| {
        let all = found.as_array().or_else(|| found["items"].as_array()).into_iter().flatten();
        all.filter(|one| one["metadata"]["name"] == name).find_map(|one| one["status"]["state"].as_str())
    };
    for said in said.iter().filter(|said| trace.happened_by(said.at) <= cut.after) {
        let state = state_of(&said.workflow);
        let Some(state) = state else { anyhow::bail!("{} was acknowledged and is gone", said.workflow) };
        ensure!(said.state != "SUCCESS" || state == "SUCCESS", "{} was SUCCESS and is {state}", said.workflow);
    }
    server.terminate(DEADLINE)?;
    Ok(())
}

#[test]
fn a_power_cut_damages_no_journal_and_takes_no_result_that_was_told() -> Result<()> {
    scenario("a_power_cut_damages_no_journal_and_takes_no_result_that_was_told", |run| {
        let site = Site::start(run)?;
        let log = run.scratch().join("worker.strace");
        let state = site.stack.worker_dir("w");
        let mut worker = recorded("tink-worker", &log)?
            .args(["--id", "w", "--grpc-server", site.stack.grpc(), "--runtime", "embedded", "--state-dir"])
            .arg(&state)
            .start(run)?;
        let mut told = Vec::new();
        for nth in 0..4 {
            let name = format!("w{nth}");
            site.create(&name, &[site.action(&format!("a{nth}"), "echo output; exit 0", "")?])?;
            site.stack.wait_for_state(&name, "SUCCESS")?;
            told.push((now()?, format!("a{nth}")));
        }
        stop_recorded(&mut worker, "tink-worker")?;
        let trace = WriteTrace::read(&log, &state.join("assignments"))?;
        try_cuts(run, &trace, |disk, cut| journal_has(run, &trace, disk, cut, &told))?;
        let careless = trace.without_syncs();
        found_out(run, &careless, |disk, cut| journal_has(run, &careless, disk, cut, &told))
    })
}

/// Closed entries that a worker keeps.
const CLOSED_MAX: usize = 64;

#[test]
fn a_power_cut_while_old_entries_are_removed_damages_no_journal() -> Result<()> {
    scenario("a_power_cut_while_old_entries_are_removed_damages_no_journal", |run| {
        let site = Site::start(run)?;
        let log = run.scratch().join("worker.strace");
        let state = site.stack.worker_dir("w");
        let mut worker = recorded("tink-worker", &log)?
            .args(["--id", "w", "--grpc-server", site.stack.grpc(), "--runtime", "embedded", "--state-dir"])
            .arg(&state)
            .start(run)?;
        for workflow in ["older", "newer"] {
            let action = |nth| site.action(&format!("{workflow}-{nth}"), "true", "");
            site.create(workflow, &(0..CLOSED_MAX / 2 + 2).map(action).collect::<Result<Vec<_>>>()?)?;
            site.stack.wait_for_state(workflow, "SUCCESS")?;
        }
        let told = [(now()?, format!("newer-{}", CLOSED_MAX / 2 + 1))];
        stop_recorded(&mut worker, "tink-worker")?;
        let trace = WriteTrace::read(&log, &state.join("assignments"))?;
        let cuts = trace.cuts_in_removals(seed());
        ensure!(cuts.len() > 10, "only {} removals", cuts.len());
        try_each(run, &trace, cuts, |disk, cut| journal_has(run, &trace, disk, cut, &told))
    })
}

fn journal_has(run: &TestRun, trace: &WriteTrace, disk: &Path, cut: Cut, told: &[(Duration, String)]) -> Result<()> {
    let state = disk.with_extension("state");
    fs::create_dir(&state)?;
    fs::rename(disk, state.join("assignments"))?;
    let known: Vec<Value> = results(&state.join("assignments"))?;
    for (_, name) in told.iter().filter(|(at, _)| trace.happened_by(*at) <= cut.after) {
        let result = known.iter().find(|result| result["action_name"] == name.as_str());
        let result = result.with_context(|| format!("the result of {name} was told and is gone"))?;
        ensure!(result["state"] == "SUCCESS", "{result}");
    }
    // Nobody listens there: the journal is opened, and that is all.
    let mut worker = Process::binary("tink-worker")?
        .named("worker-again")
        .args(["--id", "w", "--grpc-server", "127.0.0.1:1", "--runtime", "embedded", "--state-dir"])
        .arg(&state)
        .start(run)?;
    worker.stdout().wait_for_line("worker starts", DEADLINE)?;
    worker.kill()?;
    let damaged: Vec<_> = fs::read_dir(state.join("damaged")).into_iter().flatten().flatten().collect();
    ensure!(damaged.is_empty(), "set aside as damaged: {damaged:?}");
    fs::rename(state.join("assignments"), disk)?;
    fs::remove_dir_all(&state)?;
    Ok(())
}

/// Every result of a journal; each file is whole.
fn results(assignments: &Path) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(assignments)?.flatten() {
        let path: PathBuf = entry.path().join("result.json");
        if let Ok(text) = fs::read(&path) {
            found.push(serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?);
        }
    }
    Ok(found)
}
