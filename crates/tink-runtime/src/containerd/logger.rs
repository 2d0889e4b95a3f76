//! The logger of a container: this binary, started again by containerd's shim.
//!
//! The shim hands over the read ends of the container's output as descriptors 3 and 4 and waits until the logger says on
//! descriptor 5 that it is ready. The shim keeps the other ends open until the container is removed, so their end says
//! nothing of the program's: a worker that has seen the program end puts a file beside the log, and by then all that was
//! written is in the pipes. The logger empties them and ends. It lives on without a worker and without the daemon, and
//! takes what comes also when the disk is full, so that an action never hangs on its output.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, OFlags, flock, inotify};
use rustix::io::Errno;
use tink_workflow::Timestamp;

use super::data_root::log_file;
use super::record::Record;
use crate::OutputStream;
use crate::lines::LineSplitter;

/// By this first argument the program knows that it is the logger; the container's directory is the second.
const ARGUMENT: &str = "tink-containerd-log";
/// The same, for a container with a terminal: there the shim closes its end when the last program has closed the terminal.
const TERMINAL_ARGUMENT: &str = "tink-containerd-terminal-log";
/// Locked for as long as the logger lives; nerdctl's own logger has the same.
pub(super) const LOCK_FILE: &str = "logger-lock";
/// Made by a worker that has seen the program end.
const ENDED_FILE: &str = "ended";
/// A log file of this size is put aside for the next one; of those put aside the last stays.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// Where the shim is to send a container's output: to `program`, started as the logger of `dir`.
pub(super) fn log_uri(program: &Path, dir: &Path, terminal: bool) -> String {
    let argument = if terminal { TERMINAL_ARGUMENT } else { ARGUMENT };
    format!("binary://{}?{argument}={}", escaped(program), escaped(dir))
}

fn escaped(path: &Path) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
    let one = |byte: &u8| if keep(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    path.as_os_str().as_bytes().iter().map(one).collect()
}

/// Tells the logger of `dir` that the program has ended: nothing more comes than what is in the pipes.
pub(super) fn tell_end(dir: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join(ENDED_FILE)).map(drop)
}

/// Runs the logger if this process was started as one by containerd's shim: the code to end with then, else nothing.
///
/// To be called first thing in `main`, before any thread exists.
pub(crate) fn logger_main_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let terminal = match args.next()?.to_str()? {
        ARGUMENT => false,
        TERMINAL_ARGUMENT => true,
        _ => return None,
    };
    let dir = PathBuf::from(args.next()?);
    let id: OsString = std::env::var_os("CONTAINER_ID")?;
    match run(&dir, &id.to_string_lossy(), terminal) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("tink's logger of {}: {error}", dir.display());
            Some(ExitCode::FAILURE)
        }
    }
}

fn run(dir: &Path, id: &str, terminal: bool) -> io::Result<()> {
    // The shim asks for the end when the container is removed; what is still in the pipes comes first.
    let mut stops = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().for_each(|signal| stops.add(signal));
    stops.thread_block()?;
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join(LOCK_FILE))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let mut log = Log::open(log_file(dir, id), FILE_BYTES_MAX)?;
    // Opened anew, so that reading does not block here and writing does not fail there.
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let open = |descriptor: u32| {
        OpenOptions::new().read(true).custom_flags(nonblocking).open(format!("/proc/self/fd/{descriptor}"))
    };
    let mut stdout = Source::new(open(3)?, OutputStream::Stdout);
    let mut stderr = Source::new(open(4)?, OutputStream::Stderr);
    let changes = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&changes, dir, inotify::WatchFlags::CREATE | inotify::WatchFlags::DELETE_SELF)?;
    OpenOptions::new().write(true).open("/proc/self/fd/5")?.write_all(b"1")?;
    loop {
        // Asked before the pipes are emptied.
        let ended = !terminal && (dir.join(ENDED_FILE).exists() || !dir.exists());
        // With a terminal all comes on the first one.
        let open = [stdout.take(&mut log), !terminal && stderr.take(&mut log)];
        if ended || open == [false, false] {
            break;
        }
        wait(&[(&stdout.pipe, open[0]), (&stderr.pipe, open[1])], &changes)?;
    }
    stdout.finish(&mut log);
    stderr.finish(&mut log);
    drop(lock);
    Ok(())
}

/// Waits until one of the open pipes has something, or something happened in the directory.
fn wait(pipes: &[(&File, bool); 2], changes: &std::os::fd::OwnedFd) -> io::Result<()> {
    let mut fds = vec![PollFd::new(changes, PollFlags::IN)];
    fds.extend(pipes.iter().filter(|(_, open)| *open).map(|(pipe, _)| PollFd::new(*pipe, PollFlags::IN)));
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let mut events = inotify::Reader::new(changes, &mut buffer);
    while events.next().is_ok() {}
    Ok(())
}

/// One of the two streams.
struct Source<R> {
    pipe: R,
    stream: OutputStream,
    splitter: LineSplitter,
    buffer: Vec<u8>,
}

impl<R: Read> Source<R> {
    fn new(pipe: R, stream: OutputStream) -> Self {
        Self { pipe, stream, splitter: LineSplitter::default(), buffer: vec![0; READ_BYTES] }
    }

    /// Takes all that is there; `false` when nothing can come any more.
    fn take(&mut self, log: &mut Log) -> bool {
        loop {
            match self.pipe.read(&mut self.buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    self.splitter.push(&self.buffer[..length], &mut |line| log.line(self.stream, line));
                    log.flush();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    fn finish(&mut self, log: &mut Log) {
        self.splitter.finish(&mut |line| log.line(self.stream, line));
        log.flush();
    }
}

/// The log on disk.
struct Log {
    path: PathBuf,
    file: File,
    /// Of the file, complete records only.
    bytes: u64,
    bytes_max: u64,
    next: u64,
    pending: Vec<u8>,
}

impl Log {
    fn open(path: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let file = new_file(&path)?;
        Ok(Self { path, file, bytes: 0, bytes_max, next: 0, pending: Vec::new() })
    }

    fn line(&mut self, stream: OutputStream, line: &[u8]) {
        Record::write(self.next, stream, line, Timestamp::now(), &mut self.pending);
        self.next += 1;
    }

    /// Writes what is pending. What the disk does not take is dropped; its numbers show the gap.
    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if self.bytes > 0 && self.bytes + self.pending.len() as u64 > self.bytes_max {
            self.rotate();
        }
        match self.file.write_all(&self.pending) {
            Ok(()) => self.bytes += self.pending.len() as u64,
            // Without the torn record the next one stands on a line of its own.
            Err(_) => drop(self.file.set_len(self.bytes)),
        }
        self.pending.clear();
    }

    fn rotate(&mut self) {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        if std::fs::rename(&self.path, aside).is_ok()
            && let Ok(file) = new_file(&self.path)
        {
            (self.file, self.bytes) = (file, 0);
        }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::super::logs::Reader;
    use super::*;

    #[test]
    fn paths_survive_the_uri() {
        let uri = log_uri(Path::new("/proc/7/exe"), Path::new("/a b/ü%?&"), false);
        assert_eq!(uri, "binary:///proc/7/exe?tink-containerd-log=/a%20b/%C3%BC%25%3F%26");
    }

    #[test]
    fn a_log_that_grows_too_long_loses_its_beginning_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(log_file(dir.path(), "c"), 2000).unwrap();
        let mut reader = Reader::new(dir.path(), "c");
        let mut seen = Vec::new();
        for number in 0..100 {
            let line = format!("line {number}\n");
            assert!(!Source::new(line.as_bytes(), OutputStream::Stdout).take(&mut log), "it has an end");
            if number % 10 == 0 {
                reader.read(&mut |record| seen.push(record.number)).unwrap();
            }
        }
        reader.read(&mut |record| seen.push(record.number)).unwrap();
        assert_eq!(seen, (0..100).collect::<Vec<u64>>(), "a reader that keeps up misses nothing");
        let mut late = Vec::new();
        Reader::new(dir.path(), "c").read(&mut |record| late.push(record.number)).unwrap();
        assert_eq!(late.last(), Some(&99));
        assert!(late.len() > 18 && late.windows(2).all(|pair| pair[1] == pair[0] + 1), "{late:?}");
        let bytes: u64 =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= 4000, "{bytes}");
    }

    #[test]
    fn an_unterminated_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(log_file(dir.path(), "c"), 2000).unwrap();
        let mut source = Source::new(&b"one\ntwo"[..], OutputStream::Stderr);
        source.take(&mut log);
        source.finish(&mut log);
        let mut seen = Vec::new();
        Reader::new(dir.path(), "c").read(&mut |record| seen.push(record)).unwrap();
        let record = |number, line: &[u8]| Record { number, stream: OutputStream::Stderr, line: line.to_vec() };
        assert_eq!(seen, [record(0, b"one"), record(1, b"two")]);
    }
}
