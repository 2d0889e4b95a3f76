//! All tests, with all they need.

use anyhow::{Result, bail};

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
    let services = SharedServices::start()?;
    let mut command = shell::cargo();
    command.args(test).arg("--no-fail-fast").args(args).env("TINK_E2E_BIN_DIR", programs);
    command.envs(services.variables.iter().map(|(name, value)| (name, value)));
    shell::run(&mut command)
}
