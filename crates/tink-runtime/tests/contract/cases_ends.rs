//! How containers end, by themselves and by force.

use std::time::Duration;

use tink_runtime::{ExitCause, Recovered};

use super::{Bench, MISSING, image, shell, within};

pub async fn code_0_is_success(bench: &Bench) {
    let (status, _) = bench.run(&shell("true")).await;
    assert!(status.success());
    assert_eq!((status.cause, status.oom), (ExitCause::Code(0), false));
}

pub async fn an_exit_code_is_reported_with_its_times(bench: &Bench) {
    for code in [1, 7, 127, 255] {
        let (status, _) = bench.run(&shell(&format!("exit {code}"))).await;
        assert_eq!(status.cause, ExitCause::Code(code));
        assert!(!status.success());
        let (started, stopped) = (status.started_at.expect("a start"), status.stopped_at.expect("an end"));
        assert!(started <= stopped, "{started} {stopped}");
    }
}

pub async fn a_death_by_signal_is_reported(bench: &Bench) {
    for (name, signal) in [("KILL", 9), ("SEGV", 11), ("TERM", 15)] {
        // Process 1 of a namespace of its own cannot be killed from inside.
        let mut spec = shell(&format!("kill -{name} $$; sleep 1000"));
        spec.pid = "host".to_owned();
        let (status, _) = bench.run(&spec).await;
        assert_eq!(status.cause, ExitCause::Signal(signal), "{name}");
    }
}

pub async fn a_program_that_ends_at_once_is_not_missed(bench: &Bench) {
    for _ in 0..5 {
        let record = bench.start(&shell("exit 3")).await;
        let tail = bench.tail(&record);
        assert_eq!(bench.wait(&record).await.cause, ExitCause::Code(3));
        // And again, for a caller that forgot.
        assert_eq!(bench.wait(&record).await.cause, ExitCause::Code(3));
        assert!(tail.finish().await.0.is_empty());
        bench.remove(&record).await;
    }
}

pub async fn a_missing_image_is_permanent(bench: &Bench) {
    let mut spec = shell("true");
    spec.image = image(MISSING);
    let error = within(bench.runtime.start(&spec)).await.expect_err("there is no such image");
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().contains("contract.invalid/missing"), "{error}");
}

pub async fn a_missing_program_is_permanent_and_leaves_nothing(bench: &Bench) {
    let mut spec = shell("true");
    spec.command = vec!["no-such-program".to_owned()];
    let error = within(bench.runtime.start(&spec)).await.expect_err("there is no such program");
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().contains("no-such-program"), "{error}");
    assert_eq!(within(bench.runtime.find(&spec.identity)).await.expect("the engine answers"), None);
}

pub async fn a_program_that_ends_on_sigterm_is_not_killed(bench: &Bench) {
    let spec = shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    let record = bench.start(&spec).await;
    let mut tail = bench.tail(&record);
    tail.line("ready").await;
    within(bench.runtime.stop(&record, Duration::from_secs(60))).await.expect("it is stopped");
    assert_eq!(bench.wait(&record).await.cause, ExitCause::Code(3));
    assert_eq!(tail.finish().await.stdout(), ["ready", "bye"]);
    bench.remove(&record).await;
}

pub async fn a_program_that_ignores_sigterm_is_killed_after_the_grace(bench: &Bench) {
    let record = bench.start(&shell("trap '' TERM; echo ready; while :; do sleep 0.05; done")).await;
    let mut tail = bench.tail(&record);
    tail.line("ready").await;
    within(bench.runtime.stop(&record, Duration::from_millis(300))).await.expect("it is stopped");
    assert_eq!(bench.wait(&record).await.cause, ExitCause::Signal(9));
    assert_eq!(tail.finish().await.stdout(), ["ready"]);
    bench.remove(&record).await;
}

pub async fn stopping_reaches_what_the_program_started(bench: &Bench) {
    for pid in ["", "host"] {
        let mark = format!("{}.75", 30_000_000 + u64::from(std::process::id()));
        let mut spec = shell(&format!("trap '' TERM; setsid sleep {mark} & echo ready; while :; do sleep 0.05; done"));
        spec.pid = pid.to_owned();
        let record = bench.start(&spec).await;
        bench.tail(&record).line("ready").await;
        within(bench.runtime.stop(&record, Duration::from_millis(300))).await.expect("it is stopped");
        bench.remove(&record).await;
        assert_eq!(processes_with(&mark), Vec::<String>::new(), "pid {pid:?}");
    }
}

/// The processes of the machine that have this argument.
fn processes_with(argument: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("there is a /proc").flatten();
    let command = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("cmdline")).ok();
    entries.filter_map(command).filter(|command| command.split('\0').any(|word| word == argument)).collect()
}

pub async fn stopping_what_has_ended_is_no_error(bench: &Bench) {
    let record = bench.start(&shell("true")).await;
    bench.wait(&record).await;
    within(bench.runtime.stop(&record, Duration::from_secs(1))).await.expect("stopped again");
    assert!(bench.wait(&record).await.success());
    bench.remove(&record).await;
    within(bench.runtime.stop(&record, Duration::from_secs(1))).await.expect("nothing to stop");
}

pub async fn removing_twice_is_no_error(bench: &Bench) {
    let record = bench.start(&shell("true")).await;
    bench.wait(&record).await;
    bench.remove(&record).await;
    bench.remove(&record).await;
}

pub async fn removing_a_running_container_ends_it(bench: &Bench) {
    let record = bench.start(&shell("sleep 1000")).await;
    bench.remove(&record).await;
    assert_eq!(within(bench.runtime.recover(&record)).await.expect("an answer"), Recovered::Gone);
}
