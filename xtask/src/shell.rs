//! Running commands: shown before, timed after, interrupted with us.

use std::fs::File;
use std::io::Seek as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};

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
    let status = wait_for(&mut child, &line)?;
    verdict(&line, status, start)
}

/// Waits for a command's end; signals go to it meanwhile.
fn wait_for(child: &mut Child, line: &str) -> Result<ExitStatus> {
    interrupt::forward_to(Some(child.id()));
    let status = child.wait();
    interrupt::forward_to(None);
    status.with_context(|| format!("failed to wait for `{line}`"))
}

/// Says how a command ended, and whether it succeeded.
fn verdict(line: &str, status: ExitStatus, start: Instant) -> Result<()> {
    eprintln!("xtask: {status} after {:.1} s", start.elapsed().as_secs_f64());
    if interrupt::interrupted() {
        bail!("interrupted");
    }
    if !status.success() {
        bail!("`{line}` failed");
    }
    Ok(())
}

/// A command that runs beside others; what it prints is shown when it has ended. Dropped before that, it is ended.
pub(crate) struct Beside {
    line: String,
    child: Child,
    output: File,
    start: Instant,
    has_ended: bool,
}

impl Beside {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let line = line_of(command);
        eprintln!("xtask: $ {line} &");
        let output = tempfile::tempfile().context("failed to make a file for what it prints")?;
        let copy = || output.try_clone().context("failed to share a file");
        command.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?).process_group(0);
        let child = command.spawn().with_context(|| format!("failed to start `{line}`"))?;
        Ok(Self { line, child, output, start: Instant::now(), has_ended: false })
    }

    /// Waits for its end, shows what it printed, and says whether it succeeded.
    pub(crate) fn finish(mut self) -> Result<()> {
        let status = wait_for(&mut self.child, &self.line)?;
        self.has_ended = true;
        eprintln!("xtask: $ {}", self.line);
        self.output.rewind().context("failed to read what it printed")?;
        std::io::copy(&mut self.output, &mut std::io::stdout()).context("failed to show what it printed")?;
        verdict(&self.line, status, self.start)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, Signal::TERM);
        }
        let _ = self.child.wait();
    }
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
