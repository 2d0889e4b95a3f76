//! What is said of a pull or an import.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tink_runtime::PullProgress;

/// Where lines are printed and not drawn over, a slow pull says so often that it goes on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// `31 of 80 MiB, 2 of 5 layers`, as far as the engine knows; empty before it knows anything.
pub fn summary(progress: &PullProgress) -> String {
    if progress.layers.is_empty() {
        return String::new();
    }
    let (done, total) = progress.bytes();
    format!("{}, {} of {} layers", share(done, total), progress.layers_done(), progress.layers.len())
}

/// `3f2a… 12 of 40 MiB  77aa… 3 of 10 MiB`: the layers on their way.
pub fn in_flight(progress: &PullProgress) -> String {
    let layers = progress.in_flight().map(|one| format!("{} {}", one.name, share(one.bytes_done, one.bytes_total)));
    layers.collect::<Vec<_>>().join("  ")
}

fn share(done: u64, total: u64) -> String {
    let mib = |bytes: u64| bytes >> 20;
    if total == 0 { format!("{} MiB", mib(done)) } else { format!("{} of {} MiB", mib(done), mib(total)) }
}

/// When a line about a pull is due: not for those that are over soon.
#[derive(Default)]
pub struct Pace {
    last: HashMap<String, Instant>,
}

impl Pace {
    /// There is news of a pull.
    pub fn is_due(&mut self, pull: &str, now: Instant) -> bool {
        let last = self.last.entry(pull.to_owned()).or_insert(now);
        let due = now.duration_since(*last) >= LINE_EVERY;
        if due {
            *last = now;
        }
        due
    }

    /// It is over.
    pub fn ended(&mut self, pull: &str) {
        self.last.remove(pull);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tink_runtime::{LayerProgress, LayerState};

    fn progress() -> PullProgress {
        let layer = |name: &str, done: u64, total: u64, state| LayerProgress {
            name: name.to_owned(),
            bytes_done: done << 20,
            bytes_total: total << 20,
            state,
        };
        PullProgress {
            layers: vec![
                layer("base", 30, 30, LayerState::Done),
                layer("middle", 12, 40, LayerState::Fetching),
                layer("top", 3, 10, LayerState::Fetching),
                layer("last", 0, 0, LayerState::Waiting),
            ],
        }
    }

    #[test]
    fn a_pull_is_told_as_a_whole_and_by_the_layers_on_their_way() {
        assert_eq!(summary(&progress()), "45 of 80 MiB, 1 of 4 layers");
        assert_eq!(in_flight(&progress()), "middle 12 of 40 MiB  top 3 of 10 MiB");
        assert_eq!(summary(&PullProgress::default()), "");
    }

    #[test]
    fn a_slow_pull_has_a_line_now_and_then_and_a_quick_one_none() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        let due: Vec<u64> = (0..=25).filter(|at| pace.is_due("a", begun + Duration::from_secs(*at))).collect();
        assert_eq!(due, [10, 20]);
        pace.ended("a");
        assert!(!pace.is_due("a", begun + Duration::from_secs(60)), "another pull");
        assert!(!pace.is_due("b", begun + Duration::from_secs(61)));
    }
}
