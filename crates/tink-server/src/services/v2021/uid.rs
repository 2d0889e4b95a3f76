//! Ids of the 2021 wire: every hardware, template and workflow has a UUID there, and its CLI takes nothing else in most
//! places.
//!
//! What was created over that wire has its UUID as name (workflows, hardware). Everything else has one that follows from its
//! kind, namespace and name: the same on every server, and the same again for an object that is created anew.

use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::services::contexts::DEFAULT_NAMESPACE;
use crate::store::ObjectKey;

/// A fresh UUID (version 7).
pub fn fresh() -> String {
    text(Ulid::new().0.to_be_bytes(), 7)
}

/// The UUID of an object.
pub fn of(kind: &str, key: &ObjectKey) -> String {
    if is_own(key) {
        return key.name.clone();
    }
    let mut hash = Sha256::new();
    for part in ["tink", kind, &key.namespace, &key.name] {
        hash.update(part);
        hash.update([0]);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    text(bytes, 8)
}

/// Whether the object's name is its UUID.
pub fn is_own(key: &ObjectKey) -> bool {
    key.namespace == DEFAULT_NAMESPACE && is_uuid(&key.name)
}

/// Whether `text` is a UUID, in lower case.
pub fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The bytes as a UUID of a version.
fn text(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = bytes[6] & 0x0f | version << 4;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.into(), name: name.into() }
    }

    #[test]
    fn every_object_has_a_uuid_of_its_own_that_stays() {
        let all = [
            of("Template", &key("default", "a")),
            of("Hardware", &key("default", "a")),
            of("Template", &key("lab", "a")),
            of("Template", &key("default", "b")),
            fresh(),
            fresh(),
        ];
        assert!(all.iter().all(|uid| is_uuid(uid)), "{all:?}");
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(of("Template", &key("default", "a")), all[0]);
        assert_eq!(all[0], "792a41b8-03f5-8fd5-8c76-f9f1dcd5b7c7", "fixed for ever: clients keep it");
    }

    #[test]
    fn a_name_that_is_a_uuid_is_the_id() {
        let own = "0eba0bf8-3772-4b4a-ab9f-6ebe93b90a94";
        assert_eq!(of("Workflow", &key("default", own)), own);
        assert_ne!(of("Workflow", &key("lab", own)), own);
        for text in ["", "0eba0bf8", "0EBA0BF8-3772-4b4a-ab9f-6ebe93b90a94", "0eba0bf8-3772-4b4a-ab9f-6ebe93b90a9g"] {
            assert!(!is_uuid(text), "{text}");
        }
    }
}
