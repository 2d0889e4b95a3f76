//! How containers, snapshots and labels are called.

use tink_image::Digest;

use crate::{HandleRecord, Identity};

use super::NAME;

/// On containers that failed and are kept for a look: when they were put aside, in seconds since 1970.
pub(super) const KEPT: &str = "org.tinkerbell.kept";

/// The container's id: 64 hexadecimal digits, as `nerdctl` makes them, from what tells one run from another.
pub(super) fn container_id(identity: &Identity) -> String {
    let Identity { workflow, action, attempt, purpose, action_name: _, worker: _ } = identity;
    let text = format!("{workflow}\0{action}\0{attempt}\0{purpose:?}");
    Digest::sha256(text.as_bytes()).hex().to_owned()
}

/// What is stored of a container.
pub(super) fn record(identity: &Identity) -> HandleRecord {
    HandleRecord::of(NAME, container_id(identity), identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    #[test]
    fn the_run_makes_the_id_and_names_do_not() {
        let one = crate::spec::identity();
        let id = container_id(&one);
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(container_id(&Identity { action_name: "other".to_owned(), ..one.clone() }), id);
        assert_ne!(container_id(&Identity { attempt: 2, ..one.clone() }), id);
        assert_ne!(container_id(&Identity { purpose: Purpose::OnFailure, ..one }), id);
    }
}
