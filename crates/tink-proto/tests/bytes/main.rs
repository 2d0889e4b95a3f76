//! Every message of every generation, on bytes written by hand from the tables of field numbers and types.
//!
//! A key byte is `field number << 3 | wire type`: varint 0, length-delimited 2. From field 16 on a key takes two bytes or more.

mod v2021;
mod v2023;
mod v2025;

/// Fields that no generation has, one of each wire type: 1000 varint, 1001 fixed64, 1002 bytes, 1003 a group with a varint
/// in it, 1004 fixed32.
const UNKNOWN: &[u8] = b"\xc0\x3e\x96\x01\
    \xc9\x3e\x01\x02\x03\x04\x05\x06\x07\x08\
    \xd2\x3e\x03abc\
    \xdb\x3e\x08\x01\xdc\x3e\
    \xe5\x3e\x01\x02\x03\x04";

/// Asserts that `bytes` are `value`, both ways; that unknown fields before and after change nothing; that every cut of
/// the bytes is an error or a smaller message, and every flipped bit at worst an error.
#[track_caller]
fn same<M: prost::Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8], value: &M) {
    assert_eq!(M::decode(bytes).expect("the bytes are a message"), *value, "decoded");
    assert_eq!(value.encode_to_vec(), bytes, "encoded {value:?}");
    for mixed in [[bytes, UNKNOWN].concat(), [UNKNOWN, bytes].concat()] {
        assert_eq!(M::decode(&mixed[..]).expect("unknown fields are skipped"), *value, "among unknown fields");
    }
    for cut in 0..bytes.len() {
        if let Ok(smaller) = M::decode(&bytes[..cut]) {
            assert_ne!(smaller, *value, "cut at {cut}");
        }
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // Any result will do: none may panic.
        drop(M::decode(&flipped[..]));
    }
}

/// Strings, as messages hold them.
fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// 2021-02-03T04:05:06.000000007Z: seconds 1612325106, whose varint is f2 c1 e8 80 06.
fn at() -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: 1_612_325_106, nanos: 7 }
}
