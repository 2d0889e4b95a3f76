//! Workflows end to end over containerd: server, workers and CLI as an operator starts them, a real registry with a
//! password, a real containerd of each test's own.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tink_e2e::site::{PASSWORD, lines};
use tink_e2e::stack::{DEADLINE, action_of, path_text};
use tink_e2e::{Census, Containerd, Launch, Scope, TestRun, eventually, scenario};

/// A site with a containerd of its own.
struct Site<'r> {
    site: tink_e2e::site::Site<'r>,
    containerd: Containerd,
}

impl<'r> Site<'r> {
    fn start(run: &'r TestRun) -> Result<Self> {
        Ok(Self { site: tink_e2e::site::Site::start(run)?, containerd: Containerd::start(run)? })
    }

    fn worker(&self, id: &str) -> Result<Launch> {
        self.worker_with(id, PASSWORD)
    }

    fn worker_with(&self, id: &str, password: &str) -> Result<Launch> {
        let launch = self.worker_on("containerd", id, password)?;
        let socket = launch.arg("--containerd-socket").arg(self.containerd.socket());
        Ok(socket.arg("--containerd-data-root").arg(self.data_root()))
    }

    fn data_root(&self) -> PathBuf {
        self.run.scratch().join("nerdctl")
    }

    fn message(&self, workflow: &str, action: &str) -> Result<String> {
        let workflow = self.stack.workflow(workflow)?;
        Ok(action_of(&workflow, action)?["message"].as_str().unwrap_or_default().to_owned())
    }
}

impl<'r> Deref for Site<'r> {
    type Target = tink_e2e::site::Site<'r>;

    fn deref(&self) -> &Self::Target {
        &self.site
    }
}

impl DerefMut for Site<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.site
    }
}

/// Nothing that containers need is left: containers, tasks, snapshots, mounts, processes, cgroups.
fn nothing_is_left(site: &Site<'_>, before: &Census, kept: usize) -> Result<()> {
    eventually("containerd to be empty", DEADLINE, || {
        let found = site.containerd.census().map_err(|error| format!("{error:#}"))?;
        let containers = found.iter().filter(|entry| entry.starts_with("container ")).count();
        if found.len() == containers && containers == kept { Ok(()) } else { Err(found.join("; ")) }
    })?;
    let left = || -> Result<Vec<String>> {
        let all = Census::take(Scope::Run(site.run, &[]))?.since(before);
        let ours =
            |entry: &String| ["mount ", "cgroup "].iter().any(|kind| entry.starts_with(kind)) || entry.contains("shim");
        Ok(all.into_iter().filter(ours).collect())
    };
    eventually("nothing left on the machine", DEADLINE, || match left() {
        Ok(left) if left.is_empty() => Ok(()),
        Ok(left) => Err(left.join("; ")),
        Err(error) => Err(format!("{error:#}")),
    })
}

#[test]
fn a_workflow_runs_to_success_and_leaves_nothing() -> Result<()> {
    scenario("containerd_a_workflow_runs_to_success_and_leaves_nothing", |run| {
        let site = Site::start(run)?;
        let before = Census::take(Scope::Run(run, &[]))?;
        let shared = run.scratch().join("shared");
        fs::create_dir(&shared)?;
        let volume = format!("volumes: [{}:/shared, /dev:/dev]", path_text(&shared)?);
        let say = |word: &str| site.action(word, &format!("echo {word} >> /shared/order"), &volume);
        let worker = site.worker("one")?.start(run)?;
        site.create("order", "one", &[say("a"), say("b"), say("c")])?;
        let workflow = site.stack.wait_for_state("order", "SUCCESS")?;
        assert_eq!(lines(&shared.join("order")), ["a", "b", "c"]);
        let action = action_of(&workflow, "a")?;
        ensure!(action["executionStart"] != "" && action["executionStop"] != "", "no times: {action}");
        let chosen = worker.stdout().wait_for_line("runtime chosen", DEADLINE)?;
        ensure!(chosen.contains("containerd was asked for"), "{chosen}");
        nothing_is_left(&site, &before, 0)
    })
}

#[test]
fn a_failed_action_says_exit_code_and_output_and_its_log_is_kept() -> Result<()> {
    scenario("containerd_a_failed_action_says_exit_code_and_output_and_its_log_is_kept", |run| {
        let site = Site::start(run)?;
        let before = Census::take(Scope::Run(run, &[]))?;
        let _worker = site.worker("w")?.start(run)?;
        for number in 1..=5 {
            let script = format!("echo working; printf 'no space left on /dev/sd{number}\\n' >&2; exit 3");
            let name = format!("fails-{number}");
            site.create(&name, "w", &[site.action("breaks", &script, ""), site.action("after", "true", "")])?;
            let workflow = site.stack.wait_for_state(&name, "FAILED")?;
            let message = site.message(&name, "breaks")?;
            ensure!(message.contains("exit code 3") && message.contains(&format!("/dev/sd{number}")), "{message:?}");
            assert_eq!(action_of(&workflow, "after")?["state"], "PENDING");
        }
        nothing_is_left(&site, &before, 3)?;
        let mut logs = Vec::new();
        let mut open = vec![site.data_root()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir)? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                } else if path.to_string_lossy().ends_with("-json.log") {
                    logs.push(fs::read_to_string(path)?);
                }
            }
        }
        assert_eq!(logs.len(), 3, "the last failures are kept: {logs:?}");
        ensure!(logs.iter().any(|log| log.contains("/dev/sd5")) && !logs.concat().contains("/dev/sd2"), "{logs:?}");
        Ok(())
    })
}

#[test]
fn an_action_over_its_time_is_killed_with_all_it_started() -> Result<()> {
    scenario("containerd_an_action_over_its_time_is_killed_with_all_it_started", |run| {
        let site = Site::start(run)?;
        let before = Census::take(Scope::Run(run, &[]))?;
        let _worker = site.worker("w")?.args(["--stop-grace", "1s"]).start(run)?;
        let mark = format!("{}.25", 40_000_000 + u64::from(std::process::id()));
        for (name, pid) in [("own", ""), ("host", "pid: host")] {
            let script = format!("trap '' TERM; setsid sleep {mark} & echo started; while true; do sleep 1; done");
            let action = site.action("endless", &script, pid).replace("timeout: 60", "timeout: 3");
            site.create(name, "w", &[action])?;
            site.stack.wait_for_state(name, "TIMEOUT")?;
            let message = site.message(name, "endless")?;
            ensure!(message.contains("started"), "the last output is missing: {message:?}");
            eventually("the end of all it started", DEADLINE, || {
                let running = running_with(&mark);
                if running.is_empty() { Ok(()) } else { Err(running.join("; ")) }
            })?;
        }
        let kept = site.containerd.census()?.len();
        ensure!(kept <= 2, "{:?}", site.containerd.census()?);
        nothing_is_left(&site, &before, kept)
    })
}

/// The command lines of the machine that have this argument.
fn running_with(argument: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let commands = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    commands.filter(|command| command.split('\0').any(|word| word == argument)).collect()
}

#[test]
fn a_missing_image_and_a_wrong_password_fail_with_the_registrys_words() -> Result<()> {
    scenario("containerd_a_missing_image_and_a_wrong_password_fail_with_the_registrys_words", |run| {
        let site = Site::start(run)?;
        let _wrong = site.worker_with("wrong", "not-the-password")?.start(run)?;
        site.create("refused", "wrong", &[site.action("refused", "true", "")])?;
        site.stack.wait_for_state("refused", "FAILED")?;
        let refused = site.message("refused", "refused")?;
        ensure!(refused.contains("pull") && refused.contains("401"), "{refused:?}");
        ensure!(!refused.contains("not-the-password"), "the password leaked: {refused:?}");
        let _right = site.worker("right")?.start(run)?;
        site.create("missing", "right", &[site.action("missing", "true", "").replace("busybox:v1", "busybox:v2")])?;
        site.stack.wait_for_state("missing", "FAILED")?;
        let missing = site.message("missing", "missing")?;
        ensure!(missing.contains("pull") && missing.contains("v2"), "{missing:?}");
        Ok(())
    })
}

/// Prints a number every 20 ms, marks that it began, and ends when it is told to.
const COUNTER: &str = "echo ran >> /shared/runs; i=0; until [ -e /shared/go ]; do i=$((i+1)); echo number $i; \
                       sleep 0.02; done; echo finished";

/// The numbers in the log of the worker's journal.
fn numbers(site: &Site<'_>, worker: &str) -> Result<Vec<u64>> {
    let mut open = vec![site.stack.worker_dir(worker)];
    let mut numbers = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir)?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name.to_string_lossy().contains("log")) {
                let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
                let found = text.lines().filter_map(|line| line.split("number ").nth(1)?.trim().parse::<u64>().ok());
                numbers.extend(found);
            }
        }
    }
    Ok(numbers)
}

#[test]
fn a_killed_worker_takes_its_container_up_again_and_misses_no_line() -> Result<()> {
    scenario("containerd_a_killed_worker_takes_its_container_up_again_and_misses_no_line", |run| {
        for (name, ends_alone) in [("running", false), ("ended", true)] {
            let site = Site::start(run)?;
            let (shared, volume) = site.shared(&format!("shared-{name}"))?;
            let id = format!("w-{name}");
            let mut worker = site.worker(&id)?.start(run)?;
            site.create(name, &id, &[site.action("long", COUNTER, &volume), site.action("next", "true", "")])?;
            eventually("some output", DEADLINE, || match numbers(&site, &id) {
                Ok(seen) if seen.len() > 5 => Ok(()),
                Ok(seen) => Err(format!("{seen:?}")),
                Err(error) => Err(format!("{error:#}")),
            })?;
            let before = site.containerd.ctr(&["containers", "list", "--quiet"])?;
            worker.signal(Signal::KILL)?;
            worker.wait(DEADLINE)?;
            let heard = numbers(&site, &id)?.len() as u64;
            let log = find_log(&site, before.trim())?;
            eventually("output while no worker lives", DEADLINE, || {
                let text = fs::read_to_string(&log).map_err(|error| error.to_string())?;
                let wanted = format!("number {}\\n", heard + 20);
                if text.contains(&wanted) { Ok(()) } else { Err("not yet".to_owned()) }
            })?;
            if ends_alone {
                fs::write(shared.join("go"), "")?;
                eventually("the end of the action", DEADLINE, || {
                    let tasks = site.containerd.ctr(&["tasks", "list"]).map_err(|error| format!("{error:#}"))?;
                    if tasks.contains("STOPPED") { Ok(()) } else { Err(tasks) }
                })?;
            }
            let _again = site.worker(&id)?.start(run)?;
            if !ends_alone {
                eventually("more output", DEADLINE, || match numbers(&site, &id) {
                    Ok(seen) if seen.len() as u64 > heard + 30 => Ok(()),
                    Ok(seen) => Err(format!("{}", seen.len())),
                    Err(error) => Err(format!("{error:#}")),
                })?;
                assert_eq!(site.containerd.ctr(&["containers", "list", "--quiet"])?, before, "another container");
                fs::write(shared.join("go"), "")?;
            }
            site.stack.wait_for_state(name, "SUCCESS")?;
            assert_eq!(lines(&shared.join("runs")), ["ran"], "the action ran more than once");
            let seen = numbers(&site, &id)?;
            ensure!(seen.len() as u64 >= heard + 20, "{seen:?}");
            assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>(), "lines are missing or repeated");
        }
        Ok(())
    })
}

fn find_log(site: &Site<'_>, id: &str) -> Result<PathBuf> {
    let found = fs::read_dir(site.data_root())?
        .flatten()
        .map(|hash| hash.path().join("containers/tinkerbell").join(id).join(format!("{id}-json.log")));
    found.into_iter().find(|path| path.exists()).with_context(|| format!("no log of {id}"))
}

#[test]
fn containerd_may_be_restarted_in_the_middle_of_an_action() -> Result<()> {
    scenario("containerd_may_be_restarted_in_the_middle_of_an_action", |run| {
        let mut site = Site::start(run)?;
        let (shared, volume) = site.shared("shared")?;
        let _worker = site.worker("w")?.start(run)?;
        let actions = [site.action("long", COUNTER, &volume), site.action("next", "true", "")];
        site.create("restarted", "w", &actions)?;
        eventually("the action to run", DEADLINE, || {
            if lines(&shared.join("runs")).is_empty() { Err("not yet") } else { Ok(()) }
        })?;
        for kill in [false, true] {
            if kill {
                let daemon = site.containerd.process().context("no containerd")?;
                daemon.signal(Signal::KILL)?;
                daemon.wait(DEADLINE)?;
            }
            site.containerd.stop()?;
            site.containerd.start_again(run)?;
        }
        fs::write(shared.join("go"), "")?;
        site.stack.wait_for_state("restarted", "SUCCESS")?;
        assert_eq!(lines(&shared.join("runs")), ["ran"], "the action ran more than once");
        let seen = numbers(&site, "w")?;
        assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>(), "lines are missing or repeated");
        Ok(())
    })
}

#[test]
fn the_server_is_told_what_hardware_the_machine_has() -> Result<()> {
    scenario("containerd_the_server_is_told_what_hardware_the_machine_has", |run| {
        let site = Site::start(run)?;
        let _worker = site.worker("told")?.start(run)?;
        let _silent = site.worker("silent")?.args(["--attribute-detection=false"]).start(run)?;
        let attributes = |id: &str| -> Result<Value> {
            let workers: Value = serde_json::from_str(&site.stack.tink_ok(["worker", "list", "-o", "json"])?)?;
            let all = workers.as_array().context("no list")?;
            let found =
                all.iter().find(|worker| worker["id"] == id).with_context(|| format!("{id} is not there yet"))?;
            Ok(found["attributes"].clone())
        };
        let told = eventually("attributes", DEADLINE, || match attributes("told") {
            Ok(Value::Object(told)) => Ok(Value::Object(told)),
            Ok(other) => Err(other.to_string()),
            Err(error) => Err(format!("{error:#}")),
        })?;
        let threads = std::thread::available_parallelism()?.get() as u64;
        ensure!(told["cpu"]["totalThreads"].as_u64().is_some_and(|total| total >= threads), "{told}");
        ensure!(told["memory"]["usable"].as_str().is_some_and(|usable| usable.ends_with("GB")), "{told}");
        for section in ["chassis", "bios", "baseboard", "product"] {
            ensure!(told[section].as_object().is_some_and(|fields| !fields.is_empty()), "{section}: {told}");
        }
        let silent =
            eventually("the silent worker", DEADLINE, || attributes("silent").map_err(|error| format!("{error:#}")))?;
        assert_eq!(silent, Value::Null);
        Ok(())
    })
}
