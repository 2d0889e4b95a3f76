use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::*;
use crate::store::contract::{self, EVENTS_PER_WORKFLOW, store_contract};

const RETENTION: Retention = Retention { events_per_workflow: EVENTS_PER_WORKFLOW, events_total: 100_000 };

fn open(place: &Place) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(place, RETENTION, Box::new(()))
}

fn refusal(place: &Place) -> String {
    tink_error::chain(&open(place).err().unwrap())
}

fn in_directory() -> (tempfile::TempDir, PathBuf, Place) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("deep/er/tink.db");
    let place = Place::File(file.clone());
    (directory, file, place)
}

/// A store whose directory goes with it.
struct InFile(SqliteStore, #[expect(dead_code, reason = "removed on drop")] tempfile::TempDir);

impl std::ops::Deref for InFile {
    type Target = SqliteStore;
    fn deref(&self) -> &SqliteStore {
        &self.0
    }
}

fn in_file() -> InFile {
    let (directory, _, place) = in_directory();
    InFile(open(&place).unwrap(), directory)
}

store_contract!(in_a_file, in_file());
store_contract!(temporary, Box::new(open(&Place::Temporary).unwrap()));

#[tokio::test]
async fn a_file_of_the_first_schema_is_migrated_with_all_it_holds() {
    let (_directory, file, place) = in_directory();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let workflow = contract::workflow("w", 0, &[("m", 1)]);
    {
        let db = Connection::open(&file).unwrap();
        db.execute_batch(schema::MIGRATIONS[0]).unwrap();
        db.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        workflows::create(&db, workflow.clone(), "{}".into()).unwrap().unwrap();
    }
    let store = open(&place).unwrap();
    assert_eq!(store.workflow(&workflow.id).await.unwrap().unwrap().workflow, workflow);
    let data = NewData { metadata: Vec::new(), data: vec![1] };
    assert_eq!(store.put_data(&workflow.id, data, 3).await.unwrap(), Some(1));
    store.close().await;
    drop(store);
    let kept = open(&place).unwrap().data(&workflow.id, 0).await.unwrap();
    assert_eq!(kept.unwrap().data, Some(vec![1]), "and it is durable");
}

#[tokio::test]
async fn a_store_that_is_opened_again_has_everything() {
    let (_directory, file, place) = in_directory();
    let store = open(&place).unwrap();
    let workflow = contract::workflow("w", 0, &[("m", 2)]);
    let created = contract::event("w", "created", "");
    store.create_workflow(workflow.clone(), "{\"a\":1}".into(), vec![created]).await.unwrap();
    store.workflow(&workflow.id).await.unwrap();
    store.close().await;
    assert!(!file.with_extension("db-wal").exists(), "one file can be copied, also after reads");
    drop(store);
    let store = open(&place).unwrap();
    let stored = store.workflow(&workflow.id).await.unwrap().unwrap();
    assert_eq!((stored.workflow, stored.version, &*stored.manifest_json), (workflow, 1, "{\"a\":1}"));
    store.append_event(contract::event("w", "offered", "")).await.unwrap();
    let filter = EventFilter { limit: 9, ..Default::default() };
    let sequences: Vec<_> = store.events(&filter).await.unwrap().events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 2], "numbers go on where they ended");
}

#[tokio::test]
async fn a_second_server_is_kept_away_also_through_a_symlink() {
    let (directory, file, place) = in_directory();
    let store = open(&place).unwrap();
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for place in [place.clone(), Place::File(link)] {
        let error = refusal(&place);
        assert!(error.contains("another tink-server uses it") && error.contains("--data"), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }
    drop(store);
    open(&place).unwrap();
}

#[test]
fn the_file_is_readable_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, file, place) = in_directory();
    let _store = open(&place).unwrap();
    for suffix in ["", "-wal", ".lock"] {
        let file = PathBuf::from(format!("{}{suffix}", file.display()));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

fn with_sql(file: &Path, sql: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (_directory, file, place) = in_directory();
    drop(open(&place).unwrap());
    with_sql(&file, "PRAGMA user_version = 99");
    let error = refusal(&place);
    assert!(error.contains("schema 99") && error.contains("newer tink-server"), "{error}");
    let version: i64 =
        Connection::open(&file).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn another_programs_file_is_refused_and_left_alone() {
    let (_directory, file, place) = in_directory();
    with_sql(&file, "CREATE TABLE theirs (a)");
    assert!(refusal(&place).contains("not a data file of tink-server"));
    let (_directory, file, place) = in_directory();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "something else, and longer than a header of a database would be: ".repeat(100)).unwrap();
    assert!(refusal(&place).contains("not a data file of tink-server"));
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("something else"));
}

#[test]
fn a_place_that_cannot_be_written_is_named_with_the_cause() {
    let directory = tempfile::tempdir().unwrap();
    // Root may write anywhere, but not to a directory, nor below a file.
    let error = refusal(&Place::File(directory.path().to_owned()));
    assert!(error.contains("for writing") && error.contains("directory"), "{error}");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = refusal(&Place::File(file.join("tink.db")));
    assert!(error.contains("create the directory") && error.contains("--data"), "{error}");
}

/// A writer over a database with a table of unique numbers.
fn numbers(prepare: &str, observer: Box<dyn CommitObserver>) -> (tempfile::TempDir, PathBuf, Writer) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("numbers.db");
    let db = Connection::open(&file).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE numbers (n INTEGER PRIMARY KEY, pad BLOB)").unwrap();
    db.execute_batch(prepare).unwrap();
    let (feed, _) = broadcast::channel(8);
    let feeds = writer::Feeds { changes: feed, objects: watch::channel(0).0 };
    (directory, file, Writer::start(db, feeds, Recent::default(), observer).unwrap())
}

async fn insert(writer: &Writer, n: i64, pad: usize) -> Result<(), StoreError> {
    let doing = "insert";
    writer
        .write(doing, move |db, _| {
            let failed = |error| StoreError::sqlite(doing, error);
            db.execute("INSERT INTO numbers VALUES (?, zeroblob(0))", [n]).map_err(failed)?;
            db.execute("UPDATE numbers SET pad = zeroblob(?) WHERE n = ?", [i64::try_from(pad).unwrap(), n])
                .map(|_| ())
                .map_err(failed)
        })
        .await
}

fn count(file: &Path) -> i64 {
    Connection::open(file).unwrap().query_row("SELECT count(*) FROM numbers", [], |row| row.get(0)).unwrap()
}

#[derive(Clone, Default)]
struct Commits {
    commits: Arc<AtomicUsize>,
    changes: Arc<AtomicUsize>,
}

impl CommitObserver for Commits {
    fn committed(&self, changes: usize, _: Duration) {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.changes.fetch_add(changes, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn changes_that_wait_together_share_a_commit_and_a_failed_one_is_undone_alone() {
    let commits = Commits::default();
    let (_directory, file, writer) = numbers("", Box::new(commits.clone()));
    // The first change holds the writer until all others wait.
    let barrier = Arc::new(Barrier::new(2));
    let first = writer.write("wait", {
        let barrier = Arc::clone(&barrier);
        move |_, _| {
            barrier.wait();
            Ok(())
        }
    });
    let rest = async {
        let all = futures_util::future::join_all((0..20).map(|n| insert(&writer, n % 19, 1)));
        tokio::pin!(all);
        // Polled once, all are queued.
        assert!(futures_util::poll!(&mut all).is_pending());
        tokio::task::spawn_blocking(move || barrier.wait()).await.unwrap();
        all.await
    };
    let (first, rest) = tokio::join!(first, rest);
    first.unwrap();
    assert_eq!(rest.iter().filter(|done| done.is_err()).count(), 1, "the number that was there already");
    assert_eq!(count(&file), 19);
    writer.close().await;
    assert_eq!(commits.changes.load(Ordering::SeqCst), 21);
    assert!(commits.commits.load(Ordering::SeqCst) <= 2, "{:?}", commits.commits);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged_and_the_store_goes_on() {
    let (_directory, file, writer) = numbers("PRAGMA max_page_count = 40", Box::new(()));
    let mut acknowledged = 0;
    let error = loop {
        match insert(&writer, acknowledged, 8192).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(acknowledged > 0);
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().contains("disk of the data file is full"));
    let together = futures_util::future::join_all((100..110).map(|n| insert(&writer, n, 8192))).await;
    assert!(together.iter().all(Result::is_err));
    assert_eq!(count(&file), acknowledged);
    writer
        .write("free", |db, _| db.execute_batch("DELETE FROM numbers").map_err(|e| StoreError::sqlite("free", e)))
        .await
        .unwrap();
    insert(&writer, 1, 8192).await.unwrap();
    assert_eq!(count(&file), 1);
}

#[tokio::test]
async fn a_change_whose_commit_fails_is_not_acknowledged() {
    // What is deferred is looked at by the commit alone: every statement before it succeeds.
    let prepare = "PRAGMA foreign_keys = ON;
                   CREATE TABLE owned (n INTEGER REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)";
    let (_directory, file, writer) = numbers(prepare, Box::new(()));
    let doing = "insert";
    let orphan = writer.write(doing, move |db, _| {
        db.execute("INSERT INTO owned VALUES (1)", []).map(|_| ()).map_err(|error| StoreError::sqlite(doing, error))
    });
    let error = orphan.await.unwrap_err().to_string();
    assert!(error.contains("commit to the data file"), "{error}");
    insert(&writer, 2, 1).await.unwrap();
    assert_eq!(count(&file), 1);
}

#[tokio::test]
async fn events_are_bounded_in_all() {
    let retention = Retention { events_per_workflow: 10, events_total: 50 };
    let store = SqliteStore::open(&Place::Temporary, retention, Box::new(())).unwrap();
    for nth in 0..200 {
        store.append_event(contract::event(&format!("w{nth}"), "created", "")).await.unwrap();
    }
    let page = store.events(&EventFilter { limit: 999, ..Default::default() }).await.unwrap();
    assert!(page.pruned && (50..=114).contains(&page.events.len()), "{}", page.events.len());
    let first = EventFilter { workflow: Some(contract::id("w0")), limit: 9, ..Default::default() };
    assert!(store.events(&first).await.unwrap().pruned, "a watcher of one workflow is told as well");
}
