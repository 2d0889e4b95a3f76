//! Keeping what is half made from containerd's garbage collector.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tink_containerd::services::leases::v1::leases_client::LeasesClient;
use tink_containerd::services::leases::v1::{CreateRequest, DeleteRequest};
use tink_workflow::Timestamp;

use super::ContainerdRuntime;
use super::call::{Failure, LONG, SHORT, call};

/// A lease that nobody ends (the worker died) ends by itself after this many hours.
const HOURS: i64 = 24;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// What is made under a lease stays until it ends.
#[derive(Debug)]
pub(super) struct Lease {
    id: String,
}

impl Lease {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl ContainerdRuntime {
    pub(super) async fn lease(&self) -> Result<Lease, Failure> {
        // containerd compares it with its own clock, the same one.
        let now = Timestamp::now();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("tink-{}-{}-{count}", std::process::id(), now.as_nanosecond());
        let end = now + jiff::SignedDuration::from_hours(HOURS);
        let labels = HashMap::from([("containerd.io/gc.expire".to_owned(), end.to_string())]);
        let request = self.request(CreateRequest { id: id.clone(), labels });
        call(SHORT, LeasesClient::new(self.channel.clone()).create(request)).await?;
        Ok(Lease { id })
    }

    /// Ends a lease; with `sync`, what nothing else holds is gone when this returns.
    pub(super) async fn end_lease(&self, lease: Lease, sync: bool) {
        let request = self.request(DeleteRequest { id: lease.id, sync });
        if let Err(failure) = call(LONG, LeasesClient::new(self.channel.clone()).delete(request)).await {
            tracing::debug!(reason = failure.message, "a lease of containerd's is left to expire");
        }
    }
}
