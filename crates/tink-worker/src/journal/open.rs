//! Reading the journal back after a start.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use tracing::warn;

use super::{Disk, Entry, EntryId, Journal, JournalError, JournalLimits, Shared, State, durable};
use crate::Assignment;

/// No file of an entry but its log is larger; what is, is damaged.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What the name of an entry begins with that is not whole yet.
pub(super) const NEW: &str = ".new-";

impl Journal {
    /// Reads the journal in `root`, which is made where it is missing. Damaged entries are moved to `damaged/` and
    /// named in the log. One that is there need not take writes: what it holds can be reported and taken up, and each
    /// change says for itself whether the disk takes it.
    ///
    /// # Errors
    /// [`JournalError::Open`] when the directory cannot be made, made durable or listed.
    pub fn open(root: &Path, disk: Arc<dyn Disk>, limits: JournalLimits) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Open { path: root.to_owned(), source };
        let assignments = root.join("assignments");
        durable::create_dir(disk.as_ref(), &assignments).map_err(failed)?;
        durable::settle_all(disk.as_ref(), &assignments).map_err(failed)?;
        let names = disk.list(&assignments).map_err(failed)?;
        let mut state = State::default();
        for name in names {
            let dir = assignments.join(&name);
            // The worker died before the entry was there, and the server will ask again; or before all of it was gone.
            if let Some(number) = number_of_leftover(&name) {
                if let Err(error) = disk.remove_dir(&dir) {
                    warn!(path = %dir.display(), %error, "a leftover of the journal cannot be removed");
                    // An entry of its name would meet it.
                    state.next = state.next.max(number);
                }
                continue;
            }
            match read_entry(disk.as_ref(), &dir, &name) {
                Ok(entry) => {
                    // What follows from it must not be undone by a power cut.
                    if entry.closed.is_none() {
                        durable::settle(disk.as_ref(), &dir).map_err(failed)?;
                    }
                    state.next = state.next.max(entry.id.0);
                    state.entries.insert(entry.id, entry);
                }
                Err(reason) => {
                    state.next = state.next.max(number(&name).unwrap_or(0));
                    set_aside(root, &dir, &name, disk.as_ref(), &reason, limits.damaged_max);
                }
            }
        }
        Ok(Self(Arc::new(Shared { root: root.to_owned(), disk, limits, state: Mutex::new(state) })))
    }
}

/// The number of an entry that is not whole, 0 where it has none; `None` for any other name.
fn number_of_leftover(name: &OsStr) -> Option<u64> {
    let bytes = name.as_encoded_bytes();
    let rest = [NEW, durable::GONE].iter().find_map(|prefix| bytes.strip_prefix(prefix.as_bytes()))?;
    let digits = rest.split(|byte| *byte == b'-').next().and_then(|digits| std::str::from_utf8(digits).ok());
    Some(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0))
}

fn number(name: &OsStr) -> Option<u64> {
    name.to_str()?.split('-').next()?.parse().ok()
}

fn read_entry(disk: &dyn Disk, dir: &Path, name: &OsStr) -> Result<Entry, String> {
    let id = number(name).ok_or_else(|| "its name does not begin with a number".to_owned())?;
    let assignment: Assignment =
        read_json(disk, dir, "assignment.json")?.ok_or_else(|| "assignment.json is missing".to_owned())?;
    let mut entry = Entry::new(EntryId(id), assignment);
    entry.dir_name = name.to_string_lossy().into_owned();
    entry.attempt = read_json(disk, dir, "attempt.json")?;
    let container: Option<tink_runtime::HandleRecord> = read_json(disk, dir, "container.json")?;
    let attempt = entry.attempt_number();
    entry.container = match container {
        Some(record) if record.identity.action != entry.assignment.action => {
            return Err(format!("container.json is of action {}", record.identity.action));
        }
        Some(record) if record.identity.attempt > attempt => {
            return Err(format!("container.json is of attempt {} of {attempt}", record.identity.attempt));
        }
        // Of an older attempt: the newest one has no container yet.
        Some(record) if record.identity.attempt < attempt => None,
        other => other,
    };
    entry.leaving = read_text(disk, dir, "leaving")?.is_some();
    entry.left = read_text(disk, dir, "left")?.is_some();
    entry.stopping = read_text(disk, dir, "stopping")?;
    entry.exit = read_json(disk, dir, "exit.json")?;
    entry.hook = read_json(disk, dir, "hook.json")?;
    entry.result = read_json(disk, dir, "result.json")?;
    if let Some(result) = &entry.result
        && !entry.assignment.is_same_action(&result.workflow, &result.action)
    {
        return Err(format!("result.json is of action {}", result.action));
    }
    entry.removed = read_text(disk, dir, "removed")?.is_some();
    entry.closed = read_text(disk, dir, "acknowledged")?;
    Ok(entry)
}

fn read_json<T: DeserializeOwned>(disk: &dyn Disk, dir: &Path, file: &str) -> Result<Option<T>, String> {
    match read(disk, &dir.join(file)).map_err(|error| format!("{file}: {error}"))? {
        Some(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("{file}: {error}")),
        None => Ok(None),
    }
}

fn read_text(disk: &dyn Disk, dir: &Path, file: &str) -> Result<Option<String>, String> {
    let bytes = read(disk, &dir.join(file)).map_err(|error| format!("{file}: {error}"))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let bytes = disk.read(path, FILE_BYTES_MAX + 1)?;
    if bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > FILE_BYTES_MAX) {
        return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn set_aside(root: &Path, dir: &Path, name: &OsStr, disk: &dyn Disk, reason: &str, damaged_max: usize) {
    let damaged = root.join("damaged");
    let to = damaged.join(name);
    let moved = durable::create_dir(disk, &damaged)
        .and_then(|()| disk.remove_dir(&to))
        .and_then(|()| durable::rename(disk, dir, &to))
        .and_then(|()| prune_damaged(&damaged, disk, damaged_max));
    match moved {
        Ok(()) => warn!(
            entry = %name.display(), reason, moved_to = %to.display(),
            "journal entry is damaged and was set aside; its action runs again only if the server asks for it"
        ),
        Err(error) => warn!(
            entry = %name.display(), reason, %error,
            "journal entry is damaged and ignored, but could not be set aside"
        ),
    }
}

fn prune_damaged(damaged: &Path, disk: &dyn Disk, keep: usize) -> io::Result<()> {
    let all = disk.list(damaged)?;
    let surplus = all.len().saturating_sub(keep);
    all.iter().take(surplus).try_for_each(|name| disk.remove_dir(&damaged.join(name)))
}
