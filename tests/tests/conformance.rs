//! The same actions under Docker, under containerd and under the embedded runtime: what they see is compared field by
//! field. Every difference is one of the tables in `conformance/expected.rs`, or a bug.

#[path = "conformance/expected.rs"]
mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use expected::{CONTAINERD, EMBEDDED, Expected};
use tink_e2e::stack::{DEADLINE, manifests, path_text};
use tink_e2e::{Containerd, Dockerd, Process, Registry, TestImage, TestRun, scenario};

/// An action, but for its image: YAML of the action's level, and volumes, `@` standing for a directory of the test's own.
struct Case {
    name: &'static str,
    volumes: &'static [&'static str],
    action: &'static str,
    /// The image says a user, a working directory, an environment and a command; else it is plain.
    image_says: bool,
}

const CASES: [Case; 8] = [
    Case { name: "plain", volumes: &[], action: "", image_says: false },
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
        action: "",
        image_says: false,
    },
    Case { name: "devices of the host", volumes: &["/dev:/dev"], action: "", image_says: false },
    Case { name: "a device more", volumes: &["/dev/zero:/dev/another"], action: "", image_says: false },
    Case { name: "modules and more", volumes: &["/sys:/sys", "/proc:/host-proc"], action: "", image_says: false },
    Case {
        name: "namespaces of the host",
        volumes: &[],
        action: "pid: host\nnamespaces: {network: host}",
        image_says: false,
    },
    Case { name: "no network", volumes: &[], action: "namespaces: {network: none}", image_says: false },
    Case {
        name: "what the image says",
        volumes: &["@/outer:/volumes/outer"],
        action: "environment: {LEVEL: action, NUMBER: 0644, EMPTY: \"\"}\ncommand: [one, \"two words\"]",
        image_says: true,
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
}

impl<'r> Site<'r> {
    fn start(run: &'r TestRun) -> Result<Self> {
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
        Ok(Self { run, registry, engine: Dockerd::shared()?, containerd: Containerd::start(run)?, images })
    }

    /// Runs the action and answers with what it saw.
    fn run(&self, case: &Case, runtime: &str) -> Result<Seen> {
        let own = self.run.scratch().join(format!("{}-{runtime}", case.name.replace(' ', "-")));
        for directory in ["seen", "outer", "inner", "locked", "private"] {
            fs::create_dir_all(own.join(directory))?;
        }
        rustix::fs::chmod(own.join("seen"), rustix::fs::Mode::from_raw_mode(0o777))?;
        fs::write(own.join("file"), "content\n")?;
        let own = path_text(&own)?;
        let volumes: Vec<String> = case.volumes.iter().map(|volume| volume.replace('@', own)).collect();
        let action: String = case.action.lines().map(|line| format!("    {line}\n")).collect();
        let image = &self.images[usize::from(case.image_says)];
        let tasks = format!(
            "- name: only\n  worker: w\n  actions:\n  - name: probe\n    image: {image}\n    timeout: 60\n    volumes: [{own}/seen:/seen{}]\n{action}",
            volumes.iter().map(|volume| format!(", \"{volume}\"")).collect::<String>(),
        );
        let file = format!("{own}/workflow.yaml");
        fs::write(&file, manifests("probe", &tasks))?;
        let mut tink = Process::binary("tink")?
            .named(&format!("{}-{runtime}", case.name.replace(' ', "-")))
            .args(["run", &file, "--plain", "--runtime", runtime, "--insecure-registries", &self.registry.address()])
            .arg("--docker-socket")
            .arg(self.engine.socket())
            .arg("--containerd-socket")
            .arg(self.containerd.socket())
            .arg("--containerd-data-root")
            .arg(format!("{own}/nerdctl"))
            .arg("--state-dir")
            .arg(format!("{own}/state"))
            .start(self.run)?;
        let status = tink.wait(DEADLINE * 2)?;
        ensure!(status.success(), "{}: {runtime}: {}{}", case.name, tink.stdout().text(), tink.stderr().text());
        seen(&fs::read_to_string(format!("{own}/seen/seen"))?, own)
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
fn compare(site: &Site<'_>, runtime: &str, expected: &[Expected]) -> Result<()> {
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
        compare(&Site::start(run)?, "embedded", EMBEDDED)
    })
}

#[test]
fn actions_see_the_same_under_docker_and_under_containerd() -> Result<()> {
    scenario("actions_see_the_same_under_docker_and_under_containerd", |run| {
        compare(&Site::start(run)?, "containerd", CONTAINERD)
    })
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
