//! Snapshots: the layers of images, and what containers write.

use std::collections::HashMap;

use tink_containerd::services::diff::v1::ApplyRequest;
use tink_containerd::services::diff::v1::diff_client::DiffClient;
use tink_containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use tink_containerd::services::snapshots::v1::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use tink_containerd::types::{Descriptor as Blob, Mount};
use tink_image::{Descriptor, Digest};
use tonic::Code;

use super::ContainerdRuntime;
use super::call::{Failure, FailureKind, LONG, SHORT, UNPACK, call, or_none};
use super::lease::Lease;

/// Removals of a snapshot whose mounts the kernel still holds.
const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl ContainerdRuntime {
    fn snapshots(&self) -> SnapshotsClient<tonic::transport::Channel> {
        SnapshotsClient::new(self.channel.clone())
    }

    pub(super) async fn has_snapshot(&self, key: &str) -> Result<bool, Failure> {
        let request = self.request(StatSnapshotRequest { snapshotter: self.snapshotter.clone(), key: key.to_owned() });
        Ok(or_none(call(SHORT, self.snapshots().stat(request)).await)?.is_some())
    }

    /// A writable snapshot on top of `parent`.
    pub(super) async fn prepare_snapshot(&self, lease: &Lease, key: &str, parent: &str) -> Result<Vec<Mount>, Failure> {
        let request = PrepareSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels: HashMap::new(),
        };
        Ok(call(LONG, self.snapshots().prepare(self.leased(lease, request))).await?.mounts)
    }

    /// Ok when it is gone, whoever removed it.
    pub(super) async fn remove_snapshot(&self, key: &str) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let request = RemoveSnapshotRequest { snapshotter: self.snapshotter.clone(), key: key.to_owned() };
            match or_none(call(LONG, self.snapshots().remove(self.request(request))).await) {
                // Busy for a moment after the container's end.
                Err(failure) if !failure.is_unreachable() && tries < REMOVE_TRIES => {
                    tokio::time::sleep(REMOVE_PAUSE).await;
                }
                removed => return removed.map(drop),
            }
        }
    }

    /// Unpacks a layer whose blob is in the content store into the snapshot `chain` on top of `parent`.
    pub(super) async fn unpack_layer(
        &self,
        lease: &Lease,
        blob: &Descriptor,
        diff_id: &Digest,
        parent: &str,
        chain: &str,
    ) -> Result<(), Failure> {
        let key = format!("extract-{} {chain}", lease.id());
        let mounts = match self.prepare_snapshot(lease, &key, parent).await {
            Err(failure) if failure.is(Code::AlreadyExists) => return Ok(()),
            mounts => mounts?,
        };
        let unpacked = self.apply_and_commit(lease, blob, diff_id, mounts, &key, chain).await;
        match unpacked {
            // Somebody else was quicker.
            Err(failure) if failure.is(Code::AlreadyExists) => self.remove_snapshot(&key).await,
            Err(failure) => {
                if let Err(failure) = self.remove_snapshot(&key).await {
                    tracing::debug!(snapshot = key, reason = failure.message, "half a layer is left to expire");
                }
                Err(failure)
            }
            Ok(()) => Ok(()),
        }
    }

    async fn apply_and_commit(
        &self,
        lease: &Lease,
        blob: &Descriptor,
        diff_id: &Digest,
        mounts: Vec<Mount>,
        key: &str,
        chain: &str,
    ) -> Result<(), Failure> {
        let diff = Blob {
            media_type: blob.media_type.clone(),
            digest: blob.digest.to_string(),
            size: i64::try_from(blob.size).unwrap_or(i64::MAX),
            annotations: HashMap::new(),
        };
        let request = self.leased(lease, ApplyRequest { diff: Some(diff), mounts });
        let applied = call(UNPACK, DiffClient::new(self.channel.clone()).apply(request)).await?.applied;
        let found = applied.map(|applied| applied.digest).unwrap_or_default();
        if found != diff_id.as_str() {
            let message = format!("layer {} holds {found}, its image says {diff_id}", blob.digest);
            return Err(Failure { kind: FailureKind::Code(Code::DataLoss), message });
        }
        let commit = CommitSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            name: chain.to_owned(),
            key: key.to_owned(),
            labels: HashMap::new(),
        };
        call(LONG, self.snapshots().commit(self.leased(lease, commit))).await.map(drop)
    }
}
