//! Running commands: shown before, timed after, interrupted with us.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{interrupt, workspace};

/// `cargo`, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    command
}

/// Runs a command, which must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    if interrupt::interrupted() {
        bail!("interrupted before `{line}`");
    }
    eprintln!("xtask: $ {line}");
    let start = Instant::now();
    // In a group of its own, so that a signal to us can be handed on to all of it at once.
    command.stdin(Stdio::null()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("failed to start `{line}`"))?;
    interrupt::forward_to(Some(child.id()));
    let status = child.wait();
    interrupt::forward_to(None);
    let status = status.with_context(|| format!("failed to wait for `{line}`"))?;
    eprintln!("xtask: {status} after {:.1} s", start.elapsed().as_secs_f64());
    if interrupt::interrupted() {
        bail!("interrupted");
    }
    if !status.success() {
        bail!("`{line}` failed");
    }
    Ok(())
}

/// Whether a command succeeds; what it prints is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The path of a program, searched in PATH and in the directories of system daemons, which root's PATH may lack.
pub(crate) fn which(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(|directory| Path::new(directory).to_path_buf()))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// As one would type it, with the variables it adds.
fn line_of(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(&value?.to_string_lossy()))));
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| quoted(&word.to_string_lossy()));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,@+%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--", "it's"]).env("A", "b c");
        assert_eq!(line_of(&command), r"A='b c' cargo test -- 'it'\''s'");
    }

    #[test]
    fn a_failing_command_is_an_error() {
        assert_eq!(run(&mut Command::new("false")).unwrap_err().to_string(), "`false` failed");
        assert!(run(&mut Command::new("true")).is_ok());
    }
}
