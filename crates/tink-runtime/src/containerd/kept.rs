//! Failed containers that are kept for a look: their records and logs, not their files. `nerdctl ps -a` lists them,
//! `nerdctl logs` shows what they printed, `nerdctl rm` removes them.

use std::collections::HashMap;

use prost_types::FieldMask;
use tink_containerd::services::containers::v1::{Container, ListContainersRequest, UpdateContainerRequest};
use tink_workflow::Timestamp;

use super::ContainerdRuntime;
use super::call::{Failure, SHORT, call};
use super::data_root::log_file;
use super::names::KEPT;

/// Logs of more failures only fill the memory of an installer OS.
const KEPT_MAX: usize = 3;

impl ContainerdRuntime {
    /// Puts a container aside whose task and snapshot are gone; of those put aside, the newest stay.
    pub(super) async fn keep(&self, mut container: Container) -> Result<(), Failure> {
        let id = container.id.clone();
        container.labels.insert(KEPT.to_owned(), moment());
        let update_mask = Some(FieldMask { paths: vec![format!("labels.{KEPT}")] });
        let update = self.request(UpdateContainerRequest { container: Some(container), update_mask });
        call(SHORT, self.containers().update(update)).await?;
        let dir = self.data_root.dir(&id);
        // Half of what there may be is enough.
        let mut aside = log_file(&dir, &id).into_os_string();
        aside.push(".1");
        std::fs::remove_file(aside).ok();
        self.prune_kept().await
    }

    async fn prune_kept(&self) -> Result<(), Failure> {
        let request = self.request(ListContainersRequest { filters: vec![format!("labels.{KEPT:?}")] });
        let found = call(SHORT, self.containers().list(request)).await?.containers;
        for id in too_many(found.iter().map(|container| (container.id.as_str(), &container.labels)).collect()) {
            self.remove_rest(&id).await?;
        }
        Ok(())
    }
}

/// In nanoseconds since 1970, as an installer's actions may fail several times a second.
fn moment() -> String {
    Timestamp::now().as_nanosecond().to_string()
}

/// The oldest, as far as there are too many.
fn too_many(mut kept: Vec<(&str, &HashMap<String, String>)>) -> Vec<String> {
    let age =
        |labels: &HashMap<String, String>| labels.get(KEPT).and_then(|time| time.parse::<i128>().ok()).unwrap_or(0);
    kept.sort_by_key(|(id, labels)| (std::cmp::Reverse(age(labels)), (*id).to_owned()));
    kept.into_iter().skip(KEPT_MAX).map(|(id, _)| id.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_failures_stay() {
        let labels: Vec<_> = (0..5).map(|time| HashMap::from([(KEPT.to_owned(), time.to_string())])).collect();
        let kept = ["a", "b", "c", "d", "e"].into_iter().zip(&labels).collect();
        assert_eq!(too_many(kept), ["b", "a"]);
    }

    #[test]
    fn of_failures_at_one_moment_the_later_ones_stay() {
        let labels: Vec<_> = (0..5).map(|_| HashMap::from([(KEPT.to_owned(), moment())])).collect();
        let kept = ["e", "d", "c", "b", "a"].into_iter().zip(&labels).collect();
        let dropped = too_many(kept);
        assert!(
            dropped.len() == 2 && dropped.contains(&"e".to_owned()) && dropped.contains(&"d".to_owned()),
            "{dropped:?}"
        );
    }
}
