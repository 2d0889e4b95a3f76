//! Bounded polling, for states of outside systems that announce no change.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Asks `probe` until it answers `Ok`, at most for `deadline`; what it answers as `Err` is what was seen instead.
///
/// For output of a process prefer [`Process::wait_for_line`](crate::Process::wait_for_line), which waits for the event.
///
/// # Errors
/// When the deadline passes, with `what` was awaited and what was seen last.
pub fn eventually<T, S: Display>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Result<T, S>) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = match probe() {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if start.elapsed() >= deadline {
            bail!("waited {deadline:?} in vain for {what}; last seen: {seen}");
        }
        #[expect(clippy::disallowed_methods, reason = "the one place that polls, for systems without events")]
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_with_the_first_success() {
        let mut calls = 0;
        let value = eventually("three calls", Duration::from_secs(5), || {
            calls += 1;
            if calls == 3 { Ok(calls) } else { Err(format!("{calls} calls")) }
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn it_says_what_it_saw_last() {
        let error = eventually("a miracle", Duration::ZERO, || Err::<(), _>("the usual")).unwrap_err();
        assert_eq!(error.to_string(), "waited 0ns in vain for a miracle; last seen: the usual");
    }
}
