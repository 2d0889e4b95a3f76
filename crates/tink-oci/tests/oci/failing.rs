//! Containers that do not start: which failure it was, and that nothing is left of them.

use std::os::unix::fs::PermissionsExt;

use tink_oci::{FailureKind, Outcome, Status, Volume, status};

use crate::support::Trial;

/// Launches what must fail; gives the exit code for it and the message, which the exit record must have, too.
fn failure(trial: &Trial) -> (i32, String) {
    let (code, message) = trial.try_launch().unwrap_err();
    let Status::Exited(exit) = status(trial.dir()).unwrap() else { panic!("no exit record: {message}") };
    let Outcome::NotStarted { failure } = &exit.outcome else { panic!("{exit:?}") };
    assert!(message.starts_with(&failure.message), "{message} / {failure}");
    assert_eq!((exit.code(), failure.kind.exit_code()), (code, code));
    (code, message.trim().to_owned())
}

fn program(words: &[&str]) -> Trial {
    let mut trial = Trial::new();
    trial.spec.args = words.iter().map(|&word| word.to_owned()).collect();
    trial
}

#[test]
fn a_program_that_is_not_in_the_path_is_named_with_the_path() {
    let (code, message) = failure(&program(&["nosuch"]));
    assert_eq!(code, FailureKind::NoSuchProgram.exit_code());
    assert!(message.contains("\"nosuch\"") && message.contains("/usr/local/sbin"), "{message}");
}

#[test]
fn a_program_that_is_not_where_it_was_said_to_be_is_named() {
    let (code, message) = failure(&program(&["/opt/nosuch"]));
    assert_eq!(
        (code, message.as_str()),
        (127, "no such program /opt/nosuch in the image: No such file or directory (os error 2)")
    );
}

#[test]
fn a_file_that_is_not_executable_is_not_a_missing_one() {
    for words in [["/etc/passwd"], ["/etc"]] {
        let (code, message) = failure(&program(&words));
        assert_eq!(code, 126, "{message}");
    }
    let trial = program(&["plain"]);
    std::fs::write(trial.layer().join("bin/plain"), "").unwrap();
    std::fs::set_permissions(trial.layer().join("bin/plain"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(failure(&trial).0, 126);
}

#[test]
fn a_missing_interpreter_and_a_foreign_binary_say_so() {
    let trial = program(&["/script"]);
    std::fs::write(trial.layer().join("script"), "#!/no/such/shell\n").unwrap();
    std::fs::set_permissions(trial.layer().join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, message) = failure(&trial);
    assert!(code == 126 && message.contains("interpreter"), "{code} {message}");
    let trial = program(&["/foreign"]);
    std::fs::write(trial.layer().join("foreign"), "\u{7f}ELF and nothing else").unwrap();
    std::fs::set_permissions(trial.layer().join("foreign"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, message) = failure(&trial);
    assert!(code == 126 && message.contains("another machine"), "{code} {message}");
}

#[test]
fn a_volume_that_does_not_fit_names_both_ends() {
    let mut trial = program(&["true"]);
    let host = trial.host_dir();
    trial.spec.volumes = vec![Volume::bind(&host, "/etc/passwd")];
    let (code, message) = failure(&trial);
    let expected = format!(
        "failed to bind {} on /etc/passwd: the source is a directory, but the image has a file there",
        host.display()
    );
    assert_eq!((code, message), (125, expected));
}

#[test]
fn a_volume_whose_source_cannot_be_made_names_it() {
    let mut trial = program(&["true"]);
    trial.spec.volumes = vec![Volume::bind("/proc/no/such", "/x")];
    let (code, message) = failure(&trial);
    assert!(code == 125 && message.contains("/proc/no/such") && message.contains("/x"), "{message}");
}

#[test]
fn an_unknown_user_and_a_missing_layer_are_named() {
    let mut trial = program(&["true"]);
    trial.spec.user = Some("nobody".to_owned());
    assert_eq!(failure(&trial), (125, "failed to find \"nobody\" in the image's /etc/passwd".to_owned()));
    let mut trial = program(&["true"]);
    trial.spec.layers.push("/no/such/layer".into());
    let (code, message) = failure(&trial);
    assert!(code == 125 && message.contains("/no/such/layer"), "{message}");
}

#[tokio::test]
async fn a_shim_that_dies_when_its_program_may_have_run_leaves_a_container_that_is_gone() {
    for place in ["shim.record.saved", "shim.program.started"] {
        let trial = Trial::shell("echo ran");
        let record = trial.try_launch_with(&[(tink_failpoint::VARIABLE, place)]);
        let record = record.unwrap_or_else(|(_, message)| panic!("{place}: {message}"));
        assert_eq!(record.dir, trial.dir(), "{place}");
        // The launcher may be told a moment before the shim dies.
        assert!(tink_oci::wait(trial.dir()).await.is_err(), "{place}");
        assert_eq!(status(trial.dir()).unwrap(), Status::Gone, "{place}");
    }
}
