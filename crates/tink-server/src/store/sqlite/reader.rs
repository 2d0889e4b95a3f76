//! Readers: a few connections of their own, used on the blocking pool.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::super::StoreError;

/// Connections at most. SQLite reads are short and the file is in the page cache: more would only wait for a core.
const READERS_MAX: u32 = 4;

pub struct Readers {
    file: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub fn new(file: PathBuf) -> Self {
        Self { file, idle: Arc::default(), permits: Arc::new(Semaphore::new(READERS_MAX as usize)) }
    }

    /// Lets reads under way finish and closes their connections. The last connection that is closed puts the WAL into the
    /// data file, which must be the writer's: a reader cannot.
    pub async fn close(&self) {
        // Fails when it is closed already.
        let all = self.permits.acquire_many(READERS_MAX).await;
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        drop(all);
    }

    /// Runs `read` in one read transaction: everything it sees is of one moment.
    pub async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (idle, file) = (Arc::clone(&self.idle), self.file.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let failed = |error| StoreError::sqlite(doing, error);
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut db = match pooled {
                Some(db) => db,
                None => connect(&file).map_err(failed)?,
            };
            let tx = db.transaction().map_err(failed)?;
            let result = read(&tx);
            tx.finish().map_err(failed)?;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
            result
        })
        .await;
        // Ends early only when the runtime is shut down.
        done.unwrap_or(Err(StoreError::Closed))
    }
}

fn connect(file: &std::path::Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}
