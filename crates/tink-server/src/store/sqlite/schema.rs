//! The tables, and how an older file becomes a newer one.

use rusqlite::Connection;

use super::super::StoreError;

/// Marks the file as ours (`TINK`), so that another program's database is never taken for it.
pub const APPLICATION_ID: i64 = 0x5449_4e4b;

/// One entry a schema version, the first makes version 1. Entries are never edited once released.
pub const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE objects (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    json TEXT NOT NULL, version INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, namespace, name)
);

-- body is the workflow as JSON; the columns beside it are what is searched for.
CREATE TABLE workflows (
    id TEXT PRIMARY KEY, namespace TEXT NOT NULL, state TEXT NOT NULL, created_at INTEGER NOT NULL,
    deadline INTEGER, version INTEGER NOT NULL, body TEXT NOT NULL, manifest TEXT NOT NULL
);
CREATE INDEX workflows_by_age ON workflows (created_at, id);
CREATE INDEX workflows_by_state ON workflows (state);
CREATE INDEX workflows_by_deadline ON workflows (deadline) WHERE deadline IS NOT NULL;

CREATE TABLE workflow_workers (
    workflow TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE, worker TEXT NOT NULL, open INTEGER NOT NULL,
    PRIMARY KEY (workflow, worker)
) WITHOUT ROWID;
CREATE INDEX workflow_workers_by_worker ON workflow_workers (worker, open);

CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, workflow TEXT NOT NULL, kind TEXT NOT NULL,
    message TEXT NOT NULL, worker TEXT NOT NULL, action TEXT NOT NULL, state TEXT NOT NULL
);
CREATE INDEX events_by_workflow ON events (workflow, sequence);

-- Up to which sequence a workflow's events were dropped; the empty workflow stands for all.
CREATE TABLE events_pruned (workflow TEXT PRIMARY KEY, through INTEGER NOT NULL) WITHOUT ROWID;

-- Actions that were in a worker's hands when their workflow was deleted.
CREATE TABLE tombstones (
    nth INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL, workflow TEXT NOT NULL, worker TEXT NOT NULL,
    deleted_at INTEGER NOT NULL
);
CREATE INDEX tombstones_by_action ON tombstones (action);

CREATE TABLE workers (
    id TEXT PRIMARY KEY, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    address TEXT NOT NULL, attributes TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX workers_by_age ON workers (last_seen);
",
    "
-- What the actions of a workflow share; data is NULL where only the metadata is kept.
CREATE TABLE workflow_data (
    workflow TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE, version INTEGER NOT NULL,
    metadata BLOB NOT NULL, data BLOB, UNIQUE (workflow, version)
);

-- Created, updated and deleted objects. bytes stands before json, so that it is read without it.
CREATE TABLE object_events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL,
    name TEXT NOT NULL, change TEXT NOT NULL, bytes INTEGER NOT NULL, json TEXT NOT NULL
);
",
];

/// The newest schema this program knows.
#[expect(clippy::cast_possible_wrap, reason = "a handful of migrations")]
pub const KNOWN: i64 = MIGRATIONS.len() as i64;

/// Writes a value, to find out whether that is possible.
pub fn probe(db: &Connection) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO meta (key, value) VALUES ('probe', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1",
    )
    .and_then(|mut statement| statement.execute([]))
    .map(|_| ())
    .map_err(|error| StoreError::sqlite("write to the data file", error))
}
