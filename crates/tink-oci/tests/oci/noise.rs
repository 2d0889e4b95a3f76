//! Launching from a process that has many threads, as the worker is.

use crate::support::{Trial, probe_with};

#[test]
fn forty_containers_start_beside_busy_threads_and_leave_nothing_open() {
    let mut trial = Trial::new();
    trial.spec.args = vec!["true".to_owned()];
    let path = trial.spec_file();
    for without_forker in [&[][..], &[("TINK_OCI_PROBE_WITHOUT_FORKER", "1")]] {
        let output = probe_with(&["noise", path.to_str().unwrap(), "40"], without_forker);
        assert!(output.status.success(), "{without_forker:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
