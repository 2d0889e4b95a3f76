//! The images of worker, server, CLI and actions, from the programs as they are shipped.

use anyhow::Result;

use crate::{shell, static_build, workspace};

/// Builds the programs and packs them; `args` go to the packer.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (arm64, args) = match args.split_first() {
        Some((first, rest)) if first == "--arm64" => (true, rest),
        _ => (false, args),
    };
    let mut pack = shell::cargo();
    pack.args(["run", "--locked", "--package", "tink-images", "--"]);
    let host = static_build::run()?;
    pack.arg("--programs").arg(format!("{}={}", host_architecture(), host.display()));
    if arm64 {
        pack.arg("--programs").arg(format!("arm64={}", static_build::run_for_arm64()?.display()));
    }
    pack.arg("--out").arg(workspace::target_dir().join("images")).args(args);
    shell::run(&mut pack)
}

/// This machine's architecture in Go's words.
fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
