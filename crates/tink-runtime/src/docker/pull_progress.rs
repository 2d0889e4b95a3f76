//! Docker's events during a pull, summed up.

use std::collections::HashMap;

use bollard::models::CreateImageInfo;

use crate::PullProgress;

/// More layers than any image has; what comes after them is not counted.
const LAYERS_MAX: usize = 1024;

/// The state of each layer.
#[derive(Debug, Default)]
pub(super) struct PullTracker {
    layers: HashMap<String, Layer>,
}

#[derive(Debug, Default)]
struct Layer {
    done: u64,
    total: u64,
    complete: bool,
}

impl PullTracker {
    /// Takes an event and answers with where the pull is now.
    pub(super) fn event(&mut self, event: &CreateImageInfo) -> PullProgress {
        if let (Some(id), Some(status)) = (&event.id, &event.status) {
            self.layer_event(id, status, event);
        }
        let layers = self.layers.values();
        PullProgress {
            bytes_done: layers.clone().map(|layer| layer.done).sum(),
            bytes_total: layers.clone().map(|layer| layer.total).sum(),
            layers_done: layers.clone().filter(|layer| layer.complete).count(),
            layers_total: layers.len(),
        }
    }

    fn layer_event(&mut self, id: &str, status: &str, event: &CreateImageInfo) {
        // The other events that have an id name a tag ("Pulling from library/alpine") or repeat what is known.
        let known = matches!(
            status,
            "Pulling fs layer" | "Waiting" | "Downloading" | "Download complete" | "Pull complete" | "Already exists"
        );
        if !known || (self.layers.len() >= LAYERS_MAX && !self.layers.contains_key(id)) {
            return;
        }
        let layer = self.layers.entry(id.to_owned()).or_default();
        match status {
            "Downloading" => {
                let detail = event.progress_detail.as_ref();
                let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
                layer.total = detail.and_then(|detail| number(detail.total)).unwrap_or(layer.total);
                layer.done = detail.and_then(|detail| number(detail.current)).unwrap_or(layer.done);
                layer.total = layer.total.max(layer.done);
            }
            "Download complete" => layer.done = layer.total,
            "Pull complete" | "Already exists" => {
                layer.done = layer.total;
                layer.complete = true;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;

    fn event(id: &str, status: &str, detail: Option<(i64, i64)>) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: detail
                .map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn layers_add_up() {
        let mut tracker = PullTracker::default();
        tracker.event(&event("latest", "Pulling from library/alpine", None));
        tracker.event(&event("a", "Already exists", None));
        tracker.event(&event("b", "Pulling fs layer", None));
        tracker.event(&event("c", "Downloading", Some((5, 50))));
        let now = tracker.event(&event("b", "Downloading", Some((10, 100))));
        assert_eq!(now, PullProgress { bytes_done: 15, bytes_total: 150, layers_done: 1, layers_total: 3 });
        tracker.event(&event("b", "Download complete", None));
        tracker.event(&event("b", "Extracting", Some((1, 100))));
        let now = tracker.event(&event("b", "Pull complete", None));
        assert_eq!(now, PullProgress { bytes_done: 105, bytes_total: 150, layers_done: 2, layers_total: 3 });
    }

    #[test]
    fn nonsense_is_bounded() {
        let mut tracker = PullTracker::default();
        let now = tracker.event(&event("a", "Downloading", Some((-1, i64::MIN))));
        assert_eq!((now.bytes_done, now.bytes_total), (0, 0));
        for layer in 0..2 * LAYERS_MAX {
            tracker.event(&event(&layer.to_string(), "Waiting", None));
        }
        assert_eq!(tracker.layers.len(), LAYERS_MAX);
    }
}
