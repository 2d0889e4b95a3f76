//! One call to an engine's daemon: its deadline and the shape of its failure.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Operation, RuntimeError};

/// For calls that a daemon answers from memory or with a little disk work.
pub(crate) const SHORT: Duration = Duration::from_secs(30);
/// For calls that build or tear down a container: mounts, a network, a big root file system on a slow disk.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure<K> {
    pub(crate) kind: K,
    /// The daemon's own words, or what the connection did.
    pub(crate) message: String,
}

/// What an engine tells apart of its failures.
pub(crate) trait Kind: Eq {
    /// The engine's name in messages.
    const ENGINE: &'static str;
    /// No answer, or half of one: the daemon is away, restarts or hangs.
    const UNREACHABLE: Self;

    /// Whether the same call about a container can succeed later.
    fn may_pass(&self) -> bool;
}

impl<K: Kind> Failure<K> {
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: K::UNREACHABLE, message: message.into() }
    }

    pub(crate) fn is_unreachable(&self) -> bool {
        self.kind == K::UNREACHABLE
    }

    /// For calls about a container.
    pub(crate) fn into_error(self, operation: Operation, subject: impl Into<String>) -> RuntimeError {
        if self.kind.may_pass() {
            RuntimeError::transient(operation, subject, self.message)
        } else {
            RuntimeError::permanent(operation, subject, self.message)
        }
    }
}

/// Carries a call out within `deadline`.
pub(crate) async fn within<T, E, K: Kind>(
    deadline: Duration,
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure<K>>
where
    Failure<K>: From<E>,
{
    match tokio::time::timeout(deadline, request).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::unreachable(format!("{} did not answer within {} s", K::ENGINE, deadline.as_secs()))),
    }
}

/// How long `wait` and `logs` sit out a daemon that is away before they tell the caller.
const OUTAGE_MAX: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Repeats a look at a container while the daemon is away, for at most a minute.
pub(crate) async fn patiently<T, K: Kind, F: Future<Output = Result<T, Failure<K>>>>(
    container: &str,
    is_outage: impl Fn(&Failure<K>) -> bool,
    look: impl Fn() -> F,
) -> Result<T, Failure<K>> {
    let give_up = Instant::now() + OUTAGE_MAX;
    let mut pause = FIRST_PAUSE;
    loop {
        match look().await {
            Err(failure) if is_outage(&failure) && Instant::now() + pause < give_up => {
                tracing::debug!(
                    container,
                    engine = K::ENGINE,
                    reason = failure.message,
                    "the engine is away, asking again"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Away;

    impl Kind for Away {
        const ENGINE: &'static str = "podman";
        const UNREACHABLE: Self = Self;

        fn may_pass(&self) -> bool {
            true
        }
    }

    impl From<()> for Failure<Away> {
        fn from((): ()) -> Self {
            Self::unreachable("it is away")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_at_its_deadline() {
        let failure: Failure<Away> = within(SHORT, std::future::pending::<Result<(), ()>>()).await.unwrap_err();
        assert_eq!(failure, Failure::unreachable("podman did not answer within 30 s"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_is_away_is_asked_again_for_a_minute() {
        let asked = Cell::new(0);
        let look = |back_after: u32| {
            let asked = &asked;
            move || {
                asked.set(asked.get() + 1);
                let back = asked.get() > back_after;
                async move { if back { Ok(()) } else { Err(Failure::unreachable("away")) } }
            }
        };
        assert_eq!(patiently::<_, Away, _>("c", Failure::is_unreachable, look(5)).await, Ok(()));
        let begun = Instant::now();
        let failure = patiently::<_, Away, _>("c", Failure::is_unreachable, look(u32::MAX)).await.unwrap_err();
        assert_eq!(failure, Failure::unreachable("away"));
        assert!((OUTAGE_MAX - LAST_PAUSE..=OUTAGE_MAX).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
}
