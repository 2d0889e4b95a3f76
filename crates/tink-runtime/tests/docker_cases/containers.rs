//! Containers as only Docker has them: leftovers of other agents, named volumes, terminals.

use tink_runtime::ExitCause;

use super::{BUSYBOX, shared, test_run, within};
use crate::bench;
use crate::contract::shell;

/// Upstream's agent leaves its containers behind when it is killed: same name, no labels.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leftover_of_an_earlier_agent_is_replaced() {
    let (bench, run) = (bench().await, test_run("dead-leftover"));
    for leave in [&["create"][..], &["run", "--network=none"]] {
        let spec = shell("exit 6");
        let name = spec.identity.container_name();
        let args = [leave, &["--name", &name, BUSYBOX, "true"]].concat();
        shared().run(&run, args).expect("a leftover");
        let record = bench.start(&spec).await;
        assert_eq!(bench.wait(&record).await.cause, ExitCause::Code(6));
        bench.remove(&record).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_container_of_somebody_else_is_left_alone() {
    let (bench, run) = (bench().await, test_run("foreign"));
    let spec = shell("true");
    let name = spec.identity.container_name();
    shared().run(&run, ["run", "--detach", "--network=none", "--name", &name, BUSYBOX, "sleep", "1000"]).expect("one");
    let error = within(bench.runtime.start(&spec)).await.expect_err("the name is taken");
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().contains(&format!("docker rm --force {name}")), "{error}");
    let state = shared().run(&run, ["inspect", "--format", "{{.State.Running}}", &name]).expect("it is there");
    assert_eq!(state.stdout.trim(), "true");
    shared().run(&run, ["rm", "--force", &name]).expect("removed");
}

/// A worker that died between create and start.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_created_and_never_started_is_replaced() {
    let (bench, run) = (bench().await, test_run("never-started"));
    let spec = shell("exit 8");
    let name = spec.identity.container_name();
    let mut args = vec!["create".to_owned(), "--name".to_owned(), name];
    for (key, value) in spec.identity.labels() {
        args.extend(["--label".to_owned(), format!("{key}={value}")]);
    }
    args.extend([BUSYBOX.to_owned(), "true".to_owned()]);
    shared().run(&run, args).expect("a leftover");
    let record = bench.start(&spec).await;
    assert_eq!(bench.wait(&record).await.cause, ExitCause::Code(8));
    assert_eq!(within(bench.runtime.find(&spec.identity)).await.expect("an answer"), Some(record.clone()));
    bench.remove(&record).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_volumes_go_with_their_container_and_named_ones_stay() {
    let (bench, run) = (bench().await, test_run("volumes"));
    let named = format!("named-{}", std::process::id());
    let mut spec = shell("touch /anonymous/x /named/x");
    spec.volumes = vec!["/anonymous".to_owned(), format!("{named}:/named")];
    let record = bench.start(&spec).await;
    assert!(bench.wait(&record).await.success());
    let format = "{{range .Mounts}}{{.Name}} {{end}}";
    let mounts = shared().run(&run, ["inspect", "--format", format, &record.container]).expect("it is there").stdout;
    let anonymous = mounts.split_whitespace().find(|name| *name != named).expect("an anonymous volume").to_owned();
    bench.remove(&record).await;
    let volumes = shared().run(&run, ["volume", "ls", "--quiet"]).expect("volumes").stdout;
    assert!(volumes.lines().any(|line| line == named), "{volumes}");
    assert!(!volumes.lines().any(|line| line == anonymous), "{volumes}");
    shared().run(&run, ["volume", "rm", &named]).expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_given_where_asked_for() {
    let bench = bench().await;
    let script = r"if [ -t 1 ]; then printf 'terminal\r10 %%\rdone\n'; else echo pipe; fi";
    let mut spec = shell(script);
    assert_eq!(bench.output_of(&spec).await, ["pipe"]);
    spec = shell(script);
    spec.tty = true;
    assert_eq!(bench.output_of(&spec).await, ["terminal", "10 %", "done"]);
}
