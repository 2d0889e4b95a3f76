//! Taking away what a test left: at its end, or when its program was killed before it could do so itself.
//!
//! A test program tells a process of its own, the sweeper, which runs it has begun and which it has ended. When it dies,
//! however, the kernel closes the pipe, and the sweeper takes away what the open runs left.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::ip;
use crate::run::mark_of;
use crate::{binaries, census, eventually, process};

const DEADLINE: Duration = Duration::from_secs(10);

/// The pipe to this program's sweeper: `None` before the first run; inside, `None` if it could not be started.
static SWEEPER: Mutex<Option<Option<ChildStdin>>> = Mutex::new(None);

/// Tells the sweeper of a run that begins.
pub(crate) fn open(scratch: &Path) {
    tell("open", scratch);
}

/// Tells the sweeper of a run that has ended and left nothing.
pub(crate) fn close(scratch: &Path) {
    tell("close", scratch);
}

fn tell(word: &str, scratch: &Path) {
    let mut sweeper = SWEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = sweeper.get_or_insert_with(|| {
        start().inspect_err(|error| eprintln!("killed tests will leave what they started: {error:#}")).ok()
    });
    if let Some(pipe) = pipe {
        // If the sweeper is gone, nothing is lost but its help.
        writeln!(pipe, "{word} {}", scratch.display()).ok();
    }
}

fn start() -> Result<ChildStdin> {
    let mut command = Command::new(binaries::companion_path("tink-e2e-services")?);
    command.arg("sweep").arg(std::process::id().to_string());
    // In a group of its own, so that it outlives a signal to the whole group of the tests.
    let child = command.stdin(Stdio::piped()).process_group(0).spawn();
    child.context("failed to start the sweeper")?.stdin.context("the sweeper has no input")
}

/// What `tink-e2e-services sweep PID` does: follows the runs of the test program PID until the pipe ends, then takes away
/// what the runs that are still open left.
///
/// # Errors
/// When standard input cannot be read.
pub fn sweep_when_input_ends(program: u32) -> Result<()> {
    let mut runs = BTreeSet::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.context("failed to read what the tests do")?;
        if let Some(scratch) = line.strip_prefix("open ") {
            runs.insert(PathBuf::from(scratch));
        } else if let Some(scratch) = line.strip_prefix("close ") {
            runs.remove(Path::new(scratch));
        }
    }
    for scratch in &runs {
        sweep_run("a killed test", scratch);
        fs::remove_dir_all(scratch).ok();
    }
    if !runs.is_empty() {
        sweep_network(program);
    }
    Ok(())
}

/// Ends the processes of a run, takes off its mounts and removes its cgroups; says what it finds.
pub(crate) fn sweep_run(who: &str, scratch: &Path) {
    let ended = eventually("the end of what was left running", DEADLINE, || {
        let left = census::processes_marked(Some(&mark_of(scratch)), scratch);
        for (pid, command) in &left {
            eprintln!("{who}: ending what was left running: {pid} {command}");
            process::kill_pid(*pid);
        }
        if left.is_empty() { Ok(()) } else { Err(format!("{} processes", left.len())) }
    });
    if let Err(error) = ended {
        eprintln!("{who}: {error:#}");
    }
    for mount in census::mounts_below(scratch) {
        eprintln!("{who}: taking off what was left mounted: {}", mount.display());
        if let Err(error) = rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH) {
            eprintln!("{who}: failed to take off {}: {error}", mount.display());
        }
    }
    // Busy until the last process in it is not only dead but gone.
    let removed = eventually("the removal of cgroups", DEADLINE, || remove_cgroups(scratch));
    if let Err(error) = removed {
        eprintln!("{who}: {error:#}");
    }
}

/// Removes the cgroups named after a run and all in them, the innermost first.
fn remove_cgroups(scratch: &Path) -> Result<(), String> {
    let name = scratch.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for top in census::cgroups_where(|directory| directory == name) {
        let below = census::cgroups_where(|_| true).into_iter().filter(|cgroup| cgroup.starts_with(&top));
        for cgroup in below {
            fs::remove_dir(&cgroup).map_err(|error| format!("{}: {error}", cgroup.display()))?;
        }
    }
    Ok(())
}

/// Removes the network namespaces and bridges that a program made.
fn sweep_network(program: u32) {
    let own = |kind: char, name: &str| name.starts_with(&format!("tk{kind}{program}x"));
    for name in census::names_in("/run/netns").iter().filter(|name| own('n', name)) {
        ip(&["netns", "del", name]).ok();
    }
    for name in census::names_in("/sys/class/net").iter().filter(|name| own('b', name)) {
        ip(&["link", "del", name]).ok();
    }
}
