//! `/proto.WorkflowService/ReportActionStatus`: one path, two generations of requests.
//!
//! ```text
//! field   2025                     2023
//! 4       action_id      bytes     action_status   varint
//! 5       action_name    bytes     seconds         varint
//! 6       action_state   varint    message         bytes
//! ```
//!
//! Every report of 2025 has an `action_id`, and every report of 2023 but PENDING, which is none, has an `action_status`: the
//! wire type of the first field that both have, and write differently, decides. Both answers are empty messages.

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use tink_proto::{v2023, v2025};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A request in the messages of its generation.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusReport {
    /// tink v0.9 to v0.12.
    V2023(v2023::WorkflowActionStatus),
    /// Today.
    V2025(v2025::ActionStatusRequest),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    V2023,
    V2025,
}

/// Which generation wrote `bytes`. Without any sign it is today's, which then misses an id.
fn generation(mut bytes: &[u8]) -> Result<Generation, prost::DecodeError> {
    while bytes.has_remaining() {
        let (field, wire) = decode_key(&mut bytes)?;
        match (field, wire) {
            (4 | 5, WireType::LengthDelimited) | (6, WireType::Varint) => return Ok(Generation::V2025),
            (4 | 5, WireType::Varint) | (6, WireType::LengthDelimited) => return Ok(Generation::V2023),
            _ => skip_field(wire, field, &mut bytes, DecodeContext::default())?,
        }
    }
    Ok(Generation::V2025)
}

impl StatusReport {
    /// Reads a request.
    ///
    /// # Errors
    /// When the bytes are no message of their generation.
    pub fn decode(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        match generation(bytes)? {
            Generation::V2023 => v2023::WorkflowActionStatus::decode(bytes).map(Self::V2023),
            Generation::V2025 => v2025::ActionStatusRequest::decode(bytes).map(Self::V2025),
        }
    }
}

/// Requests of either generation, empty answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusReportCodec;

impl Codec for StatusReportCodec {
    type Encode = ();
    type Decode = StatusReport;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for StatusReportCodec {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for StatusReportCodec {
    type Item = StatusReport;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<StatusReport>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        StatusReport::decode(&bytes)
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("the report is no message of its protocol: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> StatusReport {
        StatusReport::decode(bytes).unwrap()
    }

    #[test]
    fn a_report_of_each_generation_is_told_by_its_bytes() {
        let StatusReport::V2023(report) = read(b"\x0a\x04d/wf\x12\x01t\x1a\x01a\x20\x01\x32\x01m\x42\x0202") else {
            panic!("2023")
        };
        assert_eq!((report.workflow_id.as_str(), report.action_status, report.worker_id.as_str()), ("d/wf", 1, "02"));
        let StatusReport::V2025(report) = read(b"\x0a\x04d/wf\x12\x0202\x1a\x01T\x22\x01A\x2a\x01n\x30\x02") else {
            panic!("2025")
        };
        assert_eq!((report.action_id.as_deref(), report.action_state), (Some("A"), Some(2)));
    }

    #[test]
    fn each_of_the_three_fields_decides_alone_and_in_any_order() {
        let v2023: [&[u8]; 4] = [b"\x20\x04", b"\x28\x05", b"\x32\x01m", b"\x42\x0202\x20\x04\x0a\x01w"];
        for bytes in v2023 {
            assert!(matches!(read(bytes), StatusReport::V2023(_)), "{bytes:?}");
        }
        // Set and empty is there; unknown fields before do not matter.
        let v2025: [&[u8]; 5] = [b"\x22\x00", b"\x2a\x00", b"\x30\x05", b"\x52\x00\x22\x01A", b"\xc0\x3e\x01\x22\x01A"];
        for bytes in v2025 {
            assert!(matches!(read(bytes), StatusReport::V2025(_)), "{bytes:?}");
        }
        assert!(matches!(read(b"\x0a\x01w"), StatusReport::V2025(_)), "no sign at all");
    }

    #[test]
    fn fields_of_both_at_once_are_an_error() {
        for bytes in [&b"\x20\x01\x2a\x01n"[..], b"\x22\x01A\x28\x05"] {
            assert!(StatusReport::decode(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_report_or_an_error(bytes: Vec<u8>) {
            drop(StatusReport::decode(&bytes));
        }
    }
}
