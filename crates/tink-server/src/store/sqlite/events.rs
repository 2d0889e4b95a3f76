//! Events: appended with the change they tell of, bounded per workflow and in all.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use tink_workflow::WorkflowId;

use super::super::{Change, EventFilter, EventPage, StoreError, StoredEvent, StoredWorkflow, WorkflowEvent};
use super::writer::Written;
use super::{Retention, micros, time};

/// Pruning looks at the bounds at every so many events, not at each: counting reads up to as many rows as are kept.
const PRUNE_EVERY: i64 = 64;
/// Workflows of which is known when their events were last counted; then all are forgotten and counted again.
const COUNTED_MAX: usize = 10_000;

/// Events of each workflow since they were last counted.
#[derive(Default)]
pub struct Pruning(HashMap<WorkflowId, i64>);

impl Pruning {
    /// Notes one more event, and says whether it is time to count.
    fn is_due(&mut self, workflow: &WorkflowId) -> bool {
        if let Some(since) = self.0.get_mut(workflow) {
            *since = (*since + 1) % PRUNE_EVERY;
            return *since == 0;
        }
        if self.0.len() >= COUNTED_MAX {
            self.0.clear();
        }
        self.0.insert(workflow.clone(), 0);
        true
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::sqlite("store an event", error)
}

fn unread(error: rusqlite::Error) -> StoreError {
    StoreError::sqlite("read events", error)
}

/// Stores `events` and notes them for subscribers.
pub fn append(
    db: &Connection,
    events: Vec<WorkflowEvent>,
    workflow: Option<&Arc<StoredWorkflow>>,
    retention: Retention,
    written: &mut Written,
) -> Result<(), StoreError> {
    for event in events {
        let worker = event.worker.map(String::from).unwrap_or_default();
        let action = event.action.map(String::from).unwrap_or_default();
        let mut insert = db
            .prepare_cached(
                "INSERT INTO events (at, workflow, kind, message, worker, action, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .map_err(failed)?;
        let id = event.workflow.as_str();
        let sequence = insert
            .insert(params![micros(event.at), id, event.kind, event.message, worker, action, event.state])
            .map_err(failed)?;
        if written.pruning.is_due(&event.workflow) {
            prune_own(db, id, retention)?;
        }
        prune_all(db, sequence, retention)?;
        let stored = StoredEvent {
            sequence,
            at: event.at,
            workflow: event.workflow,
            kind: event.kind.to_owned(),
            message: event.message,
            worker,
            action,
            state: event.state.to_owned(),
        };
        written.changes.push(Change { event: Arc::new(stored), workflow: workflow.cloned() });
    }
    Ok(())
}

/// Drops a workflow's events over its bound, and remembers up to where, so that a watcher that comes back learns of the gap.
fn prune_own(db: &Connection, workflow: &str, retention: Retention) -> Result<(), StoreError> {
    let own: i64 = db
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM events WHERE workflow = ? LIMIT ?)")
        .and_then(|mut count| {
            let enough = i64::from(retention.events_per_workflow) + 1;
            count.query_row(params![workflow, enough], |row| row.get(0))
        })
        .map_err(failed)?;
    if own > i64::from(retention.events_per_workflow) {
        let through: Option<i64> = db
            .prepare_cached("SELECT sequence FROM events WHERE workflow = ? ORDER BY sequence DESC LIMIT 1 OFFSET ?")
            .and_then(|mut find| {
                find.query_row(params![workflow, retention.events_per_workflow], |row| row.get(0)).optional()
            })
            .map_err(failed)?;
        if let Some(through) = through {
            db.prepare_cached("DELETE FROM events WHERE workflow = ? AND sequence <= ?")
                .and_then(|mut delete| delete.execute(params![workflow, through]))
                .map_err(failed)?;
            note_pruned(db, workflow, through)?;
        }
    }
    Ok(())
}

/// Drops events over the bound on all, now and then.
fn prune_all(db: &Connection, sequence: i64, retention: Retention) -> Result<(), StoreError> {
    if sequence % PRUNE_EVERY == 0 {
        let through = sequence - i64::from(retention.events_total);
        let gone = db
            .prepare_cached("DELETE FROM events WHERE sequence <= ?")
            .and_then(|mut delete| delete.execute([through]))
            .map_err(failed)?;
        if gone > 0 {
            // What is told of all workflows need not be told of each.
            db.prepare_cached("DELETE FROM events_pruned WHERE through <= ?")
                .and_then(|mut delete| delete.execute([through]))
                .map_err(failed)?;
            note_pruned(db, "", through)?;
        }
    }
    Ok(())
}

fn note_pruned(db: &Connection, workflow: &str, through: i64) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO events_pruned (workflow, through) VALUES (?, ?)
         ON CONFLICT (workflow) DO UPDATE SET through = excluded.through",
    )
    .and_then(|mut note| note.execute(params![workflow, through]))
    .map(|_| ())
    .map_err(failed)
}

/// Whether the workflow's newest event says the same already.
pub fn repeats_newest(db: &Connection, event: &WorkflowEvent) -> Result<bool, StoreError> {
    let newest = db
        .prepare_cached(
            "SELECT kind, message, worker, action FROM events WHERE workflow = ? ORDER BY sequence DESC LIMIT 1",
        )
        .and_then(|mut find| {
            find.query_row([event.workflow.as_str()], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                ))
            })
            .optional()
        })
        .map_err(unread)?;
    Ok(newest.is_some_and(|(kind, message, worker, action)| {
        kind == event.kind
            && message == event.message
            && worker == event.worker.as_ref().map_or("", |id| id.as_str())
            && action == event.action.as_ref().map_or("", |id| id.as_str())
    }))
}

/// The newest sequence number ever given.
pub fn last_sequence(db: &Connection) -> Result<i64, StoreError> {
    db.prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        .and_then(|mut find| find.query_row([], |row| row.get(0)).optional())
        .map(Option::unwrap_or_default)
        .map_err(unread)
}

pub fn page(db: &Connection, filter: &EventFilter) -> Result<EventPage, StoreError> {
    let mut sql =
        "SELECT sequence, at, workflow, kind, message, worker, action, state FROM events WHERE sequence > ?".to_owned();
    let mut values = vec![Value::from(filter.after)];
    if let Some(workflow) = &filter.workflow {
        sql.push_str(" AND workflow = ?");
        values.push(Value::from(workflow.as_str().to_owned()));
    }
    sql.push_str(if filter.newest { " ORDER BY sequence DESC LIMIT ?" } else { " ORDER BY sequence LIMIT ?" });
    values.push(Value::from(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    let mut statement = db.prepare_cached(&sql).map_err(unread)?;
    let rows = statement.query_map(params_from_iter(values), from_row).map_err(unread)?;
    let mut events = rows.map(|row| row.map_err(unread).and_then(parse)).collect::<Result<Vec<_>, _>>()?;
    if filter.newest {
        events.reverse();
    }
    let pruned = db
        .prepare_cached("SELECT 1 FROM events_pruned WHERE through > ?1 AND (?2 IS NULL OR workflow IN ('', ?2))")
        .and_then(|mut find| find.exists(params![filter.after, filter.workflow.as_ref().map(WorkflowId::as_str)]))
        .map_err(unread)?;
    Ok(EventPage { events, pruned })
}

type Raw = (i64, i64, String, String, String, String, String, String);

fn from_row(row: &Row<'_>) -> Result<Raw, rusqlite::Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?))
}

fn parse((sequence, at, workflow, kind, message, worker, action, state): Raw) -> Result<StoredEvent, StoreError> {
    let workflow = WorkflowId::parse(workflow)
        .map_err(|error| StoreError::Damaged { what: format!("event {sequence}"), detail: error.to_string() })?;
    Ok(StoredEvent { sequence, at: time(at), workflow, kind, message, worker, action, state })
}
