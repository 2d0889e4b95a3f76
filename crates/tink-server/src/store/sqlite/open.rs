//! Opening the data file: directory, lock, identity, schema.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::super::StoreError;
use super::schema::{APPLICATION_ID, KNOWN, MIGRATIONS};

/// Where the data file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This file; it and its directory are made when missing.
    File(PathBuf),
    /// A fresh directory that is removed when the store is dropped. Not durable.
    Temporary,
}

impl FromStr for Place {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "temporary" { Self::Temporary } else { Self::File(PathBuf::from(text)) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Temporary => f.write_str("temporary"),
        }
    }
}

/// What must live as long as the store.
pub struct Held {
    lock: Option<File>,
    _directory: Option<tempfile::TempDir>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // Not by closing alone: what another thread forks meanwhile has a copy of the descriptor until its exec.
            let _ = lock.unlock();
        }
    }
}

/// An open data file at the newest schema.
pub struct Opened {
    pub connection: Connection,
    pub file: PathBuf,
    pub held: Held,
}

pub fn open(place: &Place) -> Result<Opened, StoreError> {
    match place {
        Place::File(file) => {
            let lock = prepare(file)?;
            let connection = connect(file, "FULL")?;
            let held = Held { lock: Some(lock), _directory: None };
            Ok(Opened { connection, file: file.clone(), held })
        }
        Place::Temporary => {
            let directory = tempfile::Builder::new().prefix("tink-server-").tempdir().map_err(|source| {
                StoreError::Directory { directory: std::env::temp_dir(), source: Arc::new(source) }
            })?;
            let file = directory.path().join("tink.db");
            let connection = connect(&file, "OFF")?;
            Ok(Opened { connection, file, held: Held { lock: None, _directory: Some(directory) } })
        }
    }
}

/// Makes the directory and the file (readable for this user alone: workflows hold secrets) and takes the lock.
fn prepare(file: &Path) -> Result<File, StoreError> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)
        .map_err(|source| StoreError::Directory { directory: directory.to_owned(), source: Arc::new(source) })?;
    let not_writable =
        |source: std::io::Error| StoreError::NotWritable { file: file.to_owned(), source: Arc::new(source) };
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file).map_err(not_writable)?;
    // Beside the real file, so that a second path to it (a symlink) meets the same lock.
    let real = file.canonicalize().map_err(not_writable)?;
    let mut name = real.into_os_string();
    name.push(".lock");
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(name)
        .map_err(not_writable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = match (&lock).take(32).read_to_string(&mut text) {
                Ok(_) if !text.trim().is_empty() => format!(" (process {})", text.trim()),
                _ => String::new(),
            };
            return Err(StoreError::Locked { file: file.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(not_writable(error)),
    }
    // The process id is for people only; the lock itself is the kernel's and ends with the process.
    lock.set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| lock.write_all(std::process::id().to_string().as_bytes()))
        .map_err(not_writable)?;
    Ok(lock)
}

fn connect(file: &Path, synchronous: &str) -> Result<Connection, StoreError> {
    let not_writable = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::Foreign { file: file.to_owned() },
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::DiskFull { doing: "open the data file" },
        _ => StoreError::NotWritable { file: file.to_owned(), source: Arc::new(source) },
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(file, flags).map_err(not_writable)?;
    identify(&db, file, &not_writable)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(not_writable)?;
    db.pragma_update(None, "synchronous", synchronous).map_err(not_writable)?;
    db.pragma_update(None, "foreign_keys", true).map_err(not_writable)?;
    db.busy_timeout(std::time::Duration::from_secs(5)).map_err(not_writable)?;
    db.set_prepared_statement_cache_capacity(64);
    migrate(&mut db, file)?;
    Ok(db)
}

/// Refuses a file of another program or of a newer tink-server.
fn identify(
    db: &Connection,
    file: &Path,
    not_writable: &impl Fn(rusqlite::Error) -> StoreError,
) -> Result<(), StoreError> {
    let number = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(not_writable);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(not_writable)?;
    if tables > 0 && number("application_id")? != APPLICATION_ID {
        return Err(StoreError::Foreign { file: file.to_owned() });
    }
    let found = number("user_version")?;
    if found > KNOWN {
        return Err(StoreError::Newer { file: file.to_owned(), found, known: KNOWN });
    }
    Ok(())
}

fn migrate(db: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let mut from = 0;
    let run = |db: &mut Connection, from: &mut i64| -> Result<(), rusqlite::Error> {
        *from = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let done = usize::try_from(*from).unwrap_or(0);
        let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for migration in MIGRATIONS.iter().skip(done) {
            tx.execute_batch(migration)?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", KNOWN)?;
        tx.commit()
    };
    run(db, &mut from).map_err(|source| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
            StoreError::NotWritable { file: file.to_owned(), source: Arc::new(source) }
        }
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::DiskFull { doing: "make the tables of the data file" },
        _ => StoreError::Migrate { file: file.to_owned(), from, to: KNOWN, source: Arc::new(source) },
    })
}
