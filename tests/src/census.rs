//! What is on the machine, counted before and after: mounts, cgroups, loop devices, processes, network devices.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::TestRun;
use crate::eventually::eventually;

/// What a census looks at.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Everything. Only for a test that runs alone: other tests come and go.
    Machine,
    /// What belongs to one run: mounts, loop devices and processes that mention its scratch directory or carry its mark,
    /// and cgroups whose name contains one of the given words (such as a container's name).
    Run(&'a TestRun, &'a [&'a str]),
}

/// One counting. Every entry is a line for people: `mount /tmp/x (overlay)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    entries: BTreeSet<String>,
}

impl Census {
    /// Counts.
    ///
    /// # Errors
    /// When /proc or /sys cannot be read.
    pub fn take(scope: Scope<'_>) -> Result<Self> {
        let mut entries = BTreeSet::new();
        entries.extend(mounts(scope)?);
        entries.extend(cgroups(scope));
        entries.extend(loop_devices(scope)?);
        entries.extend(processes(scope));
        if matches!(scope, Scope::Machine) {
            entries.extend(names_in("/sys/class/net").into_iter().map(|name| format!("network device {name}")));
            entries.extend(names_in("/run/netns").into_iter().map(|name| format!("network namespace {name}")));
        }
        Ok(Self { entries })
    }

    /// What is here and was not there before.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.entries.difference(&before.entries).cloned().collect()
    }

    /// Waits until nothing is left that was not there before; the kernel takes things apart a little later than asked.
    ///
    /// # Errors
    /// When something is still left at the deadline: it is named.
    pub fn settles_to(before: &Self, scope: Scope<'_>, deadline: Duration) -> Result<()> {
        eventually("nothing left behind", deadline, || {
            let left = Self::take(scope).map_err(|error| format!("{error:#}"))?.since(before);
            if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
        })
    }

    /// The lines of the census.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(String::as_str)
    }

    /// What the open file descriptors of a process point to, sorted (`socket:[…]` and the like without their numbers, so
    /// that two lists can be compared).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn open_fds(pid: u32) -> Result<Vec<String>> {
        let directory = format!("/proc/{pid}/fd");
        let entries = fs::read_dir(&directory).with_context(|| format!("failed to read {directory}"))?;
        let mut targets: Vec<_> = entries
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .map(|target| {
                let target = target.to_string_lossy().into_owned();
                target.split_once(":[").map_or(target.clone(), |(kind, _)| kind.to_owned())
            })
            .collect();
        targets.sort();
        Ok(targets)
    }
}

fn mounts(scope: Scope<'_>) -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("failed to read the mount table")?;
    let wanted = |line: &&str| match scope {
        Scope::Machine => true,
        Scope::Run(run, _) => mentions(line, run.scratch()),
    };
    Ok(table.lines().filter(wanted).map(mount_entry).collect())
}

/// `29 1 8:1 /root /mount/point options - type source` → `mount /mount/point (type)`.
fn mount_entry(line: &str) -> String {
    let point = line.split(' ').nth(4).unwrap_or("?");
    let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("?");
    format!("mount {} ({kind})", unescape(point))
}

/// The mount points at or below `directory`, the innermost first.
pub(crate) fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| PathBuf::from(unescape(point)));
    let mut points: Vec<_> = points.filter(|point| point.starts_with(directory)).collect();
    points.reverse();
    points
}

/// The kernel writes blanks in paths as `\040`.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

fn cgroups(scope: Scope<'_>) -> Vec<String> {
    let paths = match scope {
        Scope::Machine => cgroups_where(|_| true),
        Scope::Run(run, words) => {
            let scratch = run.scratch().file_name().unwrap_or_default().to_string_lossy();
            cgroups_where(|name| name.contains(scratch.as_ref()) || words.iter().any(|word| name.contains(word)))
        }
    };
    paths.into_iter().map(|path| format!("cgroup {}", path.display())).collect()
}

/// Cgroups of all hierarchies for whose names `wanted` holds, each before what it is in.
pub(crate) fn cgroups_where(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        let Ok(children) = fs::read_dir(&directory) else { continue };
        for child in children.flatten().filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir())) {
            let path = child.path();
            if wanted(&child.file_name().to_string_lossy()) {
                found.push(path.clone());
            }
            open.push(path);
        }
    }
    found.sort_by(|one, other| other.cmp(one));
    found
}

fn loop_devices(scope: Scope<'_>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for device in fs::read_dir("/sys/block").context("failed to read /sys/block")?.flatten() {
        let Ok(file) = fs::read_to_string(device.path().join("loop/backing_file")) else { continue };
        let wanted = match scope {
            Scope::Machine => true,
            Scope::Run(run, _) => mentions(&file, run.scratch()),
        };
        if wanted {
            found.push(format!("loop device {} of {}", device.file_name().to_string_lossy(), file.trim_end()));
        }
    }
    Ok(found)
}

fn processes(scope: Scope<'_>) -> Vec<String> {
    let list = match scope {
        Scope::Machine => processes_where(|_| true),
        Scope::Run(run, _) => processes_marked(Some(&run.mark()), run.scratch()),
    };
    list.into_iter().map(|(pid, command)| format!("process {pid} {command}")).collect()
}

/// Processes with a command line for which `wanted` holds; arguments are separated by blanks.
pub(crate) fn processes_with_command(wanted: impl Fn(&str) -> bool) -> Vec<u32> {
    let found = processes_where(|directory| {
        let command = fs::read(directory.join("cmdline")).unwrap_or_default();
        wanted(&String::from_utf8_lossy(&command).replace('\0', " "))
    });
    found.into_iter().map(|(pid, _)| pid).collect()
}

/// Processes with `mark` in their environment, `path` in their command line, or a root file system made below `path`
/// (a container clears its environment, and its command line says nothing).
pub(crate) fn processes_marked(mark: Option<&str>, path: &Path) -> Vec<(u32, String)> {
    let needle = path.to_string_lossy().into_owned();
    processes_where(|directory| {
        if let Some(mark) = mark {
            let environment = fs::read(directory.join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
                return true;
            }
        }
        let command = fs::read(directory.join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&needle) {
            return true;
        }
        let mounts = fs::read_to_string(directory.join("mountinfo")).unwrap_or_default();
        mounts.lines().any(|line| line.split(' ').nth(4) == Some("/") && line.contains(&needle))
    })
}

/// Pids and command lines of the living processes for which `wanted` holds; never this one, never a kernel thread.
fn processes_where(wanted: impl Fn(&Path) -> bool) -> Vec<(u32, String)> {
    let own = std::process::id();
    let mut found = Vec::new();
    for name in names_in("/proc") {
        let Ok(pid) = name.parse::<u32>() else { continue };
        let directory = Path::new("/proc").join(&name);
        // Empty for kernel threads and for zombies, which are their parent's business.
        let command = fs::read(directory.join("cmdline")).unwrap_or_default();
        if pid != own && !command.is_empty() && wanted(&directory) {
            let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            found.push((pid, words.join(" ").trim_end().to_owned()));
        }
    }
    found
}

fn mentions(text: &str, path: &Path) -> bool {
    text.contains(path.to_string_lossy().as_ref())
}

pub(crate) fn names_in(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Process;

    #[test]
    fn a_process_left_behind_is_named() {
        let run = TestRun::new("unit_a_process_left_behind_is_named").unwrap();
        let scope = Scope::Run(&run, &[]);
        let before = Census::take(scope).unwrap();
        let sleeper = Process::program("sleep").unwrap().arg("1000").start(&run).unwrap();
        let left = eventually("the census shows it", Duration::from_secs(10), || {
            let left = Census::take(scope).unwrap().since(&before);
            if left.iter().any(|entry| entry.contains("sleep 1000")) { Ok(left) } else { Err(left.join("; ")) }
        });
        assert_eq!(left.unwrap(), [format!("process {} {}", sleeper.pid(), command_of(sleeper.pid()))]);
        drop(sleeper);
        Census::settles_to(&before, scope, Duration::from_secs(10)).unwrap();
    }

    fn command_of(pid: u32) -> String {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().replace('\0', " ").trim_end().to_owned()
    }

    #[test]
    fn open_files_are_listed_without_numbers() {
        let fds = Census::open_fds(std::process::id()).unwrap();
        assert!(!fds.is_empty());
        assert!(fds.iter().all(|target| !target.contains(":[")), "{fds:?}");
    }

    #[test]
    fn a_mount_line_is_read() {
        let line = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mount_entry(line), "mount /mnt 2 (ext3)");
    }
}
