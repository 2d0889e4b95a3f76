//! The reports of one workflow, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tink_workflow::{ActionId, WorkflowId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::journal::EntryId;
use crate::transport::{Ack, TransportError};
use crate::{Assignment, Backoff, Report};

pub(super) struct Item {
    pub(super) report: Report,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// Tried once; whoever asked decides what a failure means.
    Running { answer: oneshot::Sender<Result<Ack, TransportError>> },
    /// Repeated until it is acknowledged or given up.
    Result {
        entry: EntryId,
        assignment: Arc<Assignment>,
        /// Told after the first try, or when it is settled.
        tried: Option<oneshot::Sender<()>>,
        /// Errors the server answered with.
        errors: u32,
        /// When the first of them came, or when the server offered the action last.
        since: Option<Instant>,
        /// Requests for work that the server answered without this action, since the first error.
        passed: u32,
    },
}

/// Sends one report at a time; the next one only when the one before is settled.
pub(super) struct Lane {
    queue: VecDeque<Item>,
    sending: bool,
    next_try: Instant,
    backoff: Backoff,
}

impl Lane {
    pub(super) fn new(backoff_max: Duration) -> Self {
        Self { queue: VecDeque::new(), sending: false, next_try: Instant::now(), backoff: Backoff::new(backoff_max) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a result, or, where it waits already, tries it now.
    pub(super) fn push_result(
        &mut self,
        entry: EntryId,
        assignment: Arc<Assignment>,
        report: Report,
        tried: oneshot::Sender<()>,
    ) {
        let known = self.queue.iter_mut().find_map(|item| match &mut item.kind {
            Kind::Result { entry: waiting, tried, .. } if *waiting == entry => Some(tried),
            _ => None,
        });
        match known {
            Some(waiting) => {
                *waiting = Some(tried);
                self.next_try = Instant::now();
            }
            None => {
                let kind = Kind::Result { entry, assignment, tried: Some(tried), errors: 0, since: None, passed: 0 };
                self.push(Item { report, kind });
            }
        }
    }

    pub(super) fn push(&mut self, item: Item) {
        self.queue.push_back(item);
        // Something new is worth a try at once, also for what waits before it.
        self.next_try = Instant::now();
    }

    /// When the head is to be sent, unless it is on its way.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.sending && !self.queue.is_empty()).then_some(self.next_try)
    }

    /// The head, if it is to be sent now; the lane is busy until [`Lane::sent`].
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Report> {
        if self.due()? > now {
            return None;
        }
        self.sending = true;
        self.queue.front().map(|item| item.report.clone())
    }

    /// The head was answered and leaves the queue.
    pub(super) fn sent(&mut self) -> Option<Item> {
        self.sending = false;
        self.next_try = Instant::now();
        self.queue.pop_front()
    }

    /// The head has to be sent again after a pause.
    pub(super) fn again(&mut self, item: Item) {
        self.queue.push_front(item);
        self.next_try = Instant::now() + self.backoff.pause();
    }

    /// Whether another action of this workflow waits behind: the server gave it out, so it is past the earlier one.
    pub(super) fn has_later_action(&self, action: &ActionId) -> bool {
        self.queue.iter().any(|item| item.report.action != *action)
    }

    /// The server offered this action, or none.
    pub(super) fn offered(&mut self, offered: Option<&(WorkflowId, ActionId)>) {
        for item in &mut self.queue {
            let is_this = offered
                .is_some_and(|(workflow, action)| *workflow == item.report.workflow && *action == item.report.action);
            if let Kind::Result { errors, since, passed, .. } = &mut item.kind
                && *errors > 0
            {
                *passed = if is_this { 0 } else { passed.saturating_add(1) };
                if is_this {
                    *errors = 1;
                    *since = Some(Instant::now());
                }
            }
        }
    }
}
