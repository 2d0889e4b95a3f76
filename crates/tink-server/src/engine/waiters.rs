//! Calls that are held until there is work.
//!
//! A call registers *before* it looks for work: a wake between the look and the wait is then not lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tink_workflow::WorkerId;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Calls held for one worker at most. A worker has one, and for a while a second after its connection broke.
const HELD_PER_WORKER_MAX: usize = 16;
/// Calls held in all at most.
const HELD_MAX: usize = 65_536;

/// Every held call, by worker.
#[derive(Clone, Default)]
pub struct Waiters {
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    by_worker: HashMap<WorkerId, (Arc<Notify>, usize)>,
    total: usize,
}

/// A registered call; dropped when it is answered.
pub struct Waiter {
    worker: WorkerId,
    notify: Arc<Notify>,
    waiters: Waiters,
}

impl Waiters {
    /// Registers a call of `worker`; none when too many are held already.
    pub fn register(&self, worker: &WorkerId) -> Option<Waiter> {
        let mut held = self.lock();
        if held.total >= HELD_MAX {
            return None;
        }
        let (notify, count) = held.by_worker.entry(worker.clone()).or_default();
        if *count >= HELD_PER_WORKER_MAX {
            return None;
        }
        *count += 1;
        let notify = Arc::clone(notify);
        held.total += 1;
        Some(Waiter { worker: worker.clone(), notify, waiters: self.clone() })
    }

    /// Wakes every call of `worker`.
    pub fn wake(&self, worker: &WorkerId) {
        if let Some((notify, _)) = self.lock().by_worker.get(worker) {
            notify.notify_waiters();
        }
    }

    /// Whether a call of `worker` is held.
    pub fn is_held(&self, worker: &WorkerId) -> bool {
        self.lock().by_worker.contains_key(worker)
    }

    /// How many calls are held.
    pub fn held(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Ends at the next wake after this call. (`notify_waiters` reaches what was made before it, polled or not.)
    pub fn next_wake(&self) -> OwnedNotified {
        Arc::clone(&self.notify).notified_owned()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut held = self.waiters.lock();
        held.total -= 1;
        if let Some((_, count)) = held.by_worker.get_mut(&self.worker) {
            *count -= 1;
            if *count == 0 {
                held.by_worker.remove(&self.worker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(id: &str) -> WorkerId {
        WorkerId::parse(id).unwrap()
    }

    #[tokio::test]
    async fn a_wake_after_registration_is_not_lost_before_the_wait() {
        let waiters = Waiters::default();
        let waiter = waiters.register(&worker("a")).unwrap();
        let wake = waiter.next_wake();
        waiters.wake(&worker("a"));
        wake.await;
    }

    #[tokio::test]
    async fn another_workers_wake_wakes_nobody() {
        let waiters = Waiters::default();
        let waiter = waiters.register(&worker("a")).unwrap();
        let mut wake = std::pin::pin!(waiter.next_wake());
        waiters.wake(&worker("b"));
        assert!(futures_util::poll!(wake.as_mut()).is_pending());
    }

    #[test]
    fn calls_of_one_worker_are_bounded_and_leave_nothing_behind() {
        let waiters = Waiters::default();
        let held: Vec<_> = std::iter::from_fn(|| waiters.register(&worker("a"))).collect();
        assert_eq!((held.len(), waiters.held()), (HELD_PER_WORKER_MAX, HELD_PER_WORKER_MAX));
        assert!(waiters.register(&worker("b")).is_some(), "another worker has its own bound");
        drop(held);
        assert!(!waiters.is_held(&worker("a")));
        assert_eq!((waiters.held(), waiters.lock().by_worker.len()), (0, 0));
    }
}
