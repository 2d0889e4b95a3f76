//! Bounded fuzzing with libFuzzer, on the stable toolchain.
//!
//! `fuzz/` has the layout of cargo-fuzz, which also works on it where a nightly toolchain is at hand. All that libFuzzer
//! itself needs is coverage counters, and stable rustc passes the flags for these on to LLVM.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{shell, workspace};

const SECONDS_DEFAULT: u64 = 10;
/// No input may take longer.
const INPUT_SECONDS_MAX: u64 = 20;
const MEMORY_MB_MAX: u64 = 2048;
const INPUT_BYTES_MAX: u64 = 64 * 1024;

/// Builds the targets and runs each, or the one that is named, for its time. New inputs go to `fuzz/corpus`, failing ones
/// to `fuzz/artifacts`; the committed ones are in `fuzz/seeds`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (seconds, wanted) = parse(args)?;
    let fuzz = workspace::root().join("fuzz");
    let mut targets = targets(&fuzz)?;
    if let Some(wanted) = wanted {
        if !targets.contains(&wanted) {
            bail!("there is no fuzz target `{wanted}`; there are: {}", targets.join(", "));
        }
        targets = vec![wanted];
    }
    let target_dir = workspace::target_dir().join("fuzz");
    let mut build = shell::cargo();
    build.current_dir(&fuzz).args(["build", "--release", "--bins", "--target", &workspace::host()?]);
    build.env("CARGO_TARGET_DIR", &target_dir).env("RUSTC_WRAPPER", fuzz.join("rustc-coverage"));
    // Dynamically linked, as libFuzzer is used everywhere; this replaces the flags of .cargo/config.toml.
    build.env("RUSTFLAGS", "-Ctarget-feature=-crt-static");
    shell::run(&mut build)?;
    let programs = target_dir.join(workspace::host()?).join("release");
    let scratch = target_dir.join("tmp");
    fs::create_dir_all(&scratch).with_context(|| format!("failed to make {}", scratch.display()))?;
    for target in &targets {
        let [corpus, artifacts, seeds] = ["corpus", "artifacts", "seeds"].map(|kind| fuzz.join(kind).join(target));
        for directory in [&corpus, &artifacts, &seeds] {
            fs::create_dir_all(directory).with_context(|| format!("failed to make {}", directory.display()))?;
        }
        let mut command = confined(&programs.join(target), [&corpus, &artifacts], &scratch);
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MB_MAX}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
        command.args(["-print_final_stats=1", "-verbosity=1"]);
        command.arg(format!("-artifact_prefix={}/", artifacts.display())).args([&corpus, &seeds]);
        if matches!(target.as_str(), "template" | "yaml") {
            command.arg(workspace::root().join("examples"));
        }
        let result = shell::run(&mut command);
        result
            .with_context(|| format!("the fuzz target `{target}` failed; its input is in fuzz/artifacts/{target}"))?;
    }
    Ok(())
}

/// Runs a target where it can write to its own directories and to an empty `scratch` alone: it unpacks hostile archives as
/// root.
fn confined(program: &Path, writable: [&Path; 2], scratch: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let script = "mount --bind \"$1\" \"$1\"; mount --bind \"$2\" \"$2\"; mount -t tmpfs tmpfs \"$3\"; \
                  export TMPDIR=\"$3\"; mount -o remount,bind,ro /; shift 3; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-euc", script, "sh"]);
    command.args(writable).arg(scratch).arg(program);
    command
}

fn parse(args: &[String]) -> Result<(u64, Option<String>)> {
    let (mut seconds, mut wanted) = (SECONDS_DEFAULT, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let value = args.next().context("--seconds needs a number")?;
            seconds = value.parse().with_context(|| format!("--seconds needs a number, not `{value}`"))?;
            if seconds == 0 {
                bail!("--seconds needs at least 1: libFuzzer takes 0 for no end");
            }
        } else if arg.starts_with('-') || wanted.is_some() {
            bail!("unexpected argument `{arg}`");
        } else {
            wanted = Some(arg.clone());
        }
    }
    Ok((seconds, wanted))
}

fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let directory = fuzz.join("fuzz_targets");
    let entries = fs::read_dir(&directory).with_context(|| format!("failed to read {}", directory.display()))?;
    let mut names: Vec<_> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<(u64, Option<String>)> {
        parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_read() {
        assert_eq!(parsed(&[]).unwrap(), (SECONDS_DEFAULT, None));
        assert_eq!(parsed(&["--seconds", "3", "yaml"]).unwrap(), (3, Some("yaml".to_owned())));
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for wrong in [&["--seconds"][..], &["--seconds", "x"], &["--seconds", "0"], &["a", "b"], &["--fast"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_target_is_declared() {
        let fuzz = workspace::root().join("fuzz");
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        let targets = targets(&fuzz).unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
        }
    }
}
