//! Actions that end their machine.

use anyhow::{Result, ensure};
use tink_e2e::stack::{DEADLINE, action_of};
use tink_e2e::{end_processes_below, scenario};

use crate::site::Site;

#[test]
fn a_machine_that_ends_as_it_was_to_is_a_success_and_runs_nothing_again() -> Result<()> {
    scenario("a_machine_that_ends_as_it_was_to_is_a_success_and_runs_nothing_again", |run| {
        let mut site = Site::start(run)?;
        // A worker without its memory is another process: it waits for the first one's lease.
        site.stack.stop_server()?;
        site.stack.start_server_with(&[("TINK_SERVER_LEASE", "5s")])?;
        let mut memory = site.disk(64)?;
        let mut worker = site.worker()?.start(run)?;
        let reboot = site.action("reboot", "touch /shared/going; sleep 1000", "ends_machine: true")?;
        site.create("install", &[site.action("write", "true", "")?, reboot])?;
        site.appears("going")?;
        // It runs, so the server knows; and it may still fail.
        let events = site.stack.tink_ok(["workflow", "events", "install"])?;
        ensure!(events.contains("ends the machine now"), "{events}");
        assert_eq!(site.stack.workflow("install")?["status"]["state"], "RUNNING");
        // The end of the machine: every process, and all memory.
        worker.kill()?;
        end_processes_below(&site.stack.worker_dir("w"));
        memory.vanish()?;
        drop(worker);

        let memory = site.disk(64)?;
        let _worker = site.worker()?.start(run)?;
        let workflow = site.stack.wait_for_state("install", "SUCCESS")?;
        assert_eq!(action_of(&workflow, "reboot")?["state"], "SUCCESS");
        site.create("next", &[site.action("later", "true", "")?])?;
        site.stack.wait_for_state("next", "SUCCESS")?;
        assert_eq!(site.runs(), ["write", "reboot", "later"], "something ran again");
        drop(memory);
        Ok(())
    })
}

#[test]
fn an_action_that_could_not_end_its_machine_fails_in_its_own_words() -> Result<()> {
    scenario("an_action_that_could_not_end_its_machine_fails_in_its_own_words", |run| {
        let site = Site::start(run)?;
        let _worker = site.worker()?.start(run)?;
        site.create("stays", &[site.action("kexec", "echo no kernel to boot; exit 4", "ends_machine: true")?])?;
        let workflow = site.stack.wait_for_state("stays", "FAILED")?;
        let message = action_of(&workflow, "kexec")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("exit code 4") && message.contains("no kernel to boot"), "{message:?}");
        assert_eq!(site.runs(), ["kexec"]);
        Ok(())
    })
}

#[test]
fn an_action_that_ends_the_machine_waits_for_a_server_that_is_away() -> Result<()> {
    scenario("an_action_that_ends_the_machine_waits_for_a_server_that_is_away", |run| {
        let mut site = Site::start(run)?;
        let worker = site.worker()?.start(run)?;
        let first = site.action("write", "touch /shared/writing; until [ -e /shared/go ]; do sleep 0.1; done", "")?;
        site.create(
            "patient",
            &[first, site.action("reboot", "touch /shared/going; sleep 1000", "ends_machine: true")?],
        )?;
        site.appears("writing")?;
        site.stack.kill_server()?;
        site.touch("go")?;
        worker.stdout().wait_for_line("the result could not be reported", DEADLINE)?;
        assert_eq!(site.runs(), ["write"]);
        site.stack.start_server()?;
        site.appears("going")?;
        assert_eq!(site.runs(), ["write", "reboot"]);
        Ok(())
    })
}

#[test]
fn an_image_that_only_waits_is_replaced_by_what_it_would_start() -> Result<()> {
    scenario("an_image_that_only_waits_is_replaced_by_what_it_would_start", |run| {
        let site = Site::start(run)?;
        let _worker = site.worker()?.start(run)?;
        let more = format!("environment: {{IMAGE: '{}', WAIT_SECONDS: 10, KERNEL: /boot/x}}", site.image);
        let script = "echo $KERNEL $IMAGE > /shared/seen; touch /shared/going; sleep 1000";
        let action = site.action("reboot", script, &more)?;
        // No such image is in the registry, so nothing but its replacement can run.
        let waiting = site.image.replace("actions/busybox:v1", "community/waitdaemon:latest");
        site.create("waits", &[action.replacen(&site.image, &waiting, 1)])?;
        site.appears("going")?;
        let seen = std::fs::read_to_string(run.scratch().join("shared/seen"))?;
        assert_eq!(seen, "/boot/x\n", "what only the waiting image reads is not handed on");
        assert_eq!(site.runs(), ["reboot"]);
        Ok(())
    })
}
