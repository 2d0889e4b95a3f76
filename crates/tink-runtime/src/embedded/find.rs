//! Which run a container's state directory belongs to.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use tink_oci::{Status, StatusError};

use super::translate::container_id;
use super::{EmbeddedRuntime, NAME, chain};
use crate::{ContainerSpec, HandleRecord, Identity, Operation, RuntimeError};

/// In a container's state directory, beside what `tink-oci` keeps there.
const FILE: &str = "identity.json";

/// What is written down before the container is started.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) identity: Identity,
    /// What runs. Its environment may hold secrets: the file is root's.
    #[serde(default)]
    pub(super) container: Option<ContainerSpec>,
}

impl Owner {
    /// Not synced: after a reboot nothing of the container is left but its exit.
    pub(super) fn write(&self, dir: &Path) -> std::io::Result<()> {
        let partial = dir.join("identity.json.new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(partial, dir.join(FILE))
    }

    /// Whether the directory is a container's of this runtime, even if what it says of it was lost.
    pub(super) fn is_there(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// `None` when there is none or it cannot be read: then it is nobody's.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let bytes = std::fs::read(dir.join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

impl EmbeddedRuntime {
    pub(super) async fn find_container(&self, identity: &Identity) -> Result<Option<HandleRecord>, RuntimeError> {
        let name = identity.container_name();
        let id = container_id(&name);
        let dir = self.dir(&id);
        let Some(owner) = Owner::read(&dir).filter(|owner| owner.identity.is_same_run(identity)) else {
            return Ok(None);
        };
        let launched = match tink_oci::status(&dir) {
            // Whoever wants to end it must know of it before its program runs: that may be any moment.
            Ok(Status::Starting | Status::Running(_)) => Ok(true),
            // A directory of a start that did not get as far as the program is nothing to wait for.
            Ok(Status::Exited(_) | Status::Gone) => tink_oci::Record::load(&dir).map(|record| record.is_some()),
            Err(StatusError::Record(error)) => Err(error),
            Err(error) => return Err(RuntimeError::transient(Operation::Recover, name, chain(&error))),
        };
        match launched {
            Ok(launched) => Ok(launched.then(|| record(id, &owner.identity))),
            Err(error) => Err(RuntimeError::permanent(Operation::Recover, name, chain(&error))),
        }
    }
}

/// What is stored of a container: everything else is in its state directory.
pub(super) fn record(id: String, identity: &Identity) -> HandleRecord {
    HandleRecord::of(NAME, id, identity)
}
