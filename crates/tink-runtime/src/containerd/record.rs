//! A line of output on disk: a JSON object as Docker's `json-file` driver writes it, which `nerdctl logs` reads.
//!
//! ```json
//! {"log":"hello\n","stream":"stdout","attrs":{"line":"0"},"time":"2026-11-24T02:15:52.123456789Z"}
//! ```
//!
//! The number counts the lines of both streams from 0, so that a reader knows where it is in a log whose beginning was
//! pushed out. A line that is no UTF-8 stands in `attrs.bytes` as well, in base64.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use tink_workflow::Timestamp;

use crate::OutputStream;

#[derive(Serialize, Deserialize)]
struct OnDisk {
    #[serde(default)]
    log: String,
    stream: String,
    attrs: Attributes,
    time: String,
}

#[derive(Serialize, Deserialize)]
struct Attributes {
    line: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

/// One line of output.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) stream: OutputStream,
    /// Without its end.
    pub(super) line: Vec<u8>,
}

impl Record {
    /// Appends the record to `out`, with a newline.
    pub(super) fn write(number: u64, stream: OutputStream, line: &[u8], time: Timestamp, out: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line);
        let bytes = matches!(text, std::borrow::Cow::Owned(_)).then(|| BASE64_STANDARD.encode(line));
        let record = OnDisk {
            log: format!("{text}\n"),
            stream: match stream {
                OutputStream::Stdout => "stdout",
                OutputStream::Stderr => "stderr",
            }
            .to_owned(),
            attrs: Attributes { line: number.to_string(), bytes },
            time: time.to_string(),
        };
        let before = out.len();
        // Strings always serialise; if not, half a record must not stay.
        match serde_json::to_writer(&mut *out, &record) {
            Ok(()) => out.push(b'\n'),
            Err(_) => out.truncate(before),
        }
    }

    /// `None` for what is no record: the rest of a write that a full disk cut off.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let OnDisk { log, stream, attrs, time: _ } = serde_json::from_slice(line).ok()?;
        let stream = match stream.as_str() {
            "stdout" => OutputStream::Stdout,
            "stderr" => OutputStream::Stderr,
            _ => return None,
        };
        let line = match attrs.bytes {
            Some(bytes) => BASE64_STANDARD.decode(bytes).ok()?,
            None => log.strip_suffix('\n').unwrap_or(&log).as_bytes().to_vec(),
        };
        Some(Self { number: attrs.line.parse().ok()?, stream, line })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_what_docker_writes() {
        let mut out = Vec::new();
        Record::write(7, OutputStream::Stderr, b"no \"room\"", "2026-11-24T02:15:52Z".parse().unwrap(), &mut out);
        let wanted = r#"{"log":"no \"room\"\n","stream":"stderr","attrs":{"line":"7"},"time":"2026-11-24T02:15:52Z"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{wanted}\n"));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(line in proptest::collection::vec(any::<u8>(), 0..200), number: u64) {
            let mut out = Vec::new();
            Record::write(number, OutputStream::Stdout, &line, Timestamp::UNIX_EPOCH, &mut out);
            prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
            let record = Record { number, stream: OutputStream::Stdout, line };
            prop_assert_eq!(Record::read(&out), Some(record));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _ = Record::read(text.as_bytes());
        }
    }
}
