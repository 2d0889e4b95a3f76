//! Giving containerd images that no registry has.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tink_image::{ImageError, PackedArchive, PackedImage};
use tokio::sync::mpsc;

use super::ContainerdRuntime;
use super::call::Failure;
use super::content::Labels;
use super::image::name;
use super::lease::Lease;
use super::pull::{Fault, Watched, engine_error};
use crate::{Operation, Progress, RuntimeError};

/// Read from the archive at once.
const CHUNK_BYTES: usize = 256 * 1024;

impl ContainerdRuntime {
    pub(super) async fn import_file(&self, archive: &Path, progress: &Progress) -> Result<Vec<String>, RuntimeError> {
        let subject = archive.display().to_string();
        let fail = |fault: Fault| match fault {
            Fault::Registry(error) => RuntimeError::permanent(Operation::Import, &subject, error.chain()),
            Fault::Engine(failure) => engine_error(failure, Operation::Import, &subject),
        };
        let images = images(archive.to_owned()).await.map_err(&fail)?;
        let mut names = Vec::new();
        for image in images {
            let lease = self.lease().await.map_err(|failure| fail(failure.into()))?;
            let fetch = |at: usize, news: Watched| self.import_layer(&lease, archive, &image, at, news);
            let stored = self.store(&lease, &image, progress, fetch).await;
            self.end_lease(lease, stored.is_ok()).await;
            stored.map_err(&fail)?;
            names.push(name(&image.reference));
        }
        Ok(names)
    }

    async fn import_layer(
        &self,
        lease: &Lease,
        archive: &Path,
        image: &PackedImage,
        at: usize,
        news: Watched,
    ) -> Result<(), Fault> {
        let blob = &image.layers[at];
        news.begun(at);
        let Some(mut upload) = self.upload(lease, blob).await? else { return Ok(()) };
        let (sender, mut pieces) = mpsc::channel(4);
        let (path, image) = (archive.to_owned(), image.clone());
        let reading = tokio::task::spawn_blocking(move || read_layer(&path, &image, at, &sender));
        while let Some(piece) = pieces.recv().await {
            upload.push(&piece).await?;
            news.came(at, piece.len() as u64);
        }
        reading.await.map_err(|error| Failure::unreachable(error.to_string()))??;
        Ok(upload.commit(&blob.digest, Labels::new()).await?)
    }
}

async fn images(path: PathBuf) -> Result<Vec<PackedImage>, Fault> {
    let read = tokio::task::spawn_blocking(move || PackedArchive::open(&path)?.images()).await;
    Ok(read.map_err(|error| Failure::unreachable(error.to_string()))??)
}

fn read_layer(path: &Path, image: &PackedImage, at: usize, pieces: &mpsc::Sender<Bytes>) -> Result<(), ImageError> {
    let archive = PackedArchive::open(path)?;
    let mut layer = archive.layer(image, at)?;
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let failed = |source| ImageError::File { operation: "read", path: path.to_owned(), source };
        let length = std::io::Read::read(&mut layer, &mut chunk).map_err(failed)?;
        chunk.truncate(length);
        // A closed channel: why it is closed is the receiver's to say.
        if length == 0 || pieces.blocking_send(chunk.into()).is_err() {
            return Ok(());
        }
    }
}
