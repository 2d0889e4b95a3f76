//! A process that can be told from a later one with the same number.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process: its number and when it started. Within one boot the two together belong to one process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The number, in the PID namespace of whoever started the container.
    pub pid: i32,
    /// Clock ticks between boot and the process's start.
    pub start_ticks: u64,
}

impl ProcessId {
    /// Reads the start time of the process `pid`.
    pub(crate) fn of(pid: i32) -> std::io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let start_ticks = stat_field(&stat, 22).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(Self { pid, start_ticks })
    }

    /// A handle on the process, or nothing if it has ended, or is another one by now.
    pub(crate) fn open(self) -> std::io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Compared only after the handle is held: from here on the number cannot be given away unseen.
        match Self::of(self.pid) {
            Ok(found) if found == self => Ok(Some(handle)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_alive(self) -> bool {
        match self.open() {
            Ok(None) => false,
            Ok(Some(handle)) => !has_ended(&handle),
            // Whoever asks looks again.
            Err(_) => true,
        }
    }

    /// Sends a signal; a process that has ended already is no error.
    pub(crate) fn signal(self, signal: Signal) -> std::io::Result<()> {
        match self.open()? {
            None => Ok(()),
            Some(handle) => match pidfd_send_signal(&handle, signal) {
                Ok(()) | Err(Errno::SRCH) => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }
}

/// Whether the process of a handle has ended, reaped or not.
pub(crate) fn has_ended(handle: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&now)), Ok(1))
}

/// Field `number` (counted from 1, as in proc(5)) of a `/proc/<pid>/stat` line, for fields after the program's name.
pub(crate) fn stat_field(stat: &str, number: usize) -> Option<u64> {
    // The name stands in parentheses and may itself hold spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// The numbers of all processes that can be seen.
pub(crate) fn all() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The descendants of the process `ancestor`, found by their parents' numbers.
pub(crate) fn descendants(ancestor: i32) -> Vec<ProcessId> {
    let mut parents = Vec::new();
    for pid in all() {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat_field(&stat, 4).and_then(|parent| i32::try_from(parent).ok());
        if let (Some(parent), Some(start_ticks)) = (parent, stat_field(&stat, 22)) {
            parents.push((ProcessId { pid, start_ticks }, parent));
        }
    }
    let mut found: Vec<ProcessId> = Vec::new();
    let mut next = 0;
    let mut of = Some(ancestor);
    while let Some(parent) = of {
        let children = parents.iter().filter(|(child, of)| *of == parent && child.pid != parent);
        found.extend(children.map(|(child, _)| *child));
        of = found.get(next).map(|child| child.pid);
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        assert_eq!(stat_field("7 (a b) (c) S 1 7 7", 4), Some(1));
    }

    #[test]
    fn a_process_is_found_under_its_start_time_only() {
        let own = ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.open().unwrap().is_some() && own.is_alive());
        let other = ProcessId { start_ticks: own.start_ticks + 1, ..own };
        assert!(other.open().unwrap().is_none() && !other.is_alive());
    }

    #[test]
    fn a_child_is_a_descendant() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let found = descendants(i32::try_from(std::process::id()).unwrap());
        let id = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!id.is_alive());
        assert!(found.iter().any(|process| process.pid == i32::try_from(child.id()).unwrap()));
    }
}
