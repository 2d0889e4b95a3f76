//! Workflows end to end over the Docker engine: server, workers and CLI as an operator starts them, a real registry with
//! a password, a real dockerd.

use std::fs;
use std::ops::{Deref, DerefMut};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tink_e2e::site::{PASSWORD, appears, lines, task};
use tink_e2e::stack::{DEADLINE, action_of, path_text};
use tink_e2e::{Dockerd, Engine, Launch, TestRun, scenario};

/// A site with an engine.
struct Site<'r> {
    site: tink_e2e::site::Site<'r>,
    engine: Engine,
}

impl<'r> Site<'r> {
    fn start(run: &'r TestRun) -> Result<Self> {
        Ok(Self { site: tink_e2e::site::Site::start(run)?, engine: Dockerd::shared()? })
    }

    /// A worker with the right password.
    fn worker(&self, id: &str) -> Result<Launch> {
        self.worker_with(id, PASSWORD)
    }

    fn worker_with(&self, id: &str, password: &str) -> Result<Launch> {
        Ok(self.worker_on("docker", id, password)?.arg("--docker-socket").arg(self.engine.socket()))
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

#[test]
fn tasks_of_two_workers_run_in_order_to_success() -> Result<()> {
    scenario("tasks_of_two_workers_run_in_order_to_success", |run| {
        let site = Site::start(run)?;
        let (shared, volume) = site.shared("shared")?;
        let say = |word: &str| site.action(word, &format!("echo {word} >> /shared/order"), &volume);
        let _one = site.worker("one")?.start(run)?;
        let _two = site.worker("two")?.start(run)?;
        site.stack.create(
            "order",
            &[
                task("first", "one", &[say("a"), say("b")]),
                task("second", "two", &[say("c")]),
                task("third", "one", &[say("d")]),
            ]
            .concat(),
        )?;
        let workflow = site.stack.wait_for_state("order", "SUCCESS")?;
        assert_eq!(lines(&shared.join("order")), ["a", "b", "c", "d"]);
        for name in ["a", "b", "c", "d"] {
            let action = action_of(&workflow, name)?;
            assert_eq!(action["state"], "SUCCESS");
            ensure!(action["executionStart"] != "" && action["executionStop"] != "", "no times: {action}");
        }
        let watched = site.stack.tink(["workflow", "watch", "order"])?;
        assert_eq!(watched.code, Some(0), "{}", watched.stderr);
        let events = site.stack.tink_ok(["workflow", "events", "order"])?;
        ensure!(events.contains("RUNNING") && events.contains("SUCCESS"), "{events}");
        let workers = site.stack.tink_ok(["worker", "list"])?;
        ensure!(workers.contains("one") && workers.contains("two"), "{workers}");
        Ok(())
    })
}

#[test]
fn a_failed_action_says_exit_code_and_last_output() -> Result<()> {
    scenario("a_failed_action_says_exit_code_and_last_output", |run| {
        let site = Site::start(run)?;
        let _worker = site.worker("w")?.start(run)?;
        let never = run.scratch().join("never");
        fs::create_dir(&never)?;
        site.stack.create(
            "fails",
            &task(
                "only",
                "w",
                &[
                    site.action("breaks", "echo working; printf 'no space left on /dev/sda\\n' >&2; exit 3", ""),
                    site.action("after", "touch /never/ran", &format!("volumes: [{}:/never]", path_text(&never)?)),
                ],
            ),
        )?;
        let workflow = site.stack.wait_for_state("fails", "FAILED")?;
        let message = action_of(&workflow, "breaks")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("exit code 3") && message.contains("no space left on /dev/sda"), "{message:?}");
        assert_eq!(action_of(&workflow, "after")?["state"], "PENDING");
        assert_eq!(fs::read_dir(&never)?.count(), 0);
        let shown = site.stack.tink_ok(["workflow", "get", "fails"])?;
        ensure!(shown.contains("exit code 3") && shown.contains("no space left"), "{shown}");
        assert_eq!(site.stack.tink(["workflow", "watch", "fails"])?.code, Some(3));
        Ok(())
    })
}

#[test]
fn an_action_over_its_time_is_stopped_and_times_out() -> Result<()> {
    scenario("an_action_over_its_time_is_stopped_and_times_out", |run| {
        let site = Site::start(run)?;
        let _worker = site.worker("w")?.args(["--stop-grace", "1s"]).start(run)?;
        let action = site.action("endless", "trap '' TERM; echo started; while true; do sleep 1; done", "");
        site.stack.create("slow", &task("only", "w", &[action.replace("timeout: 60", "timeout: 2")]))?;
        let workflow = site.stack.wait_for_state("slow", "TIMEOUT")?;
        let message = action_of(&workflow, "endless")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("started"), "the last output is missing: {message:?}");
        let left = site.engine.run(run, ["ps", "--all", "--quiet", "--filter", "label=org.tinkerbell.worker-id=w"])?;
        let workflow_label = "label=org.tinkerbell.workflow-id=default/slow";
        let ours = site.engine.run(run, ["ps", "--all", "--quiet", "--filter", workflow_label])?;
        assert_eq!(ours.stdout, "", "{}", left.stdout);
        Ok(())
    })
}

#[test]
fn a_missing_image_and_a_wrong_password_fail_with_the_registrys_words() -> Result<()> {
    scenario("a_missing_image_and_a_wrong_password_fail_with_the_registrys_words", |run| {
        let site = Site::start(run)?;
        let _right = site.worker("right")?.start(run)?;
        let _wrong = site.worker_with("wrong", "not-the-password")?.start(run)?;
        let missing = site.action("missing", "true", "").replace("busybox:v1", "busybox:v2");
        site.stack.create("missing", &task("only", "right", &[missing]))?;
        site.create("refused", "wrong", &[site.action("refused", "true", "")])?;
        for (name, words) in [("missing", "v2"), ("refused", "auth")] {
            let workflow = site.stack.wait_for_state(name, "FAILED")?;
            let message = action_of(&workflow, name)?["message"].as_str().unwrap_or_default().to_owned();
            ensure!(message.contains("pull") && message.contains(words), "{name}: {message:?}");
            ensure!(!message.contains("not-the-password"), "the password leaked: {message:?}");
        }
        Ok(())
    })
}

#[test]
fn a_registry_that_is_away_for_a_while_fails_no_action() -> Result<()> {
    scenario("a_registry_that_is_away_for_a_while_fails_no_action", |run| {
        let mut site = Site::start(run)?;
        site.registry.stop()?;
        let worker = site.worker("w")?.start(run)?;
        site.create("patient", "w", &[site.action("pulls", "true", "")])?;
        worker.stdout().wait_for_line("the worker tries again", DEADLINE)?;
        site.registry.start_again(run)?;
        site.stack.wait_for_state("patient", "SUCCESS")?;
        Ok(())
    })
}

#[test]
fn a_stopped_worker_leaves_its_action_and_takes_it_up_again() -> Result<()> {
    scenario("a_stopped_worker_leaves_its_action_and_takes_it_up_again", |run| {
        for (name, signal) in [("term", Signal::TERM), ("kill", Signal::KILL)] {
            let site = Site::start(run)?;
            let (shared, volume) = site.shared(&format!("shared-{name}"))?;
            let script = "echo ran >> /shared/runs; until [ -e /shared/go ]; do sleep 0.1; done; echo finished";
            let mut worker = site.worker("w")?.start(run)?;
            site.stack.create(
                name,
                &task("only", "w", &[site.action("long", script, &volume), site.action("next", "true", "")]),
            )?;
            site.stack.wait_for_action(name, "long", "RUNNING")?;
            tink_e2e::eventually("the action to have started", DEADLINE, || {
                if lines(&shared.join("runs")).is_empty() { Err("no line yet") } else { Ok(()) }
            })?;
            worker.signal(signal)?;
            let status = worker.wait(DEADLINE)?;
            ensure!(signal == Signal::KILL || status.success(), "the worker ended with {status}");
            assert_eq!(site.stack.workflow(name)?["status"]["state"], "RUNNING");

            let _again = site.worker("w")?.start(run)?;
            fs::write(shared.join("go"), "")?;
            let workflow = site.stack.wait_for_state(name, "SUCCESS")?;
            assert_eq!(lines(&shared.join("runs")), ["ran"], "the action ran more than once");
            assert_eq!(action_of(&workflow, "long")?["state"], "SUCCESS");
        }
        Ok(())
    })
}

#[test]
fn a_result_waits_for_a_server_that_is_away() -> Result<()> {
    scenario("a_result_waits_for_a_server_that_is_away", |run| {
        for (name, kill) in [("stopped", false), ("killed", true)] {
            let mut site = Site::start(run)?;
            let (shared, volume) = site.shared(&format!("shared-{name}"))?;
            let script = "echo ran >> /shared/runs; until [ -e /shared/go ]; do sleep 0.1; done; touch /shared/done";
            let _worker = site.worker("w")?.start(run)?;
            site.stack.create(
                name,
                &task("only", "w", &[site.action("long", script, &volume), site.action("next", "true", "")]),
            )?;
            site.stack.wait_for_action(name, "long", "RUNNING")?;
            if kill {
                site.stack.kill_server()?
            } else {
                site.stack.stop_server()?
            }
            fs::write(shared.join("go"), "")?;
            appears(&shared.join("done"))?;
            site.stack.start_server()?;
            site.stack.wait_for_state(name, "SUCCESS")?;
            assert_eq!(lines(&shared.join("runs")), ["ran"], "the action ran more than once");
        }
        Ok(())
    })
}

#[test]
fn a_worker_goes_on_when_its_workflow_is_deleted_while_it_runs() -> Result<()> {
    scenario("a_worker_goes_on_when_its_workflow_is_deleted_while_it_runs", |run| {
        let site = Site::start(run)?;
        let worker = site.worker("w")?.start(run)?;
        site.create("doomed", "w", &[site.action("sleeps", "sleep 2", "")])?;
        site.stack.wait_for_action("doomed", "sleeps", "RUNNING")?;
        site.stack.tink_ok(["workflow", "delete", "doomed"])?;
        site.create("other", "w", &[site.action("works", "true", "")])?;
        site.stack.wait_for_state("other", "SUCCESS")?;
        ensure!(!worker.has_ended(), "the worker ended");
        assert_eq!(site.stack.tink(["workflow", "get", "doomed"])?.code, Some(1));
        Ok(())
    })
}

#[test]
fn two_workflows_of_one_worker_run_one_after_the_other() -> Result<()> {
    scenario("two_workflows_of_one_worker_run_one_after_the_other", |run| {
        let site = Site::start(run)?;
        let (shared, volume) = site.shared("shared")?;
        let step = |word: &str| site.action(word, &format!("echo {word} >> /shared/order; sleep 0.2"), &volume);
        site.stack.create("older", &task("only", "w", &[step("older-1"), step("older-2")]))?;
        site.stack.create("newer", &task("only", "w", &[step("newer-1"), step("newer-2")]))?;
        let _worker = site.worker("w")?.start(run)?;
        site.stack.wait_for_state("newer", "SUCCESS")?;
        site.stack.wait_for_state("older", "SUCCESS")?;
        assert_eq!(lines(&shared.join("order")), ["older-1", "older-2", "newer-1", "newer-2"]);
        Ok(())
    })
}

#[test]
fn a_cancelled_workflow_starts_no_further_action() -> Result<()> {
    scenario("a_cancelled_workflow_starts_no_further_action", |run| {
        let site = Site::start(run)?;
        let _worker = site.worker("w")?.start(run)?;
        site.stack.create(
            "stopped",
            &task("only", "w", &[site.action("sleeps", "sleep 2", ""), site.action("after", "true", "")]),
        )?;
        site.stack.wait_for_action("stopped", "sleeps", "RUNNING")?;
        site.stack.tink_ok(["workflow", "cancel", "stopped", "--reason", "wrong disk"])?;
        site.create("other", "w", &[site.action("works", "true", "")])?;
        site.stack.wait_for_state("other", "SUCCESS")?;
        let workflow = site.stack.wait_for_state("stopped", "CANCELLED")?;
        assert_eq!(workflow["status"]["message"], "wrong disk");
        assert_eq!(action_of(&workflow, "after")?["state"], "PENDING");
        Ok(())
    })
}

#[test]
fn an_action_sees_its_environment_volumes_and_namespaces() -> Result<()> {
    scenario("an_action_sees_its_environment_volumes_and_namespaces", |run| {
        let site = Site::start(run)?;
        let _worker = site.worker("w")?.start(run)?;
        let shared = run.scratch().join("shared");
        fs::create_dir(&shared)?;
        let path = path_text(&shared)?;
        let script = "env | sort > /shared/env; readlink /proc/self/ns/pid > /shared/pid; \
                      readlink /proc/self/ns/net > /shared/net; touch /locked/x 2> /shared/ro || true; \
                      grep CapEff /proc/self/status > /shared/caps; echo $0 \"$@\" > /shared/args";
        let more = "environment:\n  LEVEL: action\n  MODE: 0644\n  COMPRESSED: true\npid: host\nnamespaces:\n  network: host\n";
        let yaml = format!(
            "- name: only\n  worker: w\n  volumes: [{path}:/shared, {path}:/locked:ro]\n  environment:\n    LEVEL: task\n    TASK: 1.0\n  actions:\n{}",
            site.action("looks", script, more).replace("]\n    env", ", zero, one two]\n    env"),
        );
        site.stack.create("sees", &yaml)?;
        site.stack.wait_for_state("sees", "SUCCESS")?;
        let env = lines(&shared.join("env"));
        for wanted in ["LEVEL=action", "MODE=0644", "COMPRESSED=true", "TASK=1.0"] {
            ensure!(env.iter().any(|line| line == wanted), "{wanted} is not in {env:?}");
        }
        let namespace = |name: &str| -> Result<String> {
            Ok(fs::read_link(format!("/proc/self/ns/{name}"))?.display().to_string())
        };
        assert_eq!(lines(&shared.join("pid")), [namespace("pid")?]);
        assert_eq!(lines(&shared.join("net")), [namespace("net")?]);
        ensure!(lines(&shared.join("ro")).concat().contains("Read-only"), "{:?}", lines(&shared.join("ro")));
        assert_eq!(lines(&shared.join("args")), ["zero one two"]);
        let own = fs::read_to_string("/proc/self/status")?;
        let bounding = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap_or_default();
        // Docker 20.10 knows the capabilities up to 37 (AUDIT_READ) and gives all of those.
        let wanted = u64::from_str_radix(bounding, 16)? & ((1 << 38) - 1);
        let found = lines(&shared.join("caps")).concat();
        let found = u64::from_str_radix(found.trim_start_matches("CapEff:\t"), 16)?;
        assert_eq!(found & wanted, wanted, "not privileged: {found:x}, wanted {wanted:x}");
        Ok(())
    })
}
