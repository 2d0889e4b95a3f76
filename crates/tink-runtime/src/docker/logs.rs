//! Delivering a container's output.
//!
//! The daemon's log is looked into from its end, again and again, and not followed: a log that is rotated is bounded, and
//! daemons before version 23 repeat whole files to who follows one, or leave them out. Each look goes back until it finds
//! the last entry that was delivered, or to the start of what is left.

use std::pin::pin;
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, timeout};

use super::DockerRuntime;
use super::call::{Failure, FailureKind};
use super::delivery::{Delivery, EntryId};
use super::entry::{Entries, Entry};
use super::inspect::{Seen, is_outage};
use super::output::Output;
use super::state::Life;
use crate::{HandleRecord, LogPosition, LogSink, Operation, RuntimeError};

/// Between two looks: short after something came, longer when nothing does.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(320);
/// A look at a long line goes back to its beginning each time. Where it brings no line, the daemon is kept busy by looks for
/// a fifth of the time at most.
const PAUSE_PER_LOOK: u32 = 4;
/// Entries that a look asks for, as long as what was delivered last is not among them. The last is all there are.
const TAILS: [&str; 4] = ["32", "1024", "32768", "all"];
/// After this long without a byte a look has failed.
const QUIET: Duration = Duration::from_secs(10);
/// Between two looks, when one failed.
const FAILURE_PAUSE: Duration = Duration::from_millis(200);
/// So many looks in a row that failed are reported.
const FAILURES_MAX: u32 = 10;

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// All that is new was delivered.
    Complete,
    /// What was delivered last is not in the part of the log that was asked for.
    TooShort,
}

impl DockerRuntime {
    pub(super) async fn deliver_logs(
        &self,
        record: &HandleRecord,
        from: LogPosition,
        sink: &mut dyn LogSink,
    ) -> Result<(), RuntimeError> {
        let container = record.container.as_str();
        let fail = |failure: Failure| failure.into_error(Operation::Logs, container);
        let mut delivery = Delivery::new(sink, from);
        if let Some(output) = self.attached.lock().await.remove(container) {
            return self.deliver_attached(container, Some(output), &mut delivery).await.map_err(fail);
        }
        let seen = self.look_for(container).await.map_err(fail)?;
        // The daemon has written the log to its end before it notes the end of the container.
        let mut ended = seen.life != Life::Running;
        let mut end = pin!(self.ends(record));
        let (mut pause, mut failures) = (FIRST_PAUSE, 0);
        loop {
            let (begin, before) = (Instant::now(), delivery.delivered());
            match self.deliver_new(&seen, &mut delivery).await {
                Ok(()) if ended => {
                    delivery.finish();
                    return Ok(());
                }
                Ok(()) => failures = 0,
                Err(failure) if cannot_be_read(&failure) => {
                    return self.deliver_attached(container, None, &mut delivery).await.map_err(fail);
                }
                Err(failure) => {
                    failures += 1;
                    if !is_outage(&failure) || failures >= FAILURES_MAX {
                        return Err(fail(failure));
                    }
                    tracing::debug!(
                        container,
                        reason = failure.message,
                        "reading the output again from where it broke off"
                    );
                    tokio::time::sleep(FAILURE_PAUSE).await;
                    self.look_for(container).await.map_err(fail)?;
                    continue;
                }
            }
            pause = if delivery.delivered() > before {
                FIRST_PAUSE
            } else {
                (pause * 2).min(LAST_PAUSE).max(begin.elapsed() * PAUSE_PER_LOOK)
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut end, if !ended => ended = true,
            }
        }
    }

    /// The container, waited for while the daemon is away for a moment.
    async fn look_for(&self, container: &str) -> Result<Seen, Failure> {
        let gone = || Failure { kind: FailureKind::Status(404), message: "it is gone".to_owned() };
        self.inspect_patiently(container).await?.ok_or_else(gone)
    }

    /// Returns when the container has ended. An outage is sat out for as long as it takes; whatever else goes wrong,
    /// nothing more will come.
    async fn ends(&self, record: &HandleRecord) {
        while let Err(error) = self.wait_for_end(record).await {
            if !error.is_retryable() {
                return;
            }
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }

    /// Delivers what the log has beyond what was delivered.
    async fn deliver_new(&self, seen: &Seen, delivery: &mut Delivery<'_>) -> Result<(), Failure> {
        let is_read_from_its_start = delivery.last().is_none();
        let tails = if is_read_from_its_start { &TAILS[TAILS.len() - 1..] } else { &TAILS[..] };
        for tail in tails {
            let whole = *tail == TAILS[TAILS.len() - 1];
            if self.look(seen, tail, whole, delivery).await? == Look::Complete {
                return Ok(());
            }
        }
        tracing::warn!(container = seen.id, "output was lost: newer output has pushed it out of docker's log");
        delivery.gap();
        self.look(seen, TAILS[TAILS.len() - 1], true, delivery).await.map(|_| ())
    }

    async fn look(&self, seen: &Seen, tail: &str, whole: bool, delivery: &mut Delivery<'_>) -> Result<Look, Failure> {
        let mut entries = Entries::new(self.open_logs(seen, tail).await?, seen.tty);
        let mut search = delivery.last().map(|wanted| Search { wanted, number: 0, whole });
        while let Some(entry) = next(&mut entries).await? {
            match &mut search {
                None => delivery.push(&entry),
                Some(searching) => match searching.take(&entry) {
                    Found::Yes => search = None,
                    Found::NotYet => {}
                    Found::Never => return Ok(Look::TooShort),
                },
            }
        }
        // Also where a look was cut off that an earlier reader's place was to be found by.
        Ok(if search.is_none() && !delivery.is_searching() { Look::Complete } else { Look::TooShort })
    }

    pub(super) async fn open_logs(&self, seen: &Seen, tail: &str) -> Result<Output, Failure> {
        let version = self.api_version();
        let target = format!("/v{version}/containers/{}/logs?stdout=1&stderr=1&timestamps=1&tail={tail}", seen.id);
        Output::open(&self.socket, Method::GET, &target, seen.tty).await
    }
}

async fn next(entries: &mut Entries) -> Result<Option<Entry>, Failure> {
    let quiet = || Failure::unreachable("docker stopped sending in the middle of the log");
    timeout(QUIET, entries.next()).await.unwrap_or_else(|_| Err(quiet()))
}

/// Looks for an entry in a part of the log.
struct Search {
    wanted: EntryId,
    /// Of the entries so far that are beside the wanted one.
    number: u64,
    /// Whether the part begins where the log does, or where an entry of the stream with another time was seen: from there
    /// on entries are counted as they were when they were new.
    whole: bool,
}

enum Found {
    Yes,
    NotYet,
    Never,
}

impl Search {
    fn take(&mut self, entry: &Entry) -> Found {
        if !self.wanted.is_beside(entry) {
            self.whole |= entry.stream == self.wanted.stream;
            return Found::NotYet;
        }
        if !self.whole {
            return Found::Never;
        }
        self.number += 1;
        if self.number == self.wanted.number { Found::Yes } else { Found::NotYet }
    }
}

/// Log drivers that send output away (syslog, gelf, none) cannot be read, unless the daemon keeps a copy (20.10 and later,
/// without `cache-disabled`).
pub(super) fn cannot_be_read(failure: &Failure) -> bool {
    failure.has_status(501) || failure.message.contains("does not support reading")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OutputStream;

    fn find(wanted: EntryId, whole: bool, times: &[(OutputStream, u64)]) -> Option<usize> {
        let mut search = Search { wanted, number: 0, whole };
        for (nth, (stream, time)) in times.iter().enumerate() {
            match search.take(&Entry { stream: *stream, time: *time, bytes: Vec::new() }) {
                Found::Yes => return Some(nth),
                Found::NotYet => {}
                Found::Never => return None,
            }
        }
        None
    }

    #[test]
    fn an_entry_is_found_by_its_number_among_its_equals() {
        use OutputStream::{Stderr, Stdout};
        let log = [(Stdout, 5), (Stderr, 7), (Stdout, 7), (Stdout, 7), (Stdout, 4)];
        let wanted = |stream, time, number| EntryId { stream, time, number };
        assert_eq!(find(wanted(Stdout, 7, 2), false, &log), Some(3));
        assert_eq!(find(wanted(Stderr, 7, 1), true, &log), Some(1));
        assert_eq!(find(wanted(Stderr, 7, 1), false, &log), None, "there may be others of its time before");
        assert_eq!(find(wanted(Stdout, 7, 2), false, &log[2..]), None);
        assert_eq!(find(wanted(Stdout, 9, 1), true, &log), None);
    }
}
