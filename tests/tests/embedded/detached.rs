//! Containers that outlive the action that started them, by the engine's socket.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tink_e2e::stack::{DEADLINE, action_of, path_text};
use tink_e2e::{TestImage, eventually, scenario};

use crate::site::{Site, appears, stop, task};

/// Pushes an image whose program speaks to an engine's socket as `waitdaemon` does: the project's own, by a name that the
/// worker does not know.
fn push_later(site: &Site<'_>) -> Result<String> {
    let program = fs::read(tink_e2e::binary_path("tink")?)?;
    // Not packed: the program is large in a debug build, and nothing is measured here.
    let image = TestImage::empty().compression(tink_e2e::Compression::None).file("tink", 0o755, program);
    let image = image.entrypoint(["/tink", "action", "waitdaemon"]).cmd(["nothing"]).build()?;
    Ok(site.registry.push("tinkerbell/later", "v1", &image)?.reference)
}

/// An action that runs `script` in the site's image when the action has ended.
fn later(site: &Site<'_>, name: &str, image: &str, script: &str, volumes: &[String]) -> Result<String> {
    let script = json!(format!("{script} # {}", path_text(site.run.scratch())?));
    let (wanted, volumes) = (&site.image, json!(volumes));
    Ok(format!(
        "  - name: {name}\n    image: {image}\n    timeout: 60\n    pid: host\n    command: [sh, -c, {script}]\n    \
         volumes: {volumes}\n    environment:\n      IMAGE: {wanted}\n      WAIT_SECONDS: 2\n      SECRET: kept-from-view\n"
    ))
}

/// The container of this image, among those that outlive their action.
fn detached(site: &Site<'_>, image: &str) -> Result<Value> {
    eventually(&format!("a detached container of {image}"), DEADLINE, || {
        let listed = site.ps("w").map_err(|error| format!("{error:#}"))?;
        let found = listed.iter().find(|one| one["purpose"] == "detached" && one["image"] == image);
        found.cloned().ok_or_else(|| format!("{listed:?}"))
    })
}

const WORKS: &str = "echo waits; touch /shared/began; until [ -e /shared/go ]; do sleep 0.1; done; \
                     echo $SECRET > /shared/did; echo works; exit 6";

#[test]
fn an_action_succeeds_and_its_detached_container_works_when_the_worker_is_gone() -> Result<()> {
    scenario("an_action_succeeds_and_its_detached_container_works_when_the_worker_is_gone", |run| {
        let site = Site::start(run)?;
        let image = push_later(&site)?;
        let (shared, _) = site.shared("shared")?;
        // Wherever an engine may listen on this machine, nobody does there.
        let socket = run.scratch().join("none.sock");
        let volumes =
            [format!("{}:/shared", path_text(&shared)?), format!("{}:/var/run/docker.sock", path_text(&socket)?)];
        let worker = site.worker("w")?.args(["--docker-socket", path_text(&socket)?]).start(run)?;
        let action = later(&site, "works-later", &image, WORKS, &volumes)?;
        site.stack.create("reboots", &task("only", "w", &[action]))?;
        let workflow = site.stack.wait_for_state("reboots", "SUCCESS")?;
        assert_eq!(action_of(&workflow, "works-later")?["state"], "SUCCESS");
        ensure!(!shared.join("did").exists(), "it did not outlive the action");
        ensure!(!socket.exists(), "something was made where an engine would have its socket");
        stop(worker)?;

        appears(&shared.join("began"))?;
        let last = detached(&site, &site.image)?;
        assert_eq!(last["state"], "running");
        assert_eq!((&last["workflow"], &last["action"]), (&json!("default/reboots"), &json!("works-later")), "{last}");
        let id = last["id"].as_str().context("no id")?;
        let table = site.on_machine("w", &["ps"])?.stdout;
        ensure!(table.lines().any(|line| line.contains(id) && line.contains("works-later (detached)")), "{table}");
        let pid = last["pid"].as_u64().context("no pid")?;
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid"));
        assert_eq!(namespace(&pid.to_string())?, namespace("self")?, "pid: host is the detached container's, too");

        fs::write(shared.join("go"), "")?;
        appears(&shared.join("did"))?;
        assert_eq!(fs::read_to_string(shared.join("did"))?, "kept-from-view\n");
        let ended = eventually("its end", DEADLINE, || {
            let now = detached(&site, &site.image).map_err(|error| format!("{error:#}"))?;
            if now["state"] == "exited" { Ok(now) } else { Err(now.to_string()) }
        })?;
        assert_eq!(ended["exitCode"], 6);
        assert_eq!(site.on_machine("w", &["logs", id])?.stdout, "waits\nworks\n");
        for container in site.ps("w")? {
            let id = container["id"].as_str().context("no id")?.to_owned();
            assert_eq!(site.on_machine("w", &["rm", &id])?.code, Some(0));
        }
        site.leaves_nothing(&["w"], &["works-later"])
    })
}

#[test]
fn what_cannot_be_pulled_for_later_fails_the_action_now() -> Result<()> {
    scenario("what_cannot_be_pulled_for_later_fails_the_action_now", |run| {
        let site = Site::start(run)?;
        let image = push_later(&site)?;
        let socket = run.scratch().join("none.sock");
        let volumes = [format!("{}:/var/run/docker.sock", path_text(&socket)?)];
        let worker = site.worker("w")?.args(["--docker-socket", path_text(&socket)?]).start(run)?;
        // In the registry's words, and not in those of a container that nobody watches.
        let missing = later(&site, "fails", &image, "true", &volumes)?.replace("busybox:v1", "busybox:nosuch");
        site.stack.create("fails", &task("only", "w", &[missing]))?;
        let workflow = site.stack.wait_for_state("fails", "FAILED")?;
        let message = action_of(&workflow, "fails")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("nosuch") && message.contains("failed to pull"), "{message:?}");
        stop(worker)?;
        site.leaves_nothing(&["w"], &["fails"])
    })
}
