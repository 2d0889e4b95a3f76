//! The worker's image and binary in the place of upstream's, started as the installer systems start theirs: OSIE of 2021,
//! Hook, CaptainOS. Nothing else is changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tink_e2e::site::{image_of, shell_action, task};
use tink_e2e::stack::{DEADLINE, Stack, path_text};
use tink_e2e::{Containerd, Dockerd, Launch, Process, ProductImage, Registry, TestRun, eventually, scenario};
use tink_images::Product;

const USER: &str = "admin";
const PASSWORD: &str = "correct-horse-battery";

/// The directory that OSIE and Hook make on the host and mount into the worker; engines on the host resolve binds in it.
const WORKER_DIR: &str = "/worker";

/// What a test left in [`WORKER_DIR`] goes with it.
struct Leftover(PathBuf);

impl Leftover {
    fn in_worker_dir(name: &str) -> Result<Self> {
        let path = Path::new(WORKER_DIR).join(name);
        ensure!(!path.exists(), "{} is there already", path.display());
        Ok(Self(path))
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let _ = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
    }
}

/// A machine with an engine of its own, the worker's image on it, and a registry.
struct Machine {
    engine: Dockerd,
    image: ProductImage,
    registry: Registry,
}

impl Machine {
    fn start(run: &TestRun) -> Result<Self> {
        let registry = Registry::launch(run).auth(USER, PASSWORD).start()?;
        let busybox = image_of(run)?;
        registry.push("actions/busybox", "v1", &busybox)?;
        let engine = Dockerd::start(run)?;
        let image = ProductImage::pack(run, Product::Worker)?;
        image.load(run, &engine)?;
        Ok(Self { engine, image, registry })
    }

    /// `docker run` with what every launcher says; the engine's socket is where actions look for it.
    fn run(&self, run: &TestRun, more: &[&str], env: &[(&str, &str)]) -> Result<Launch> {
        let socket = format!("{}:/var/run/docker.sock", path_text(self.engine.socket())?);
        let mount = format!("{WORKER_DIR}:{WORKER_DIR}");
        let mut launch = self.engine.docker(run)?.named("docker-run");
        launch = launch.args(["run", "--privileged", "--name", "tink-worker", "--net", "host"]).args(more);
        for (name, value) in env {
            launch = launch.args(["-e", &format!("{name}={value}")]);
        }
        Ok(launch.args(["-v", &mount, "-v", &socket, self.image.reference()]))
    }

    fn inspect(&self, run: &TestRun, format: &str) -> Result<String> {
        Ok(self.engine.run(run, ["inspect", "--format", format, "tink-worker"])?.stdout.trim().to_owned())
    }
}

#[test]
fn osie_starts_it_with_eight_variables_and_its_templates_mean_what_they_meant() -> Result<()> {
    scenario("osie_starts_it_with_eight_variables_and_its_templates_mean_what_they_meant", |run| {
        let id = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
        let (data, broken) = (Leftover::in_worker_dir("osie-data")?, Leftover::in_worker_dir("osie-broken")?);
        let machine = Machine::start(run)?;
        let mut stack = Stack::start_with_tls(run)?;
        // The server comes up after the machine.
        stack.stop_server()?;
        let env = [
            ("container_uuid", "7f3e1a60-0000-4000-8000-000000000000"),
            ("WORKER_ID", id),
            ("ID", id),
            ("DOCKER_REGISTRY", &machine.registry.address()),
            ("TINKERBELL_GRPC_AUTHORITY", stack.grpc()),
            ("TINKERBELL_CERT_URL", &stack.cert_url()),
            ("REGISTRY_USERNAME", USER),
            ("REGISTRY_PASSWORD", PASSWORD),
        ];
        let worker = machine.run(run, &["-t"], &env)?.start(run)?;
        worker.stdout().wait_for_line("the server's certificate cannot be had", DEADLINE)?;
        stack.start_server()?;
        let line = worker.stdout().wait_for_line("the server speaks this protocol", DEADLINE)?;
        ensure!(line.contains("2021"), "{line}");

        // The image is found below the registry; actions have a terminal, and one document that goes by the server.
        let image = "actions/busybox:v1";
        let writes =
            r#"test -t 1 && test "$(cat /workflow/data)" = "{}" && echo '{"disk":"/dev/sda"}' > /workflow/data"#;
        let reads = "grep -q /dev/sda /workflow/data && echo kept > /workflow/seen";
        stack.create(
            "osie-data",
            &task(
                "only",
                id,
                &[
                    shell_action("writes", image, writes, ""),
                    shell_action("reads", image, reads, ""),
                    shell_action("ends", image, "true", ""),
                ],
            ),
        )?;
        stack.wait_for_state("osie-data", "SUCCESS")?;
        assert_eq!(fs::read_to_string(data.0.join("seen"))?, "kept\n");

        // A failed action ends neither its hook nor the worker.
        let hook = "on-failure: [sh, -c, \"echo mended > /workflow/hook\"]";
        stack.create("osie-broken", &task("only", id, &[shell_action("breaks", image, "exit 3", hook)]))?;
        stack.wait_for_state("osie-broken", "FAILED")?;
        eventually("the on-failure command to have run", DEADLINE, || {
            let text = fs::read_to_string(broken.0.join("hook")).unwrap_or_default();
            if text == "mended\n" { Ok(()) } else { Err(text) }
        })?;
        let again = Leftover::in_worker_dir("osie-again")?;
        stack.create("osie-again", &task("only", id, &[shell_action("works", image, "true", "")]))?;
        stack.wait_for_state("osie-again", "SUCCESS")?;
        ensure!(again.0.join("data").is_file(), "the workflow has no data file");
        assert_eq!(machine.inspect(run, "{{.State.Running}}")?, "true");
        ensure!(!worker.stdout().text().contains(PASSWORD), "the password leaked");
        Ok(())
    })
}

#[test]
fn hook_starts_it_with_an_environment_alone_and_it_never_ends() -> Result<()> {
    scenario("hook_starts_it_with_an_environment_alone_and_it_never_ends", |run| {
        let id = "02:00:00:00:00:07";
        let reboot = Leftover::in_worker_dir("reboot")?;
        let machine = Machine::start(run)?;
        let mut stack = Stack::start(run)?;
        let env = [
            ("DOCKER_REGISTRY", machine.registry.address()),
            ("REGISTRY_USERNAME", USER.to_owned()),
            ("REGISTRY_PASSWORD", PASSWORD.to_owned()),
            ("TINKERBELL_GRPC_AUTHORITY", stack.grpc().to_owned()),
            ("TINKERBELL_TLS", "false".to_owned()),
            ("TINKERBELL_INSECURE_TLS", String::new()),
            ("WORKER_ID", id.to_owned()),
            ("ID", id.to_owned()),
            ("HTTP_PROXY", String::new()),
            ("HTTPS_PROXY", String::new()),
            ("NO_PROXY", String::new()),
        ];
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let binds = ["-d", "-v", "/dev:/dev", "-v", "/run:/run"];
        let mut started = machine.run(run, &binds, &env)?.start(run)?;
        ensure!(started.wait(DEADLINE)?.success(), "docker run failed: {}", started.stderr().text());
        let begun = machine.inspect(run, "{{.State.StartedAt}}")?;

        let image = format!("{}/actions/busybox:v1", machine.registry.address());
        stack.create("hook-first", &task("only", id, &[shell_action("works", &image, "true", "")]))?;
        stack.wait_for_state("hook-first", "SUCCESS")?;
        let log = || -> Result<String> { Ok(machine.engine.run(run, ["logs", "tink-worker"])?.stdout) };
        let said = log()?;
        let line = said.lines().find(|line| line.contains("the server speaks this protocol"));
        ensure!(line.is_some_and(|line| line.contains("2025")), "{said}");

        // A failed action, a server that is killed and comes back: nothing restarts the worker, so it must not end.
        stack.create("hook-broken", &task("only", id, &[shell_action("breaks", &image, "exit 1", "")]))?;
        stack.wait_for_state("hook-broken", "FAILED")?;
        stack.kill_server()?;
        eventually("the worker to notice that the server is away", DEADLINE, || {
            let said = log().map_err(|error| format!("{error:#}"))?;
            if said.contains("no work can be taken from the server") { Ok(()) } else { Err(said) }
        })?;
        stack.start_server()?;
        // HookOS looks for this file on the host, and reboots.
        let volumes = "volumes: [/worker:/worker]\npid: host";
        stack.create(
            "hook-reboot",
            &task("only", id, &[shell_action("asks", &image, "touch /worker/reboot", volumes)]),
        )?;
        stack.wait_for_state("hook-reboot", "SUCCESS")?;
        ensure!(reboot.0.is_file(), "the host does not see the file");
        assert_eq!(
            machine.inspect(run, "{{.State.Running}} {{.RestartCount}} {{.State.StartedAt}}")?,
            format!("true 0 {begun}")
        );
        ensure!(!log()?.contains(PASSWORD), "the password leaked");
        Ok(())
    })
}

/// The program that CaptainOS's set-up script takes out of the image.
fn captain_program(run: &TestRun) -> Result<PathBuf> {
    let image = ProductImage::pack(run, Product::Worker)?;
    let export = run.scratch().join("export");
    fs::create_dir(&export)?;
    let tar = |args: &[&std::ffi::OsStr]| -> Result<std::process::Output> {
        Ok(std::process::Command::new("tar").args(args).output()?)
    };
    let unpacked = tar(&["-C".as_ref(), export.as_ref(), "-xf".as_ref(), image.archive().as_ref()])?;
    ensure!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    for blob in fs::read_dir(export.join("blobs/sha256"))? {
        let found = tar(&["-xOf".as_ref(), blob?.path().as_ref(), "usr/bin/tink-worker".as_ref()])?;
        if found.status.success() && !found.stdout.is_empty() {
            let program = run.scratch().join("tink-agent");
            fs::write(&program, found.stdout)?;
            fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            return Ok(program);
        }
    }
    anyhow::bail!("no layer of the image holds usr/bin/tink-worker")
}

#[test]
fn captain_starts_the_binary_with_its_flags_and_a_restart_leaves_the_action_alone() -> Result<()> {
    scenario("captain_starts_the_binary_with_its_flags_and_a_restart_leaves_the_action_alone", |run| {
        let registry = Registry::launch(run).auth(USER, PASSWORD).start()?;
        let busybox = image_of(run)?;
        let image = registry.push("actions/busybox", "v1", &busybox)?.reference;
        let stack = Stack::start(run)?;
        let program = captain_program(run)?;
        let containerd = Containerd::start(run)?;
        for (runtime, id) in [("containerd", "02:00:00:00:00:08"), ("embedded", "02:00:00:00:00:0a")] {
            let captain = Captain { run, stack: &stack, registry: &registry, program: &program, runtime, id };
            let shared = run.scratch().join(format!("shared-{runtime}"));
            fs::create_dir(&shared)?;
            let volume = format!("volumes: [{}:/shared]", path_text(&shared)?);
            let script = "echo ran >> /shared/runs; until [ -e /shared/go ]; do sleep 0.1; done";
            let name = format!("captain-{runtime}");
            let actions = [shell_action("long", &image, script, &volume), shell_action("next", &image, "true", "")];
            stack.create(&name, &task("only", id, &actions))?;
            let runs = || fs::read_to_string(shared.join("runs")).unwrap_or_default();
            let mut worker = captain.start(&containerd)?;
            eventually("the action to have started", DEADLINE, || {
                if runs().is_empty() { Err("no line") } else { Ok(()) }
            })?;
            // As the unit is restarted: TERM, and KILL, of the main process.
            for signal in [Signal::TERM, Signal::KILL] {
                worker.signal(signal)?;
                worker.wait(DEADLINE)?;
                worker = captain.start(&containerd)?;
                worker.stdout().wait_for_line("taking up a running action", DEADLINE)?;
            }
            fs::write(shared.join("go"), "")?;
            stack.wait_for_state(&name, "SUCCESS")?;
            assert_eq!(runs(), "ran\n", "{runtime}: the action ran more than once");
            ensure!(worker.terminate(DEADLINE)?.success(), "the worker did not end well");
            ensure!(!worker.stdout().text().contains(PASSWORD), "the password leaked");
        }
        Ok(())
    })
}

/// A machine of CaptainOS, as far as the worker can tell.
struct Captain<'a> {
    run: &'a TestRun,
    stack: &'a Stack<'a>,
    registry: &'a Registry,
    program: &'a Path,
    runtime: &'a str,
    id: &'a str,
}

impl Captain<'_> {
    /// What tink-agent-start does, with /etc/tink-agent.env beside its flags.
    fn start(&self, containerd: &Containerd) -> Result<Process> {
        let (grpc, registry) = (self.stack.grpc(), self.registry.address());
        Process::program(path_text(self.program)?)?
            .args(["-runtime", self.runtime, "-containerd-socket", path_text(containerd.socket())?])
            .args(["-transport", "grpc", "-grpc-server", grpc, "-grpc-tls=false", "-grpc-insecure-tls=false"])
            .args(["-id", self.id, "-registry-name", &registry, "-registry-user", USER, "-registry-pass", PASSWORD])
            .env("TINKERBELL_GRPC_AUTHORITY", grpc)
            .env("WORKER_ID", self.id)
            .env("TINKERBELL_TLS", "false")
            .env("TINKERBELL_INSECURE_TLS", "false")
            .env("DOCKER_REGISTRY", &registry)
            .env("REGISTRY_USERNAME", USER)
            .env("REGISTRY_PASSWORD", PASSWORD)
            .env("TINK_STATE_DIR", self.run.scratch().join(format!("state-{}", self.runtime)))
            .env("TINK_CONTAINERD_DATA_ROOT", self.run.scratch().join("nerdctl"))
            .start(self.run)
    }
}

/// A worker that is told nothing but what stands on the kernel command line.
#[test]
fn an_own_system_starts_it_from_the_kernel_command_line() -> Result<()> {
    scenario("an_own_system_starts_it_from_the_kernel_command_line", |run| {
        let id = "02:00:00:00:00:09";
        let registry = Registry::launch(run).start()?;
        let busybox = image_of(run)?;
        let image = registry.push("actions/busybox", "v1", &busybox)?.reference;
        let stack = Stack::start(run)?;
        let cmdline = run.scratch().join("cmdline");
        let state = run.scratch().join("state");
        let asked = run.scratch().join("reboot");
        fs::write(
            &cmdline,
            format!(
                "BOOT_IMAGE=/vmlinuz facility= console=ttyS0 syslog_host= grpc_authority=192.0.2.1:1 tinkerbell_tls=false \
                 worker_id={id} hw_addr={id} tink.runtime=embedded tink.state-dir=\"{}\" tink.reboot-file={} \
                 tink.reboot-command=/bin/true grpc_authority={}\n",
                state.display(),
                asked.display(),
                stack.grpc()
            ),
        )?;
        let worker = Process::binary("tink-worker")?.arg(format!("-from-cmdline={}", cmdline.display())).start(run)?;
        let volume = format!("volumes: [{}:/shared]", path_text(run.scratch())?);
        stack.create(
            "own-system",
            &task("only", id, &[shell_action("asks", &image, "touch /shared/reboot", &volume)]),
        )?;
        stack.wait_for_state("own-system", "SUCCESS")?;
        worker.stdout().wait_for_line("the machine goes down", DEADLINE)?;
        ensure!(!asked.exists(), "the request would be found again after the reboot");
        Ok(())
    })
}

#[test]
fn each_protocol_runs_the_same_workflow_on_each_engine_and_takes_it_up_again() -> Result<()> {
    scenario("each_protocol_runs_the_same_workflow_on_each_engine_and_takes_it_up_again", |run| {
        let registry = Registry::launch(run).start()?;
        let busybox = image_of(run)?;
        let image = registry.push("actions/busybox", "v1", &busybox)?.reference;
        let mut stack = Stack::start(run)?;
        let (docker, containerd) = (Dockerd::shared()?, Containerd::start(run)?);
        let sockets =
            ["-docker-socket", path_text(docker.socket())?, "-containerd-socket", path_text(containerd.socket())?];
        let data_root = run.scratch().join("nerdctl");
        for runtime in ["docker", "containerd", "embedded"] {
            for protocol in ["2021", "2023", "2025"] {
                let what = format!("{runtime}-{protocol}");
                let shared = run.scratch().join(format!("shared-{what}"));
                fs::create_dir(&shared)?;
                let start = |stack: &Stack<'_>| -> Result<Process> {
                    let launch = stack.worker(&what)?.args(["-runtime", runtime, "-protocol", protocol]).args(sockets);
                    let launch = launch.arg("-containerd-data-root").arg(&data_root);
                    launch.arg("-workflow-data-dir").arg(run.scratch().join("data")).start(run)
                };
                let volume = format!("volumes: [{}:/shared]", path_text(&shared)?);
                let waits = "echo one >> /shared/runs; until [ -e /shared/go ]; do sleep 0.1; done";
                let looks = "echo two >> /shared/runs; id -u > /shared/sees; env | sort >> /shared/sees";
                let actions = [
                    shell_action("one", &image, waits, &volume),
                    shell_action("two", &image, looks, &format!("{volume}\nenvironment:\n  COLOUR: blue")),
                    shell_action("three", &image, "echo three >> /shared/runs", &volume),
                ];
                stack.create(&what, &task("only", &what, &actions))?;
                let read = |name: &str| fs::read_to_string(shared.join(name)).unwrap_or_default();
                let mut worker = start(&stack)?;
                eventually("the action to have started", DEADLINE, || {
                    if read("runs").is_empty() { Err("no line") } else { Ok(()) }
                })?;
                // Killed while it runs, and again while its result waits for a server that is away.
                worker.kill()?;
                let mut worker = start(&stack)?;
                worker.stdout().wait_for_line("taking up a running action", DEADLINE)?;
                stack.kill_server()?;
                fs::write(shared.join("go"), "")?;
                worker.stdout().wait_for_line("the result could not be reported", DEADLINE)?;
                worker.kill()?;
                stack.start_server()?;
                let _worker = start(&stack)?;
                stack.wait_for_state(&what, "SUCCESS").with_context(|| what.clone())?;
                assert_eq!(read("runs"), "one\ntwo\nthree\n", "{what}");
                let sees = read("sees");
                ensure!(sees.starts_with("0\n") && sees.contains("COLOUR=blue\n"), "{what}: {sees}");
            }
        }
        Ok(())
    })
}
