//! Docker's events during a pull, summed up.

use bollard::models::CreateImageInfo;

use crate::{LayerProgress, LayerState, PullProgress};

/// More layers than any image has; what comes after them is not counted.
const LAYERS_MAX: usize = 1024;

/// The state of each layer.
#[derive(Debug, Default)]
pub(super) struct PullTracker {
    now: PullProgress,
}

impl PullTracker {
    /// Takes an event and answers with where the pull is now.
    pub(super) fn event(&mut self, event: &CreateImageInfo) -> PullProgress {
        if let (Some(id), Some(status)) = (&event.id, &event.status) {
            self.layer_event(id, status, event);
        }
        self.now.clone()
    }

    fn layer_event(&mut self, id: &str, status: &str, event: &CreateImageInfo) {
        // The other events that have an id name a tag ("Pulling from library/alpine") or repeat what is known.
        let known = matches!(
            status,
            "Pulling fs layer" | "Waiting" | "Downloading" | "Download complete" | "Pull complete" | "Already exists"
        );
        if !known {
            return;
        }
        let Some(layer) = self.layer(id) else { return };
        match status {
            "Downloading" => {
                let detail = event.progress_detail.as_ref();
                let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
                layer.bytes_total = detail.and_then(|detail| number(detail.total)).unwrap_or(layer.bytes_total);
                layer.bytes_done = detail.and_then(|detail| number(detail.current)).unwrap_or(layer.bytes_done);
                layer.bytes_total = layer.bytes_total.max(layer.bytes_done);
                layer.state = LayerState::Fetching;
            }
            "Download complete" => layer.bytes_done = layer.bytes_total,
            "Pull complete" | "Already exists" => {
                layer.bytes_done = layer.bytes_total;
                layer.state = LayerState::Done;
            }
            _ => {}
        }
    }

    fn layer(&mut self, id: &str) -> Option<&mut LayerProgress> {
        let layers = &mut self.now.layers;
        let at = match layers.iter().position(|layer| layer.name == id) {
            Some(at) => at,
            None if layers.len() >= LAYERS_MAX => return None,
            None => {
                let (name, state) = (id.to_owned(), LayerState::Waiting);
                layers.push(LayerProgress { name, bytes_done: 0, bytes_total: 0, state });
                layers.len() - 1
            }
        };
        layers.get_mut(at)
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
        assert_eq!((now.bytes(), now.layers_done(), now.layers.len()), ((15, 150), 1, 3));
        let in_flight: Vec<_> = now.in_flight().map(|layer| (layer.name.as_str(), layer.bytes_done)).collect();
        assert_eq!(in_flight, [("b", 10), ("c", 5)]);
        tracker.event(&event("b", "Download complete", None));
        tracker.event(&event("b", "Extracting", Some((1, 100))));
        let now = tracker.event(&event("b", "Pull complete", None));
        assert_eq!((now.bytes(), now.layers_done(), now.layers.len()), ((105, 150), 2, 3));
    }

    #[test]
    fn nonsense_is_bounded() {
        let mut tracker = PullTracker::default();
        let now = tracker.event(&event("a", "Downloading", Some((-1, i64::MIN))));
        assert_eq!(now.bytes(), (0, 0));
        for layer in 0..2 * LAYERS_MAX {
            tracker.event(&event(&layer.to_string(), "Waiting", None));
        }
        assert_eq!(tracker.now.layers.len(), LAYERS_MAX);
    }
}
