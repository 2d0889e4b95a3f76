//! containerd's content store: blobs by digest.

use std::collections::HashMap;

use prost_types::FieldMask;
use tink_containerd::services::content::v1::content_client::ContentClient;
use tink_containerd::services::content::v1::{
    Info, InfoRequest, ReadContentRequest, UpdateRequest, WriteAction, WriteContentRequest, WriteContentResponse,
};
use tink_image::{Descriptor, Digest};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::ContainerdRuntime;
use super::call::{Failure, LONG, SHORT, call, or_none};
use super::lease::Lease;

/// Sent at once; containerd takes messages of 16 MiB.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Labels of a blob.
pub(super) type Labels = HashMap<String, String>;

/// A blob on its way into the store. Dropped, what was sent stays as a partial ingestion that the garbage collector takes.
pub(super) struct Upload {
    requests: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
    pending: Vec<u8>,
    offset: i64,
    total: i64,
}

impl ContainerdRuntime {
    fn content(&self) -> ContentClient<tonic::transport::Channel> {
        ContentClient::new(self.channel.clone())
    }

    /// Whether the store has the blob.
    pub(super) async fn has_content(&self, digest: &Digest) -> Result<bool, Failure> {
        let request = self.request(InfoRequest { digest: digest.to_string() });
        Ok(or_none(call(SHORT, self.content().info(request)).await)?.is_some())
    }

    /// A small blob whole; `None` when the store has no such blob.
    pub(super) async fn read_content(&self, digest: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, Failure> {
        let request = self.request(ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 });
        let Some(mut stream) = or_none(call(SHORT, self.content().read(request)).await)? else { return Ok(None) };
        let mut bytes = Vec::new();
        loop {
            let next = timeout(SHORT, stream.message()).await;
            match next.map_err(|_| Failure::unreachable("containerd stopped in the middle of a blob"))? {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece.data),
                Ok(None) => return Ok(Some(bytes)),
                Err(status) if status.code() == Code::NotFound => return Ok(None),
                Err(status) => return Err(status.into()),
            }
            if bytes.len() > bytes_max {
                let message = format!("{digest} has more than {bytes_max} bytes, which no such document needs");
                return Err(Failure { kind: super::call::FailureKind::Code(Code::InvalidArgument), message });
            }
        }
    }

    /// Sets labels of a blob that is there.
    pub(super) async fn label_content(&self, digest: &Digest, labels: Labels) -> Result<(), Failure> {
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let info = Info { digest: digest.to_string(), size: 0, labels };
        let request = self.request(UpdateRequest { info: Some(info), update_mask: Some(FieldMask { paths }) });
        call(SHORT, self.content().update(request)).await.map(drop)
    }

    /// Stores a small blob.
    pub(super) async fn write_content(
        &self,
        lease: &Lease,
        blob: &Descriptor,
        bytes: &[u8],
        labels: Labels,
    ) -> Result<(), Failure> {
        if let Some(mut upload) = self.upload(lease, blob).await? {
            upload.push(bytes).await?;
            upload.commit(&blob.digest, labels.clone()).await?;
        }
        if labels.is_empty() { Ok(()) } else { self.label_content(&blob.digest, labels).await }
    }

    /// Begins to store a blob; `None` when the store has it.
    pub(super) async fn upload(&self, lease: &Lease, blob: &Descriptor) -> Result<Option<Upload>, Failure> {
        let total = i64::try_from(blob.size).unwrap_or(i64::MAX);
        let (requests, stream) = mpsc::channel(2);
        let first = WriteContentRequest {
            action: WriteAction::Stat.into(),
            r#ref: format!("tink-{}-{}", blob.digest, lease.id()),
            total,
            expected: blob.digest.to_string(),
            ..WriteContentRequest::default()
        };
        requests.send(first).await.map_err(|_| gone())?;
        let request = self.leased(lease, ReceiverStream::new(stream));
        let answers = match call(LONG, self.content().write(request)).await {
            Err(failure) if failure.is(Code::AlreadyExists) => return Ok(None),
            answers => answers?,
        };
        let mut upload = Upload { requests, answers, pending: Vec::new(), offset: 0, total };
        match upload.answer().await {
            Err(failure) if failure.is(Code::AlreadyExists) => Ok(None),
            answer => answer.map(|()| Some(upload)),
        }
    }
}

impl Upload {
    /// Takes the next bytes.
    pub(super) async fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.pending.extend_from_slice(bytes);
        while self.pending.len() >= CHUNK_BYTES {
            let rest = self.pending.split_off(CHUNK_BYTES);
            let data = std::mem::replace(&mut self.pending, rest);
            self.send(data).await?;
        }
        Ok(())
    }

    async fn send(&mut self, data: Vec<u8>) -> Result<(), Failure> {
        let bytes = i64::try_from(data.len()).unwrap_or(i64::MAX);
        let request = WriteContentRequest {
            action: WriteAction::Write.into(),
            offset: self.offset,
            data,
            ..WriteContentRequest::default()
        };
        self.requests.send(request).await.map_err(|_| gone())?;
        self.answer().await?;
        self.offset += bytes;
        Ok(())
    }

    /// Sends what is left and makes the blob part of the store; containerd verifies size and digest.
    pub(super) async fn commit(mut self, digest: &Digest, labels: Labels) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.pending);
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        let request = WriteContentRequest {
            action: WriteAction::Commit.into(),
            total: self.total,
            expected: digest.to_string(),
            offset: self.offset,
            labels,
            ..WriteContentRequest::default()
        };
        self.requests.send(request).await.map_err(|_| gone())?;
        match self.answer().await {
            Err(failure) if failure.is(Code::AlreadyExists) => Ok(()),
            answer => answer,
        }
    }

    async fn answer(&mut self) -> Result<(), Failure> {
        match timeout(LONG, self.answers.message()).await {
            Ok(Ok(Some(_))) => Ok(()),
            Ok(Ok(None)) => Err(gone()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(Failure::unreachable("containerd takes no more of a blob")),
        }
    }
}

fn gone() -> Failure {
    Failure::unreachable("containerd stopped taking a blob")
}
