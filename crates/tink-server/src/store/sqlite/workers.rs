//! Workers: when and with what attributes they were seen.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tink_workflow::WorkerId;

use super::super::{StoreError, StoredWorker, WorkerSeen};
use super::{micros, time};

/// Workers kept; those not seen for longest go first. Anybody can invent ids, the disk must not fill with them.
const WORKERS_MAX: i64 = 100_000;

pub fn see(db: &Connection, seen: &[WorkerSeen]) -> Result<(), StoreError> {
    let failed = |error| StoreError::sqlite("store sights of workers", error);
    for worker in seen {
        db.prepare_cached(
            "INSERT INTO workers (id, first_seen, last_seen, address, attributes) VALUES (?1, ?2, ?2, ?3, coalesce(?4, ''))
             ON CONFLICT (id) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen), address = excluded.address,
                                            attributes = coalesce(?4, attributes)",
        )
        .and_then(|mut upsert| {
            upsert.execute(params![worker.id.as_str(), micros(worker.at), worker.address, worker.attributes_json])
        })
        .map_err(failed)?;
    }
    db.prepare_cached(
        "DELETE FROM workers WHERE id IN (SELECT id FROM workers ORDER BY last_seen
         LIMIT max(0, (SELECT count(*) FROM workers) - ?))",
    )
    .and_then(|mut prune| prune.execute([WORKERS_MAX]))
    .map(|_| ())
    .map_err(failed)
}

const COLUMNS: &str = "id, first_seen, last_seen, address, attributes";

type Raw = (String, i64, i64, String, String);

fn from_row(row: &Row<'_>) -> Result<Raw, rusqlite::Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn parse((id, first_seen, last_seen, address, attributes_json): Raw) -> Result<StoredWorker, StoreError> {
    let id = WorkerId::parse(id)
        .map_err(|error| StoreError::Damaged { what: "a worker".to_owned(), detail: error.to_string() })?;
    Ok(StoredWorker { id, first_seen: time(first_seen), last_seen: time(last_seen), address, attributes_json })
}

pub fn get(db: &Connection, id: &WorkerId) -> Result<Option<StoredWorker>, StoreError> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM workers WHERE id = ?"))
        .and_then(|mut statement| statement.query_row([id.as_str()], from_row).optional())
        .map_err(|error| StoreError::sqlite("read a worker", error))?
        .map(parse)
        .transpose()
}

pub fn list(db: &Connection) -> Result<Vec<StoredWorker>, StoreError> {
    let failed = |error| StoreError::sqlite("list workers", error);
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM workers ORDER BY id")).map_err(failed)?;
    let rows = statement.query_map([], from_row).map_err(failed)?;
    rows.map(|row| row.map_err(failed).and_then(parse)).collect()
}
