//! Containers are found again.

use std::sync::Arc;
use std::time::Duration;

use tink_runtime::{ExitCause, HandleRecord, LogPosition, Recovered};

use super::{Bench, Tail, shell, within};

pub async fn a_dropped_wait_leaves_the_container_alone(bench: &Bench) {
    let record = bench.start(&shell("sleep 1000")).await;
    let wait = tokio::time::timeout(Duration::from_millis(100), bench.runtime.wait(&record)).await;
    assert!(wait.is_err(), "it has ended: {wait:?}");
    assert_eq!(within(bench.runtime.recover(&record)).await.expect("an answer"), Recovered::Running);
    bench.remove(&record).await;
}

/// What a restarted worker has: what it wrote down.
fn written_down(record: &HandleRecord) -> HandleRecord {
    let text = serde_json::to_string(record).expect("a record can be written");
    serde_json::from_str(&text).expect("a record can be read")
}

pub async fn a_restarted_worker_finds_its_container_running(bench: &Bench) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spec = shell("echo before; until [ -e /shared/go ]; do sleep 0.05; done; echo after; exit 5");
    spec.volumes = vec![format!("{}:/shared", dir.path().display())];
    let record = bench.start(&spec).await;
    let mut first = bench.tail(&record);
    first.line("before").await;
    let seen = first.kill().await.end();

    let later = within((bench.again)()).await;
    let record = written_down(&record);
    assert_eq!(within(later.recover(&record)).await.expect("an answer"), Recovered::Running);
    let tail = Tail::start(&later, &record, seen);
    let wait = tokio::spawn({
        let (later, record) = (Arc::clone(&later), record.clone());
        async move { later.wait(&record).await }
    });
    std::fs::write(dir.path().join("go"), "").expect("a file is written");
    let status = within(wait).await.expect("no panic").expect("it ends");
    assert_eq!(status.cause, ExitCause::Code(5));
    assert_eq!(tail.finish().await.stdout(), ["after"]);
    bench.remove(&record).await;
}

pub async fn a_restarted_worker_learns_how_its_container_ended(bench: &Bench) {
    let record = bench.start(&shell("echo last words; exit 9")).await;
    let status = bench.wait(&record).await;
    let later = within((bench.again)()).await;
    let record = written_down(&record);
    assert_eq!(within(later.recover(&record)).await.expect("an answer"), Recovered::Exited(status.clone()));
    assert_eq!(within(later.wait(&record)).await.expect("an end"), status);
    assert_eq!(Tail::start(&later, &record, LogPosition::START).finish().await.stdout(), ["last words"]);
    within(later.remove(&record)).await.expect("removed");
}

pub async fn a_removed_container_is_gone(bench: &Bench) {
    let record = bench.start(&shell("true")).await;
    bench.wait(&record).await;
    bench.remove(&record).await;
    assert_eq!(within(bench.runtime.recover(&record)).await.expect("an answer"), Recovered::Gone);
    let error = within(bench.runtime.wait(&record)).await.expect_err("how it ended is not known");
    assert!(!error.is_retryable(), "{error}");
}

pub async fn a_container_is_found_by_its_identity(bench: &Bench) {
    let spec = shell("sleep 1000");
    let find = async |identity| within(bench.runtime.find(identity)).await.expect("an answer");
    assert_eq!(find(&spec.identity).await, None);
    let record = bench.start(&spec).await;
    assert_eq!(find(&spec.identity).await.as_ref(), Some(&record));
    let later = within((bench.again)()).await;
    assert_eq!(within(later.find(&spec.identity)).await.expect("an answer").as_ref(), Some(&record));
    let mut other = spec.identity.clone();
    other.attempt = 2;
    assert_eq!(find(&other).await, None);
    within(bench.runtime.stop(&record, Duration::ZERO)).await.expect("it is stopped");
    assert_eq!(find(&spec.identity).await.as_ref(), Some(&record), "one that has ended is found, too");
    bench.remove(&record).await;
    assert_eq!(find(&spec.identity).await, None);
}

pub async fn starting_what_runs_already_takes_it_up(bench: &Bench) {
    let spec = shell("echo once; sleep 1000");
    let record = bench.start(&spec).await;
    bench.tail(&record).line("once").await;
    let later = within((bench.again)()).await;
    assert_eq!(within(later.start(&spec)).await.expect("taken up"), record);
    within(bench.runtime.stop(&record, Duration::ZERO)).await.expect("it is stopped");
    assert_eq!(bench.tail(&record).finish().await.stdout(), ["once"]);
    bench.remove(&record).await;
}

pub async fn a_leftover_that_has_ended_is_replaced(bench: &Bench) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spec = shell("echo run >> /shared/runs; exit 4");
    spec.volumes = vec![format!("{}:/shared", dir.path().display())];
    let first = bench.start(&spec).await;
    bench.wait(&first).await;
    let second = bench.start(&spec).await;
    assert_eq!(bench.wait(&second).await.cause, ExitCause::Code(4));
    let runs = std::fs::read_to_string(dir.path().join("runs")).expect("it ran");
    assert_eq!(runs, "run\nrun\n");
    bench.remove(&second).await;
}

pub async fn each_attempt_has_a_container_and_files_of_its_own(bench: &Bench) {
    let mut spec = shell("if [ -e /tmp/mark ]; then echo old; else echo fresh; fi; touch /tmp/mark");
    let first = bench.start(&spec).await;
    bench.wait(&first).await;
    spec.identity.attempt = 2;
    let second = bench.start(&spec).await;
    assert_ne!(first.container, second.container);
    for record in [&first, &second] {
        assert_eq!(bench.tail(record).finish().await.stdout(), ["fresh"]);
        bench.remove(record).await;
    }
}

pub async fn containers_run_beside_each_other(bench: &Bench) {
    let dir = tempfile::tempdir().expect("a directory");
    // Each ends only when the other has begun.
    let script = |mine: &str, other: &str| {
        let mut spec = shell(&format!("touch /shared/{mine}; until [ -e /shared/{other} ]; do sleep 0.05; done"));
        spec.volumes = vec![format!("{}:/shared", dir.path().display())];
        spec
    };
    let (left, right) = (script("a", "b"), script("b", "a"));
    let ends = within(async { tokio::join!(bench.run(&left), bench.run(&right)) }).await;
    assert!(ends.0.0.success() && ends.1.0.success(), "{ends:?}");
}
