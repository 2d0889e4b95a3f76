//! One message as RFC 5424 has it, without structured data: boot services read no other.

use tink_workflow::Timestamp;

/// Longer messages are cut: receivers take 8 KiB and more.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Facility `daemon`.
const FACILITY: u8 = 3;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Severity {
    Error = 3,
    Warning = 4,
    Info = 6,
    Debug = 7,
}

/// What a message says.
pub(super) struct Message<'a> {
    pub(super) severity: Severity,
    pub(super) host: &'a str,
    pub(super) application: &'a str,
    pub(super) text: &'a str,
}

impl Message<'_> {
    /// `<30>1 2026-11-24T03:12:02.154626Z host application - - - text`, dated now.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.encode_at(Timestamp::now())
    }

    fn encode_at(&self, now: Timestamp) -> Vec<u8> {
        let priority = FACILITY * 8 + self.severity as u8;
        let application = word(self.application, 48);
        let mut message = format!("<{priority}>1 {now:.6} {} {application} - - - ", self.host);
        // One datagram is one line.
        message.extend(self.text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.into_bytes()
    }
}

/// A field of the header: printable ASCII without blanks, never empty.
pub(super) fn word(text: &str, bytes_max: usize) -> String {
    let word: String = text.chars().take(bytes_max).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(application: &str, text: &str) -> String {
        let message = Message { severity: Severity::Info, host: "aa:bb", application, text };
        String::from_utf8(message.encode_at(Timestamp::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn the_header_has_six_parts_and_no_structured_data() {
        assert_eq!(
            encoded("stream image", "hello, world"),
            "<30>1 1970-01-01T00:00:00.000000Z aa:bb stream_image - - - hello, world"
        );
        assert_eq!(encoded("", "x"), "<30>1 1970-01-01T00:00:00.000000Z aa:bb - - - - x");
    }

    #[test]
    fn a_message_is_one_line_and_not_too_long() {
        assert!(encoded("a", "one\ntwo\tthree").ends_with(" one two three"));
        let long = encoded("a", &"é".repeat(10_000));
        assert!(long.len() <= MESSAGE_BYTES_MAX && long.ends_with('é'));
    }
}
