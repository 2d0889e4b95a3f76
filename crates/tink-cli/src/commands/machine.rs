//! The containers of the embedded runtime, read from its state directory.
//!
//! A worker that runs beside us is not disturbed: everything here looks at files that the containers' own processes keep,
//! and takes no lock that anybody waits for.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use tink_oci::{Record, Spec, Status};
use tink_runtime::Identity;

use crate::args;
use crate::exit::Failure;

/// A container, running or not.
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its state directory.
    pub dir: PathBuf,
    /// Whose run it is; `None` where the file that says so is missing or damaged.
    pub owner: Option<Owner>,
    /// What became of it.
    pub status: Status,
    /// What is known since its program started.
    pub record: Option<Record>,
    /// Its image's directories, lowest first.
    pub layers: Vec<PathBuf>,
}

/// What the runtime writes beside a container.
#[derive(Debug, Deserialize)]
pub struct Owner {
    /// Whose run it is.
    pub identity: Identity,
}

impl Container {
    /// Whether it runs or is about to.
    pub fn is_running(&self) -> bool {
        matches!(self.status, Status::Running(_) | Status::Starting)
    }

    /// When its program started.
    pub fn started(&self) -> Option<jiff::Timestamp> {
        match &self.status {
            Status::Exited(exit) => Some(exit.started_at),
            _ => self.record.as_ref().map(|record| record.started_at),
        }
    }

    fn read(dir: PathBuf) -> anyhow::Result<Option<Self>> {
        let Some(id) = dir.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { return Ok(None) };
        let status = tink_oci::status(&dir).with_context(|| format!("failed to look at container {id}"))?;
        // A damaged record says nothing of a container that has ended.
        let record = Record::load(&dir).ok().flatten();
        let owner = parsed(&dir.join("identity.json"));
        let layers = parsed(&dir.join("spec.json")).map(|spec: Spec| spec.layers).unwrap_or_default();
        // Removed while we looked.
        if !dir.is_dir() {
            return Ok(None);
        }
        Ok(Some(Self { id, dir, owner, status, record, layers }))
    }
}

/// Nothing if it is missing or damaged: then the container is listed without what it says.
fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
}

/// Every container of the machine, in the order in which they started. One that cannot be looked at is named on stderr.
///
/// # Errors
/// When there is no such state directory, or it cannot be read.
pub fn containers(machine: &args::Machine) -> Result<Vec<Container>, Failure> {
    let dir = machine.state_dir.join("containers");
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound && machine.state_dir.is_dir() => return Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let named = machine.state_dir.display();
            let next = "name that of the worker with --state-dir or TINK_STATE_DIR";
            return Err(Failure::usage(anyhow!("there is no state directory {named}; {next}")));
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(anyhow!("failed to read {}: only root may", dir.display()).into());
        }
        Err(error) => return Err(anyhow!(error).context(format!("failed to read {}", dir.display())).into()),
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        match Container::read(entry.path()) {
            Ok(container) => found.extend(container),
            Err(error) => eprintln!("tink: {error:#}"),
        }
    }
    found.sort_by_key(|container| (container.started(), container.id.clone()));
    Ok(found)
}

/// The container of this id, or the latest one of the action of this name.
///
/// # Errors
/// As [`containers`]; when there is none.
pub fn find(machine: &args::Machine, wanted: &str) -> Result<Container, Failure> {
    let mut all = containers(machine)?;
    let by_id = all.iter().position(|container| container.id == wanted);
    let is_of = |container: &Container| container.owner.as_ref().is_some_and(|o| o.identity.action_name == wanted);
    match by_id.or_else(|| all.iter().rposition(is_of)) {
        Some(at) => Ok(all.swap_remove(at)),
        None => Err(no_container(&machine.state_dir, wanted)),
    }
}

/// The error that there is no container of this id (or action).
pub fn no_container(state_dir: &Path, wanted: &str) -> Failure {
    anyhow!("there is no container {wanted:?} in {}; `tink ps` lists those there are", state_dir.display()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(dir: &Path) -> args::Machine {
        args::Machine { state_dir: dir.to_owned() }
    }

    fn container(state: &Path, id: &str, action: &str) {
        let dir = state.join("containers").join(id);
        std::fs::create_dir_all(&dir).unwrap();
        let text = format!(
            r#"{{"identity":{{"workflow":"default/w","action":"01J","action_name":"{action}","worker":"w","attempt":1}}}}"#
        );
        std::fs::write(dir.join("identity.json"), text).unwrap();
    }

    #[test]
    fn a_state_directory_that_is_not_there_is_a_wrong_call_and_an_unused_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(containers(&machine(dir.path())).unwrap().is_empty());
        let failure = containers(&machine(&dir.path().join("none"))).err().unwrap();
        assert_eq!(failure.code(), crate::exit::USAGE);
        assert!(failure.to_string().contains("--state-dir"), "{failure}");
    }

    #[test]
    fn containers_are_found_by_id_and_by_action() {
        let dir = tempfile::tempdir().unwrap();
        container(dir.path(), "tinkerbell_a_1", "write image");
        container(dir.path(), "tinkerbell_a_2", "write image");
        std::fs::create_dir(dir.path().join("containers/damaged")).unwrap();
        let machine = machine(dir.path());
        assert_eq!(find(&machine, "tinkerbell_a_1").unwrap().id, "tinkerbell_a_1");
        assert_eq!(find(&machine, "write image").unwrap().id, "tinkerbell_a_2");
        let damaged = find(&machine, "damaged").unwrap();
        assert!(damaged.owner.is_none() && !damaged.is_running() && damaged.started().is_none());
        assert_eq!(find(&machine, "write").err().unwrap().code(), crate::exit::FAILED);
    }
}
