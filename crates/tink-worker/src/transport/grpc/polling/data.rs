//! The data that the actions of a 2021 workflow share: one JSON document, before each action fetched into
//! `<directory>/<workflow id>/data`, which actions see as `/workflow/data`, and sent back after each success.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tonic::{Code, Status};
use tracing::warn;

use super::settle::data_stays;
use super::{MEMORY_MAX, Wire};
use crate::{Clock, Report, SystemClock};

/// The document of a workflow that has none yet.
const EMPTY: &[u8] = b"{}";

type Hash = [u8; 32];

/// The documents on disk.
pub(super) struct WorkflowData {
    root: PathBuf,
    bytes_max: u64,
    /// What the server has, by workflow, as far as it is known.
    known: Mutex<HashMap<String, Hash>>,
}

impl WorkflowData {
    pub(super) fn new(root: PathBuf, bytes_max: u64) -> Self {
        Self { root, bytes_max, known: Mutex::default() }
    }

    /// The directory of a workflow. Its id may hold slashes, but nothing that leads out.
    pub(super) fn directory(&self, workflow: &str) -> Result<PathBuf, String> {
        let inside = !workflow.is_empty() && !workflow.contains([':', '\0']);
        let plain = Path::new(workflow).components().all(|part| matches!(part, Component::Normal(_)));
        if inside && plain && !workflow.ends_with('/') {
            Ok(self.root.join(workflow))
        } else {
            Err(format!("the workflow id {workflow:?} cannot be the name of a directory"))
        }
    }

    /// Brings the document of the server to the disk. What fails is named in the log and no more: an action that needs
    /// no data must not wait for it.
    pub(super) async fn fetch<W: Wire>(&self, wire: &W, workflow: &str) {
        let Ok(directory) = self.directory(workflow) else { return };
        let answer = wire.data(workflow).await;
        let outcome = match answer {
            Ok(Some(data)) if !data.is_empty() => self.write(workflow, &directory, &data),
            // None yet, or none at all on this wire.
            Ok(Some(_)) => self.write_first(workflow, &directory),
            Ok(None) => fs::create_dir_all(&directory),
            Err(failure) if is_missing(&failure) => fs::create_dir_all(&directory),
            Err(failure) => {
                warn!(
                    workflow,
                    error = failure.message(),
                    "the workflow's data cannot be fetched; actions see what is here"
                );
                self.write_first(workflow, &directory)
            }
        };
        if let Err(error) = outcome {
            warn!(
                workflow, directory = %directory.display(), %error,
                "the workflow's data cannot be written; mount something writable there or set -workflow-data-dir"
            );
        }
    }

    /// Written anew and never over the old text, of which a longer one would leave its end behind.
    fn write(&self, workflow: &str, directory: &Path, data: &[u8]) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("data"), data)?;
        self.remember(workflow, data);
        Ok(())
    }

    fn write_first(&self, workflow: &str, directory: &Path) -> io::Result<()> {
        if directory.join("data").exists() {
            return Ok(());
        }
        self.write(workflow, directory, EMPTY)
    }

    /// Sends the document where it changed. Only a server that is not there is an error: what it does not take, it will
    /// not take later either, and the result matters more.
    pub(super) async fn store<W: Wire>(&self, wire: &W, workflow: &str, report: &Report) -> Result<(), Status> {
        let Ok(directory) = self.directory(workflow) else { return Ok(()) };
        let data = match self.read(&directory.join("data")) {
            Ok(Some(data)) => data,
            Ok(None) => return Ok(()),
            Err(reason) => {
                data_stays(workflow, &reason);
                return Ok(());
            }
        };
        if self.is_known(workflow, &data) {
            return Ok(());
        }
        match wire.store_data(workflow, metadata(report, &data), data.clone()).await {
            Ok(_) => {}
            Err(failure) if is_missing(&failure) => {}
            Err(failure) if is_transient(&failure) => return Err(failure),
            Err(failure) => data_stays(workflow, failure.message()),
        }
        self.remember(workflow, &data);
        Ok(())
    }

    /// The document, where it is one that servers take.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let mut data = Vec::new();
        let limit = self.bytes_max.saturating_add(1);
        file.take(limit).read_to_end(&mut data).map_err(|error| format!("{}: {error}", path.display()))?;
        if u64::try_from(data.len()).unwrap_or(u64::MAX) > self.bytes_max {
            return Err(format!("{} has more than {} bytes (-max-file-size)", path.display(), self.bytes_max));
        }
        match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&data) {
            Ok(_) => Ok(Some(data)),
            Err(error) => Err(format!("{} is no JSON object: {error}", path.display())),
        }
    }

    fn remember(&self, workflow: &str, data: &[u8]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MEMORY_MAX {
            known.clear();
        }
        known.insert(workflow.to_owned(), Sha256::digest(data).into());
    }

    fn is_known(&self, workflow: &str, data: &[u8]) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(workflow).is_some_and(|hash| *hash == Hash::from(Sha256::digest(data)))
    }
}

/// The server has no such call.
fn is_missing(failure: &Status) -> bool {
    failure.code() == Code::Unimplemented || failure.message() == "not implemented"
}

fn is_transient(failure: &Status) -> bool {
    matches!(failure.code(), Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded)
        || std::error::Error::source(failure).is_some()
}

/// Who wrote the document, as workers of 2021 say it.
fn metadata(report: &Report, data: &[u8]) -> Vec<u8> {
    let sha256: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = serde_json::json!({
        "workerID": report.worker.as_str(),
        "actionName": report.action_name,
        "taskName": report.task.as_str(),
        "updatedAt": report.stopped_at.unwrap_or_else(|| SystemClock.now()).to_string(),
        "sha256": sha256,
    });
    text.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_has_a_directory_of_its_own_and_no_other() {
        let data = WorkflowData::new(PathBuf::from("/worker"), 10);
        for (id, path) in [("w", "/worker/w"), ("default/w", "/worker/default/w"), ("a/b/c", "/worker/a/b/c")] {
            assert_eq!(data.directory(id).unwrap(), Path::new(path));
        }
        for bad in ["", "..", "a/..", "../a", "/etc", "a/../../b", "a/", ".", "./a", "a:b", "a\0b"] {
            assert!(data.directory(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_a_json_object_within_the_limit_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let data = WorkflowData::new(dir.path().to_owned(), 12);
        assert_eq!(data.read(&path), Ok(None));
        for (text, wanted) in [
            ("{}", Ok(())),
            (r#"{"a":"bcde"}"#, Ok(())),
            (r#"{"a":"bcdef"}"#, Err("more than 12 bytes")),
            ("[]", Err("no JSON object")),
            ("{}}", Err("no JSON object")),
            ("", Err("no JSON object")),
        ] {
            fs::write(&path, text).unwrap();
            match (data.read(&path), wanted) {
                (Ok(Some(read)), Ok(())) => assert_eq!(read, text.as_bytes()),
                (Err(error), Err(wanted)) => assert!(error.contains(wanted), "{error}"),
                (found, wanted) => panic!("{text}: {found:?}, wanted {wanted:?}"),
            }
        }
    }
}
