//! Why the store could not do something.

use std::path::PathBuf;

/// A failure of the store. Cloneable, because one failed commit answers every call that was in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory of the data file cannot be made.
    #[error("create the directory {directory:?} for the data file; give another place with --data")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: std::sync::Arc<std::io::Error>,
    },
    /// Another server has the file.
    #[error(
        "lock the data file {file:?}: another tink-server uses it{holder}; stop that one, or give this one its own file with --data"
    )]
    Locked {
        /// The data file.
        file: PathBuf,
        /// ` (process 12)`, when it is known.
        holder: String,
    },
    /// The file cannot be opened for writing.
    #[error(
        "open the data file {file:?} for writing; make it and its directory writable for this user, or give another place with --data"
    )]
    NotWritable {
        /// The data file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::sync::Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The file belongs to a newer program.
    #[error(
        "read the data file {file:?}: it has schema {found} and this tink-server knows up to {known}; run the newer tink-server, or restore a copy from before the upgrade"
    )]
    Newer {
        /// The data file.
        file: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest known schema.
        known: i64,
    },
    /// The file is something else.
    #[error(
        "read the data file {file:?}: it is not a data file of tink-server; move it away, or give another place with --data"
    )]
    Foreign {
        /// The data file.
        file: PathBuf,
    },
    /// A migration failed; the file is as it was.
    #[error("bring the data file {file:?} from schema {from} to {to}; it was left as it was")]
    Migrate {
        /// The data file.
        file: PathBuf,
        /// Its schema.
        from: i64,
        /// The wanted one.
        to: i64,
        /// Why.
        #[source]
        source: std::sync::Arc<rusqlite::Error>,
    },
    /// The disk is full.
    #[error("{doing}: the disk of the data file is full; free some space, the server goes on by itself")]
    DiskFull {
        /// What was being done.
        doing: &'static str,
    },
    /// An earlier failure undid the transaction this change was in.
    #[error("{doing}: undone together with a change that failed; try again")]
    Undone {
        /// What was being done.
        doing: &'static str,
    },
    /// SQLite failed otherwise.
    #[error("{doing}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::sync::Arc<rusqlite::Error>,
    },
    /// What is stored cannot be read back.
    #[error(
        "read {what}: the stored value is damaged ({detail}); restore the data file from a copy, or delete the object"
    )]
    Damaged {
        /// What.
        what: String,
        /// How.
        detail: String,
    },
    /// The store is closed: the server stops.
    #[error("the server is stopping")]
    Closed,
    /// More changes wait than the store takes.
    #[error("{doing}: too many changes wait to be stored; try again")]
    Busy {
        /// What was being done.
        doing: &'static str,
    },
    /// A failure made by a test.
    #[cfg(test)]
    #[error("{doing}: a failure made by a test")]
    Made {
        /// What was being done.
        doing: &'static str,
    },
}

impl StoreError {
    /// Wraps an SQLite error.
    pub fn sqlite(doing: &'static str, source: rusqlite::Error) -> Self {
        if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            return Self::DiskFull { doing };
        }
        Self::Sqlite { doing, source: std::sync::Arc::new(source) }
    }
}
