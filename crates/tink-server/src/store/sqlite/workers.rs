//! Workers: when and with what attributes they were seen.

use rusqlite::{Connection, params};
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

pub fn list(db: &Connection) -> Result<Vec<StoredWorker>, StoreError> {
    let failed = |error| StoreError::sqlite("list workers", error);
    let mut statement = db
        .prepare_cached("SELECT id, first_seen, last_seen, address, attributes FROM workers ORDER BY id")
        .map_err(failed)?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .map_err(failed)?;
    rows.map(|row| {
        let (id, first_seen, last_seen, address, attributes_json) = row.map_err(failed)?;
        let id = WorkerId::parse(id)
            .map_err(|error| StoreError::Damaged { what: "a worker".to_owned(), detail: error.to_string() })?;
        Ok(StoredWorker { id, first_seen: time(first_seen), last_seen: time(last_seen), address, attributes_json })
    })
    .collect()
}
