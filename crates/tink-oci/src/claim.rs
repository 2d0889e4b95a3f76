//! Taking a state directory for one container.

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::launch::LaunchError;
use crate::log::LOG_DIR;
use crate::spec::{SPEC_FILE, Spec};
use crate::status::LOCK_FILE;

/// A state directory that is this container's, from here to its launch: it counts as starting, and nobody else starts
/// anything in it. Dropped, it is as free as before.
#[derive(Debug)]
pub struct Claim {
    spec: Spec,
    /// The sign of life, which the shim inherits without letting go of it. Gone when it has been handed on.
    lock: Option<File>,
}

impl Claim {
    /// Makes the state directory where it is missing, and takes it.
    ///
    /// # Errors
    /// The specification cannot be meant, the directory is another container's ([`LaunchError::Exists`]) or cannot be
    /// written.
    pub fn take(spec: Spec) -> Result<Self, LaunchError> {
        spec.check()?;
        let state = |source| LaunchError::State { dir: spec.dir.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(spec.dir.join(LOG_DIR)).map_err(state)?;
        let text = serde_json::to_vec_pretty(&spec).map_err(|error| state(error.into()))?;
        let mut file = match File::options().write(true).create_new(true).mode(0o600).open(spec.dir.join(SPEC_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(LaunchError::Exists { dir: spec.dir });
            }
            Err(error) => return Err(state(error)),
        };
        match file.write_all(&text).and_then(|()| lock(&spec.dir)) {
            Ok(lock) => Ok(Self { spec, lock: Some(lock) }),
            Err(error) => {
                give_back(&spec.dir);
                Err(state(error))
            }
        }
    }

    /// What is to be launched.
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Hands the sign of life on: the directory is the container's for good.
    pub(crate) fn hand_on(&mut self) -> Option<File> {
        self.lock.take()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            give_back(&self.spec.dir);
            // Not by closing alone: what another thread forks meanwhile has a copy of the descriptor until its exec.
            let _ = flock(lock, FlockOperation::Unlock);
        }
    }
}

fn lock(dir: &Path) -> std::io::Result<File> {
    let lock = File::options().write(true).create(true).truncate(false).open(dir.join(LOCK_FILE))?;
    // Waits for someone who looks whether there is a sign of life; the specification's file keeps others away.
    rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
    Ok(lock)
}

fn give_back(dir: &Path) {
    // One that cannot be removed says that the directory is taken: a start in another one is as good.
    let _ = std::fs::remove_file(dir.join(SPEC_FILE));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Status, status};

    #[test]
    fn a_claim_that_is_given_up_is_free_although_a_process_just_forked_has_its_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::take(Spec { args: vec!["true".to_owned()], ..Spec::new("a", dir.path(), vec!["/".into()]) })
            .unwrap();
        // What any other thread's fork copies, until its exec closes it.
        let copied = claim.lock.as_ref().unwrap().try_clone().unwrap();
        drop(claim);
        assert_eq!(status(dir.path()).unwrap(), Status::Gone);
        drop(copied);
    }
}
