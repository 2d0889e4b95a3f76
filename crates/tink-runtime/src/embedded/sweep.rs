//! Containers of earlier boots: nothing of them runs any more, and what they wrote may still take much room.

use std::path::Path;
use std::time::Duration;

use tink_oci::{Record, Status};

use super::find::Owner;
use super::{EmbeddedRuntime, chain};

/// A container without a record may be one that another process starts just now, but not for so long.
const START_PATIENCE: Duration = Duration::from_secs(600);

impl EmbeddedRuntime {
    /// Removes what a reboot cut short. The worker's journal knows only the newest run of an action, which after a reboot
    /// is another one.
    ///
    /// A container that ended before the reboot stays: its exit is still to be read. So does the record of a detached one,
    /// which nobody but people asks for; what it wrote goes.
    pub(crate) async fn sweep_other_boots(&self) {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let entries = std::fs::read_dir(&self.containers).into_iter().flatten().flatten();
        for (id, dir) in entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))) {
            if !Owner::is_there(&dir) || !was_cut_short(&dir, boot.trim()) {
                continue;
            }
            let removed = if super::detached::is_detached(&id) {
                tink_oci::remove_layer(&dir)
            } else {
                tink_oci::remove(&dir).await
            };
            match removed {
                Ok(()) => tracing::info!(container = id, "what a reboot left of a container is removed"),
                Err(error) => {
                    tracing::warn!(
                        container = id,
                        reason = chain(&error),
                        "what a reboot left of a container stays behind"
                    );
                }
            }
        }
    }
}

/// Whether it neither runs nor ended, and cannot be about to start.
fn was_cut_short(dir: &Path, boot: &str) -> bool {
    if !matches!(tink_oci::status(dir), Ok(Status::Gone)) {
        return false;
    }
    match Record::load(dir) {
        Ok(Some(record)) => record.boot_id != boot,
        // Never written, or lost in a power cut: it is not synced.
        Ok(None) | Err(_) => {
            let age = dir.metadata().and_then(|meta| meta.modified()).ok().and_then(|made| made.elapsed().ok());
            age.is_some_and(|age| age >= START_PATIENCE)
        }
    }
}
