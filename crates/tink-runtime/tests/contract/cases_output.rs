//! What a container prints arrives.

use std::ops::RangeInclusive;
use std::path::Path;

use tink_runtime::{ContainerSpec, HandleRecord, LINE_BYTES_MAX, LogPosition};

use super::{Bench, Tail, shell};

/// What an engine's own log of a container may take: two files of 16 MiB, and a little that they may be over.
const LOG_BYTES_MAX: u64 = 33 * 1024 * 1024;
/// A megabyte and more, as an engine stores it.
const LINES_PER_PART: usize = 20_000;

pub async fn the_output_of_both_streams_is_delivered(bench: &Bench) {
    let record = bench.start(&shell("echo out; echo err >&2; echo; echo more")).await;
    let output = bench.tail(&record).finish().await;
    assert_eq!(output.stdout(), ["out", "", "more"]);
    assert_eq!(output.stderr(), ["err"]);
    bench.remove(&record).await;
}

pub async fn carriage_returns_end_lines(bench: &Bench) {
    let script = r"printf '\r10 %%\r20 %%\r'; sleep 0.1; printf '30 %%\r\ndone\n'";
    assert_eq!(bench.output_of(&shell(script)).await, ["10 %", "20 %", "30 %", "done"]);
}

pub async fn output_without_a_newline_at_its_end_is_delivered(bench: &Bench) {
    assert_eq!(bench.output_of(&shell(r"printf 'one\r\ntwo'")).await, ["one", "two"]);
}

pub async fn a_long_line_comes_in_pieces(bench: &Bench) {
    let script = format!("head -c {} /dev/zero | tr '\\0' x; echo; echo after", LINE_BYTES_MAX * 2 + 10);
    let lengths: Vec<_> = bench.output_of(&shell(&script)).await.iter().map(String::len).collect();
    assert_eq!(lengths, [LINE_BYTES_MAX, LINE_BYTES_MAX, 10, "after".len()]);
}

pub async fn bytes_that_are_no_text_disturb_nothing(bench: &Bench) {
    let record = bench.start(&shell(r"printf 'before\na\000\033\377b\nafter\n'")).await;
    let output = bench.tail(&record).finish().await;
    bench.remove(&record).await;
    let lines: Vec<_> = output.0.into_iter().map(|(_, line)| line).collect();
    assert_eq!((lines[0].as_slice(), lines[2].as_slice(), lines.len()), (&b"before"[..], &b"after"[..], 3));
    // An engine that keeps logs as JSON replaces what is no UTF-8; nothing else may happen to it.
    let replaced = "a\0\x1b\u{fffd}b".as_bytes();
    assert!(lines[1] == b"a\0\x1b\xffb" || lines[1] == replaced, "{:?}", lines[1]);
}

pub async fn megabytes_of_output_are_delivered_without_gap_or_repeat(bench: &Bench) {
    const LINES: usize = 200_000;
    let script = format!("seq 1 {LINES} | sed 's/$/ of a good many lines/'");
    let lines = bench.output_of(&shell(&script)).await;
    assert_eq!(lines.len(), LINES);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("{} of a good many lines", index + 1));
    }
}

pub async fn output_can_be_read_after_the_end_and_from_any_line(bench: &Bench) {
    let record = bench.start(&shell(r"printf 'zero\none\rtwo\n'; printf three")).await;
    bench.wait(&record).await;
    let all = bench.tail(&record).finish().await;
    assert_eq!(all.stdout(), ["zero", "one", "two", "three"]);
    for (nth, end) in all.1.iter().enumerate() {
        let tail = Tail::start(&bench.runtime, &record, *end);
        assert_eq!(tail.finish().await.stdout(), all.stdout()[nth + 1..], "behind line {nth}");
    }
    bench.remove(&record).await;
}

pub async fn output_is_delivered_while_the_program_runs(bench: &Bench) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spec = shell("echo ready; until [ -e /shared/go ]; do sleep 0.05; done; echo gone");
    spec.volumes = vec![format!("{}:/shared", dir.path().display())];
    let record = bench.start(&spec).await;
    let mut tail = bench.tail(&record);
    tail.line("ready").await;
    std::fs::write(dir.path().join("go"), "").expect("a file is written");
    assert_eq!(tail.finish().await.stdout(), ["ready", "gone"]);
    bench.remove(&record).await;
}

/// Prints parts of [`LINES_PER_PART`] numbered lines, each when it is asked for.
fn talker(parts: usize, shared: &Path) -> ContainerSpec {
    let script = format!(
        "i=0; while [ $i -lt {parts} ]; do i=$((i+1)); until [ -e /shared/$i ]; do sleep 0.02; done; \
         seq $((i*{LINES_PER_PART}-{LINES_PER_PART}+1)) $((i*{LINES_PER_PART})) | sed 's/$/ of a good many lines, sixty bytes each/'; done"
    );
    let mut spec = shell(&script);
    spec.volumes = vec![format!("{}:/shared", shared.display())];
    spec
}

fn talks(shared: &Path, parts: RangeInclusive<usize>) {
    for part in parts {
        std::fs::write(shared.join(part.to_string()), "").expect("a file is written");
    }
}

fn text_of(number: usize) -> String {
    format!("{number} of a good many lines, sixty bytes each")
}

/// Asserts that these are the lines from one number on, and answers with the number behind them.
fn contiguous(lines: &[String], from: usize) -> usize {
    for (nth, line) in lines.iter().enumerate() {
        assert_eq!(*line, text_of(from + nth), "a gap or a repeat");
    }
    from + lines.len()
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            entry.metadata().map_or(0, |meta| if meta.is_dir() { bytes_below(&entry.path()) } else { meta.len() })
        })
        .sum()
}

fn assert_bounded(bench: &Bench, record: &HandleRecord) {
    let bytes = bytes_below(&(bench.log_dir)(record));
    assert!((1..=LOG_BYTES_MAX).contains(&bytes), "{bytes} bytes of log");
}

/// A worker that keeps up, and is killed and started again after the engine has dropped the beginning of its log.
pub async fn output_without_end_is_bounded_on_disk_and_each_line_is_delivered_once(bench: &Bench) {
    const PARTS: usize = 20;
    let dir = tempfile::tempdir().expect("a directory");
    let record = bench.start(&talker(PARTS, dir.path())).await;
    let (mut runtime, mut from, mut next) = (bench.runtime.clone(), LogPosition::START, 1);
    for lives in [1..=12, 13..=16, 17..=PARTS] {
        let mut tail = Tail::start(&runtime, &record, from);
        let is_last = *lives.end() == PARTS;
        for part in lives {
            talks(dir.path(), part..=part);
            tail.last_line(&text_of(part * LINES_PER_PART)).await;
            assert_bounded(bench, &record);
        }
        let seen = if is_last { tail.finish().await } else { tail.kill().await };
        next = contiguous(&seen.stdout(), next);
        from = seen.end();
        runtime = (bench.again)().await;
    }
    assert_eq!(next, PARTS * LINES_PER_PART + 1);
    // Once more, as after a crash before the end was stored.
    assert_eq!(Tail::start(&runtime, &record, from).finish().await.stdout(), Vec::<String>::new());
    bench.remove(&record).await;
}

pub async fn what_a_worker_was_away_for_goes_on_at_the_oldest_line_that_is_left(bench: &Bench) {
    const PARTS: usize = 24;
    let dir = tempfile::tempdir().expect("a directory");
    let record = bench.start(&talker(PARTS, dir.path())).await;
    talks(dir.path(), 1..=1);
    let mut tail = bench.tail(&record);
    tail.last_line(&text_of(LINES_PER_PART)).await;
    let from = tail.kill().await.end();
    talks(dir.path(), 2..=PARTS);
    bench.wait(&record).await;
    assert_bounded(bench, &record);
    let runtime = (bench.again)().await;
    let rest = Tail::start(&runtime, &record, from).finish().await;
    let (lines, end) = (rest.stdout(), PARTS * LINES_PER_PART + 1);
    let first = end - lines.len();
    assert!(first > LINES_PER_PART + 1, "nothing was pushed out");
    assert!(lines.len() > 4 * LINES_PER_PART, "only {} lines are left", lines.len());
    contiguous(&lines, first);
    for nth in [0, 1, 12_345, lines.len() - 1] {
        let again = Tail::start(&runtime, &record, rest.1[nth]).finish().await;
        assert_eq!(contiguous(&again.stdout(), first + nth + 1), end, "behind the {nth}th line that is left");
    }
    bench.remove(&record).await;
}
