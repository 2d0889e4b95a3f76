//! Hardware and templates.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tink_workflow::Timestamp;

use super::super::{Applied, ObjectChange, ObjectKey, ObjectKind, Outcome, StoreError, StoredObject};
use super::writer::Written;
use super::{micros, object_events, time};

const COLUMNS: &str = "namespace, name, json, version, created_at, updated_at";

fn from_row(kind: ObjectKind, row: &Row<'_>) -> Result<StoredObject, rusqlite::Error> {
    Ok(StoredObject {
        kind,
        key: ObjectKey { namespace: row.get(0)?, name: row.get(1)? },
        json: row.get(2)?,
        version: row.get(3)?,
        created_at: time(row.get(4)?),
        updated_at: time(row.get(5)?),
    })
}

pub fn get(db: &Connection, kind: ObjectKind, key: &ObjectKey) -> Result<Option<StoredObject>, StoreError> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM objects WHERE kind = ? AND namespace = ? AND name = ?"))
        .and_then(|mut statement| {
            statement.query_row(params![kind.as_str(), key.namespace, key.name], |row| from_row(kind, row)).optional()
        })
        .map_err(|error| StoreError::sqlite("read an object", error))
}

pub fn list(db: &Connection, kind: ObjectKind, namespace: Option<&str>) -> Result<Vec<StoredObject>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM objects WHERE kind = ?1 AND (?2 IS NULL OR namespace = ?2) ORDER BY namespace, name"
    );
    db.prepare_cached(&sql)
        .and_then(|mut statement| {
            statement.query_map(params![kind.as_str(), namespace], |row| from_row(kind, row))?.collect()
        })
        .map_err(|error| StoreError::sqlite("list objects", error))
}

pub fn apply(
    db: &Connection,
    kind: ObjectKind,
    key: &ObjectKey,
    json: &str,
    now: Timestamp,
    written: &mut Written,
) -> Result<Applied, StoreError> {
    let failed = |error| StoreError::sqlite("store an object", error);
    let before = get(db, kind, key)?;
    let object = match before {
        Some(object) if object.json == json => return Ok(Applied { outcome: Outcome::Unchanged, object }),
        Some(object) => StoredObject { json: json.to_owned(), version: object.version + 1, updated_at: now, ..object },
        None => {
            let json = json.to_owned();
            StoredObject { kind, key: key.clone(), json, version: 1, created_at: now, updated_at: now }
        }
    };
    db.prepare_cached(
        "INSERT OR REPLACE INTO objects (kind, namespace, name, json, version, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .and_then(|mut statement| {
        let (created, updated) = (micros(object.created_at), micros(object.updated_at));
        statement.execute(params![kind.as_str(), key.namespace, key.name, json, object.version, created, updated])
    })
    .map_err(failed)?;
    let (outcome, change) = match object.version {
        1 => (Outcome::Created, ObjectChange::Created),
        _ => (Outcome::Updated, ObjectChange::Updated),
    };
    object_events::append(db, kind.as_str(), key, change, json, now, written)?;
    Ok(Applied { outcome, object })
}

pub fn delete(
    db: &Connection,
    kind: ObjectKind,
    key: &ObjectKey,
    now: Timestamp,
    written: &mut Written,
) -> Result<bool, StoreError> {
    let json: Option<String> = db
        .prepare_cached("DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ? RETURNING json")
        .and_then(|mut statement| {
            let mut rows = statement.query(params![kind.as_str(), key.namespace, key.name])?;
            let json = rows.next()?.map(|row| row.get(0)).transpose()?;
            // A DELETE with RETURNING is finished only when its rows are read to the end.
            while rows.next()?.is_some() {}
            Ok(json)
        })
        .map_err(|error| StoreError::sqlite("delete an object", error))?;
    let Some(json) = json else { return Ok(false) };
    object_events::append(db, kind.as_str(), key, ObjectChange::Deleted, &json, now, written)?;
    Ok(true)
}
