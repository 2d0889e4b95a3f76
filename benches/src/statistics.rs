//! Quantiles of durations.

use std::time::Duration;

/// Durations, sorted when asked.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Number of samples.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that `percent` of the samples do not exceed.
    pub fn quantile(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * percent / 100).copied().unwrap_or_default()
    }

    /// `p50 1.20 ms, p99 3.40 ms, max 5.00 ms of 1000`.
    pub fn summary(&mut self) -> String {
        let [p50, p99, max] = [50, 99, 100].map(|percent| self.quantile(percent).as_secs_f64() * 1e3);
        format!("p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms of {}", self.count())
    }
}

/// `a / b`.
pub fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(f64::EPSILON)
}
