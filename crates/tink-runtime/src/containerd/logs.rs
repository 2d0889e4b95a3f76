//! Delivering a container's output from its log on disk.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::ContainerdRuntime;
use super::data_root::log_file;
use super::logger::{LOCK_FILE, tell_end};
use super::record::Record;
use crate::log::LINES_AT_ONCE;
use crate::{HandleRecord, LogPosition, LogSink, Operation, RuntimeError};

/// Between two looks at the log: short after something came, longer when nothing does.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(100);

impl ContainerdRuntime {
    /// A position is the number of the next line, as the logger counts them.
    ///
    /// Limit: where the newest output has pushed older lines out of the log before they were read, these are lost; what
    /// is left is delivered.
    pub(super) async fn deliver_logs(
        &self,
        record: &HandleRecord,
        from: LogPosition,
        sink: &mut dyn LogSink,
    ) -> Result<(), RuntimeError> {
        let container = record.container.as_str();
        let dir = self.recorded_dir(record, Operation::Logs)?;
        let fail = |error: io::Error| RuntimeError::transient(Operation::Logs, container, error.to_string());
        if !dir.exists() {
            return Err(RuntimeError::permanent(Operation::Logs, container, "it is gone, and its output with it"));
        }
        let mut follow = Follow { reader: Reader::new(&dir, container), container, next: from.number() };
        let mut pause = FIRST_PAUSE;
        let mut end = std::pin::pin!(self.tell_logger_of_end(record, &dir));
        let mut told = false;
        loop {
            // Asked before the look: what a logger that has ended wrote is all there.
            let ended = logger_has_ended(&dir).map_err(fail)?;
            let before = follow.next;
            if follow.deliver(sink).map_err(fail)? == Look::More {
                tokio::task::yield_now().await;
                continue;
            }
            if ended {
                return Ok(());
            }
            let came = follow.next > before;
            pause = if came { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut end, if !told => {
                    told = true;
                    pause = FIRST_PAUSE;
                }
            }
        }
    }

    /// Returns when the program has ended and its logger knows.
    async fn tell_logger_of_end(&self, record: &HandleRecord, dir: &Path) {
        // An outage is sat out for as long as it takes; whatever else goes wrong, nothing more will come.
        while let Err(error) = self.wait_for_end(record).await {
            if !error.is_retryable() {
                break;
            }
            tokio::time::sleep(LAST_PAUSE).await;
        }
        if let Err(error) = tell_end(dir) {
            tracing::warn!(container = record.container, %error, "the logger cannot be told of the end");
        }
    }
}

/// What was delivered and what is next.
struct Follow<'a> {
    reader: Reader,
    container: &'a str,
    next: u64,
}

impl Follow<'_> {
    /// Delivers what is new.
    fn deliver(&mut self, sink: &mut dyn LogSink) -> io::Result<Look> {
        let (container, next) = (self.container, &mut self.next);
        self.reader.read(&mut |record| {
            if record.number > *next {
                tracing::warn!(container, lines = record.number - *next, "output was lost: the log was full");
            }
            if record.number >= *next {
                *next = record.number + 1;
                sink.line(record.stream, &record.line, LogPosition::at(*next));
            }
        })
    }
}

/// A logger holds its lock while it lives; the kernel lets go of it at any end.
pub(super) fn logger_has_ended(dir: &Path) -> io::Result<bool> {
    let lock = match File::open(dir.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// How far a look at the log came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// To the end, as it was then.
    End,
    /// As far as one look goes.
    More,
}

/// Reads records from the log and the file put aside before it.
pub(super) struct Reader {
    current: PathBuf,
    aside: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: BufReader<File>,
    inode: u64,
    /// Behind the last whole line.
    position: u64,
}

impl Reader {
    pub(super) fn new(dir: &Path, id: &str) -> Self {
        let current = log_file(dir, id);
        let mut aside = current.clone().into_os_string();
        aside.push(".1");
        Self { current, aside: PathBuf::from(aside), open: None }
    }

    /// Hands over the records that were written since the last call, or the first of them where they are many.
    pub(super) fn read(&mut self, record: &mut dyn FnMut(Record)) -> io::Result<Look> {
        if self.open.is_none() {
            // In this order: one that is put aside in between is found by its new name.
            let current = Open::at(&self.current)?;
            self.open = Open::at(&self.aside)?.or(current);
        }
        while let Some(open) = &mut self.open {
            // The name is looked at first: what is put aside after that is found by the next call.
            let current = inode(&self.current)?;
            if open.read(record)? == Look::More {
                return Ok(Look::More);
            }
            if current.is_none_or(|current| current == open.inode) {
                return Ok(Look::End);
            }
            // It is finished. The one put aside comes next, unless this was that.
            let next = match Open::at(&self.aside)? {
                Some(aside) if aside.inode != open.inode => Some(aside),
                _ => Open::at(&self.current)?,
            };
            match next {
                Some(next) if next.inode != open.inode => self.open = Some(next),
                _ => return Ok(Look::End),
            }
        }
        Ok(Look::End)
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok(Some(Self { file: BufReader::with_capacity(64 * 1024, file), inode, position: 0 }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, record: &mut dyn FnMut(Record)) -> io::Result<Look> {
        let mut line = Vec::new();
        for _ in 0..LINES_AT_ONCE {
            line.clear();
            let length = self.file.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                // Half a record is read again when it is whole.
                self.file.seek(SeekFrom::Start(self.position))?;
                return Ok(Look::End);
            }
            self.position += length as u64;
            if let Some(one) = Record::read(&line) {
                record(one);
            }
        }
        Ok(Look::More)
    }
}

fn inode(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
