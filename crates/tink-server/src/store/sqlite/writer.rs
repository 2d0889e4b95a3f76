//! The writer: one thread that puts all waiting changes into one transaction.

use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::super::{Change, StoreError};
use super::events::Pruning;
use super::recent::{Recent, Rewritten};

/// Changes that wait at most; then callers wait, and after [`ENQUEUE_WAIT_MAX`] are told to come again.
const QUEUE_MAX: usize = 4096;
/// Changes in one transaction at most, so that no answer waits for an endless one.
const BATCH_MAX: usize = 512;
/// How long a caller waits for a place in the queue.
const ENQUEUE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Is told of every commit.
pub trait CommitObserver: Send + 'static {
    /// `changes` were committed together, which took `took`.
    fn committed(&self, changes: usize, took: Duration);
}

impl CommitObserver for () {
    fn committed(&self, _: usize, _: Duration) {}
}

/// Answers a caller, once it is known whether the transaction is on disk.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// One caller's change. Gets the error instead when there is no transaction to work in.
type Job = Box<dyn FnOnce(Result<(&Connection, &mut Written), StoreError>) -> Answer + Send>;

/// What the changes of a transaction tell others, once it is on disk.
#[derive(Default)]
pub struct Written {
    /// For subscribers.
    pub changes: Vec<Change>,
    /// For [`Recent`].
    pub workflows: Vec<Rewritten>,
    /// The newest event of an object.
    pub object_events: Option<i64>,
    /// When events were last counted; kept over transactions.
    pub pruning: Pruning,
}

/// Who is told after a commit.
pub struct Feeds {
    /// Of changes of workflows.
    pub changes: broadcast::Sender<Change>,
    /// Of the newest event of an object.
    pub objects: watch::Sender<i64>,
}

pub struct Writer {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub fn start(
        db: Connection,
        feeds: Feeds,
        recent: Recent,
        observer: Box<dyn CommitObserver>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("tink-store".to_owned())
            .spawn(move || run(&db, jobs, &feeds, &recent, observer.as_ref()))
            .map_err(|_| StoreError::Busy { doing: "start the thread that writes the data file" })?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    pub fn is_closed(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Runs `change` in the writer's transaction and returns when it is on disk. A change that fails is undone alone.
    /// Once it is queued it is carried out even when the caller goes away.
    pub async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Connection, &mut Written) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let result = transaction.and_then(|(db, written)| alone(doing, db, written, change));
            Box::new(move |committed| {
                // The caller may be gone; the change stands.
                let _ = answer.send(result.and_then(|value| committed.map(|()| value)));
            })
        });
        queue.send_timeout(job, ENQUEUE_WAIT_MAX).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => StoreError::Busy { doing },
            mpsc::error::SendTimeoutError::Closed(_) => StoreError::Closed,
        })?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Stops taking changes, finishes those that wait, and returns when the file is closed.
    pub async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the thread that writes the data file ended by a panic");
            }
        }
    }
}

/// Runs one change inside a savepoint, so that its failure undoes only what it did itself.
fn alone<T>(
    doing: &'static str,
    db: &Connection,
    written: &mut Written,
    change: impl FnOnce(&Connection, &mut Written) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let failed = |error| StoreError::sqlite(doing, error);
    let before = (written.changes.len(), written.workflows.len());
    execute(db, "SAVEPOINT change").map_err(failed)?;
    match change(db, written) {
        Ok(value) => {
            execute(db, "RELEASE change").map_err(failed)?;
            Ok(value)
        }
        Err(error) => {
            written.changes.truncate(before.0);
            written.workflows.truncate(before.1);
            // After a full disk SQLite has undone the whole transaction; the commit then fails and tells every caller.
            let undone = execute(db, "ROLLBACK TO change").and_then(|()| execute(db, "RELEASE change"));
            if let Err(undo) = undone {
                tracing::debug!(error = %undo, "a failed change was undone with its transaction");
            }
            Err(error)
        }
    }
}

fn execute(db: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    db.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn run(db: &Connection, mut jobs: mpsc::Receiver<Job>, feeds: &Feeds, recent: &Recent, observer: &dyn CommitObserver) {
    let mut written = Written::default();
    while let Some(first) = jobs.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        let size = batch.len();
        let began = Instant::now();
        let (committed, answers) = commit(db, batch, &mut written);
        recent.note(written.workflows.drain(..), committed.is_ok());
        let object_events = written.object_events.take();
        let changes = written.changes.drain(..);
        match &committed {
            Ok(()) => {
                observer.committed(size, began.elapsed());
                for change in changes {
                    // An error means that nobody listens.
                    let _ = feeds.changes.send(change);
                }
                if let Some(newest) = object_events {
                    feeds.objects.send_replace(newest);
                }
            }
            Err(error) => {
                tracing::error!(error = %Chain(error), changes = size, "commit failed; nothing of it was acknowledged");
            }
        }
        for answer in answers {
            answer(committed.clone());
        }
    }
}

/// Carries a batch out in one transaction, and says whether it is on disk and who waits to be told.
fn commit(db: &Connection, batch: Vec<Job>, written: &mut Written) -> (Result<(), StoreError>, Vec<Answer>) {
    const DOING: &str = "commit to the data file";
    if let Err(error) = execute(db, "BEGIN IMMEDIATE") {
        let error = StoreError::sqlite(DOING, error);
        let answers = batch.into_iter().map(|job| job(Err(error.clone()))).collect();
        return (Err(error), answers);
    }
    let mut answers: Vec<Answer> = Vec::with_capacity(batch.len());
    for job in batch {
        // SQLite undoes the whole transaction by itself when the disk is full. What came after it would be committed
        // one by one, and what came before is gone: nothing of this batch may be acknowledged.
        let transaction =
            if db.is_autocommit() { Err(StoreError::Undone { doing: DOING }) } else { Ok((db, &mut *written)) };
        answers.push(job(transaction));
    }
    let committed = if db.is_autocommit() {
        Err(StoreError::Undone { doing: DOING })
    } else {
        tink_failpoint::hit("server.commit.before");
        execute(db, "COMMIT").inspect(|()| tink_failpoint::hit("server.commit.after")).map_err(|error| {
            // Harmless when SQLite has rolled back by itself.
            let _ = execute(db, "ROLLBACK");
            StoreError::sqlite(DOING, error)
        })
    };
    (committed, answers)
}

/// An error with its causes, for logs.
struct Chain<'a>(&'a StoreError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&tink_error::chain(self.0))
    }
}
