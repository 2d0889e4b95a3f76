//! The command line as people and scripts use it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal};
use tink_e2e::stack::{DEADLINE, Stack, manifests, path_text};
use tink_e2e::{Dockerd, Finished, Process, TestRun, binary_path, scenario};

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs `tink` in the root of the workspace, with no server.
fn tink(run: &TestRun, args: &[&str]) -> Result<Finished> {
    let mut process = Process::binary("tink")?.current_dir(workspace()).args(args).start(run)?;
    let status = process.wait(DEADLINE * 3)?;
    Ok(Finished { code: status.code(), stdout: process.stdout().text(), stderr: process.stderr().text() })
}

#[test]
fn up_runs_the_hello_example_to_success_on_both_runtimes() -> Result<()> {
    scenario("up_runs_the_hello_example_to_success_on_both_runtimes", |run| {
        let engine = Dockerd::shared()?;
        let socket = path_text(engine.socket())?;
        for runtime in [&["--runtime", "embedded"][..], &["--runtime", "docker", "--docker-socket", socket]] {
            let args = [&["up", "examples/hello", "--plain"][..], runtime].concat();
            let up = tink(run, &args)?;
            assert_eq!(up.code, Some(0), "{}{}", up.stdout, up.stderr);
            for wanted in ["hello, hello-machine", "5 of 5", "goodbye", "workflow hello SUCCESS"] {
                ensure!(
                    up.stdout.contains(wanted),
                    "{wanted:?} is missing with {runtime:?}:\n{}{}",
                    up.stdout,
                    up.stderr
                );
            }
        }
        Ok(())
    })
}

#[test]
fn an_action_program_ends_at_a_signal_as_the_first_process_of_a_namespace_too() -> Result<()> {
    scenario("an_action_program_ends_at_a_signal_as_the_first_process_of_a_namespace_too", |run| {
        let tink = binary_path("tink")?;
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
            let mut unshare = Process::program("unshare")?
                .args(["--pid", "--fork", "--kill-child", path_text(&tink)?])
                .args(["action", "count", "--to", "2", "--delay-ms", "3600000"])
                .start(run)?;
            unshare.stdout().wait_for_line("1 of 2", DEADLINE)?;
            let pid = unshare.pid();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
            let first = children.trim().parse().ok().and_then(Pid::from_raw).context("unshare has not one child")?;
            rustix::process::kill_process(first, signal)?;
            let status = unshare.wait(DEADLINE)?;
            assert_eq!(status.code(), Some(code), "{signal:?}");
        }
        Ok(())
    })
}

#[test]
fn up_and_run_tell_by_their_exit_code_how_it_ended() -> Result<()> {
    scenario("up_and_run_tell_by_their_exit_code_how_it_ended", |run| {
        let action = |command: &str, timeout: u32| {
            format!(
                "- name: only\n  worker: w\n  actions:\n  - name: one\n    image: localhost/tink-actions\n    timeout: {timeout}\n    command: {command}\n"
            )
        };
        for (name, command, timeout, code) in [
            ("succeeds", "[greet]", 60, 0),
            ("fails", "[dance]", 60, 3),
            ("times-out", "[count, --to, \"100\", --delay-ms, \"1000\"]", 1, 4),
        ] {
            let folder = run.scratch().join(name);
            fs::create_dir(&folder)?;
            let file = folder.join("all.yaml");
            fs::write(&file, manifests(name, &action(command, timeout)))?;
            for args in [["up", path_text(&folder)?], ["run", path_text(&file)?]] {
                let args = [&args[..], &["--runtime", "embedded", "--plain"]].concat();
                let finished = tink(run, &args)?;
                assert_eq!(finished.code, Some(code), "{args:?}: {}{}", finished.stdout, finished.stderr);
                if name == "fails" {
                    ensure!(finished.stdout.contains("exit code 64"), "{}", finished.stdout);
                    ensure!(finished.stdout.contains("there is no action program"), "{}", finished.stdout);
                }
            }
        }
        Ok(())
    })
}

#[test]
fn a_rendered_template_runs_without_a_server() -> Result<()> {
    scenario("a_rendered_template_runs_without_a_server", |run| {
        let template = "version: \"0.1\"\nname: plain\nglobal_timeout: 60\ntasks:\n  - name: only\n    worker: \"{{ .device_1 }}\"\n    actions:\n      - name: greets\n        image: localhost/tink-actions\n        timeout: 60\n        command: [greet, \"{{ .device_1 }}\"]\n";
        let source = run.scratch().join("template.yaml");
        fs::write(&source, template)?;
        let source = path_text(&source)?;
        let rendered = tink(run, &["template", "render", source, "--set", "device_1=machine-7"])?;
        assert_eq!(rendered.code, Some(0), "{}", rendered.stderr);
        let file = run.scratch().join("rendered.yaml");
        fs::write(&file, &rendered.stdout)?;
        let direct = tink(run, &["run", source, "--set", "device_1=machine-7", "--runtime", "embedded", "--plain"])?;
        for ran in [tink(run, &["run", path_text(&file)?, "--runtime", "embedded", "--plain"])?, direct] {
            assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
            ensure!(ran.stdout.contains("hello, machine-7"), "{}", ran.stdout);
        }
        Ok(())
    })
}

#[test]
fn lint_names_line_column_and_what_is_allowed() -> Result<()> {
    scenario("lint_names_line_column_and_what_is_allowed", |run| {
        let broken = [
            ("syntax", "version: \"0.1\"\nname: {{ .x | nosuch }}\n", "nosuch"),
            ("missing", "version: \"0.1\"\nname: a\ntasks:\n  - name: {{ .devise_1 }}\n", "device_1"),
            (
                "image",
                "version: \"0.1\"\nname: a\ntasks:\n  - name: t\n    worker: w\n    actions:\n      - name: a\n        image: Bad//Image\n",
                "image",
            ),
            ("yaml", "version: \"0.1\"\nname: [a\ntasks: {}\n", ""),
        ];
        for (name, text, word) in broken {
            let file = run.scratch().join(name);
            fs::write(&file, text)?;
            let linted = tink(run, &["template", "lint", path_text(&file)?, "--set", "device_1=x"])?;
            assert_ne!(linted.code, Some(0), "{name}: {}", linted.stdout);
            let said = format!("{}{}", linted.stdout, linted.stderr);
            ensure!(said.contains(word), "{name}: {word:?} is missing in {said}");
            ensure!(said.contains(&format!("{name}:")), "{name}: no place in {said}");
        }
        for entry in fs::read_dir(workspace().join("examples"))?.flatten().filter(|entry| entry.path().is_dir()) {
            let folder = entry.path();
            let args = ["template", "lint", path_text(&folder.join("template.yaml"))?].map(str::to_owned);
            let linted = tink(run, &args.iter().map(String::as_str).collect::<Vec<_>>())?;
            assert_eq!(linted.code, Some(0), "{}: {}{}", folder.display(), linted.stdout, linted.stderr);
        }
        Ok(())
    })
}

#[test]
fn wrong_calls_have_their_own_exit_codes() -> Result<()> {
    scenario("wrong_calls_have_their_own_exit_codes", |run| {
        let unreachable = ["--server", "http://127.0.0.1:1", "workflow", "list"];
        for (args, code) in [
            (&["no-such-command"][..], 64),
            (&["up", "/nonexistent"], 64),
            (&["run", "/nonexistent"], 64),
            (&unreachable, 69),
            (&["--help"], 0),
            (&["--version"], 0),
            (&["completion", "bash"], 0),
        ] {
            let finished = tink(run, args)?;
            assert_eq!(finished.code, Some(code), "{args:?}: {}{}", finished.stdout, finished.stderr);
        }
        Ok(())
    })
}

#[test]
fn objects_are_applied_shown_and_deleted() -> Result<()> {
    scenario("objects_are_applied_shown_and_deleted", |run| {
        let stack = Stack::start(run)?;
        let example = workspace().join("examples/ubuntu");
        let example = path_text(&example)?;
        stack.tink_ok(["apply", "-f", example])?;
        let again = stack.tink_ok(["template", "apply", "-f", &format!("{example}/template.yaml")])?;
        ensure!(again.contains("unchanged"), "{again}");
        let hardware: serde_json::Value = serde_json::from_str(&stack.tink_ok(["hardware", "list", "-o", "json"])?)?;
        let name = hardware[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        assert_eq!(hardware[0]["kind"], "Hardware");
        let one = stack.tink_ok(["hardware", "get", &name, "-o", "yaml"])?;
        ensure!(one.contains("kind: Hardware") && one.contains(&name), "{one}");
        let workflows: serde_json::Value = serde_json::from_str(&stack.tink_ok(["workflow", "list", "-o", "json"])?)?;
        assert_eq!(workflows[0]["status"]["state"], "PENDING");
        stack.tink_ok(["hardware", "delete", &name])?;
        assert_eq!(stack.tink(["hardware", "get", &name])?.code, Some(1));
        let twice = stack.tink(["apply", "-f", example])?;
        assert_eq!(twice.code, Some(1), "{}", twice.stderr);
        ensure!(twice.stderr.contains("exists"), "{}", twice.stderr);
        Ok(())
    })
}

#[test]
fn health_readiness_and_metrics_are_served() -> Result<()> {
    scenario("health_readiness_and_metrics_are_served", |run| {
        let stack = Stack::start(run)?;
        assert_eq!(stack.get("/healthz")?.0, 200);
        assert_eq!(stack.get("/readyz")?.0, 200);
        let (status, metrics) = stack.get("/metrics")?;
        assert_eq!(status, 200);
        ensure!(metrics.contains("# TYPE") && metrics.contains("tink_"), "{metrics}");
        Ok(())
    })
}
