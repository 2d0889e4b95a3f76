//! Workflows, and the tombstones of deleted ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use tink_workflow::{Timestamp, WorkerId, Workflow, WorkflowId};

use super::super::{StateCount, StoreError, StoredWorkflow, Tombstone, WorkflowFilter};
use super::{micros, time};

/// Tombstones kept: a deleted workflow's worker reports within hours, not after ten thousand other deletions.
const TOMBSTONES_MAX: i64 = 10_000;

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::sqlite(doing, error)
}

type Raw = (String, i64, String, String);

fn raw(row: &Row<'_>) -> Result<Raw, rusqlite::Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn parse((id, version, body, manifest): Raw) -> Result<StoredWorkflow, StoreError> {
    let workflow = serde_json::from_str(&body)
        .map_err(|error| StoreError::Damaged { what: format!("workflow {id}"), detail: error.to_string() })?;
    Ok(StoredWorkflow { workflow, version, manifest_json: manifest.into() })
}

fn body_of(workflow: &Workflow) -> Result<String, StoreError> {
    serde_json::to_string(workflow)
        .map_err(|error| StoreError::Damaged { what: format!("workflow {}", workflow.id), detail: error.to_string() })
}

/// A workflow that ended has no deadline any more.
fn deadline_of(workflow: &Workflow) -> Option<i64> {
    if workflow.state.is_terminal() { None } else { workflow.deadline().map(micros) }
}

pub fn get(db: &Connection, id: &WorkflowId) -> Result<Option<StoredWorkflow>, StoreError> {
    db.prepare_cached("SELECT id, version, body, manifest FROM workflows WHERE id = ?")
        .and_then(|mut statement| statement.query_row([id.as_str()], raw).optional())
        .map_err(failed("read a workflow"))?
        .map(parse)
        .transpose()
}

pub fn list(db: &Connection, filter: &WorkflowFilter) -> Result<Vec<StoredWorkflow>, StoreError> {
    let mut sql = "SELECT id, version, body, manifest FROM workflows WHERE 1".to_owned();
    let mut values = Vec::new();
    if let Some(id) = &filter.id {
        sql.push_str(" AND id = ?");
        values.push(Value::from(id.as_str().to_owned()));
    }
    if let Some(namespace) = &filter.namespace {
        sql.push_str(" AND namespace = ?");
        values.push(Value::from(namespace.clone()));
    }
    if let Some(worker) = &filter.worker {
        sql.push_str(" AND id IN (SELECT workflow FROM workflow_workers WHERE worker = ?)");
        values.push(Value::from(worker.as_str().to_owned()));
    }
    if !filter.states.is_empty() {
        let marks = vec!["?"; filter.states.len()].join(", ");
        sql.push_str(&format!(" AND state IN ({marks})"));
        values.extend(filter.states.iter().map(|state| Value::from(state.as_str().to_owned())));
    }
    sql.push_str(" ORDER BY created_at, id");
    rows(db, &sql, values, "list workflows")
}

pub fn open_of(db: &Connection, worker: &WorkerId) -> Result<Vec<StoredWorkflow>, StoreError> {
    let sql = "SELECT id, version, body, manifest FROM workflow_workers JOIN workflows ON id = workflow
               WHERE worker = ? AND open = 1 ORDER BY created_at, id";
    rows(db, sql, vec![Value::from(worker.as_str().to_owned())], "find a worker's workflows")
}

fn rows(
    db: &Connection,
    sql: &str,
    values: Vec<Value>,
    doing: &'static str,
) -> Result<Vec<StoredWorkflow>, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(failed(doing))?;
    let rows = statement.query_map(params_from_iter(values), raw).map_err(failed(doing))?;
    rows.map(|row| row.map_err(failed(doing)).and_then(parse)).collect()
}

/// The workflow as it is stored and the bytes of its JSON; none when the id is taken.
pub fn create(
    db: &Connection,
    workflow: Workflow,
    manifest_json: String,
) -> Result<Option<(Arc<StoredWorkflow>, usize)>, StoreError> {
    let body = body_of(&workflow)?;
    let inserted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO workflows (id, namespace, state, created_at, deadline, version, body, manifest)
             VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                workflow.id.as_str(),
                workflow.id.namespace(),
                workflow.state.as_str(),
                micros(workflow.created_at),
                deadline_of(&workflow),
                body,
                manifest_json,
            ])
        })
        .map_err(failed("store a workflow"))?;
    if inserted == 0 {
        return Ok(None);
    }
    let workers: BTreeSet<&str> = workflow.tasks.iter().map(|task| task.worker.as_str()).collect();
    for worker in workers {
        db.prepare_cached("INSERT INTO workflow_workers (workflow, worker, open) VALUES (?, ?, ?)")
            .and_then(|mut insert| insert.execute(params![workflow.id.as_str(), worker, !workflow.state.is_terminal()]))
            .map_err(failed("store a workflow"))?;
    }
    let stored = StoredWorkflow { workflow, version: 1, manifest_json: manifest_json.into() };
    Ok(Some((Arc::new(stored), body.len())))
}

/// The workflow as it is stored and the bytes of its JSON; none when it is not at `version`.
pub fn put(
    db: &Connection,
    workflow: Workflow,
    version: i64,
) -> Result<Option<(Arc<StoredWorkflow>, usize)>, StoreError> {
    let body = body_of(&workflow)?;
    let manifest: Option<String> = db
        .prepare_cached(
            "UPDATE workflows SET state = ?, deadline = ?, version = version + 1, body = ?
             WHERE id = ? AND version = ? RETURNING manifest",
        )
        .and_then(|mut statement| {
            let (state, deadline) = (workflow.state.as_str(), deadline_of(&workflow));
            let mut rows = statement.query(params![state, deadline, body, workflow.id.as_str(), version])?;
            let manifest = rows.next()?.map(|row| row.get(0)).transpose()?;
            // An UPDATE with RETURNING is finished only when its rows are read to the end.
            while rows.next()?.is_some() {}
            Ok(manifest)
        })
        .map_err(failed("store a workflow"))?;
    let Some(manifest) = manifest else { return Ok(None) };
    if workflow.state.is_terminal() {
        db.prepare_cached("UPDATE workflow_workers SET open = 0 WHERE workflow = ? AND open = 1")
            .and_then(|mut statement| statement.execute([workflow.id.as_str()]))
            .map_err(failed("store a workflow"))?;
    }
    let stored = StoredWorkflow { workflow, version: version + 1, manifest_json: manifest.into() };
    Ok(Some((Arc::new(stored), body.len())))
}

/// The manifest of the deleted workflow; none when it is not at `version`.
pub fn delete(db: &Connection, id: &WorkflowId, version: i64) -> Result<Option<String>, StoreError> {
    db.prepare_cached("DELETE FROM workflows WHERE id = ? AND version = ? RETURNING manifest")
        .and_then(|mut statement| {
            let mut rows = statement.query(params![id.as_str(), version])?;
            let manifest = rows.next()?.map(|row| row.get(0)).transpose()?;
            // A DELETE with RETURNING is finished only when its rows are read to the end.
            while rows.next()?.is_some() {}
            Ok(manifest)
        })
        .map_err(failed("delete a workflow"))
}

pub fn bury(db: &Connection, tombstone: &Tombstone, at: Timestamp) -> Result<(), StoreError> {
    let doing = "store a tombstone";
    let Tombstone { workflow, worker, action } = tombstone;
    db.prepare_cached("INSERT INTO tombstones (action, workflow, worker, deleted_at) VALUES (?, ?, ?, ?)")
        .and_then(|mut insert| insert.execute(params![action.as_str(), workflow.as_str(), worker.as_str(), micros(at)]))
        .map_err(failed(doing))?;
    let oldest = db.last_insert_rowid() - TOMBSTONES_MAX;
    db.prepare_cached("DELETE FROM tombstones WHERE nth <= ?")
        .and_then(|mut prune| prune.execute([oldest]))
        .map(|_| ())
        .map_err(failed(doing))
}

pub fn is_buried(db: &Connection, tombstone: &Tombstone) -> Result<bool, StoreError> {
    let Tombstone { workflow, worker, action } = tombstone;
    db.prepare_cached("SELECT 1 FROM tombstones WHERE action = ? AND workflow = ? AND worker = ?")
        .and_then(|mut statement| statement.exists([action.as_str(), workflow.as_str(), worker.as_str()]))
        .map_err(failed("look for a deleted action"))
}

pub fn due(db: &Connection, now: Timestamp, limit: usize) -> Result<Vec<WorkflowId>, StoreError> {
    let doing = "find workflows past their deadline";
    let mut statement = db
        .prepare_cached("SELECT id FROM workflows WHERE deadline <= ? ORDER BY deadline LIMIT ?")
        .map_err(failed(doing))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        statement.query_map(params![micros(now), limit], |row| row.get::<_, String>(0)).map_err(failed(doing))?;
    rows.map(|row| {
        let id = row.map_err(failed(doing))?;
        WorkflowId::parse(id.clone())
            .map_err(|error| StoreError::Damaged { what: format!("workflow {id}"), detail: error.to_string() })
    })
    .collect()
}

pub fn next_deadline(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    db.prepare_cached("SELECT min(deadline) FROM workflows WHERE deadline IS NOT NULL")
        .and_then(|mut statement| statement.query_row([], |row| row.get::<_, Option<i64>>(0)))
        .map(|deadline| deadline.map(time))
        .map_err(failed("find the next deadline"))
}

pub fn count_by_state(db: &Connection) -> Result<Vec<StateCount>, StoreError> {
    db.prepare_cached("SELECT state, count(*) FROM workflows GROUP BY state")
        .and_then(|mut statement| {
            statement.query_map([], |row| Ok(StateCount { state: row.get(0)?, count: row.get(1)? }))?.collect()
        })
        .map_err(failed("count workflows"))
}
