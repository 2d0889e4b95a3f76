//! The data that the actions of a workflow share, in versions.

use rusqlite::{Connection, OptionalExtension, params};
use tink_workflow::WorkflowId;

use super::super::{METADATA_VERSIONS_MAX, NewData, StoreError, StoredData};

pub fn get(db: &Connection, id: &WorkflowId, version: i64) -> Result<Option<StoredData>, StoreError> {
    db.prepare_cached(
        "SELECT version, metadata, data FROM workflow_data WHERE workflow = ?1 AND (?2 = 0 OR version = ?2)
         ORDER BY version DESC LIMIT 1",
    )
    .and_then(|mut statement| {
        let row =
            |row: &rusqlite::Row<'_>| Ok(StoredData { version: row.get(0)?, metadata: row.get(1)?, data: row.get(2)? });
        statement.query_row(params![id.as_str(), version], row).optional()
    })
    .map_err(|error| StoreError::sqlite("read a workflow's data", error))
}

pub fn put(db: &Connection, id: &WorkflowId, new: &NewData, keep: u32) -> Result<Option<i64>, StoreError> {
    let failed = |error| StoreError::sqlite("store a workflow's data", error);
    let there = db
        .prepare_cached("SELECT 1 FROM workflows WHERE id = ?")
        .and_then(|mut find| find.exists([id.as_str()]))
        .map_err(failed)?;
    if !there {
        return Ok(None);
    }
    let newest = get(db, id, 0)?;
    let version = match newest {
        // The answer to the first time was lost.
        Some(newest) if newest.data.as_ref() == Some(&new.data) && newest.metadata == new.metadata => {
            return Ok(Some(newest.version));
        }
        Some(newest) => newest.version + 1,
        None => 1,
    };
    db.prepare_cached("INSERT INTO workflow_data (workflow, version, metadata, data) VALUES (?, ?, ?, ?)")
        .and_then(|mut insert| insert.execute(params![id.as_str(), version, new.metadata, new.data]))
        .map_err(failed)?;
    db.prepare_cached("UPDATE workflow_data SET data = NULL WHERE workflow = ? AND version <= ? AND data IS NOT NULL")
        .and_then(|mut forget| forget.execute(params![id.as_str(), version - i64::from(keep.max(1))]))
        .map_err(failed)?;
    db.prepare_cached("DELETE FROM workflow_data WHERE workflow = ? AND version <= ?")
        .and_then(|mut forget| forget.execute(params![id.as_str(), version - METADATA_VERSIONS_MAX]))
        .map_err(failed)?;
    Ok(Some(version))
}
