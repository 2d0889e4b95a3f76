//! `tink ps`, `logs`, `exec`, `rm` and `image`, on a machine where a worker runs.

use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use tink_e2e::stack::{DEADLINE, action_of, path_text};
use tink_e2e::{Process, TestImage, eventually, scenario};

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

/// The records of layers that a loss of power would take away.
fn unsettled(site: &Site<'_>, worker: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(site.stack.worker_dir(worker).join("images/layers/sha256"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let record: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
            if record.get("boot").is_some() {
                found.push(path.display().to_string());
            }
        }
    }
    Ok(found)
}

#[test]
fn images_outlive_a_reboot_without_the_registry_they_came_from() -> Result<()> {
    scenario("images_outlive_a_reboot_without_the_registry_they_came_from", |run| {
        let mut site = Site::start(run)?;
        let name = "127.0.0.1:1/offline/busybox:v1";
        let layout = run.scratch().join("layout");
        write_layout(&TestImage::busybox()?.layer().file("imported", 0o644, "yes").build()?, name, &layout)?;
        let imported = site.on_machine("w", &["image", "import", path_text(&layout)?])?;
        assert_eq!(imported.code, Some(0), "{}", imported.stderr);
        assert_eq!(unsettled(&site, "w")?, Vec::<String>::new(), "after an import");

        let worker = site.worker("w")?.start(run)?;
        site.stack.create("pulls", &task("only", "w", &[site.action("pulls", "true", "")?]))?;
        site.stack.wait_for_state("pulls", "SUCCESS")?;
        eventually("the pulled image to be on disk", DEADLINE, || match unsettled(&site, "w") {
            Ok(left) if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        })?;
        stop(worker)?;
        site.registry.stop()?;

        let boot = run.scratch().join("boot_id");
        fs::write(&boot, "00000000-0000-4000-8000-000000000001\n")?;
        let worker = site.worker("w")?.boot_id(&boot).start(run)?;
        let offline = site.action("offline", "cat /imported", "")?.replace(&site.image, name);
        let actions = [site.action("again", "grep -q images_outlive /etc/run", "")?, offline];
        site.stack.create("later", &task("only", "w", &actions))?;
        site.stack.wait_for_state("later", "SUCCESS")?;
        stop(worker)?;
        site.leaves_nothing(&["w"], &["pulls", "again", "offline"])
    })
}

#[test]
fn an_import_shows_on_a_terminal_how_far_each_layer_is() -> Result<()> {
    scenario("an_import_shows_on_a_terminal_how_far_each_layer_is", |run| {
        // No compression makes it small.
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(4 << 20)
        .collect();
        let image = TestImage::busybox()?.layer().file("noise", 0o644, noise).build()?;
        let (digest, bytes) = image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).context("no blobs")?.clone();
        let layout = run.scratch().join("layout");
        write_layout(&image, "127.0.0.1:1/large:v1", &layout)?;
        // The import reads no faster than the test writes.
        let blob = layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
        fs::remove_file(&blob)?;
        let made = Process::program("mkfifo")?.arg(&blob).start(run)?.wait(DEADLINE)?;
        ensure!(made.success(), "mkfifo: {made}");

        let state_dir = run.scratch().join("state");
        let tink = tink_e2e::binary_path("tink")?;
        let command = format!("stty cols 120; {} image import {}", path_text(&tink)?, path_text(&layout)?);
        let screen = run.scratch().join("screen");
        let launch = Process::program("script")?.args(["--quiet", "--flush", "--return", "--command", &command]);
        let launch = launch.arg(&screen);
        let mut importing = launch.env("TINK_STATE_DIR", &state_dir).start(run)?;
        let mut pipe = fs::File::options().write(true).open(&blob)?;
        let (first, rest) = bytes.split_at(3 << 20);
        pipe.write_all(first)?;
        let layer = digest.trim_start_matches("sha256:").chars().take(12).collect::<String>();
        eventually("the layer's progress", DEADLINE, || {
            let shown = String::from_utf8_lossy(&fs::read(&screen).unwrap_or_default()).into_owned();
            let half = ["1 of 4", "2 of 4", "3 of 4"].map(|half| format!("of 2 layers  {layer} {half} MiB"));
            if half.iter().any(|half| shown.contains(half)) { Ok(()) } else { Err(shown) }
        })?;
        pipe.write_all(rest)?;
        drop(pipe);
        let imported = finished(&mut importing)?;
        assert_eq!(imported.code, Some(0), "{}", imported.stdout);
        ensure!(imported.stdout.contains("127.0.0.1:1/large:v1"), "{}", imported.stdout);
        Ok(())
    })
}
