//! Prints what commands found: columns, JSON or YAML.

use std::io::{self, Write};

use anyhow::Context as _;
use serde_json::Value;

use crate::args::Format;
use crate::exit::Failure;

/// Rows under a header; columns are as wide as their widest cell.
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; what is not printable in one line is replaced, so that a worker's message cannot break the columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let width = |nth: usize, start: usize| {
            self.rows.iter().filter_map(|row| row.get(nth)).map(|cell| cell.chars().count()).fold(start, usize::max)
        };
        self.header.iter().enumerate().map(|(nth, title)| width(nth, title.len())).collect()
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let widths = self.widths();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (cell, width) in cells.zip(&widths) {
                text.push_str(&format!("{cell:width$}   "));
            }
            writeln!(out, "{}", text.trim_end())
        };
        line(&mut self.header.iter().copied())?;
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

/// The first line of `text`, without control characters.
pub fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Prints `values` as JSON or YAML, or `table` for people. `single`: one object is asked for, not a list.
///
/// # Errors
/// When stdout cannot be written; a closed pipe (`| head`) is no error.
pub fn print(format: Format, values: &[Value], single: bool, table: impl FnOnce() -> Table) -> Result<(), Failure> {
    let mut out = Vec::new();
    match format {
        Format::Table => table().write(&mut out).context("failed to format")?,
        Format::Json => {
            let value = match values {
                [one] if single => one.clone(),
                all => Value::Array(all.to_vec()),
            };
            serde_json::to_writer_pretty(&mut out, &value).context("failed to format")?;
            out.push(b'\n');
        }
        Format::Yaml => {
            for (nth, value) in values.iter().enumerate() {
                if nth > 0 {
                    out.extend_from_slice(b"---\n");
                }
                out.extend_from_slice(tink_yaml::to_yaml(value).as_bytes());
            }
        }
    }
    write(&out)
}

/// Writes to stdout.
///
/// # Errors
/// As [`print`].
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::from(error).context("failed to write to stdout").into())
        }
        _ => Ok(()),
    }
}

/// A protobuf time as text, empty when it is not set.
pub fn time(at: Option<&prost_types::Timestamp>) -> String {
    moment(at).map(|at| at.to_string()).unwrap_or_default()
}

/// How long ago that was, in one unit people grasp; empty when it is not set.
pub fn ago(at: Option<&prost_types::Timestamp>, now: jiff::Timestamp) -> String {
    let Some(at) = moment(at) else { return String::new() };
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A protobuf time as a moment.
pub fn moment(at: Option<&prost_types::Timestamp>) -> Option<jiff::Timestamp> {
    at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_a_message_cannot_break_them() {
        let mut table = Table::new(&["NAME", "MESSAGE"]);
        table.row(["a".to_owned(), "exit code 3\nsecond line".to_owned()]);
        table.row(["longer".to_owned(), "\u{1b}[31mred".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME     MESSAGE\na        exit code 3\nlonger    [31mred\n");
    }

    #[test]
    fn ages_have_one_unit() {
        let now = jiff::Timestamp::from_second(1_000_000).unwrap();
        let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        for (seconds, want) in [(999_995, "5s"), (999_000, "16m"), (900_000, "27h"), (1, "11d"), (1_000_009, "0s")] {
            assert_eq!(ago(Some(&at(seconds)), now), want);
        }
        assert_eq!(ago(None, now), "");
    }
}
