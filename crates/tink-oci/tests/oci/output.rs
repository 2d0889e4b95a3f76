//! The container's output, all of it or a bounded part of it.

use std::io::Write;

use tink_oci::{LineEnd, LogItem, LogLimits, LogReader, Outcome, Stream, Volume, wait};

use crate::support::{Mounted, Trial};

#[tokio::test]
async fn what_is_printed_right_before_the_end_is_not_lost() {
    let trial = Trial::shell("seq 1 20000");
    let exit = trial.run().await;
    let expected: Vec<String> = (1..=20_000).map(|number| number.to_string()).collect();
    assert_eq!(trial.lines(&[Stream::Stdout]), expected);
    assert_eq!((exit.log.lines, exit.log.dropped_lines), (20_000, 0));
}

#[tokio::test]
async fn a_container_that_prints_without_end_costs_neither_disk_nor_memory() {
    let mut trial = Trial::new();
    trial.spec.log = LogLimits { bytes_max: 1 << 20 };
    // The shim's own peak is read at the end by the container itself, while the shim still runs.
    trial.script(
        "yes 'a line that says the same again and again' | head -c 100000000; echo; \
         xargs -I@ grep VmHWM /host-proc/@/status < /data/pid; exit 5",
    );
    let host = trial.host_dir();
    std::fs::write(host.join("pid"), "").unwrap();
    trial.spec.volumes = vec![tink_oci::Volume::bind(&host, "/data"), tink_oci::Volume::bind("/proc", "/host-proc")];
    let record = trial.launch();
    std::fs::write(host.join("pid"), record.shim.pid.to_string()).unwrap();
    let exit = wait(trial.dir()).await.unwrap();
    assert_eq!(exit.outcome, Outcome::Exited { code: 5 }, "{record:?}");
    assert!(exit.log.bytes > 95_000_000 && exit.log.dropped_lines == 0, "{exit:?}");
    let on_disk: u64 =
        std::fs::read_dir(trial.dir().join("log")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk <= 1 << 20, "{on_disk}");
    let mut reader = LogReader::open(trial.dir());
    assert!(matches!(reader.next_item().unwrap(), Some(LogItem::Lost { bytes }) if bytes > 95_000_000));
    let mut last = String::new();
    while let Some(LogItem::Line(line)) = reader.next_item().unwrap() {
        last = String::from_utf8(line.bytes).unwrap();
    }
    let peak_kib: u64 = last.split_ascii_whitespace().nth(1).unwrap_or_else(|| panic!("{last:?}")).parse().unwrap();
    assert!(peak_kib < 16 * 1024, "the shim's memory peaked at {peak_kib} KiB");
}

#[tokio::test]
async fn a_line_that_never_ends_is_kept_whole_in_parts() {
    let trial = Trial::shell("head -c 5000000 /dev/zero | tr '\\0' x");
    trial.run().await;
    let mut reader = LogReader::open(trial.dir());
    let mut total = 0;
    while let Some(item) = reader.next_item().unwrap() {
        let LogItem::Line(line) = item else { panic!("{item:?}") };
        assert!(line.end == LineEnd::Cut && line.bytes.len() <= 64 * 1024);
        total += line.bytes.len();
    }
    assert_eq!(total, 5_000_000);
}

#[tokio::test]
async fn progress_that_only_returns_the_carriage_is_seen_while_it_runs() {
    let mut trial = Trial::shell("printf '\\r10%%\\r20%%\\r30%%'; read _ < /gate; printf '\\r'; echo done");
    let fifo = trial.host_dir().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    trial.spec.volumes = vec![tink_oci::Volume::bind(&fifo, "/gate")];
    trial.launch();
    trial.printed("20%").await;
    std::fs::write(&fifo, "go\n").unwrap();
    wait(trial.dir()).await.unwrap();
    assert_eq!(trial.lines(&[Stream::Stdout]), ["", "10%", "20%", "30%", "done"]);
}

#[tokio::test]
async fn a_follower_that_comes_back_has_neither_gap_nor_repeat() {
    let mut trial = Trial::shell("i=0; while [ $i -lt 30000 ]; do echo $i; i=$((i+1)); done");
    trial.spec.log = LogLimits { bytes_max: 64 << 20 };
    trial.launch();
    let (mut read, mut position) = (Vec::new(), 0);
    loop {
        let mut reader = LogReader::open_at(trial.dir(), position);
        // A few hundred lines, and the reader is gone again.
        for _ in 0..777 {
            match reader.follow().await.unwrap() {
                Some(LogItem::Line(line)) => read.push(String::from_utf8(line.bytes).unwrap()),
                Some(other) => panic!("{other:?}"),
                None => {
                    assert_eq!(read, (0..30_000).map(|number| number.to_string()).collect::<Vec<_>>());
                    return;
                }
            }
            position = reader.position();
        }
    }
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_neither_the_action_nor_its_exit() {
    let place = tempfile::tempdir().unwrap();
    let _small = Mounted::tmpfs(place.path(), "size=4m");
    let mut trial = Trial::below(place.path());
    // Room is left for some of the log; the container's own writes then take the rest of the disk.
    trial.script("seq 1 10; dd if=/dev/zero of=/fill bs=64k 2>/dev/null; seq 1 300000; exit 6");
    let exit = trial.run().await;
    assert_eq!(exit.outcome, Outcome::Exited { code: 6 });
    assert!(exit.log.dropped_lines > 0 && exit.log.dropped_bytes > 0, "{exit:?}");
    assert_eq!(exit.log.lines + exit.log.dropped_lines, 300_010);
}

#[tokio::test]
async fn an_exit_finds_its_room_on_a_disk_that_others_filled_and_the_log_stays() {
    let place = tempfile::tempdir().unwrap();
    let _small = Mounted::tmpfs(place.path(), "size=4m");
    let mut trial = Trial::below(place.path());
    let host = trial.host_dir();
    trial.spec.volumes = vec![Volume::bind(&host, "/shared")];
    trial.script("echo said; until [ -e /shared/go ]; do sleep 0.05; done; exit 7");
    trial.launch();
    let mut reader = LogReader::open(trial.dir());
    assert!(matches!(reader.follow().await.unwrap(), Some(LogItem::Line(_))));
    // Nothing that the shim could remove makes room.
    let mut fill = std::fs::File::create(place.path().join("fill")).unwrap();
    while fill.write_all(&[0; 4096]).is_ok() {}
    std::fs::write(host.join("go"), "").unwrap();
    let exit = wait(trial.dir()).await.unwrap();
    assert_eq!(exit.outcome, Outcome::Exited { code: 7 });
    let Some(LogItem::Line(line)) = LogReader::open(trial.dir()).next_item().unwrap() else { panic!("no log") };
    assert_eq!(line.bytes, b"said");
}
