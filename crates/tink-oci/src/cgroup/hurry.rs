//! Making the move into a cgroup quick.
//!
//! The kernel lets a process change its cgroup only after an RCU grace period, unless another one has just done so: five to
//! twenty milliseconds, several times what all else of a container takes. Asked to hurry (`rcu_expedited`) it
//! takes a fraction of one. In cgroup v2 nobody has to move: children are born where they belong, see `crate::sys::fork_into`.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

const SWITCH: &str = "/sys/kernel/rcu_expedited";

/// The kernel hurries while this exists, if it lets itself be asked.
pub(crate) struct Hurry {
    switch: Option<File>,
}

impl Hurry {
    /// Asks. Nothing happens where the machine's owner has made up their mind already, where the switch cannot be written,
    /// or while another shim has it: then the kernel hurries anyway.
    pub(crate) fn begin() -> Self {
        Self { switch: ask(Path::new(SWITCH)).ok().flatten() }
    }
}

fn ask(switch: &Path) -> std::io::Result<Option<File>> {
    let mut switch = File::options().read(true).write(true).open(switch)?;
    // Whoever turns it back off is whoever turned it on.
    flock(&switch, FlockOperation::NonBlockingLockExclusive)?;
    let mut state = String::new();
    switch.read_to_string(&mut state)?;
    if state.trim() != "0" {
        return Ok(None);
    }
    switch.write_at(b"1", 0)?;
    Ok(Some(switch))
}

impl Drop for Hurry {
    fn drop(&mut self) {
        if let Some(switch) = &self.switch {
            // It could be written a moment ago; and were it not so now, the machine would only be quicker.
            let _ = switch.write_at(b"0", 0);
            // Not by closing alone: what another thread forks meanwhile has a copy of the descriptor until its exec.
            let _ = flock(switch, FlockOperation::Unlock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_is_as_it_was_and_one_hurries_for_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let state = || std::fs::read_to_string(file.path()).unwrap();
        std::fs::write(file.path(), "0\n").unwrap();
        let first = Hurry { switch: ask(file.path()).unwrap() };
        assert_eq!((first.switch.is_some(), state().as_str()), (true, "1\n"));
        let second = Hurry { switch: ask(file.path()).ok().flatten() };
        assert!(second.switch.is_none());
        drop(second);
        assert_eq!(state(), "1\n", "it is not the second one's to turn off");
        drop(first);
        assert_eq!(state(), "0\n");
    }

    #[test]
    fn what_the_machines_owner_turned_on_stays_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "1\n").unwrap();
        drop(Hurry { switch: ask(file.path()).unwrap() });
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "1\n");
    }
}
