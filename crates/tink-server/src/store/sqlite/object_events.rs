//! Created, updated and deleted objects, for those who watch them. A short memory: an hour, and bounded.

use rusqlite::{Connection, Row, params};
use tink_workflow::Timestamp;

use super::super::{OBJECT_EVENTS_AGE_MAX_S, ObjectChange, ObjectEvent, ObjectKey, StoreError};
use super::writer::Written;
use super::{micros, time};

/// Events kept.
const EVENTS_MAX: i64 = 10_000;
/// Bytes of all objects in them.
const BYTES_MAX: i64 = 64 * 1024 * 1024;
/// The bounds are looked at every so many events.
const PRUNE_EVERY: i64 = 32;

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::sqlite("store the event of an object", error)
}

pub fn append(
    db: &Connection,
    kind: &str,
    key: &ObjectKey,
    change: ObjectChange,
    json: &str,
    at: Timestamp,
    written: &mut Written,
) -> Result<(), StoreError> {
    let bytes = i64::try_from(json.len()).unwrap_or(i64::MAX);
    db.prepare_cached(
        "INSERT INTO object_events (at, kind, namespace, name, change, bytes, json) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .and_then(|mut insert| {
        insert.execute(params![micros(at), kind, key.namespace, key.name, change.as_str(), bytes, json])
    })
    .map_err(failed)?;
    let sequence = db.last_insert_rowid();
    if sequence % PRUNE_EVERY == 0 {
        prune(db, sequence, at)?;
    }
    written.object_events = Some(sequence);
    Ok(())
}

fn prune(db: &Connection, sequence: i64, now: Timestamp) -> Result<(), StoreError> {
    let oldest = micros(now).saturating_sub(OBJECT_EVENTS_AGE_MAX_S * 1_000_000);
    db.prepare_cached(
        "DELETE FROM object_events WHERE sequence <= ?1 OR at < ?2 OR sequence <= (
             SELECT coalesce(max(sequence), 0) FROM (
                 SELECT sequence, sum(bytes) OVER (ORDER BY sequence DESC) AS newer FROM object_events
             ) WHERE newer > ?3 AND sequence < ?4)",
    )
    .and_then(|mut delete| delete.execute(params![sequence - EVENTS_MAX, oldest, BYTES_MAX, sequence]))
    .map(|_| ())
    .map_err(failed)
}

type Raw = (i64, i64, String, String, String, String, String);

fn from_row(row: &Row<'_>) -> Result<Raw, rusqlite::Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
}

pub fn page(db: &Connection, after: i64, limit: usize) -> Result<Vec<ObjectEvent>, StoreError> {
    let unread = |error| StoreError::sqlite("read events of objects", error);
    let mut statement = db
        .prepare_cached(
            "SELECT sequence, at, kind, namespace, name, change, json FROM object_events WHERE sequence > ?
             ORDER BY sequence LIMIT ?",
        )
        .map_err(unread)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![after, limit], from_row).map_err(unread)?;
    rows.map(|row| {
        let (sequence, at, kind, namespace, name, change, json) = row.map_err(unread)?;
        let change = ObjectChange::parse(&change).ok_or_else(|| StoreError::Damaged {
            what: format!("object event {sequence}"),
            detail: format!("{change:?} is no change"),
        })?;
        Ok(ObjectEvent { sequence, at: time(at), kind, key: ObjectKey { namespace, name }, change, json })
    })
    .collect()
}

/// The newest sequence number ever given.
pub fn last_sequence(db: &Connection) -> Result<i64, StoreError> {
    db.prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'object_events'")
        .and_then(|mut find| find.query_row([], |row| row.get(0)))
        .map_err(|error| StoreError::sqlite("read events of objects", error))
}
