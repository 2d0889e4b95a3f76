//! All tests, with all they need.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::shared_services::SharedServices;
use crate::{setup, shell, static_build, workspace};

/// Prepares the machine, builds, starts the shared daemons, runs the tests, stops the daemons.
///
/// What is tested end to end are the programs as they are shipped, or with `--dev` those of a quick build.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("the end-to-end tests make namespaces, mounts and containers: run this as root");
    }
    let (dev, args) = match args.split_first() {
        Some((first, rest)) if first == "--dev" => (true, rest),
        _ => (false, args),
    };
    setup::run()?;
    let programs = if dev {
        shell::run(shell::cargo().args(["build", "--locked"]).args(workspace::program_args()))?;
        workspace::profile_dir("debug")?
    } else {
        static_build::run()?
    };
    let test = ["test", "--locked", "--workspace"];
    shell::run(shell::cargo().args(test).arg("--no-run"))?;
    let tests = |of: &[&str], services: Option<&SharedServices>| {
        let mut command = shell::cargo();
        command.args(["test", "--locked", "--no-fail-fast"]).args(of).env("TINK_E2E_BIN_DIR", &programs);
        command.envs(services.iter().flat_map(|services| &services.variables).map(|(name, value)| (name, value)));
        command
    };
    if !args.is_empty() {
        let services = SharedServices::start()?;
        return shell::run(tests(&["--workspace"], Some(&services)).args(args));
    }
    // While there is no engine yet.
    let without_engine = shell::run(&mut tests(&["--package", "tink-e2e", "--test", WITHOUT_ENGINE], None));
    let services = SharedServices::start()?;
    let tests = |of: &[&str]| tests(of, Some(&services));
    // Those mostly wait, for deadlines and for faults to pass: the others run meanwhile.
    let waiting = shell::Beside::start(&mut tests(&["--package", "tink-e2e", "--test", WAITING]))?;
    let packages = shell::run(&mut tests(&["--workspace", "--exclude", "tink-e2e"]));
    let mut ends = tests(&["--package", "tink-e2e", "--lib", "--bins"]);
    let ends = end_to_end()?.iter().fold(&mut ends, |ends, name| ends.args(["--test", name]));
    let ends = shell::run(ends);
    let examples = shell::run(&mut tests(&["--package", "tink-e2e", "--doc"]));
    let waited = waiting.finish();
    without_engine.and(packages).and(ends).and(examples).and(waited)
}

/// The end-to-end tests of machines that have no engine.
const WITHOUT_ENGINE: &str = "embedded";

/// The end-to-end tests that wait most.
const WAITING: &str = "reliability";

/// The names of all other end-to-end tests, as cargo finds them.
fn end_to_end() -> Result<Vec<String>> {
    let directory = workspace::root().join("tests/tests");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("failed to read {}", directory.display()))? {
        let path = entry.with_context(|| format!("failed to read {}", directory.display()))?.path();
        let is_test = path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file();
        names.extend(path.file_stem().filter(|_| is_test).map(|name| name.to_string_lossy().into_owned()));
    }
    names.retain(|name| ![WAITING, WITHOUT_ENGINE].contains(&name.as_str()));
    names.sort();
    Ok(names)
}
