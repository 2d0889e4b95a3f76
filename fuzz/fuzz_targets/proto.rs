//! Any bytes are decoded or refused; what is decoded means the same after being encoded and decoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use tink_proto::{admin, v2025};

fuzz_target!(|data: &[u8]| {
    let Some((kind, message)) = data.split_first() else { return };
    match kind % 12 {
        0 => round_trip::<v2025::ActionRequest>(message),
        1 => round_trip::<v2025::ActionResponse>(message),
        2 => round_trip::<v2025::ActionStatusRequest>(message),
        3 => round_trip::<v2025::ActionStatusResponse>(message),
        4 => round_trip::<admin::ApplyRequest>(message),
        5 => round_trip::<admin::ListResponse>(message),
        6 => round_trip::<admin::CreateWorkflowRequest>(message),
        7 => round_trip::<admin::ListWorkflowsResponse>(message),
        8 => round_trip::<admin::CancelWorkflowRequest>(message),
        9 => round_trip::<admin::EventsResponse>(message),
        10 => round_trip::<admin::WatchResponse>(message),
        _ => round_trip::<admin::ListWorkersResponse>(message),
    }
});

/// Bytes are compared, not messages: a float may be no number, and maps are sorted by their encoding.
fn round_trip<M: Message + Default>(bytes: &[u8]) {
    let Ok(message) = M::decode(bytes) else { return };
    let encoded = message.encode_to_vec();
    assert_eq!(encoded.len(), message.encoded_len());
    let again = match M::decode(encoded.as_slice()) {
        Ok(again) => again,
        Err(error) => panic!("what was encoded is not decoded: {error}"),
    };
    assert_eq!(again.encoded_len(), encoded.len());
}
