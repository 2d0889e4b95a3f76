//! What is containerd's own: nothing is left behind but a few failures, the daemon may go and come, `ctr` and `nerdctl`
//! find their things.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tink_containerd::services::tasks::v1::CreateTaskRequest;
use tink_containerd::services::tasks::v1::tasks_client::TasksClient;
use tink_containerd::types::Mount;
use tink_e2e::{Registry, TestImage, TestRun, eventually};
use tink_runtime::{
    ContainerdRuntime, ExitCause, LogPosition, Options, Progress, PullOutcome, Recovered, RegistryCredentials, Runtime,
};

use crate::contract::{Bench, DEADLINE, Tail, image, shell, within};
use crate::{Site, Test, connect};

macro_rules! table {
    ($($case:ident)*) => { &[$((stringify!($case), |bench, site| Box::pin($case(bench, site)))),*] };
}

/// All of them.
pub const ALL: &[Test] = table! {
    what_cannot_be_had_is_refused_by_name
    nothing_is_left_behind_but_the_last_failures
    a_failure_that_is_kept_is_gone_for_the_worker_and_makes_room
    what_lost_its_shim_is_found_as_something_that_ran
    what_was_only_created_is_not_found_and_starts_anew
    nerdctl_finds_its_labels_and_the_log
    an_image_is_pulled_with_a_password_and_run
    a_registry_that_is_down_is_transient_unless_the_image_is_here
    hosts_toml_is_obeyed
    packed_layers_are_not_kept
    output_and_wait_go_on_when_containerd_is_restarted
    an_end_while_containerd_is_away_is_not_lost
};

/// What `ctr` prints for these arguments, in our namespace.
fn ctr(site: &Site<'_>, args: &[&str]) -> String {
    let socket = site.options.containerd_socket.to_str().expect("a plain path");
    let mut command = Command::new("ctr");
    let output =
        command.args(["--address", socket, "--namespace", "tinkerbell"]).args(args).output().expect("ctr runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Containers, tasks, writable snapshots, mounts, directories of containers: all that a run may leave.
fn census(site: &Site<'_>) -> Vec<String> {
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut found = words(ctr(site, &["containers", "list", "--quiet"]));
    found.extend(words(ctr(site, &["tasks", "list", "--quiet"])).into_iter().map(|id| format!("task {id}")));
    let snapshots = ctr(site, &["snapshots", "list"]);
    let active = snapshots.lines().filter(|line| line.contains(" Active") || line.contains(" View"));
    found.extend(active.map(|line| format!("snapshot {line}")));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("there is a /proc");
    let scratch = site.run.scratch().to_str().expect("a plain path");
    found.extend(mounts.lines().filter(|line| line.contains(scratch)).map(|line| format!("mount {line}")));
    found.extend(directories(site).into_iter().map(|dir| format!("directory {}", dir.display())));
    found.sort();
    found
}

/// The containers' directories below the data root.
fn directories(site: &Site<'_>) -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    list(&site.options.containerd_data_root).iter().flat_map(|hash| list(&hash.join("containers/tinkerbell"))).collect()
}

async fn what_cannot_be_had_is_refused_by_name(bench: &Bench, site: &mut Site<'_>) {
    let before = census(site);
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
    }
    assert_eq!(census(site), before);
}

async fn nothing_is_left_behind_but_the_last_failures(bench: &Bench, site: &mut Site<'_>) {
    let before = census(site);
    for script in ["true", "mkdir /tmp/m; mount -t tmpfs none /tmp/m"] {
        let mut spec = shell(script);
        spec.volumes = vec!["/dev:/dev".to_owned(), "/anonymous".to_owned()];
        let record = bench.start(&spec).await;
        bench.wait(&record).await;
        bench.remove(&record).await;
    }
    let killed = bench.start(&shell("sleep 1000")).await;
    bench.remove(&killed).await;
    let mut missing = shell("true");
    missing.command = vec!["no-such-program".to_owned()];
    within(bench.runtime.start(&missing)).await.expect_err("there is no such program");
    let after = census(site);
    let new: Vec<_> = after.iter().filter(|entry| !before.contains(entry)).collect();
    assert!(new.is_empty(), "{new:#?}");

    for code in 1..=5 {
        let record = bench.start(&shell(&format!("echo failure {code}; exit {code}"))).await;
        bench.wait(&record).await;
        bench.remove(&record).await;
    }
    let after = census(site);
    let kept: Vec<_> = after.iter().filter(|entry| entry.len() == 64).collect();
    assert_eq!(kept.len(), 3, "{after:#?}");
    assert!(!after.iter().any(|entry| entry.starts_with("task ") || entry.starts_with("snapshot ")), "{after:#?}");
    assert_eq!(directories(site).len(), 3, "only those that are kept have files");
}

async fn a_failure_that_is_kept_is_gone_for_the_worker_and_makes_room(bench: &Bench, site: &mut Site<'_>) {
    let spec = shell("echo last words; exit 9");
    let record = bench.start(&spec).await;
    bench.wait(&record).await;
    bench.remove(&record).await;
    bench.remove(&record).await;
    assert!(ctr(site, &["containers", "list", "--quiet"]).contains(&record.container));
    let log = log_of(site, &record.container);
    assert!(log.contains("last words"), "{log}");
    assert_eq!(within(bench.runtime.recover(&record)).await.expect("an answer"), Recovered::Gone);
    assert_eq!(within(bench.runtime.find(&spec.identity)).await.expect("an answer"), None);
    let again = bench.start(&spec).await;
    assert_eq!(bench.wait(&again).await.cause, ExitCause::Code(9));
    assert_eq!(bench.tail(&again).finish().await.stdout(), ["last words"]);
    bench.remove(&again).await;
}

fn log_of(site: &Site<'_>, id: &str) -> String {
    let dir = directories(site).into_iter().find(|dir| dir.ends_with(id)).expect("it has a directory");
    std::fs::read_to_string(dir.join(format!("{id}-json.log"))).expect("it has a log")
}

async fn nerdctl_finds_its_labels_and_the_log(bench: &Bench, site: &mut Site<'_>) {
    let spec = shell("echo to nerdctl; sleep 1000");
    let record = bench.start(&spec).await;
    bench.tail(&record).line("to nerdctl").await;
    let info: serde_json::Value =
        serde_json::from_str(&ctr(site, &["containers", "info", &record.container])).expect("JSON");
    let labels = &info["Labels"];
    assert_eq!(labels["nerdctl/name"], spec.identity.container_name());
    assert_eq!(labels["nerdctl/namespace"], "tinkerbell");
    assert_eq!(labels["org.tinkerbell.action-id"], spec.identity.action.as_str());
    let state = PathBuf::from(labels["nerdctl/state-dir"].as_str().expect("a path"));
    let config = std::fs::read_to_string(state.join("log-config.json")).expect("it is there");
    assert!(config.contains(r#""driver":"json-file""#), "{config}");
    let log = log_of(site, &record.container);
    let line: serde_json::Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["log"], &line["stream"]), (&"to nerdctl\n".into(), &"stdout".into()));
    assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    bench.remove(&record).await;
}

/// A registry with a password, an image that no other test has, and a runtime that knows the password.
async fn registry(run: &TestRun, options: &Options) -> (Registry, String, ContainerdRuntime) {
    let registry = Registry::launch(run).auth("tink", "hunter2").start().expect("a registry starts");
    let image = TestImage::busybox().expect("a busybox").layer().file("name", 0o644, run.name());
    let pushed = registry.push("busybox", "v1", &image.build().expect("an image")).expect("it is pushed");
    let credentials = vec![RegistryCredentials::new(registry.address(), "tink", "hunter2")];
    let runtime = connect(&Options { credentials, ..options.clone() }).await;
    (registry, pushed.reference, runtime)
}

async fn an_image_is_pulled_with_a_password_and_run(bench: &Bench, site: &mut Site<'_>) {
    let run = TestRun::new("runtime-containerd-pull").expect("directories can be made");
    let (registry, name, runtime) = registry(&run, &site.options).await;
    let progress = Progress::new();
    let denied = within(bench.runtime.pull(&image(&name), &progress)).await.expect_err("no password");
    assert!(!denied.is_retryable() && denied.to_string().contains("401"), "{denied}");
    let missing = format!("{}/busybox:v2", registry.address());
    let missing = within(runtime.pull(&image(&missing), &progress)).await.expect_err("no such tag");
    assert!(!missing.is_retryable() && missing.to_string().contains("v2"), "{missing}");
    let outcome = within(runtime.pull(&image(&name), &progress)).await.expect("it is pulled");
    assert!(matches!(outcome, PullOutcome::Registry), "{outcome:?}");
    let last = progress.watch().borrow().clone();
    let (done, total) = last.bytes();
    assert!(last.layers_done() == 2 && last.layers.len() == 2 && done == total, "{last:?}");
    within(runtime.pull(&image(&name), &progress)).await.expect("it is here");
    let mut spec = shell("cat /name");
    spec.image = image(&name);
    assert_eq!(bench.output_of(&spec).await, ["runtime-containerd-pull"]);
}

async fn a_registry_that_is_down_is_transient_unless_the_image_is_here(_bench: &Bench, site: &mut Site<'_>) {
    let run = TestRun::new("runtime-containerd-down").expect("directories can be made");
    let (mut registry, name, runtime) = registry(&run, &site.options).await;
    let progress = Progress::new();
    registry.stop().expect("it stops");
    let error = within(runtime.pull(&image(&name), &progress)).await.expect_err("nobody serves it");
    assert!(error.is_retryable(), "{error}");
    registry.start_again(&run).expect("it starts");
    within(runtime.pull(&image(&name), &progress)).await.expect("it is pulled");
    registry.stop().expect("it stops");
    let outcome = within(runtime.pull(&image(&name), &progress)).await.expect("it is here");
    assert!(matches!(&outcome, PullOutcome::Local(error) if error.is_retryable()), "{outcome:?}");
}

async fn hosts_toml_is_obeyed(bench: &Bench, site: &mut Site<'_>) {
    let run = TestRun::new("runtime-containerd-hosts").expect("directories can be made");
    let (registry, name, _) = registry(&run, &site.options).await;
    let path = name.split_once('/').expect("a host and a path").1;
    let certs = run.scratch().join("certs.d");
    let dir = certs.join("mirrored.invalid");
    std::fs::create_dir_all(&dir).expect("a directory is made");
    let mirror = format!(
        "server = \"https://mirrored.invalid\"\n[host.\"{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n\
         [host.\"{0}\".header]\nauthorization = \"Basic dGluazpodW50ZXIy\"\n",
        registry.url()
    );
    std::fs::write(dir.join("hosts.toml"), mirror).expect("a file is written");
    let runtime = connect(&Options { certs_d: vec![certs], ..site.options.clone() }).await;
    let name = format!("mirrored.invalid/{path}");
    within(runtime.pull(&image(&name), &Progress::new())).await.expect("the mirror serves it");
    let mut spec = shell("cat /name");
    spec.image = image(&name);
    assert_eq!(bench.output_of(&spec).await, ["runtime-containerd-hosts"]);
}

async fn packed_layers_are_not_kept(_bench: &Bench, site: &mut Site<'_>) {
    let run = TestRun::new("runtime-containerd-packed").expect("directories can be made");
    let (_registry, name, runtime) = registry(&run, &site.options).await;
    within(runtime.pull(&image(&name), &Progress::new())).await.expect("it is pulled");
    let left = || ctr(site, &["content", "list"]).lines().filter(|line| line.contains("layer")).count();
    let gone = || if left() == 0 { Ok(()) } else { Err(ctr(site, &["content", "list"])) };
    eventually("no blob but documents", Duration::from_secs(20), gone).expect("layers are collected");
    assert!(ctr(site, &["images", "list", "--quiet"]).contains(&name));
}

/// Prints a number every 20 ms until it is told to end.
const COUNTER: &str =
    "i=0; while [ ! -e /shared/stop ]; do i=$((i+1)); echo $i; sleep 0.02; done; touch /shared/done; exit 7";

fn assert_contiguous(lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, (index + 1).to_string(), "a gap or a repeat");
    }
}

async fn output_and_wait_go_on_when_containerd_is_restarted(bench: &Bench, site: &mut Site<'_>) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spec = shell(COUNTER);
    spec.volumes = vec![format!("{}:/shared", dir.path().display())];
    let record = bench.start(&spec).await;
    let mut tail = bench.tail(&record);
    let wait = tokio::spawn({
        let (runtime, record) = (Arc::clone(&bench.runtime), record.clone());
        async move { runtime.wait(&record).await }
    });
    tail.line("20").await;
    site.daemon.stop().expect("containerd stops");
    assert!(within(bench.runtime.recover(&record)).await.expect_err("nobody answers").is_retryable());
    tail.line("100").await;
    site.daemon.start_again(site.run).expect("containerd starts");
    assert_eq!(within(bench.runtime.recover(&record)).await.expect("an answer"), Recovered::Running);
    tail.line("200").await;
    std::fs::write(dir.path().join("stop"), "").expect("it is told to end");
    assert_eq!(within(wait).await.expect("no panic").expect("an end").cause, ExitCause::Code(7));
    let lines = tail.finish().await.stdout();
    assert!(lines.len() >= 200);
    assert_contiguous(&lines);
    bench.remove(&record).await;
}

async fn an_end_while_containerd_is_away_is_not_lost(bench: &Bench, site: &mut Site<'_>) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spec = shell(COUNTER);
    spec.volumes = vec![format!("{}:/shared", dir.path().display())];
    let record = bench.start(&spec).await;
    let mut tail = bench.tail(&record);
    tail.line("5").await;
    site.daemon.stop().expect("containerd stops");
    std::fs::write(dir.path().join("stop"), "").expect("it is told to end");
    let done = dir.path().join("done");
    eventually("the end", DEADLINE, || if done.exists() { Ok(()) } else { Err("it runs") }).expect("it ends");
    site.daemon.start_again(site.run).expect("containerd starts");
    assert_contiguous(&tail.finish().await.stdout());
    let later = within((bench.again)()).await;
    let Recovered::Exited(status) = within(later.recover(&record)).await.expect("an answer") else {
        panic!("the exit is lost");
    };
    assert_eq!(status.cause, ExitCause::Code(7));
    assert_contiguous(&Tail::start(&later, &record, LogPosition::START).finish().await.stdout());
    bench.remove(&record).await;
}

/// Whatever containerd remembers of it: an action that is not found is run again.
async fn what_lost_its_shim_is_found_as_something_that_ran(bench: &Bench, site: &mut Site<'_>) {
    let spec = shell("echo up; sleep 1000");
    let record = bench.start(&spec).await;
    bench.tail(&record).line("up").await;
    for process in std::fs::read_dir("/proc").expect("there is a /proc").flatten() {
        let command = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        if command.contains("containerd-shim") && command.contains(&record.container) {
            let pid = process.file_name().to_string_lossy().parse().ok().and_then(rustix::process::Pid::from_raw);
            rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL).expect("it is killed");
        }
    }
    while within(bench.runtime.recover(&record)).await.expect("an answer") == Recovered::Running {
        tokio::task::yield_now().await;
    }
    // Also when containerd has cleaned up behind the shim, and says that there never was a task.
    let mut tasks = String::from(&record.container);
    while tasks.contains(&record.container) {
        tasks = within(async { ctr(site, &["tasks", "list", "--quiet"]) }).await;
        let found = within(bench.runtime.find(&spec.identity)).await.expect("an answer");
        assert_eq!(found.as_ref(), Some(&record));
    }
    bench.remove(&record).await;
}

/// As a containerd leaves it that was killed between the two calls: noted as something that may run, and a task of which its
/// shim says that it was not started.
async fn what_was_only_created_is_not_found_and_starts_anew(bench: &Bench, site: &mut Site<'_>) {
    let spec = shell("echo ran");
    let record = bench.start(&spec).await;
    bench.wait(&record).await;
    ctr(site, &["tasks", "delete", &record.container]);
    let found = within(bench.runtime.find(&spec.identity)).await.expect("an answer");
    assert_eq!(found.as_ref(), Some(&record), "without a task nobody knows");
    let rootfs = site.run.scratch().join("created");
    std::fs::create_dir_all(rootfs.join("bin")).expect("a directory");
    std::fs::copy(tink_e2e::system_program("busybox").expect("busybox"), rootfs.join("bin/sh")).expect("a shell");
    create_task(site, &record.container, &rootfs).await;
    assert_eq!(within(bench.runtime.find(&spec.identity)).await.expect("an answer"), None);
    let again = bench.start(&spec).await;
    assert!(bench.wait(&again).await.success());
    bench.remove(&again).await;
}

/// Creates a container's task, and does not start it.
async fn create_task(site: &Site<'_>, container: &str, rootfs: &Path) {
    let socket = site.options.containerd_socket.clone();
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = tonic::transport::Endpoint::from_static("http://containerd").connect_with_connector_lazy(connector);
    let bind = Mount {
        r#type: "bind".to_owned(),
        source: rootfs.display().to_string(),
        options: vec!["rbind".to_owned(), "rw".to_owned()],
        ..Mount::default()
    };
    let create =
        CreateTaskRequest { container_id: container.to_owned(), rootfs: vec![bind], ..CreateTaskRequest::default() };
    let mut request = tonic::Request::new(create);
    request.metadata_mut().insert("containerd-namespace", "tinkerbell".parse().expect("a plain word"));
    within(TasksClient::new(channel).create(request)).await.expect("it is created");
}
