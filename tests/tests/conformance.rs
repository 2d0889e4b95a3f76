//! The same actions under Docker, under containerd and under the embedded runtime: what they see is compared field by
//! field. Every difference is one of the tables in `conformance/expected.rs`, or a bug.

#[path = "conformance/expected.rs"]
mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use expected::{CONTAINERD, EMBEDDED, Expected};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tink_e2e::stack::{DEADLINE, Stack, manifests, path_text};
use tink_e2e::{Containerd, Dockerd, Launch, Process, Registry, TestImage, TestRun, scenario};

/// An action, but for its image: YAML of the action's level, and volumes, `@` standing for a directory of the test's own.
struct Case {
    name: &'static str,
    volumes: &'static [&'static str],
    action: &'static str,
    /// The image says a user, a working directory, an environment and a command; else it is plain.
    image_says: bool,
    /// It is given by a server of 2023, whose actions have a terminal.
    terminal: bool,
}

/// An action of which nothing is said.
const PLAIN: Case = Case { name: "plain", volumes: &[], action: "", image_says: false, terminal: false };

const CASES: [Case; 11] = [
    PLAIN,
    Case {
        name: "volumes",
        volumes: &[
            "@/inner:/volumes/outer/inner",
            "@/outer:/volumes/outer",
            "@/locked:/volumes/locked:ro",
            "@/file:/volumes/file",
            "@/private:/volumes/private:rprivate",
            "@/missing/source:/volumes/missing",
        ],
        ..PLAIN
    },
    Case { name: "devices of the host", volumes: &["/dev:/dev"], ..PLAIN },
    // As upstream's examples have it in every task.
    Case {
        name: "devices, console and firmware",
        volumes: &["/dev:/dev", "/dev/console:/dev/console", "@/no-firmware:/lib/firmware:ro"],
        ..PLAIN
    },
    Case { name: "a device more", volumes: &["/dev/zero:/dev/another"], ..PLAIN },
    Case { name: "modules and more", volumes: &["/sys:/sys", "/proc:/host-proc"], ..PLAIN },
    Case { name: "namespaces of the host", action: "pid: host\nnamespaces: {network: host}", ..PLAIN },
    Case { name: "no network", action: "namespaces: {network: none}", ..PLAIN },
    Case { name: "a terminal", terminal: true, ..PLAIN },
    Case { name: "a terminal and devices of the host", volumes: &["/dev:/dev"], terminal: true, ..PLAIN },
    Case {
        name: "what the image says",
        volumes: &["@/outer:/volumes/outer"],
        action: "environment: {LEVEL: action, NUMBER: 0644, EMPTY: \"\"}\ncommand: [one, \"two words\"]",
        image_says: true,
        ..PLAIN
    },
];

/// Field by field, what an action saw.
type Seen = BTreeMap<String, String>;

/// The images, in a registry.
struct Site<'r> {
    run: &'r TestRun,
    registry: Registry,
    engine: tink_e2e::Engine,
    containerd: Containerd,
    images: [String; 2],
    /// What is compared with Docker. It is in the names of the workflows, of which the older wires' action ids come: all
    /// tests share one dockerd, where the same id is the same run.
    compared: &'static str,
}

impl<'r> Site<'r> {
    fn start(run: &'r TestRun, compared: &'static str) -> Result<Self> {
        let registry = Registry::launch(run).start()?;
        let plain = TestImage::busybox()?.directory("var", 0o755).layer().file(
            "probe",
            0o755,
            include_str!("conformance/probe"),
        );
        let says = plain.clone().user("tink").working_dir("/srv/made").env("LEVEL", "image").env("OF_IMAGE", "a=b");
        let says = says.cmd(["default"]);
        let push = |name: &str, image: TestImage| -> Result<String> {
            let image = image.entrypoint(["/bin/sh", "/entry"]).layer().file(
                "entry",
                0o755,
                "exec /bin/sh /probe \"$@\" > /seen/seen\n",
            );
            Ok(registry.push(name, "v1", &image.build()?)?.reference)
        };
        let images = [push("plain", plain)?, push("says", says)?];
        Ok(Self { run, registry, engine: Dockerd::shared()?, containerd: Containerd::start(run)?, images, compared })
    }

    /// Runs the action and answers with what it saw.
    fn run(&self, case: &Case, runtime: &str) -> Result<Seen> {
        let own = self.run.scratch().join(format!("{}-{runtime}", case.name.replace([' ', ','], "-")));
        for directory in ["seen", "outer", "inner", "locked", "private"] {
            fs::create_dir_all(own.join(directory))?;
        }
        rustix::fs::chmod(own.join("seen"), rustix::fs::Mode::from_raw_mode(0o777))?;
        fs::write(own.join("file"), "content\n")?;
        let _below = Below::mount(&own.join("locked/below"))?;
        let own = path_text(&own)?;
        let volumes: Vec<String> = case.volumes.iter().map(|volume| volume.replace('@', own)).collect();
        let action: String = case.action.lines().map(|line| format!("    {line}\n")).collect();
        let image = &self.images[usize::from(case.image_says)];
        let tasks = format!(
            "- name: only\n  worker: w\n  actions:\n  - name: probe\n    image: {image}\n    timeout: 60\n    volumes: [{own}/seen:/seen{}]\n{action}",
            volumes.iter().map(|volume| format!(", \"{volume}\"")).collect::<String>(),
        );
        let work = Work { name: format!("{}-{runtime}", case.name.replace([' ', ','], "-")), runtime, own, tasks };
        if case.terminal { self.work_for_a_server_of_2023(&work) } else { self.work_alone(&work) }
            .with_context(|| format!("{}: {runtime}", case.name))?;
        let saw = fs::read_to_string(format!("{own}/seen/seen"));
        seen(&saw.with_context(|| format!("{}: what was seen under {runtime}", case.name))?, own)
    }
}

/// Something mounted below a volume's source.
struct Below(PathBuf);

impl Below {
    fn mount(point: &Path) -> Result<Self> {
        fs::create_dir_all(point)?;
        let mounted = mount("tmpfs", point, "tmpfs", MountFlags::empty(), None::<&std::ffi::CStr>);
        mounted.with_context(|| format!("failed to mount a tmpfs on {}", point.display()))?;
        Ok(Self(point.to_owned()))
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.0.display());
        }
    }
}

/// An action on its way.
struct Work<'w> {
    name: String,
    runtime: &'w str,
    own: &'w str,
    tasks: String,
}

impl Site<'_> {
    fn work_alone(&self, work: &Work<'_>) -> Result<()> {
        let file = format!("{}/workflow.yaml", work.own);
        fs::write(&file, manifests("probe", &work.tasks))?;
        let launch = Process::binary("tink")?.named(&work.name).args(["run", &file, "--plain"]);
        let mut tink = self.at_engines(launch, work).start(self.run)?;
        let status = tink.wait(DEADLINE * 2)?;
        ensure!(status.success(), "{}{}", tink.stdout().text(), tink.stderr().text());
        Ok(())
    }

    fn work_for_a_server_of_2023(&self, work: &Work<'_>) -> Result<()> {
        let mut stack = Stack::start_named(self.run, &work.name)?;
        let workflow = format!("{}-beside-{}", work.name, self.compared);
        stack.create(&workflow, &work.tasks)?;
        let launch = Process::binary("tink-worker")?.named(&work.name).args(["--id", "w", "--protocol", "2023"]);
        let launch = launch.args(["--grpc-server", stack.grpc()]).arg("--workflow-data-dir");
        let mut worker = self.at_engines(launch.arg(format!("{}/data", work.own)), work).start(self.run)?;
        stack.wait_for_state(&workflow, "SUCCESS")?;
        worker.terminate(DEADLINE)?;
        stack.stop_server()
    }

    /// Tells a program where everything is.
    fn at_engines(&self, launch: Launch, work: &Work<'_>) -> Launch {
        let launch = launch.args(["--runtime", work.runtime, "--insecure-registries", &self.registry.address()]);
        let launch = launch.arg("--docker-socket").arg(self.engine.socket());
        let launch = launch.arg("--containerd-socket").arg(self.containerd.socket());
        let launch = launch.arg("--containerd-data-root").arg(format!("{}/nerdctl", work.own));
        launch.arg("--state-dir").arg(format!("{}/state", work.own))
    }
}

/// The probe's words, with what differs between any two runs taken out.
fn seen(text: &str, own: &str) -> Result<Seen> {
    let mut seen = Seen::new();
    for line in text.lines() {
        let (name, value) = line.split_once('\t').with_context(|| format!("no tab in {line:?}"))?;
        let mut value = value.replace(own, "@");
        if let Some(kind) = name.strip_prefix("namespace ") {
            let of_host = fs::read_link(format!("/proc/self/ns/{kind}"))?.display().to_string() == value;
            (if of_host { "the host's" } else { "its own" }).clone_into(&mut value);
        }
        if name == "host name" {
            let of_host = fs::read_to_string("/proc/sys/kernel/hostname")?.trim() == value;
            (if of_host { "the host's" } else { "its own" }).clone_into(&mut value);
        }
        if name.starts_with("status Sig") {
            // Without 32 and 33, the C library's own, which are as the engine's starter left them.
            let signals = u64::from_str_radix(&value, 16).context("no set of signals")? & !(0b11 << 31);
            value = format!("{signals:x}");
        }
        // Which terminal it is depends on how many there are on the machine; 88, hexadecimal, are the pseudoterminals'.
        for of_terminals in ["/dev/pts/", "character special file 88:"] {
            if let Some(rest) = value.strip_prefix(of_terminals) {
                value = format!("{of_terminals}N{}", rest.trim_start_matches(|digit: char| digit.is_ascii_hexdigit()));
            }
        }
        // Of the mounts on one point, the last hides the others.
        if let Some(earlier) = seen.insert(name.to_owned(), value)
            && !name.starts_with("mount ")
        {
            bail!("the probe said {name:?} twice, first {earlier:?}");
        }
    }
    ensure!(seen.len() > 50, "the probe said only {seen:?}");
    Ok(seen)
}

/// Compares a runtime with Docker, by the table of what may differ.
fn compare(run: &TestRun, runtime: &'static str, expected: &[Expected]) -> Result<()> {
    let site = Site::start(run, runtime)?;
    let mut unexpected = Vec::new();
    let mut met = BTreeSet::new();
    for case in &CASES {
        let (docker, ours) = (site.run(case, "docker")?, site.run(case, runtime)?);
        let names: BTreeSet<&String> = docker.keys().chain(ours.keys()).collect();
        for name in names {
            let (docker, ours) = (docker.get(name).map(String::as_str), ours.get(name).map(String::as_str));
            if docker == ours {
                continue;
            }
            let rows: Vec<_> = expected.iter().filter(|row| row.explains(case.name, name, docker, ours)).collect();
            met.extend(rows.iter().map(|row| row.in_docs));
            if rows.is_empty() {
                unexpected.push(format!("{}: {name}:\n    docker {docker:?}\n    {runtime} {ours:?}", case.name));
            }
        }
    }
    ensure!(unexpected.is_empty(), "not in the table:\n{}", unexpected.join("\n"));
    let stale: Vec<_> = expected.iter().filter(|row| row.everywhere && !met.contains(row.in_docs)).collect();
    ensure!(stale.is_empty(), "no longer a difference: {stale:#?}");
    Ok(())
}

#[test]
fn actions_see_the_same_under_docker_and_under_the_embedded_runtime() -> Result<()> {
    scenario("actions_see_the_same_under_docker_and_under_the_embedded_runtime", |run| {
        compare(run, "embedded", EMBEDDED)
    })
}

#[test]
fn actions_see_the_same_under_docker_and_under_containerd() -> Result<()> {
    scenario("actions_see_the_same_under_docker_and_under_containerd", |run| compare(run, "containerd", CONTAINERD))
}

#[test]
fn every_expected_difference_is_told_to_users() {
    let text = include_str!("../../docs/differences.md");
    for (heading, rows) in
        [("Embedded runtime (against Docker)", EMBEDDED), ("containerd (against Docker)", CONTAINERD)]
    {
        let section = text.split_once(&format!("\n## {heading}\n")).map(|(_, rest)| rest);
        let section = section.and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
        for row in rows {
            let told = section.lines().any(|line| line.starts_with(&format!("| {} |", row.in_docs)));
            assert!(told, "docs/differences.md has no row {:?} under {heading:?}", row.in_docs);
        }
    }
}
