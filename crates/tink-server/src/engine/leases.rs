//! Which processes call themselves a worker, and which of them are alive.
//!
//! An action is leased to the process that it was given to: while that one is alive, no other process with the same
//! worker id gets the action, nor another one of its task. Who holds an action is stored with its workflow; how alive the
//! holder is, is kept here and not stored, since a start of the server counts as a sign of life of everybody.
//!
//! ```text
//! named instance   alive while a connection of it is open, and for the lease after its last call or connection
//! connection       alive while it is open
//! ```
//!
//! Time is measured by the monotonic clock: a wall clock that jumps ends no lease.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tink_mutation::Mutation;
use tink_workflow::{Timestamp, WorkerId};
use tokio::time::Instant;

use super::caller::{Caller, Line, names_instance};

/// Processes remembered at most; beyond, those that are not alive are forgotten, then new ones are not remembered.
const PROCESSES_MAX: usize = 65_536;
/// Open connections remembered of one process; a worker has one, and for a while a second after the first one broke.
const LINES_MAX: usize = 8;

/// Every process that called.
pub struct Leases {
    lease: Duration,
    started: Instant,
    processes: Mutex<BTreeMap<(WorkerId, String), Process>>,
}

struct Process {
    heard: Instant,
    seen_at: Timestamp,
    address: String,
    lines: Vec<Line>,
    /// Whether it was said in the log that it gets nothing.
    passed_over: bool,
}

/// A process that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alive {
    /// As it is written down as a holder.
    pub holder: String,
    /// Where it called from last.
    pub address: String,
    /// Its last call.
    pub seen_at: Timestamp,
}

impl Leases {
    /// Leases that run out `lease` after the last sign of life.
    pub fn new(lease: Duration) -> Self {
        Self { lease, started: Instant::now(), processes: Mutex::default() }
    }

    /// How long an action stays with a process after its last sign of life.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Notes a call.
    pub fn note(&self, worker: &WorkerId, caller: &Caller, now: Timestamp) {
        if caller.holder().is_empty() {
            return;
        }
        let mut processes = self.lock();
        if processes.len() >= PROCESSES_MAX {
            let (lease, key) = (self.lease, (worker.clone(), caller.holder().to_owned()));
            processes.retain(|known, process| *known == key || process.is_alive(&known.1, lease));
            if processes.len() >= PROCESSES_MAX && !processes.contains_key(&key) {
                return;
            }
        }
        let process = processes.entry((worker.clone(), caller.holder().to_owned())).or_insert_with(|| Process {
            heard: Instant::now(),
            seen_at: now,
            address: String::new(),
            lines: Vec::new(),
            passed_over: false,
        });
        process.heard = Instant::now();
        process.seen_at = now;
        caller.address().clone_into(&mut process.address);
        process.lines.retain(|line| line.closed_at().is_none());
        if let Some(line) = caller.line()
            && !process.lines.iter().any(|known| known.is(line))
        {
            if process.lines.len() >= LINES_MAX {
                process.lines.remove(0);
            }
            process.lines.push(line.clone());
        }
    }

    /// Whether the process that is written down as `holder` may still be at work.
    pub fn is_alive(&self, worker: &WorkerId, holder: &str) -> bool {
        if holder.is_empty() || tink_mutation::is(Mutation::ForgetLease) {
            return false;
        }
        match self.lock().get(&(worker.clone(), holder.to_owned())) {
            Some(process) => process.is_alive(holder, self.lease),
            // Not heard of in this life of the server.
            None if tink_mutation::is(Mutation::ForgetLeaseAtStart) => false,
            None => names_instance(holder) && self.started.elapsed() < self.lease,
        }
    }

    /// The processes of this worker that are alive, by name.
    pub fn alive(&self, worker: &WorkerId) -> Vec<Alive> {
        let processes = self.lock();
        let of_worker = processes.range((worker.clone(), String::new())..).take_while(|((id, _), _)| id == worker);
        of_worker
            .filter(|((_, holder), process)| process.is_alive(holder, self.lease))
            .map(|((_, holder), process)| Alive {
                holder: holder.clone(),
                address: process.address.clone(),
                seen_at: process.seen_at,
            })
            .collect()
    }

    /// Where a process called from last; empty when it is not known.
    pub fn address(&self, worker: &WorkerId, holder: &str) -> String {
        let processes = self.lock();
        processes.get(&(worker.clone(), holder.to_owned())).map(|process| process.address.clone()).unwrap_or_default()
    }

    /// Notes that a process is passed over, or no longer; whether that is news.
    pub fn pass_over(&self, worker: &WorkerId, caller: &Caller, passed_over: bool) -> bool {
        let mut processes = self.lock();
        let process = processes.get_mut(&(worker.clone(), caller.holder().to_owned()));
        process.is_some_and(|process| std::mem::replace(&mut process.passed_over, passed_over) != passed_over)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(WorkerId, String), Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    fn is_alive(&self, holder: &str, lease: Duration) -> bool {
        if tink_mutation::is(Mutation::EternalLease) {
            return true;
        }
        let mut last = self.heard;
        for line in &self.lines {
            match line.closed_at() {
                None => return true,
                Some(closed_at) => last = last.max(closed_at),
            }
        }
        names_instance(holder) && last.elapsed() < lease
    }
}

#[cfg(test)]
mod tests {
    use super::super::caller::OpenLine;
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);

    fn worker() -> WorkerId {
        WorkerId::parse("m").unwrap()
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_lives_for_the_lease_after_its_connection() {
        let leases = Leases::new(LEASE);
        let open = OpenLine::new("1".to_owned());
        let caller = Caller::new(Some("a"), Some(open.line()), "here");
        leases.note(&worker(), &caller, Timestamp::UNIX_EPOCH);
        pass(3600).await;
        assert!(leases.is_alive(&worker(), caller.holder()), "it is connected");
        drop(open);
        pass(59).await;
        assert!(leases.is_alive(&worker(), caller.holder()));
        assert_eq!(leases.alive(&worker())[0].address, "here");
        pass(1).await;
        assert!(!leases.is_alive(&worker(), caller.holder()));
        assert_eq!(leases.alive(&worker()), []);
        leases.note(&worker(), &caller, Timestamp::UNIX_EPOCH);
        assert!(leases.is_alive(&worker(), caller.holder()), "it called again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_a_name_lives_as_long_as_its_connection() {
        let leases = Leases::new(LEASE);
        let open = OpenLine::new("1".to_owned());
        let caller = Caller::new(None, Some(open.line()), "");
        leases.note(&worker(), &caller, Timestamp::UNIX_EPOCH);
        pass(3600).await;
        assert!(leases.is_alive(&worker(), caller.holder()));
        drop(open);
        assert!(!leases.is_alive(&worker(), caller.holder()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_of_the_server_is_a_sign_of_life_of_every_instance() {
        let leases = Leases::new(LEASE);
        pass(59).await;
        assert!(leases.is_alive(&worker(), "instance a"));
        assert!(!leases.is_alive(&worker(), "connection 1"), "its connection ended with the server");
        assert!(!leases.is_alive(&worker(), ""));
        pass(1).await;
        assert!(!leases.is_alive(&worker(), "instance a"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let leases = Leases::new(LEASE);
        let name = |nth: usize| Caller::new(Some(&format!("i{nth}")), None, "");
        (0..PROCESSES_MAX).for_each(|nth| leases.note(&worker(), &name(nth), Timestamp::UNIX_EPOCH));
        leases.note(&worker(), &name(PROCESSES_MAX), Timestamp::UNIX_EPOCH);
        assert_eq!(leases.lock().len(), PROCESSES_MAX);
        pass(60).await;
        leases.note(&worker(), &name(PROCESSES_MAX), Timestamp::UNIX_EPOCH);
        assert_eq!(leases.lock().len(), 1);
    }
}
