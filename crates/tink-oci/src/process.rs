//! A process that can be told from a later one with the same number.

use std::os::fd::OwnedFd;

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

/// Field `number` (counted from 1, as in proc(5)) of a `/proc/<pid>/stat` line, for fields after the program's name.
fn stat_field(stat: &str, number: usize) -> Option<u64> {
    // The name stands in parentheses and may itself hold spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// The living descendants of the process `ancestor`, found by their parents' numbers.
pub(crate) fn descendants(ancestor: i32) -> Vec<i32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if let Some(parent) = stat_field(&stat, 4).and_then(|parent| i32::try_from(parent).ok()) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(pid, of)| *of == parent && *pid != parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
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
        assert!(own.open().unwrap().is_some());
        let other = ProcessId { start_ticks: own.start_ticks + 1, ..own };
        assert!(other.open().unwrap().is_none());
    }

    #[test]
    fn a_child_is_a_descendant() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let found = descendants(i32::try_from(std::process::id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&i32::try_from(child.id()).unwrap()));
    }
}
