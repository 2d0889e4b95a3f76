//! Giving docker an image that no registry has.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::query_parameters::ImportImageOptions;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tink_workflow::ImageRef;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::DockerRuntime;
use super::call::{Failure, FailureKind, SHORT, call};
use super::create::reference;
use crate::{LayerProgress, LayerState, Operation, Progress, PullProgress, RuntimeError};

/// So long nothing may happen, neither in the archive nor in docker.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Read from a file at once.
const CHUNK_BYTES: usize = 256 * 1024;

impl DockerRuntime {
    /// Loads an image archive (`docker save`'s form, or an OCI layout in a tar, either packed with gzip or not) and answers
    /// with the names that docker gave to what was in it. `subject` names the archive in errors.
    ///
    /// # Errors
    /// Permanent when docker refuses the archive; transient when the daemon is away or nothing moves for five minutes.
    pub async fn import(
        &self,
        subject: &str,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Vec<String>, RuntimeError> {
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let archive = archive.inspect_ok(move |bytes| {
            counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        });
        let mut events = self.client.import_image_stream(ImportImageOptions::default(), archive, None);
        let fail = |failure: Failure| match failure.kind {
            FailureKind::InStream => RuntimeError::permanent(Operation::Import, subject, failure.message),
            FailureKind::Status(_) | FailureKind::Unreachable => failure.into_error(Operation::Import, subject),
        };
        let mut names = Vec::new();
        let mut sent_before = 0;
        loop {
            match tokio::time::timeout(IDLE_MAX, events.next()).await {
                Ok(Some(Ok(event))) => names.extend(event.stream.as_deref().and_then(loaded_name)),
                Ok(Some(Err(error))) => return Err(fail(error.into())),
                Ok(None) => return Ok(names),
                Err(_) if sent.load(Ordering::Relaxed) > sent_before => sent_before = sent.load(Ordering::Relaxed),
                Err(_) => {
                    let idle = format!("nothing has moved for {} s", IDLE_MAX.as_secs());
                    return Err(fail(Failure::unreachable(idle)));
                }
            }
        }
    }

    /// As [`DockerRuntime::import`], of a file.
    pub(super) async fn import_file(&self, archive: &Path, progress: &Progress) -> Result<Vec<String>, RuntimeError> {
        let subject = archive.display().to_string();
        let file = File::open(archive).await;
        let file = file.map_err(|error| RuntimeError::permanent(Operation::Import, &subject, error.to_string()))?;
        let bytes_total = file.metadata().await.map_or(0, |meta| meta.len());
        let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (state, progress) = (LayerState::Fetching, progress.clone());
        let begun = LayerProgress { name, bytes_done: 0, bytes_total, state };
        let chunks = stream::try_unfold((file, begun, progress), |(mut file, mut sent, progress)| async move {
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            let length = file.read_buf(&mut chunk).await?;
            sent.bytes_done += length as u64;
            // The archive as a whole: docker does not say what it makes of it meanwhile.
            progress.set(PullProgress { layers: vec![sent.clone()] });
            Ok((length > 0).then(|| (chunk.freeze(), (file, sent, progress))))
        });
        self.import(&subject, chunks).await
    }

    /// Whether the daemon has the image, without asking a registry.
    ///
    /// # Errors
    /// Transient when the daemon does not answer.
    pub async fn has_image(&self, image: &ImageRef) -> Result<bool, RuntimeError> {
        self.image_is_here(image).await.map_err(|failure| failure.into_error(Operation::Pull, image.familiar()))
    }

    pub(super) async fn image_is_here(&self, image: &ImageRef) -> Result<bool, Failure> {
        match call(SHORT, self.client.inspect_image(&reference(image))).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.has_status(404) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

/// `Loaded image: hello:latest` or `Loaded image ID: sha256:…`.
fn loaded_name(line: &str) -> Option<String> {
    let name = line.strip_prefix("Loaded image: ").or_else(|| line.strip_prefix("Loaded image ID: "))?;
    Some(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_dockers_words() {
        assert_eq!(loaded_name("Loaded image: hello:latest\n").as_deref(), Some("hello:latest"));
        assert_eq!(loaded_name("Loaded image ID: sha256:1\n").as_deref(), Some("sha256:1"));
        assert_eq!(loaded_name("Loading layer"), None);
    }
}
