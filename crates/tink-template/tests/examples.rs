//! Every example renders to what Go renders it to, and is a workflow.
//!
//! The golden files were made by Go's `text/template` with Sprig and agree with ours to the byte. `UPDATE_GOLDEN=1`
//! rewrites them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tink_manifest::{Hardware, Manifest, Template, WorkflowManifest, read_file};
use tink_template::{Compiled, Data, compile};
use tink_workflow::Limits;

/// What `examples/` must hold at least.
const EXPECTED: &[&str] = &[
    "auto-enrollment",
    "capt",
    "debian",
    "freebsd",
    "hardware-inventory",
    "hello",
    "hello-world",
    "references",
    "rhel",
    "ubuntu",
    "windows",
];

struct Example {
    name: String,
    dir: PathBuf,
    template: Template,
    hardware: Vec<Hardware>,
    workflow: WorkflowManifest,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn example(name: &str) -> Example {
    let dir = root().join(name);
    let (mut templates, mut hardware, mut workflows) = (Vec::new(), Vec::new(), Vec::new());
    for file in ["template.yaml", "hardware.yaml", "workflow.yaml"] {
        let Ok(bytes) = fs::read(dir.join(file)) else { continue };
        for manifest in read_file(&bytes, file).unwrap_or_else(|errors| panic!("{name}: {errors}")) {
            match manifest {
                Manifest::Template(template) => templates.push(template),
                Manifest::Hardware(machine) => hardware.push(machine),
                Manifest::Workflow(workflow) => workflows.push(workflow),
            }
        }
    }
    let (template, workflow) = (templates.pop().unwrap(), workflows.pop().unwrap());
    assert!(templates.is_empty() && workflows.is_empty(), "{name}: one template and one workflow each");
    assert_eq!(workflow.template_ref, template.metadata.name, "{name}");
    Example { name: name.to_owned(), dir, template, hardware, workflow }
}

impl Example {
    fn machine(&self, name: &str) -> Value {
        let machine = self.hardware.iter().find(|machine| machine.metadata.name == name);
        machine.unwrap_or_else(|| panic!("{}: no hardware {name}", self.name)).object().clone()
    }

    fn compile_with(&self, change: impl Fn(&mut Value)) -> Compiled {
        let mut data = Data::new().hardware_map(self.workflow.hardware_map.clone());
        if !self.workflow.hardware_ref.is_empty() {
            let mut machine = self.machine(&self.workflow.hardware_ref);
            change(&mut machine);
            let own = self.hardware.iter().find(|own| own.metadata.name == self.workflow.hardware_ref).unwrap();
            for (name, reference) in own.references() {
                data = data.reference(name, self.machine(reference["name"].as_str().unwrap()));
            }
            data = data.hardware(machine);
        }
        compile(&self.template.data, &data, &Limits::default()).unwrap_or_else(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            panic!("{}: {error}: {}", self.name, source.unwrap_or_default())
        })
    }

    fn compile(&self) -> Compiled {
        self.compile_with(|_| {})
    }
}

fn names() -> Vec<String> {
    let folders = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut names: Vec<_> = folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_example_renders_to_its_golden_file() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for name in names() {
        let example = example(&name);
        let compiled = example.compile();
        let golden = example.dir.join("rendered.golden.yaml");
        if update {
            fs::write(&golden, &compiled.rendered).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
        assert_eq!(compiled.rendered, expected, "{name}");
        assert!(compiled.spec.tasks.iter().all(|task| !task.actions.is_empty()), "{name}");
        assert!(example.dir.join("README.md").is_file(), "{name} has no README.md");
    }
}

#[test]
fn no_example_is_missing() {
    let names = names();
    for expected in EXPECTED {
        assert!(names.iter().any(|name| name == expected), "examples/{expected} is missing");
    }
}

#[test]
fn hello_is_three_actions_in_two_tasks_without_a_warning() {
    let compiled = example("hello").compile();
    assert_eq!(compiled.warnings, []);
    let tasks: Vec<_> = compiled.spec.tasks.iter().map(|task| (task.worker.as_str(), task.actions.len())).collect();
    assert_eq!(tasks, [("hello-worker", 2), ("hello-worker", 1)]);
    let actions: Vec<_> = compiled.spec.tasks.iter().flat_map(|task| &task.actions).collect();
    assert!(actions.iter().all(|action| action.image == "localhost/tink-actions:latest"));
    assert_eq!(actions[1].command, ["count", "--to", "5", "--delay-ms", "20"]);
}

#[test]
fn an_unquoted_octal_mode_reaches_the_action_as_written() {
    for (name, at) in [("ubuntu", 6), ("debian", 1)] {
        let action = example(name).compile().spec.tasks[0].actions[at].clone();
        let mode = ["MODE", "UID"].map(|key| action.environment[key].clone());
        assert_eq!(mode, ["0600", "0"], "{name}");
    }
}

#[test]
fn merge_keys_fill_the_environment_of_an_action() {
    let actions = example("ubuntu").compile().spec.tasks[0].actions.clone();
    let user = actions.iter().find(|action| action.name == "add a user").unwrap();
    assert_eq!(user.environment["BLOCK_DEVICE"], "/dev/nvme0n1p1");
    assert!(user.environment["CMD_LINE"].starts_with("useradd"));
    assert_eq!(user.environment.len(), 5);
}

#[test]
fn the_other_branch_of_a_conditional_is_a_workflow_too() {
    let arm = example("ubuntu").compile_with(|machine| {
        machine["spec"]["interfaces"][0]["dhcp"]["arch"] = "aarch64".into();
    });
    let last = arm.spec.tasks[0].actions.last().unwrap();
    assert_eq!(last.name, "reboot into ubuntu");
    assert_eq!(last.command.len(), 3);
    assert_eq!(last.environment["IMAGE"], "alpine:3.22");
    assert!(arm.spec.tasks[0].actions[0].environment["IMG_URL"].contains("arm64"));
}
