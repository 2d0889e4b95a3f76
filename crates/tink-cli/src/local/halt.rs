//! Stops what runs when a person interrupts.

use std::time::Duration;

use tink_runtime::{Identity, Runtime};

const GRACE: Duration = Duration::from_secs(5);

/// Stops and removes these containers, where there are such. What fails is said and the rest goes on.
pub async fn halt(runtime: &dyn Runtime, containers: &[Identity]) {
    for identity in containers {
        let stopped = async {
            if let Some(record) = runtime.find(identity).await? {
                runtime.stop(&record, GRACE).await?;
                runtime.remove(&record).await?;
            }
            Ok::<_, tink_runtime::RuntimeError>(())
        };
        if let Err(error) = stopped.await {
            eprintln!("tink: {error}");
        }
    }
}
