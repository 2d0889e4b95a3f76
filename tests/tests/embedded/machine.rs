//! `tink ps`, `logs`, `exec`, `rm` and `image`, on a machine where a worker runs.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tink_e2e::stack::{DEADLINE, action_of, path_text};
use tink_e2e::{Process, eventually, scenario};

use crate::site::{Site, appears, finished, image_of, stop, task, write_layout};

const SITS: &str = "echo out; echo err >&2; touch /shared/started; until [ -e /shared/go ]; do sleep 0.1; done; \
                    echo finished; exit 5";

#[test]
fn a_container_is_listed_read_entered_and_removed() -> Result<()> {
    scenario("a_container_is_listed_read_entered_and_removed", |run| {
        let site = Site::start(run)?;
        let (shared, volume) = site.shared("shared")?;
        let mut worker = site.worker("w")?.start(run)?;
        site.stack.create("seen", &task("only", "w", &[site.action("sits", SITS, &volume)?]))?;
        appears(&shared.join("started"))?;

        let listed = site.ps("w")?;
        let [one] = listed.as_slice() else { anyhow::bail!("not one container: {listed:?}") };
        for (key, wanted) in [
            ("workflow", "default/seen"),
            ("action", "sits"),
            ("worker", "w"),
            ("state", "running"),
            ("purpose", "action"),
            ("image", &site.image),
        ] {
            assert_eq!(one[key], wanted, "{key} in {one:#}");
        }
        assert_eq!(one["attempt"], 1);
        let pid = one["pid"].as_u64().context("no pid")?;
        ensure!(fs::read_to_string(format!("/proc/{pid}/cmdline"))?.contains("/shared/go"), "{pid} is another process");
        let id = one["id"].as_str().context("no id")?.to_owned();
        let table = site.on_machine("w", &["ps"])?.stdout;
        ensure!(table.lines().count() == 2 && table.contains(&id) && table.contains("running"), "{table}");

        let logs = site.on_machine("w", &["logs", &id])?;
        assert_eq!((logs.code, logs.stdout.as_str(), logs.stderr.as_str()), (Some(0), "out\n", "err\n"));
        enter(&site, &id)?;

        let refused = site.on_machine("w", &["rm", &id])?;
        assert_eq!(refused.code, Some(1));
        ensure!(refused.stderr.contains("--force"), "{}", refused.stderr);
        for args in [&["rm", "nosuch"][..], &["logs", "nosuch"], &["exec", "nosuch", "true"]] {
            let unknown = site.on_machine("w", args)?;
            assert_eq!(unknown.code, Some(1), "{args:?}");
            ensure!(unknown.stderr.contains("tink ps"), "{}", unknown.stderr);
        }
        assert_eq!(site.on_machine("w", &["logs", "sits", "--state-dir", "/nonexistent"])?.code, Some(64));

        let mut follower = site.start_on_machine("w", &["logs", "--follow", "sits"])?;
        follower.stdout().wait_for_line("out", DEADLINE)?;
        worker.kill()?;
        fs::write(shared.join("go"), "")?;
        let followed = finished(&mut follower)?;
        assert_eq!((followed.code, followed.stdout.as_str()), (Some(0), "out\nfinished\n"), "{}", followed.stderr);

        let ended = site.ps("w")?;
        assert_eq!((&ended[0]["state"], &ended[0]["exitCode"]), (&"exited".into(), &5.into()), "{ended:?}");
        let entered = site.on_machine("w", &["exec", &id, "true"])?;
        assert_eq!(entered.code, Some(1));
        ensure!(entered.stderr.contains("does not run"), "{}", entered.stderr);
        let removed = site.on_machine("w", &["rm", &id])?;
        assert_eq!((removed.code, removed.stdout), (Some(0), format!("{id}\n")), "{}", removed.stderr);
        assert_eq!(site.ps("w")?, Vec::<serde_json::Value>::new());
        site.leaves_nothing(&["w"], &["sits"])
    })
}

/// `tink exec`, in a container that runs.
fn enter(site: &Site<'_>, id: &str) -> Result<()> {
    for (args, code, stdout) in [
        (&["exec", id, "--", "cat", "/etc/run"][..], 0, site.run.name()),
        (&["exec", "sits", "sh", "-c", "exit 7"], 7, ""),
        (&["exec", "--user", "1000", id, "id", "-u"], 0, "1000\n"),
        (&["exec", "--workdir", "/tmp", id, "pwd"], 0, "/tmp\n"),
        (&["exec", "--env", "LEVEL=exec", id, "sh", "-c", "echo $LEVEL"], 0, "exec\n"),
        (&["exec", id, "no-such-program"], 127, ""),
        (&["exec", id, "test", "-t", "0"], 1, ""),
    ] {
        let entered = site.on_machine("w", args)?;
        assert_eq!((entered.code, entered.stdout.as_str()), (Some(code), stdout), "{args:?}: {}", entered.stderr);
    }
    let tink = tink_e2e::binary_path("tink")?;
    let command = format!("{} exec {id} -- sh -c 'test -t 0 && tty && exit 6'", path_text(&tink)?);
    let launch = Process::program("script")?.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let on_terminal = finished(&mut launch.env("TINK_STATE_DIR", site.stack.worker_dir("w")).start(site.run)?)?;
    assert_eq!(on_terminal.code, Some(6), "{}{}", on_terminal.stdout, on_terminal.stderr);
    ensure!(on_terminal.stdout.contains("/dev/pts/"), "{}", on_terminal.stdout);
    Ok(())
}

#[test]
fn a_container_taken_from_a_worker_fails_its_action_and_the_worker_goes_on() -> Result<()> {
    scenario("a_container_taken_from_a_worker_fails_its_action_and_the_worker_goes_on", |run| {
        let site = Site::start(run)?;
        let (shared, volume) = site.shared("shared")?;
        let worker = site.worker("w")?.start(run)?;
        site.stack.create("taken", &task("only", "w", &[site.action("taken", SITS, &volume)?]))?;
        appears(&shared.join("started"))?;
        let id = site.ps("w")?[0]["id"].as_str().context("no id")?.to_owned();
        assert_eq!(site.on_machine("w", &["rm", "--force", &id])?.code, Some(0));
        let workflow = site.stack.wait_for_state("taken", "FAILED")?;
        let message = action_of(&workflow, "taken")?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(!message.is_empty(), "the action says nothing");
        site.stack.create("other", &task("only", "w", &[site.action("other", "true", "")?]))?;
        site.stack.wait_for_state("other", "SUCCESS")?;
        stop(worker)?;
        site.leaves_nothing(&["w"], &["taken", "other"])
    })
}

#[test]
fn images_are_imported_listed_and_removed_beside_a_running_worker() -> Result<()> {
    scenario("images_are_imported_listed_and_removed_beside_a_running_worker", |run| {
        let site = Site::start(run)?;
        let (shared, volume) = site.shared("shared")?;
        let _worker = site.worker("w")?.start(run)?;
        site.stack.create("holds", &task("only", "w", &[site.action("holds", SITS, &volume)?]))?;
        appears(&shared.join("started"))?;
        let in_use = site.on_machine("w", &["image", "rm", &site.image])?;
        assert_eq!(in_use.code, Some(1));
        ensure!(in_use.stderr.contains("use"), "{}", in_use.stderr);

        // Nothing listens there: what runs must have come from the file.
        let name = "127.0.0.1:1/offline/busybox:v1";
        let layout = run.scratch().join("layout");
        write_layout(&image_of(run)?, name, &layout)?;
        let imported = site.on_machine("w", &["image", "import", path_text(&layout)?])?;
        assert_eq!((imported.code, imported.stdout), (Some(0), format!("{name}\n")), "{}", imported.stderr);
        let names = || -> Result<Vec<String>> {
            let listed = site.on_machine("w", &["image", "list", "-o", "json"])?;
            let list: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout)?;
            ensure!(list.iter().all(|image| image["bytes"].as_u64() > Some(0)), "{}", listed.stdout);
            Ok(list.iter().filter_map(|image| image["name"].as_str()).map(str::to_owned).collect())
        };
        let all = names()?;
        ensure!(all.iter().any(|one| one == name) && all.contains(&site.image), "{all:?}");
        fs::write(shared.join("go"), "")?;
        site.stack.wait_for_state("holds", "FAILED")?;

        let offline = site.action("offline", "true", "")?.replace(&site.image, name);
        site.stack.create("offline", &task("only", "w", &[offline]))?;
        site.stack.wait_for_state("offline", "SUCCESS")?;
        eventually("the images to be free", DEADLINE, || {
            let removed = site.on_machine("w", &["image", "rm", name, &site.image]).map_err(|e| format!("{e:#}"))?;
            if names().is_ok_and(|left| left.is_empty()) { Ok(()) } else { Err(removed.stderr) }
        })?;
        let wrong = site.on_machine("w", &["image", "import", path_text(&shared)?])?;
        assert_eq!(wrong.code, Some(1));
        ensure!(wrong.stderr.contains("index.json"), "{}", wrong.stderr);
        Ok(())
    })
}
