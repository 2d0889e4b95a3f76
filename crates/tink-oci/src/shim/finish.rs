//! After the container: its exit is written, its cgroups and its own layer go.

use std::error::Error;

use jiff::Timestamp;
use rustix::event::{Timespec, poll};

use super::owner::{Owner, note};
use crate::boot::{now, uptime_ms};
use crate::cgroup;
use crate::exit::{ExitStatus, Outcome};

/// Between two tries to write the exit.
const SAVE_PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// What the exit record says, as far as the supervision knows it.
pub(super) struct Facts {
    pub(super) outcome: Outcome,
    pub(super) unkillable: u32,
    pub(super) started_at: Timestamp,
    pub(super) started_ms: u64,
}

/// Writes the exit. When it can be read, the container's processes and mounts are gone.
pub(super) fn finish(owner: &mut Owner, facts: Facts) {
    let oom = cgroup::oom_kills(&owner.cgroups.own).is_some_and(|kills| kills > 0);
    owner.log.note_dropped();
    let exit = ExitStatus {
        outcome: facts.outcome,
        oom,
        started_at: facts.started_at,
        finished_at: now(),
        ran_ms: uptime_ms().saturating_sub(facts.started_ms),
        log: owner.log.totals(),
        unkillable: facts.unkillable,
    };
    save(owner, &exit);
}

/// The exit must not be lost for want of a few bytes. Its room was taken at the start; where a disk does not overwrite in
/// place, or fails, what the container wrote and then its log make room for it, and it is tried without end: only when it
/// is written, or the container removed, is anybody helped.
fn save(owner: &mut Owner, exit: &ExitStatus) {
    let Err(error) = exit.save(&owner.dir) else { return };
    note(&format!("failed to write the exit, making room for it: {error}"));
    remove_layer(owner);
    if exit.save(&owner.dir).is_ok() {
        return;
    }
    owner.log.discard();
    note(&format!("still no room for the exit, trying until there is: {exit:?}"));
    loop {
        match exit.save(&owner.dir) {
            Ok(()) => return,
            // Removed under us: there is nobody to tell any more.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(_) => {
                let _ = poll(&mut [], Some(&SAVE_PAUSE));
            }
        }
    }
}

/// What nobody waits for but who removes the container: its cgroups go, the exit is put on disk, and what the container
/// wrote is removed, which makes room for a last word in the log.
pub(super) fn settle(owner: &mut Owner) {
    if let Some(own) = owner.own_cgroup.take() {
        cgroup::rejoin_root(&own);
        owner.cgroups.own.push(own);
    }
    if let Err(error) = cgroup::remove(&owner.cgroups.own) {
        note(&format!("failed to remove a cgroup: {error}"));
    }
    match ExitStatus::sync(&owner.dir) {
        // Removed under us.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            note(&format!("failed to sync the exit: {error}"))
        }
        _ => {}
    }
    remove_layer(owner);
    owner.log.note_dropped();
}

/// Removes the container's own layer. Where it is in memory, it went with the container's mounts.
fn remove_layer(owner: &Owner) {
    if let Err(error) = crate::remove::remove_layer(&owner.dir) {
        note(&format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default()));
    }
}
