//! Watch: the workflows as they are, then every change, none lost.
//!
//! The watcher subscribes first, then reads the snapshot with the sequence number it reflects, and passes over what the
//! subscription delivers twice. Nothing is buffered for a slow client but the store's bounded feed: one that falls out of
//! it is brought up to date from the stored events, and only when those were pruned, too, does the watch end
//! (OUT_OF_RANGE).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use tink_proto::admin::WatchResponse;
use tink_workflow::WorkflowId;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{convert, status};
use crate::engine::Engine;
use crate::store::{Change, EventFilter, StoredEvent, StoredWorkflow, WorkflowFilter};

/// Stored events read at once when a watcher is brought up to date.
const CATCH_UP_EVENTS: usize = 256;

/// The answers of a watch.
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

struct Watcher {
    engine: Arc<Engine>,
    /// The only workflow, or every one.
    id: Option<WorkflowId>,
    feed: broadcast::Receiver<Change>,
    stopping: CancellationToken,
    /// Read and not yet sent.
    ready: VecDeque<WatchResponse>,
    /// Everything up to here was sent, is in `ready`, or is no business of this watch.
    sequence: i64,
    /// Stored events after `sequence` are to be read before the feed goes on.
    behind: bool,
    ended: bool,
}

/// Starts a watch.
///
/// # Errors
/// NOT_FOUND when the one workflow is not there and nothing is to be told of it.
pub async fn start(
    engine: Arc<Engine>,
    id: Option<WorkflowId>,
    after: i64,
    stopping: CancellationToken,
) -> Result<WatchStream, Status> {
    let feed = engine.store.subscribe();
    let filter = WorkflowFilter { id: id.clone(), ..WorkflowFilter::default() };
    let (workflows, sequence) = engine.store.workflows(&filter).await.map_err(status::of_store)?;
    if after > sequence {
        return Err(Status::out_of_range(format!(
            "after_sequence is {after} and this server's newest event is {sequence}; watch from 0"
        )));
    }
    if let (Some(id), true, 0) = (&id, workflows.is_empty(), after) {
        return Err(Status::not_found(format!("there is no workflow {id}")));
    }
    let (sequence, behind) = match after {
        0 => (sequence, false),
        after => (after.max(0), true),
    };
    // A client that is cut off after these, and before the events between, is taken up where it was.
    let reached = if behind { after } else { sequence };
    let ready = workflows.iter().map(|stored| response(None, Some(stored), reached)).collect();
    let watcher = Watcher { engine, id, feed, stopping, ready, sequence, behind, ended: false };
    if behind && after > 0 {
        watcher.check_kept(after).await?;
    }
    Ok(Box::pin(stream::unfold(watcher, |mut watcher| async move {
        let next = watcher.next().await?;
        Some((next, watcher))
    })))
}

impl Watcher {
    /// The next answer; none at the end.
    async fn next(&mut self) -> Option<Result<WatchResponse, Status>> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                return Some(Ok(response));
            }
            if self.ended {
                return None;
            }
            let read = if self.behind { self.catch_up().await } else { self.follow().await };
            if let Err(error) = read {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// Takes one change from the feed.
    async fn follow(&mut self) -> Result<(), Status> {
        let change = tokio::select! {
            change = self.feed.recv() => change,
            () = self.stopping.cancelled() => {
                return Err(Status::unavailable(format!("the server is stopping; watch again after {}", self.sequence)));
            }
        };
        match change {
            Ok(change) => {
                if change.event.sequence > self.sequence {
                    self.sequence = change.event.sequence;
                    if self.concerns(&change.event) {
                        let workflow = match change.workflow {
                            Some(workflow) => Some(workflow),
                            None => self.current(&change.event).await?,
                        };
                        self.tell(&change.event, workflow.as_deref());
                    }
                }
                Ok(())
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {
                self.check_kept(self.sequence).await?;
                self.behind = true;
                Ok(())
            }
            Err(broadcast::error::RecvError::Closed) => Err(Status::unavailable("the server is stopping")),
        }
    }

    /// Reads stored events.
    async fn catch_up(&mut self) -> Result<(), Status> {
        let page = self.engine.store.events(&self.after(self.sequence)).await.map_err(status::of_store)?;
        self.behind = page.events.len() == CATCH_UP_EVENTS;
        for event in &page.events {
            self.sequence = event.sequence;
            // The history of the workflow itself is not kept: it is sent as it is now, at least as new as the event.
            let workflow = self.current(event).await?;
            self.tell(event, workflow.as_deref());
        }
        Ok(())
    }

    async fn current(&self, event: &StoredEvent) -> Result<Option<Arc<StoredWorkflow>>, Status> {
        if event.kind == "deleted" {
            return Ok(None);
        }
        Ok(self.engine.store.workflow(&event.workflow).await.map_err(status::of_store)?.map(Arc::new))
    }

    fn tell(&mut self, event: &StoredEvent, workflow: Option<&StoredWorkflow>) {
        self.ready.push_back(response(Some(event), workflow, event.sequence));
    }

    fn concerns(&self, event: &StoredEvent) -> bool {
        self.id.as_ref().is_none_or(|id| *id == event.workflow)
    }

    fn after(&self, after: i64) -> EventFilter {
        EventFilter { workflow: self.id.clone(), after, limit: CATCH_UP_EVENTS, newest: false }
    }

    /// Fails when events after `after` are no longer kept.
    async fn check_kept(&self, after: i64) -> Result<(), Status> {
        let filter = EventFilter { limit: 1, ..self.after(after) };
        if self.engine.store.events(&filter).await.map_err(status::of_store)?.pruned {
            return Err(Status::out_of_range(format!(
                "events after {after} are no longer kept (see --events-per-workflow and --events-total); watch from 0"
            )));
        }
        Ok(())
    }
}

fn response(event: Option<&StoredEvent>, workflow: Option<&StoredWorkflow>, sequence: i64) -> WatchResponse {
    WatchResponse { event: event.map(convert::event), workflow: workflow.map(convert::workflow), sequence }
}
