//! `tink up` and `tink run` on a machine with no engine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tink_e2e::site::shell_action;
use tink_e2e::stack::{DEADLINE, manifests, path_text};
use tink_e2e::{BuiltImage, Census, Finished, NetNs, Process, Scope, TestImage, TestRun, binary_path, scenario};

use crate::site::{appears, finished, image_of, task, without_engine, write_layout};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// Copies a folder of plain files.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("failed to read {}", from.display()))?.flatten() {
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn tink(run: &TestRun, args: &[&str]) -> Result<Finished> {
    finished(&mut without_engine(run, Process::binary("tink")?.args(args)).start(run)?)
}

/// Writes the manifests of a workflow with one task, and the image of its actions as a layout: nothing listens where the
/// image's name points.
fn offline(run: &TestRun, folder: &Path, image: &BuiltImage, actions: &[String]) -> Result<()> {
    write_layout(image, OFFLINE, &folder.join("images/busybox"))?;
    fs::write(folder.join("all.yaml"), manifests("offline", &task("only", "w", actions)))?;
    ensure!(folder.starts_with(run.scratch()), "{} is not the test's own", folder.display());
    Ok(())
}

const OFFLINE: &str = "127.0.0.1:1/offline/busybox:v1";

/// The actions of the two examples, after which their cgroups are called.
const HELLO: [&str; 3] = ["greet", "count", "say-goodbye"];
const PROVISION: [&str; 3] = ["stream-image", "write-hostname", "verify"];

#[test]
fn the_example_provisions_a_disk() -> Result<()> {
    scenario("the_example_provisions_a_disk", |run| {
        let folder = run.scratch().join("provision-a-disk");
        copy(&example("provision-a-disk"), &folder)?;
        let before = Census::take(Scope::Run(run, &PROVISION))?;
        // By a relative path: the volumes must be found all the same.
        for _again in 0..2 {
            let up = tink(run, &["up", "provision-a-disk", "--plain"])?;
            assert_eq!(up.code, Some(0), "{}{}", up.stdout, up.stderr);
            ensure!(up.stdout.contains("workflow provision-a-disk SUCCESS"), "{}", up.stdout);
            ensure!(up.stdout.contains("embedded runtime"), "another engine was used: {}", up.stdout);
            ensure!(!up.stderr.contains("warning"), "{}", up.stderr);
        }
        Census::settles_to(&before, Scope::Run(run, &PROVISION), DEADLINE)?;
        let disk = folder.join("disk/disk.img");
        assert_eq!(fs::metadata(&disk)?.len(), 8 << 20);
        let read = ["-R", "cat /etc/hostname", path_text(&disk)?];
        assert_eq!(finished(&mut Process::program("debugfs")?.args(read).start(run)?)?.stdout, "disk-machine\n");
        Ok(())
    })
}

/// System calls that Linux 5.4 does not have, and `clone3`, of which it lacks what is asked of it. A question mark: strace may
/// not know it yet.
const NEWER_CALLS: &str = "clone3,close_range,openat2,pidfd_getfd,faccessat2,?process_madvise,?epoll_pwait2,?mount_setattr,\
                           ?quotactl_fd,?process_mrelease,?futex_waitv,?cachestat,?fchmodat2";
/// Calls that the guards of an engine may refuse to a worker that is itself in a container.
const GUARDED_CALLS: &str = "fsopen,fsmount,move_mount";

/// `tink up` of an example where strace has calls fail; what it saw of the traced ones.
fn up_without(run: &TestRun, example: &str, calls: &str, failure: &str) -> Result<String> {
    let log = run.scratch().join("calls");
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{failure}"));
    let strace = Process::program("strace")?
        .args(["-f", "--seccomp-bpf", "-s", "4096", "-e", &trace, "-e", &inject, "-o"])
        .arg(&log)
        .arg(binary_path("tink")?)
        .args(["up", example, "--plain"]);
    let up = finished(&mut without_engine(run, strace).start(run)?)?;
    assert_eq!(up.code, Some(0), "{example} with {calls} failing by {failure}: {}{}", up.stdout, up.stderr);
    ensure!(up.stdout.contains(&format!("workflow {example} SUCCESS")), "{}", up.stdout);
    Ok(fs::read_to_string(log)?)
}

/// The calls that strace had fail.
fn injected(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("(INJECTED)")).collect()
}

#[test]
fn the_examples_need_no_call_of_a_kernel_newer_than_the_oldest() -> Result<()> {
    scenario("the_examples_need_no_call_of_a_kernel_newer_than_the_oldest", |run| {
        for name in ["hello", "provision-a-disk"] {
            copy(&example(name), &run.scratch().join(name))?;
            // They are made wherever they help; that none was would say that nothing was tried.
            let newer = up_without(run, name, NEWER_CALLS, "error=ENOSYS")?;
            ensure!(injected(&newer).len() > 10, "the newer calls were not refused:\n{newer}");
            let guarded = up_without(run, name, GUARDED_CALLS, "error=EPERM")?;
            ensure!(!injected(&guarded).is_empty(), "the guarded calls were not refused:\n{guarded}");
        }
        Ok(())
    })
}

/// The first mount of a container's process makes its mounts its own; those that follow try the options that make a layer
/// cheap, fewer each time, and at last a layer in memory. strace counts the calls of each process by itself.
#[test]
fn the_examples_run_where_the_overlay_refuses_its_newer_options() -> Result<()> {
    scenario("the_examples_run_where_the_overlay_refuses_its_newer_options", |run| {
        for (name, actions) in [("hello", HELLO), ("provision-a-disk", PROVISION)] {
            copy(&example(name), &run.scratch().join(name))?;
            for (refused, which, is_indexed, is_volatile) in
                [(1, "2", true, false), (2, "2..3", false, false), (3, "2..4", true, true)]
            {
                let log = up_without(run, name, "mount", &format!("error=EINVAL:when={which}"))?;
                let (of_overlay, injected) = (|line: &&str| line.contains("\"overlay\""), injected(&log));
                ensure!(injected.iter().all(of_overlay), "another mount was refused:\n{log}");
                assert_eq!(injected.len(), refused * actions.len(), "{log}");
                let mounted: Vec<_> = log.lines().filter(of_overlay).filter(|line| line.ends_with(" = 0")).collect();
                assert_eq!(mounted.len(), actions.len(), "{log}");
                for line in mounted {
                    let found = (line.contains(",index=off"), line.contains(",volatile"));
                    assert_eq!(found, (is_indexed, is_volatile), "{line}");
                }
                assert_eq!(log.contains("/ram\", \"tmpfs\""), refused == 3, "a layer in memory:\n{log}");
            }
        }
        Ok(())
    })
}

#[test]
fn a_damaged_disk_image_fails_the_example_with_the_checksum() -> Result<()> {
    scenario("a_damaged_disk_image_fails_the_example_with_the_checksum", |run| {
        let folder = run.scratch().join("damaged");
        copy(&example("provision-a-disk"), &folder)?;
        let image = folder.join("disk.img.gz");
        let mut bytes = fs::read(&image)?;
        // The field that names the system it was packed on: the content is the same, and only the checksum can tell.
        bytes[9] ^= 1;
        fs::write(&image, bytes)?;
        let up = tink(run, &["up", path_text(&folder)?, "--plain"])?;
        assert_eq!(up.code, Some(3), "{}{}", up.stdout, up.stderr);
        ensure!(up.stdout.contains("sha256:"), "{}", up.stdout);
        Ok(())
    })
}

#[test]
fn up_and_run_take_images_from_a_folder() -> Result<()> {
    scenario("up_and_run_take_images_from_a_folder", |run| {
        let images = run.scratch().join("images");
        let folder = run.scratch().join("folder");
        fs::create_dir(&folder)?;
        // Nothing listens there: what runs must have come from the folder.
        let name = "127.0.0.1:1/offline/busybox:v1";
        write_layout(&image_of(run)?, name, &images.join("busybox"))?;
        let tasks = format!(
            "- name: only\n  worker: w\n  actions:\n  - name: reads\n    image: {name}\n    timeout: 60\n    command: [cat, /etc/run]\n"
        );
        let file = folder.join("all.yaml");
        fs::write(&file, manifests("offline", &tasks))?;
        for (command, path) in [("up", &folder), ("run", &file)] {
            let args = [command, path_text(path)?, "--plain"];
            let ran = tink(run, &[&args[..], &["--images", path_text(&images)?]].concat())?;
            assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
            ensure!(ran.stdout.contains(run.name()), "{}", ran.stdout);
            let nothing = tink(run, &[&args[..], &["--images", path_text(&folder)?]].concat())?;
            assert_eq!(nothing.code, Some(64), "{}{}", nothing.stdout, nothing.stderr);
        }
        Ok(())
    })
}

/// A directory that holds the program, an example and an empty `/tmp`: no shell, no library, no engine, and no network but
/// the machine's own loopback.
#[test]
fn up_needs_nothing_but_its_own_program() -> Result<()> {
    scenario("up_needs_nothing_but_its_own_program", |run| {
        let root = run.scratch().join("root");
        for directory in ["tmp", "proc", "sys", "dev"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::copy(binary_path("tink")?, root.join("tink"))?;
        for name in ["hello", "provision-a-disk"] {
            copy(&example(name), &root.join(name))?;
        }
        let offline = NetNs::new()?;
        // The table of routes has its heading alone where nothing outside can be reached.
        let mount = "test \"$(wc -l < /proc/net/route)\" = 1 || exit 98; \
                     for each in proc sys dev; do mount --rbind /$each \"$0/$each\" || exit 99; done; \
                     exec chroot \"$0\" /tink up \"/$1\" --plain";
        let names = [HELLO, PROVISION].concat();
        let before = Census::take(Scope::Run(run, &names))?;
        for (name, words) in
            [("hello", "goodbye"), ("provision-a-disk", "/etc/hostname on /disk/disk.img is as wanted")]
        {
            // The mounts are this process's own and end with it.
            let launch = Process::program("unshare")?.args(["--mount", "--propagation", "slave", "--"]);
            let launch = launch.args(["sh", "-c", mount, path_text(&root)?, name]);
            let up = finished(&mut launch.in_netns(&offline).env_remove("TINK_LOG").start(run)?)?;
            assert_eq!(up.code, Some(0), "{}{}", up.stdout, up.stderr);
            ensure!(
                up.stdout.contains(&format!("workflow {name} SUCCESS")) && up.stdout.contains(words),
                "{}",
                up.stdout
            );
            ensure!(up.stdout.contains("embedded runtime"), "another engine was used: {}", up.stdout);
        }
        Census::settles_to(&before, Scope::Run(run, &names), DEADLINE)?;
        assert_eq!(fs::read_dir(root.join("tmp"))?.count(), 0, "something is left in /tmp");
        Ok(())
    })
}

/// What a template of 2021 runs after an action is no less running than the action itself.
#[test]
fn what_is_interrupted_leaves_nothing_running() -> Result<()> {
    scenario("what_is_interrupted_leaves_nothing_running", |run| {
        let folder = run.scratch().join("folder");
        let shared = run.scratch().join("shared");
        fs::create_dir_all(&shared)?;
        let sits = |name: &str| format!("touch /shared/{name}; while :; do sleep 1; done # {}", shared.display());
        let volumes = format!("volumes: [{}:/shared]", path_text(&shared)?);
        let hook = format!("{volumes}\non-timeout: [sh, -c, '{}']", sits("hook"));
        let file = folder.join("all.yaml");
        for (name, command, path, more, seconds) in
            [("action", "up", &folder, volumes.as_str(), 60), ("hook", "run", &file, hook.as_str(), 1)]
        {
            let action = shell_action("sits", OFFLINE, &sits("action"), more);
            let action = action.replace("timeout: 60", &format!("timeout: {seconds}"));
            offline(run, &folder, &image_of(run)?, &[action])?;
            let state = run.scratch().join(format!("state-{name}"));
            let (images, state_text) = (folder.join("images"), path_text(&state)?);
            let before = Census::take(Scope::Run(run, &["sits"]))?;
            let launch = Process::binary("tink")?.named(name).args([command, path_text(path)?, "--plain"]);
            let launch = launch.args(["--images", path_text(&images)?, "--state-dir", state_text]);
            let mut tink = without_engine(run, launch).start(run)?;
            appears(&shared.join(name))?;
            tink.signal(Signal::INT)?;
            let status = tink.wait(DEADLINE)?;
            assert_eq!(status.code(), Some(130), "{}{}", tink.stdout().text(), tink.stderr().text());
            let left: Vec<_> = fs::read_dir(state.join("containers"))?.flatten().map(|entry| entry.path()).collect();
            ensure!(left.is_empty(), "{name}: containers are left: {left:?}");
            Census::settles_to(&before, Scope::Run(run, &["sits"]), DEADLINE)?;
        }
        Ok(())
    })
}

/// Runs `tink run /all.yaml` in a root of its own, made in a mount namespace of its own by the first words of a script in
/// which `$0` is the root.
fn run_in_root(run: &TestRun, root: &Path, make: &str, more: &[&str]) -> Result<Finished> {
    let script = format!(
        "set -e; {make}; for each in proc sys dev; do mount --rbind /$each \"$0/$each\"; done; \
         exec chroot \"$0\" /tink run /all.yaml --plain \"$@\""
    );
    let launch = Process::program("unshare")?.args(["--mount", "--propagation", "slave", "--"]);
    let launch = launch.args(["sh", "-c", &script, path_text(root)?]).args(more);
    finished(&mut launch.env_remove("TINK_LOG").start(run)?)
}

/// Fills a root with the program and a workflow; `actions` are scripts.
fn fill_root(run: &TestRun, root: &Path, actions: &[(&str, &str, &str)]) -> Result<()> {
    for directory in ["tmp", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::copy(binary_path("tink")?, root.join("tink"))?;
    // The third layer hides a file of the first one.
    let image = TestImage::busybox()?.layer().file("etc/run", 0o644, run.name()).layer();
    let image = image.file("etc/.wh.group", 0o644, "").build()?;
    let actions = actions.iter().map(|(name, script, more)| shell_action(name, OFFLINE, script, more));
    offline(run, root, &image, &actions.collect::<Vec<_>>())
}

/// HookOS has a root that nobody can write to.
#[test]
fn actions_share_a_directory_that_a_read_only_host_does_not_have() -> Result<()> {
    scenario("actions_share_a_directory_that_a_read_only_host_does_not_have", |run| {
        let root = run.scratch().join("root");
        let volumes = "volumes: [/statedir:/statedir, /lib/firmware:/lib/firmware:ro]";
        let actions = [
            ("writes", "echo left by the first > /statedir/state", volumes),
            ("reads", "cat /statedir/state; test -d /lib/firmware", volumes),
        ];
        fill_root(run, &root, &actions)?;
        let make = "mount --bind \"$0\" \"$0\"; mount -t tmpfs tmp \"$0/tmp\"; mount -o remount,bind,ro \"$0\"";
        let ran = run_in_root(run, &root, make, &["--images", "/images", "--state-dir", "/tmp/state"])?;
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        ensure!(ran.stdout.contains("left by the first"), "{}", ran.stdout);
        ensure!(!root.join("statedir").exists(), "the root was written to");
        Ok(())
    })
}

/// A worker in a container of an engine, without a volume: its root is an overlay, on which no other can be mounted to be
/// written to, and which is there again for the next worker.
#[test]
fn images_in_a_state_directory_on_overlayfs_are_there_for_the_next_worker() -> Result<()> {
    scenario("images_in_a_state_directory_on_overlayfs_are_there_for_the_next_worker", |run| {
        let (root, lower) = (run.scratch().join("root"), run.scratch().join("lower"));
        let script = "test ! -e /etc/group && cat /etc/run && echo x > /written && cat /written";
        fill_root(run, &lower, &[("looks", script, "")])?;
        for directory in [&root, &run.scratch().join("upper"), &run.scratch().join("work")] {
            fs::create_dir(directory)?;
        }
        let below = path_text(run.scratch())?;
        let options = format!("lowerdir={below}/lower,upperdir={below}/upper,workdir={below}/work");
        let make = format!("mount -t overlay -o {options} worker \"$0\"");
        for more in [&["--images", "/images", "--state-dir", "/state"][..], &["--state-dir", "/state"]] {
            let ran = run_in_root(run, &root, &make, more)?;
            assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
            ensure!(ran.stdout.contains(run.name()), "{}", ran.stdout);
        }
        Ok(())
    })
}
