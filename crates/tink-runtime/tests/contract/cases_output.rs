//! What a container prints arrives.

use tink_runtime::LINE_BYTES_MAX;

use super::{Bench, Tail, shell};

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
    let all = ["zero", "one", "two", "three"];
    for skip in [0, 1, 2, 3, 4, 1000] {
        let tail = Tail::start(&bench.runtime, &record, skip as u64);
        assert_eq!(tail.finish().await.stdout(), all[skip.min(all.len())..], "from line {skip} on");
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
