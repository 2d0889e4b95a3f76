//! `tink logs`: a container's output, byte for byte as it was written.

use std::io::{self, ErrorKind, Write};

use anyhow::Context as _;
use tink_oci::{LineEnd, LogItem, LogLine, LogReader, Stream};

use crate::args::Logs;
use crate::commands::machine::find;
use crate::exit::{DONE, Failure};

/// Prints what is there, or with `--follow` all there will be.
pub async fn run(args: &Logs) -> Result<u8, Failure> {
    let container = find(&args.machine, &args.container)?;
    let mut reader = LogReader::open(&container.dir);
    let mut printer = Printer { timestamps: args.timestamps, at_start: [true; 2] };
    loop {
        let item = if args.follow { reader.follow().await } else { reader.next_item() };
        let item = item.with_context(|| format!("failed to read the output of {}", container.id))?;
        match item.map(|item| printer.print(&item)) {
            Some(Ok(())) => {}
            // `| head` has seen enough.
            Some(Err(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(DONE),
            Some(Err(error)) => return Err(anyhow::Error::from(error).context("failed to write to stdout").into()),
            None => return Ok(DONE),
        }
    }
}

struct Printer {
    timestamps: bool,
    /// Whether the next byte of stdout, or of stderr, begins a line.
    at_start: [bool; 2],
}

impl Printer {
    fn print(&mut self, item: &LogItem) -> io::Result<()> {
        match item {
            LogItem::Line(line) => match line.stream {
                Stream::Stdout => self.line(line, 0, &mut io::stdout().lock()),
                Stream::Stderr => self.line(line, 1, &mut io::stderr().lock()),
            },
            LogItem::Lost { bytes } => {
                eprintln!("tink: newer output has pushed {bytes} bytes out of the log");
                Ok(())
            }
            LogItem::Dropped { lines, bytes } => {
                eprintln!("tink: {lines} lines ({bytes} bytes) were never written, since the disk was full or failed");
                Ok(())
            }
        }
    }

    fn line(&mut self, line: &LogLine, stream: usize, out: &mut dyn Write) -> io::Result<()> {
        let end: &[u8] = match line.end {
            LineEnd::Newline => b"\n",
            LineEnd::CarriageReturn => b"\r",
            LineEnd::Cut => b"",
        };
        let begins = std::mem::replace(&mut self.at_start[stream], line.end != LineEnd::Cut);
        if self.timestamps && begins {
            write!(out, "{:.6} ", line.time)?;
        }
        out.write_all(&line.bytes)?;
        out.write_all(end)?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &str, end: LineEnd) -> LogLine {
        LogLine { time: jiff::Timestamp::UNIX_EPOCH, stream: Stream::Stdout, end, bytes: bytes.as_bytes().to_vec() }
    }

    #[test]
    fn output_comes_back_as_it_was_and_times_stand_at_line_starts_only() {
        let lines = [
            line("10 %", LineEnd::CarriageReturn),
            line("a long", LineEnd::Cut),
            line(" line", LineEnd::Newline),
            line("no end", LineEnd::Cut),
        ];
        let printed = |timestamps| {
            let mut printer = Printer { timestamps, at_start: [true; 2] };
            let mut out = Vec::new();
            for line in &lines {
                printer.line(line, 0, &mut out).unwrap();
            }
            String::from_utf8(out).unwrap()
        };
        assert_eq!(printed(false), "10 %\ra long line\nno end");
        let at = "1970-01-01T00:00:00.000000Z";
        assert_eq!(printed(true), format!("{at} 10 %\r{at} a long line\n{at} no end"));
    }
}
