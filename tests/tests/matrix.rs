//! One workflow by every generation of the wire under every container engine: all succeed, and the actions see the same.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tink_e2e::stack::{Stack, action_of, path_text};
use tink_e2e::{Containerd, Dockerd, Engine, Launch, Registry, TestImage, TestRun, scenario};

const PROTOCOLS: [&str; 3] = ["2025", "2023", "2021"];
const RUNTIMES: [&str; 3] = ["docker", "containerd", "embedded"];

/// What an action sees, in lines. Left out is what differs between any two containers, and what the wire of 2021 adds on
/// purpose: a terminal, and `/workflow`.
const LOOK: &str = "{ echo args $0 \"$@\"; env | grep -vE '^(HOSTNAME|TERM|SHLVL|_)=' | sort; id; pwd; \
    grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; cat /given/file; \
    touch /given/x 2> /dev/null && echo given is writable; test -b /dev/loop0 && echo has devices; \
    ls -d /dev/shm /dev/pts /proc/1 /sys/class/net; test -w /sys/kernel && echo /sys is writable; } > /seen/seen";

/// Where workflows run.
struct Site<'r> {
    run: &'r TestRun,
    stack: Stack<'r>,
    docker: Engine,
    containerd: Containerd,
    registry: Registry,
    image: String,
}

impl<'r> Site<'r> {
    fn start(run: &'r TestRun) -> Result<Self> {
        let registry = Registry::launch(run).start()?;
        let image = TestImage::busybox()?.env("OF_IMAGE", "image").env("LAID_OVER", "image").working_dir("/srv");
        let image = registry.push("matrix/busybox", "v1", &image.directory("srv", 0o755).build()?)?.reference;
        let (stack, containerd) = (Stack::start(run)?, Containerd::start(run)?);
        Ok(Self { run, stack, docker: Dockerd::shared()?, containerd, registry, image })
    }

    fn worker(&self, id: &str, protocol: &str, runtime: &str) -> Result<Launch> {
        let launch = self.stack.worker(id)?.args(["--protocol", protocol, "--runtime", runtime]);
        Ok(launch
            .arg("--docker-socket")
            .arg(self.docker.socket())
            .arg("--containerd-socket")
            .arg(self.containerd.socket())
            .arg("--containerd-data-root")
            .arg(self.run.scratch().join("nerdctl"))
            .arg("--workflow-data-dir")
            .arg(self.run.scratch().join(format!("data-{id}")))
            .args(["--insecure-registries", &self.registry.address()]))
    }

    /// Runs the workflow and answers with what its action saw.
    fn run(&self, protocol: &str, runtime: &str) -> Result<String> {
        let id = format!("{runtime}-{protocol}");
        let own = self.run.scratch().join(&id);
        for dir in ["seen", "given"] {
            fs::create_dir_all(own.join(dir))?;
        }
        fs::write(own.join("given/file"), "given\n")?;
        let own = path_text(&own)?;
        let _worker = self.worker(&id, protocol, runtime)?.start(self.run)?;
        let script = Value::from(LOOK);
        let image = &self.image;
        let action = |name: &str, more: &str| format!("  - name: {name}\n    image: {image}\n    timeout: 60\n{more}");
        let look = action(
            "look",
            &format!(
                "    command: [sh, -c, {script}, zero, one, \"two words\"]\n    environment: {{LAID_OVER: action}}\n    \
                 volumes: [\"{own}/seen:/seen\", \"{own}/given:/given:ro\"]\n"
            ),
        );
        let end = action("end", "    command: [\"true\"]\n");
        let tasks = format!(
            "- name: only\n  worker: {id}\n  environment: {{OF_TASK: task, LAID_OVER: task}}\n  volumes: [/dev:/dev]\n  actions:\n{look}{end}"
        );
        self.stack.create(&id, &tasks)?;
        let workflow = self.stack.wait_for_state(&id, "SUCCESS").with_context(|| format!("{protocol}, {runtime}"))?;
        for name in ["look", "end"] {
            ensure!(action_of(&workflow, name)?["state"] == "SUCCESS", "{id}: {workflow}");
        }
        let seen = fs::read_to_string(format!("{own}/seen/seen"))?;
        ensure!(seen.lines().count() > 12, "{id}: the action saw only {seen:?}");
        Ok(seen)
    }
}

#[test]
fn every_protocol_succeeds_under_every_runtime_and_the_action_sees_the_same() -> Result<()> {
    scenario("every_protocol_succeeds_under_every_runtime_and_the_action_sees_the_same", |run| {
        let site = Site::start(run)?;
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for protocol in PROTOCOLS {
            for runtime in RUNTIMES {
                all.entry(site.run(protocol, runtime)?).or_default().push(format!("{protocol} {runtime}"));
            }
        }
        ensure!(all.len() == 1, "the actions saw different things: {all:#?}");
        ensure!(all.values().map(Vec::len).sum::<usize>() == 9, "{all:#?}");
        Ok(())
    })
}
