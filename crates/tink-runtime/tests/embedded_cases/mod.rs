//! What is the embedded runtime's own: its limits are named, its store keeps what runs, nothing is left behind.

mod socket;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tink_e2e::{Registry, TestImage, TestRun};
use tink_image::{Budget, ImageBuilder, Reclaimed, Store};
use tink_runtime::{
    EmbeddedRuntime, HandleRecord, Options, Progress, PullOutcome, Recovered, RegistryCredentials, Runtime,
    RuntimeChoice, select,
};

use crate::Test;
use crate::contract::{Bench, image, shell, within};
use socket::{
    a_container_is_told_about_itself_and_others_are_refused, a_container_that_is_started_twice_at_once_runs_once,
    detached_containers_are_bounded, the_socket_lives_as_long_as_its_container,
};

macro_rules! table {
    ($($case:ident)*) => { &[$((stringify!($case), |bench, state| Box::pin($case(bench, state)))),*] };
}

/// All of them.
pub const ALL: &[Test] = table! {
    what_cannot_be_had_is_refused_by_name
    nothing_is_left_behind
    an_image_is_pulled_with_a_password_and_run
    a_registry_that_is_down_is_transient_unless_the_image_is_here
    an_image_dropped_between_pull_and_start_is_pulled_again
    layers_of_a_running_container_stay_though_no_worker_lives
    a_program_that_writes_without_a_newline_is_heard_at_once
    what_a_reboot_cut_short_is_swept_and_nothing_else
    a_container_is_told_about_itself_and_others_are_refused
    the_socket_lives_as_long_as_its_container
    a_container_that_is_started_twice_at_once_runs_once
    detached_containers_are_bounded
    a_start_that_is_given_up_is_found_and_can_be_stopped
    the_images_volumes_are_directories_that_keep_what_the_image_has
};

async fn what_cannot_be_had_is_refused_by_name(bench: &Bench, _state: &Path) {
    for (volumes, pid, network, named) in [
        (vec!["cache:/cache"], "", "", "cache"),
        (vec![], "container:other", "", "container:other"),
        (vec![], "", "my-network", "my-network"),
    ] {
        let mut spec = shell("true");
        spec.volumes = volumes.into_iter().map(str::to_owned).collect();
        spec.pid = pid.to_owned();
        spec.network = network.to_owned();
        let error = within(bench.runtime.start(&spec)).await.expect_err("there is no such thing");
        assert!(!error.is_retryable() && error.to_string().contains(named), "{error}");
        assert_eq!(within(bench.runtime.find(&spec.identity)).await.expect("an answer"), None);
    }
}

async fn nothing_is_left_behind(bench: &Bench, state: &Path) {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").expect("there is a /proc").lines().count();
    let before = mounts();
    let mut spec = shell("mkdir /tmp/m; mount -t tmpfs none /tmp/m; exit 1");
    spec.volumes = vec!["/dev:/dev".to_owned()];
    let record = bench.start(&spec).await;
    bench.wait(&record).await;
    assert_eq!(mounts(), before);
    bench.remove(&record).await;
    assert!(!state.join("containers").join(&record.container).exists());
}

/// A registry with a password, an image that no other test has, and a runtime that knows the password.
fn registry(run: &TestRun, state: &Path) -> (Registry, String, EmbeddedRuntime) {
    let registry = Registry::launch(run).auth("tink", "hunter2").start().expect("a registry starts");
    let image = TestImage::busybox().expect("a busybox").layer().file("name", 0o644, run.name());
    let pushed = registry.push("busybox", "v1", &image.build().expect("an image")).expect("it is pushed");
    let credentials = vec![RegistryCredentials::new(registry.address(), "tink", "hunter2")];
    let options = Options { credentials, ..Options::new(state) };
    (registry, pushed.reference, EmbeddedRuntime::open(&options).expect("it opens"))
}

async fn an_image_is_pulled_with_a_password_and_run(bench: &Bench, state: &Path) {
    let run = TestRun::new("runtime-embedded-pull").expect("directories can be made");
    let (_registry, name, embedded) = registry(&run, state);
    let progress = Progress::new();
    let denied = within(bench.runtime.pull(&image(&name), &progress)).await.expect_err("no password");
    assert!(!denied.is_retryable(), "{denied}");
    let outcome = within(embedded.pull(&image(&name), &progress)).await.expect("it is pulled");
    assert!(matches!(outcome, PullOutcome::Registry), "{outcome:?}");
    let last = progress.watch().borrow().clone();
    let names: Vec<_> = last.layers.iter().map(|layer| layer.name.len()).collect();
    assert_eq!(names, [12, 12], "{last:?}");
    let (done, total) = last.bytes();
    assert!(last.layers_done() == 2 && last.layers.len() == 2 && done == total, "{last:?}");
    let mut spec = shell("cat /name");
    spec.image = image(&name);
    assert_eq!(bench.output_of(&spec).await, ["runtime-embedded-pull"]);
}

async fn a_registry_that_is_down_is_transient_unless_the_image_is_here(_bench: &Bench, state: &Path) {
    let run = TestRun::new("runtime-embedded-down").expect("directories can be made");
    let (mut registry, name, embedded) = registry(&run, state);
    let progress = Progress::new();
    registry.stop().expect("it stops");
    let error = within(embedded.pull(&image(&name), &progress)).await.expect_err("nobody serves it");
    assert!(error.is_retryable(), "{error}");
    registry.start_again(&run).expect("it starts");
    within(embedded.pull(&image(&name), &progress)).await.expect("it is pulled");
    registry.stop().expect("it stops");
    let outcome = within(embedded.pull(&image(&name), &progress)).await.expect("it is here");
    assert!(matches!(&outcome, PullOutcome::Local(error) if error.is_retryable()), "{outcome:?}");
}

async fn an_image_dropped_between_pull_and_start_is_pulled_again(bench: &Bench, state: &Path) {
    let run = TestRun::new("runtime-embedded-dropped").expect("directories can be made");
    let (mut registry, name, embedded) = registry(&run, state);
    within(embedded.pull(&image(&name), &Progress::new())).await.expect("it is pulled");
    embedded.store().remove(&image(&name)).expect("nobody uses it yet");
    let mut spec = shell("cat /name");
    spec.image = image(&name);
    registry.stop().expect("it stops");
    let error = within(embedded.start(&spec)).await.expect_err("nobody serves it");
    assert!(error.is_retryable(), "{error}");
    registry.start_again(&run).expect("it starts");
    let record = within(embedded.start(&spec)).await.expect("it is pulled again");
    bench.wait(&record).await;
    bench.remove(&record).await;
}

async fn layers_of_a_running_container_stay_though_no_worker_lives(_bench: &Bench, _state: &Path) {
    let run = TestRun::new("runtime-embedded-layers").expect("directories can be made");
    // A state directory of its own: all that is free in it is dropped.
    let state = run.scratch().join("state");
    let (_registry, name, first) = registry(&run, &state);
    within(first.pull(&image(&name), &Progress::new())).await.expect("it is pulled");
    let mut spec = shell("sleep 1000");
    spec.image = image(&name);
    let record = within(first.start(&spec)).await.expect("it starts");
    drop(first);
    let store = Store::open(&state.join("images"), Budget::unlimited()).expect("it opens");
    let before = store.list().expect("a list");
    let refused = store.remove(&image(&name)).expect_err("the image is in use");
    assert!(refused.to_string().contains("in use"), "{refused}");
    assert_eq!(store.gc(0).expect("what is free is dropped"), Reclaimed::default());
    assert_eq!(store.list().expect("a list"), before);
    drop(store);

    let second = EmbeddedRuntime::open(&Options::new(&state)).expect("it opens");
    within(second.stop(&record, Duration::ZERO)).await.expect("stopped");
    within(second.wait(&record)).await.expect("an exit");
    // The exit alone frees the layers; the container's record may stay.
    let dropped = second.store().gc(0).expect("what is free is dropped");
    assert_eq!(dropped.images, [image(&name)]);
    within(second.remove(&record)).await.expect("removed");
}

async fn a_program_that_writes_without_a_newline_is_heard_at_once(bench: &Bench, _state: &Path) {
    let record = bench.start(&shell(r"printf '\r10 %%\r20 %%\r'; sleep 1000")).await;
    bench.tail(&record).line("10 %").await;
    bench.remove(&record).await;
}

/// As after an action's timeout: the start is given up when a shim has just begun to build the container, or before.
async fn a_start_that_is_given_up_is_found_and_can_be_stopped(bench: &Bench, state: &Path) {
    for _ in 0..8 {
        let spec = shell("sleep 1000");
        let dir = state.join("containers").join(spec.identity.container_name());
        {
            let start = bench.runtime.start(&spec);
            tokio::pin!(start);
            while !matches!(tink_oci::status(&dir), Ok(tink_oci::Status::Starting)) {
                tokio::select! {
                    biased;
                    started = &mut start => panic!("it started unseen: {started:?}"),
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        let record = within(bench.runtime.find(&spec.identity)).await.expect("an answer").expect("it is found");
        within(bench.runtime.stop(&record, Duration::ZERO)).await.expect("it is stopped");
        let status = tink_oci::status(&dir).expect("a status");
        assert!(matches!(status, tink_oci::Status::Exited(_)), "{status:?}");
        bench.remove(&record).await;
        assert_eq!(within(bench.runtime.find(&spec.identity)).await.expect("an answer"), None);
    }
}

/// Starts a container, kills its shim as a power cut would, and answers with its state directory.
async fn cut_short(bench: &Bench, state: &Path) -> (HandleRecord, PathBuf) {
    let record = bench.start(&shell("echo x > /written; echo up; sleep 1000")).await;
    bench.tail(&record).line("up").await;
    let dir = state.join("containers").join(&record.container);
    let known = tink_oci::Record::load(&dir).expect("readable").expect("a record");
    let shim = rustix::process::Pid::from_raw(known.shim.pid).expect("a pid");
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).expect("it is killed");
    within(tink_oci::wait(&dir)).await.expect_err("nothing says how it ended");
    assert!(dir.join("upper/written").exists());
    (record, dir)
}

/// Makes a container's record one of another boot.
fn move_to_another_boot(dir: &Path) {
    let path = dir.join("record.json");
    let text = std::fs::read(&path).expect("a record");
    let mut record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    record["boot_id"] = "another".into();
    std::fs::write(path, record.to_string()).expect("it is written");
}

async fn what_a_reboot_cut_short_is_swept_and_nothing_else(bench: &Bench, state: &Path) {
    let (rebooted, of_another_boot) = cut_short(bench, state).await;
    let (killed, of_this_boot) = cut_short(bench, state).await;
    let (_, to_be_detached) = cut_short(bench, state).await;
    let ended = bench.start(&shell("true")).await;
    bench.wait(&ended).await;
    let running = bench.start(&shell("sleep 1000")).await;
    let dir = |record: &HandleRecord| state.join("containers").join(&record.container);
    let detached = to_be_detached.with_extension("_detached-1");
    std::fs::rename(&to_be_detached, &detached).expect("it is renamed");
    for moved in [&of_another_boot, &detached, &dir(&ended)] {
        move_to_another_boot(moved);
    }

    let selected = within(select(RuntimeChoice::Embedded, &Options::new(state))).await.expect("it opens");
    assert!(!of_another_boot.exists(), "what the reboot cut short stays behind");
    assert_eq!(within(selected.runtime.recover(&rebooted)).await.expect("an answer"), Recovered::Gone);
    // What people may still read.
    assert!(detached.join("record.json").exists() && !detached.join("upper").exists());
    assert!(of_this_boot.join("upper").exists());
    let end = within(selected.runtime.recover(&ended)).await.expect("an answer");
    assert!(matches!(end, Recovered::Exited(_)), "{end:?}");
    assert_eq!(within(selected.runtime.recover(&running)).await.expect("an answer"), Recovered::Running);
    for record in [killed, ended, running] {
        bench.remove(&record).await;
    }
    within(tink_oci::remove(&detached)).await.expect("removed");
}

async fn the_images_volumes_are_directories_that_keep_what_the_image_has(bench: &Bench, state: &Path) {
    let name = image("embedded.invalid/volumes:v1");
    let busybox = tink_e2e::system_program("busybox").expect("a busybox");
    let mut built = ImageBuilder::new();
    built.file("/bin/busybox", &busybox, 0o755).bytes("/with/kept", "of the image\n", 0o644);
    built.entrypoint(["/bin/busybox", "sh", "-c"]);
    for path in ["/data/fresh", "/with", "/given", "/given/below", "/sys/fs/cgroup", "/proc/none", "/", "", "relative"]
    {
        built.volume(path);
    }
    let archive = state.join("volumes.tar");
    built.write_archive(&archive, &name).expect("an archive is written");
    let embedded = EmbeddedRuntime::open(&Options::new(state)).expect("it opens");
    within(embedded.import(&archive, None, &Progress::new())).await.expect("it is imported");
    let host = tempfile::tempdir().expect("a directory");
    std::fs::write(host.path().join("mine"), "of the host\n").expect("a file is written");
    let script = "b=/bin/busybox; $b stat -c '%a %u %F' /data/fresh; $b touch /data/fresh/file && $b cat /with/kept \
                  /given/mine; $b ls /given; $b ls /; $b test -e /proc/self && echo proc";
    let mut spec = shell("");
    spec.image = name;
    spec.command = vec![script.to_owned()];
    spec.volumes = vec![format!("{}:/given:ro", host.path().display())];
    let lines = bench.output_of(&spec).await;
    assert_eq!(lines[..4], ["755 0 directory", "of the image", "of the host", "mine"], "{lines:?}");
    assert!(!lines.contains(&"relative".to_owned()) && lines.last().is_some_and(|line| line == "proc"), "{lines:?}");
}
