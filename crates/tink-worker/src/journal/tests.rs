//! Fixtures and tests of the journal on a real directory.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use tink_runtime::{ExitCause, ExitStatus, HandleRecord, LogPosition, Purpose};
use tink_workflow::{ActionId, ActionState, TaskId, Timestamp, WorkerId, WorkflowId};

use super::*;
use crate::{Assignment, Report, SystemClock};

pub(crate) fn assignment(workflow: &str, action: &str) -> Assignment {
    Assignment {
        workflow: WorkflowId::parse(workflow).unwrap(),
        task: TaskId::parse("task-1").unwrap(),
        action: ActionId::parse(action).unwrap(),
        worker: WorkerId::parse("02:00:00:00:00:01").unwrap(),
        name: format!("action {action}"),
        image: "busybox".to_owned(),
        timeout_s: 0,
        command: vec!["true".to_owned()],
        environment: Vec::new(),
        volumes: Vec::new(),
        pid: String::new(),
        network: String::new(),
        on_timeout: Vec::new(),
        on_failure: Vec::new(),
        ends_machine: false,
        lease_s: 0,
        tty: false,
        begun: crate::Begun::Unknown,
    }
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, Arc::new(RealDisk), JournalLimits::default()).unwrap()
}

fn record(entry: &Entry, attempt: u32) -> HandleRecord {
    HandleRecord {
        runtime: "test".to_owned(),
        container: format!("c{attempt}"),
        identity: entry.identity(attempt, Purpose::Action),
        engine: serde_json::Value::Null,
    }
}

/// An entry whose container the engine "test" is asked to start.
pub(crate) async fn attempted(journal: &Journal) -> EntryId {
    attempted_with(journal, assignment("default/w", "a1")).await
}

pub(crate) async fn attempted_with(journal: &Journal, assignment: Assignment) -> EntryId {
    let entry = journal.begin(assignment).await.unwrap();
    let attempt = Attempt { runtime: Some("test".to_owned()), ..Attempt::begin(1, &SystemClock) };
    journal.attempt(entry.id, attempt).await.unwrap();
    entry.id
}

/// An entry whose container was started by the engine "test".
pub(crate) async fn started(journal: &Journal) -> EntryId {
    let entry = journal.begin(assignment("default/w", "a1")).await.unwrap();
    journal.attempt(entry.id, Attempt::begin(1, &SystemClock)).await.unwrap();
    journal.container(entry.id, record(&entry, 1)).await.unwrap();
    entry.id
}

async fn filled(journal: &Journal) -> Entry {
    let entry = journal.begin(assignment("default/w", "a/1")).await.unwrap();
    journal.attempt(entry.id, Attempt::begin(1, &SystemClock)).await.unwrap();
    journal.container(entry.id, record(&entry, 1)).await.unwrap();
    journal.stopping(entry.id, "timeout".to_owned()).await.unwrap();
    let status = ExitStatus { cause: ExitCause::Signal(9), oom: true, started_at: None, stopped_at: None };
    journal.exit(entry.id, status).await.unwrap();
    let report = Report { state: ActionState::Failed, ..Report::running(&entry.assignment, "exit code 3") };
    journal.result(entry.id, report).await.unwrap();
    journal.entry(entry.id).unwrap()
}

#[tokio::test]
async fn what_was_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(&open(dir.path())).await;
    let after = open(dir.path());
    let entries = after.entries();
    assert_eq!(entries.len(), 1);
    assert_eq!(format!("{:?}", entries[0]), format!("{before:?}"));
    assert_eq!(entries[0].phase(), Phase::Finished);
    assert!(dir.path().join("assignments/00000001-a_1/result.json").exists());
    let next = after.begin(assignment("default/w", "a2")).await.unwrap();
    assert_eq!(next.id, EntryId(2), "numbers go on where they ended");
}

#[tokio::test]
async fn the_container_of_an_older_attempt_is_not_taken_for_the_newest_ones() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let entry = journal.begin(assignment("default/w", "a1")).await.unwrap();
    journal.attempt(entry.id, Attempt::begin(1, &SystemClock)).await.unwrap();
    journal.container(entry.id, record(&entry, 1)).await.unwrap();
    journal.attempt(entry.id, Attempt::begin(2, &SystemClock)).await.unwrap();
    for journal in [journal, open(dir.path())] {
        let entry = journal.entry(EntryId(1)).unwrap();
        assert_eq!((entry.phase(), entry.attempt_number()), (Phase::Attempted, 2));
    }
}

#[tokio::test]
async fn the_engine_of_an_attempt_is_read_back_and_one_that_an_older_journal_does_not_name_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let id = attempted(&open(dir.path())).await;
    let entry = open(dir.path()).entry(id).unwrap();
    assert_eq!(
        (entry.runtime(), entry.other_runtime("test"), entry.other_runtime("x")),
        (Some("test"), None, Some("test"))
    );
    let older = r#"{"number": 1, "began_at": "2026-01-02T03:04:05Z", "uptime_ms": 7, "boot_id": "b"}"#;
    std::fs::write(dir.path().join("assignments").join(&entry.dir_name).join("attempt.json"), older).unwrap();
    let entry = open(dir.path()).entry(id).unwrap();
    assert_eq!((entry.phase(), entry.runtime(), entry.other_runtime("x")), (Phase::Attempted, None, None));
}

#[tokio::test]
async fn the_engine_may_hold_the_newest_run_and_its_hook_until_they_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let entry = journal.begin(assignment("default/w", "a1")).await.unwrap();
    assert_eq!(journal.containers(), []);
    for number in [1, 2] {
        journal.attempt(entry.id, Attempt::begin(number, &SystemClock)).await.unwrap();
    }
    let action = entry.identity(2, Purpose::Action);
    assert_eq!(journal.containers(), std::slice::from_ref(&action));
    journal.hook(entry.id, HookRun { purpose: Purpose::OnFailure, record: None }).await.unwrap();
    assert_eq!(journal.containers(), [action, entry.identity(2, Purpose::OnFailure)]);
    journal.removed(entry.id).await.unwrap();
    assert_eq!(journal.containers(), []);
}

#[tokio::test]
async fn damaged_entries_are_set_aside_and_the_others_stay() {
    for (file, bytes) in [
        ("assignment.json", &b"{"[..]),
        ("container.json", b"\0\0\0\0"),
        ("attempt.json", b""),
        ("result.json", b"[]"),
        ("exit.json", b"\"x\""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path());
        let entry = filled(&journal).await;
        journal.begin(assignment("default/w", "a2")).await.unwrap();
        std::fs::write(journal.dir_of(&entry).join(file), bytes).unwrap();
        let after = open(dir.path());
        let left: Vec<_> = after.entries().iter().map(|entry| entry.id).collect();
        assert_eq!(left, [EntryId(2)], "{file}");
        assert!(dir.path().join("damaged").join(&entry.dir_name).exists(), "{file}");
        assert_eq!(after.begin(assignment("default/w", "a3")).await.unwrap().id, EntryId(3), "{file}");
    }
}

#[tokio::test]
async fn an_entry_that_was_never_finished_being_written_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let half = dir.path().join("assignments/.new-00000009-x");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("assignment.json.tmp"), "{").unwrap();
    assert!(open(dir.path()).entries().is_empty());
    assert!(!half.exists());
}

#[tokio::test]
async fn closed_entries_are_pruned_oldest_first_and_open_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits { closed_entries_max: 2, ..JournalLimits::default() };
    let journal = Journal::open(dir.path(), Arc::new(RealDisk), limits).unwrap();
    for nth in 1..=6 {
        let entry = journal.begin(assignment("default/w", &format!("a{nth}"))).await.unwrap();
        if nth != 2 {
            journal.close(entry.id, "accepted".to_owned()).await.unwrap();
        }
    }
    let left: Vec<_> = open(dir.path()).entries().iter().map(|entry| entry.id.0).collect();
    assert_eq!(left, [2, 5, 6]);
    let journal = open(dir.path());
    journal.prune_to(10, 5000).await.unwrap();
    let left: Vec<_> = journal.entries().iter().map(|entry| entry.id.0).collect();
    assert_eq!(left, [2], "two files of a page each are over 5000 bytes");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Journal::open(&file, Arc::new(RealDisk), JournalLimits::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("failed to open the journal in {}", file.display()));
}

#[tokio::test]
async fn a_log_goes_on_after_its_last_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let entry = journal.begin(assignment("default/w", "a1")).await.unwrap();
    let mut log = journal.log(&entry, 1);
    log.append(b"one", LogPosition::at(10));
    log.append(b"", LogPosition::at(20));
    log.append(b"three", LogPosition::at(30));
    assert_eq!(log.position(), LogPosition::at(30));
    drop(log);
    let path = journal.dir_of(&entry).join("log-1.00000000");
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"40 half a li").unwrap();
    let mut log = journal.log(&entry, 1);
    assert_eq!(log.position(), LogPosition::at(30));
    log.append(b"half a line", LogPosition::at(40));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "10 one\n20 \n30 three\n40 half a line\n");
    assert_eq!(log.tail(1000), [&b"one"[..], b"", b"three", b"half a line"]);
    assert_eq!(journal.log(&entry, 2).position(), LogPosition::START, "another attempt has a log of its own");
}

#[tokio::test]
async fn a_log_goes_on_where_its_newest_segment_has_no_line_yet() {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits { log_bytes_max: 20, ..JournalLimits::default() };
    let journal = Journal::open(dir.path(), Arc::new(RealDisk), limits).unwrap();
    let entry = journal.begin(assignment("default/w", "a1")).await.unwrap();
    let mut log = journal.log(&entry, 1);
    log.append(b"one", LogPosition::at(10));
    log.append(b"two", LogPosition::at(20));
    drop(log);
    let newest = journal.dir_of(&entry).join("log-1.00000001");
    std::fs::write(&newest, "20 tw").unwrap();
    let mut log = journal.log(&entry, 1);
    assert_eq!(log.position(), LogPosition::at(10));
    log.append(b"two", LogPosition::at(20));
    assert_eq!(std::fs::read_to_string(newest).unwrap(), "20 two\n");
}

#[tokio::test]
async fn a_log_keeps_the_newest_output_and_the_whole_count() {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits { log_bytes_max: 1000, ..JournalLimits::default() };
    let journal = Journal::open(dir.path(), Arc::new(RealDisk), limits).unwrap();
    let entry = journal.begin(assignment("default/w", "a1")).await.unwrap();
    let mut log = journal.log(&entry, 1);
    for nth in 0..10_000 {
        log.append(format!("line {nth}").as_bytes(), LogPosition::at(nth + 1));
        if nth % 777 == 0 {
            log = journal.log(&entry, 1);
        }
    }
    assert_eq!(log.position(), LogPosition::at(10_000));
    assert_eq!(journal.log(&entry, 1).position(), LogPosition::at(10_000));
    let kept: u64 = std::fs::read_dir(journal.dir_of(&entry))
        .unwrap()
        .map(|file| file.unwrap())
        .filter(|file| file.file_name().to_string_lossy().starts_with("log-"))
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!(kept <= 1010, "{kept} bytes");
    assert_eq!(log.tail(35), [b"line 9998", b"line 9999"]);
}

use std::io::Write as _;

#[tokio::test]
async fn the_output_of_older_attempts_goes_when_a_new_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let entry = journal.begin(assignment("default/w", "a1")).await.unwrap();
    let logs = || {
        let files = std::fs::read_dir(journal.dir_of(&entry)).unwrap();
        let names = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
        let mut logs: Vec<_> = names.filter(|name| name.starts_with("log-")).collect();
        logs.sort();
        logs
    };
    journal.log(&entry, super::HOOKS).append(b"of a hook", LogPosition::at(1));
    // The last one is begun again under its number, as one whose container was never seen.
    for number in [1, 2, 3, 10, 10] {
        journal.attempt(entry.id, Attempt::begin(number, &SystemClock)).await.unwrap();
        assert_eq!(logs(), ["log-0.00000000"], "attempt {number}");
        journal.log(&entry, number).append(b"of an attempt", LogPosition::at(1));
        assert_eq!(logs(), ["log-0.00000000".to_owned(), format!("log-{number}.00000000")]);
    }
}

#[tokio::test]
async fn a_closed_entry_whose_container_is_not_removed_stays_without_its_output() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let entry = filled(&journal).await;
    journal.log(&entry, 1).append(b"said", LogPosition::at(1));
    journal.close(entry.id, "accepted".to_owned()).await.unwrap();
    let log = journal.dir_of(&entry).join("log-1.00000000");
    assert!(log.exists());
    journal.prune_to(0, 0).await.unwrap();
    assert!(!log.exists() && journal.entry(entry.id).is_some());
    journal.removed(entry.id).await.unwrap();
    journal.prune_to(0, 0).await.unwrap();
    assert!(journal.entry(entry.id).is_none());
}

#[tokio::test]
async fn a_closed_entry_over_the_limits_goes_with_its_container() {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits { closed_entries_max: 0, ..JournalLimits::default() };
    let journal = Journal::open(dir.path(), Arc::new(RealDisk), limits).unwrap();
    let entry = filled(&journal).await;
    journal.close(entry.id, "accepted".to_owned()).await.unwrap();
    assert!(journal.entry(entry.id).is_some(), "its container is still to be found");
    journal.removed(entry.id).await.unwrap();
    assert!(journal.entry(entry.id).is_none());
}

/// A wall clock that was wrong when the machine booted, and is set while an action runs.
#[derive(Debug)]
struct Jumping {
    now: Timestamp,
    uptime_s: u64,
}

impl crate::Clock for Jumping {
    fn now(&self) -> Timestamp {
        self.now
    }
    fn uptime(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.uptime_s)
    }
    fn boot_id(&self) -> String {
        "boot-1".to_owned()
    }
}

#[test]
fn a_wall_clock_that_jumps_changes_no_elapsed_time() {
    let at = |second, uptime_s| Jumping { now: Timestamp::from_second(second).unwrap(), uptime_s };
    let (in_1970, today) = (5, 1_795_000_000);
    for (before, after) in [(in_1970, today), (today, in_1970)] {
        let attempt = crate::journal::Attempt::begin(1, &at(before, 100));
        assert_eq!(attempt.elapsed(&at(after, 130)), Some(std::time::Duration::from_secs(30)));
    }
}

/// The real disk, with a list of what was done to it.
#[derive(Debug, Default)]
struct Recorder(std::sync::Mutex<Vec<String>>);

impl Recorder {
    fn note(&self, what: &str, path: &Path) {
        self.0.lock().unwrap().push(format!("{what} {}", path.file_name().unwrap().display()));
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Disk for Recorder {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path)
    }

    fn append(&self, path: &Path, keep: u64) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.append(path, keep)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("rename to", to);
        RealDisk.rename(from, to)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.note("remove", path);
        RealDisk.remove_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if path.file_name().is_some() {
            self.note("sync", path);
        }
        RealDisk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        RealDisk.list(path)
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        RealDisk.read(path, bytes_max)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        RealDisk.len(path)
    }
}

#[tokio::test]
async fn an_entry_is_gone_for_good_before_anything_of_it_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Recorder::default());
    let journal = Journal::open(dir.path(), Arc::clone(&disk) as _, JournalLimits::default()).unwrap();
    let entry = journal.begin(assignment("default/w", "a1")).await.unwrap();
    journal.close(entry.id, "accepted".to_owned()).await.unwrap();
    disk.taken();
    journal.prune_to(0, 0).await.unwrap();
    let done = disk.taken();
    let [.., renamed, synced, removed] = &done[..] else { panic!("{done:?}") };
    assert_eq!(
        [renamed, synced, removed],
        ["rename to .old-00000001-a1", "sync assignments", "remove .old-00000001-a1"],
        "{done:?}"
    );
    assert_eq!(std::fs::read_dir(dir.path().join("assignments")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_entry_whose_removal_was_cut_off_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let half = dir.path().join("assignments/.old-00000009-x");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("result.json"), "{}").unwrap();
    let after = open(dir.path());
    assert!(after.entries().is_empty() && !half.exists() && !dir.path().join("damaged").exists());
}

/// A disk that can be read and refuses everything else.
#[derive(Debug)]
struct ReadOnly;

fn refused() -> io::Error {
    io::Error::from(io::ErrorKind::ReadOnlyFilesystem)
}

impl Disk for ReadOnly {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() { Ok(()) } else { Err(refused()) }
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Err(refused())
    }

    fn append(&self, _: &Path, _: u64) -> io::Result<Box<dyn DiskFile>> {
        Err(refused())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        RealDisk.list(path)
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        RealDisk.read(path, bytes_max)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        RealDisk.len(path)
    }
}

#[tokio::test]
async fn a_journal_on_a_disk_that_refuses_writes_is_read_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(&open(dir.path())).await;
    for left in [".new-00000008-x", ".old-00000009-x"] {
        std::fs::create_dir(dir.path().join("assignments").join(left)).unwrap();
    }
    let after = Journal::open(dir.path(), Arc::new(ReadOnly), JournalLimits::default()).unwrap();
    let found: Vec<_> = after.entries().iter().map(|entry| (entry.id, entry.phase())).collect();
    assert_eq!(found, [(before.id, Phase::Finished)]);
    assert!(after.begin(assignment("default/w", "a2")).await.is_err());
    assert!(Journal::open(&dir.path().join("new"), Arc::new(ReadOnly), JournalLimits::default()).is_err());
}

#[tokio::test]
async fn a_number_whose_leftovers_cannot_be_removed_is_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::fs::create_dir(dir.path().join("assignments/.old-00000009-x")).unwrap();
    let journal = Journal::open(dir.path(), Arc::new(ReadOnly), JournalLimits::default()).unwrap();
    assert_eq!(journal.0.lock().next, 9);
}

#[tokio::test]
async fn what_is_read_of_a_life_that_was_killed_outlives_a_power_cut() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let entry = filled(&journal).await;
    let closed = journal.begin(assignment("default/w", "a2")).await.unwrap();
    journal.close(closed.id, "accepted".to_owned()).await.unwrap();
    let disk = Arc::new(Recorder::default());
    drop(Journal::open(dir.path(), Arc::clone(&disk) as _, JournalLimits::default()).unwrap());
    let done = disk.taken();
    for name in ["assignments", &entry.dir_name] {
        assert!(done.contains(&format!("sync {name}")), "{name}: {done:?}");
    }
    assert!(!done.contains(&format!("sync {}", closed.dir_name)), "nothing follows from it any more: {done:?}");
}
