//! Reboots the machine when an action asks for it by a file, as HookOS does for `/worker/reboot`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

/// How often the file is looked for: as often as HookOS does.
const PAUSE: Duration = Duration::from_secs(1);

/// For the result of the action that made the file to reach the server. Where the journal is in memory, a result that did
/// not is lost with it: the action is given out again, and asks for the next reboot. Long enough for a server or a switch
/// that is restarted; not for ever, for whoever made the file wants the machine back.
const REPORT_TIME_MAX: Duration = Duration::from_secs(600);

/// The kernel's number for the first PID namespace. In any other one, rebooting ends the namespace only.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Waits for the file, removes it, and reboots once nothing of what was open then is open any more, or after ten minutes.
/// `open` says which assignments run or have a result that is not acknowledged; what begins later is not waited for.
/// Returns when the machine goes down, or cannot.
pub async fn watch(file: &Path, command: &Path, open: impl Fn() -> BTreeSet<u64>) {
    while !file.is_file() {
        sleep(PAUSE).await;
    }
    info!(file = %file.display(), "an action asks for a reboot");
    // On a disk that outlives the reboot it would ask again, for ever.
    if let Err(error) = std::fs::remove_file(file) {
        error!(file = %file.display(), %error, "the file cannot be removed, and the machine is not rebooted; do it by hand");
        return;
    }
    let wanted = open();
    if !wanted.is_empty() {
        let at_most_s = REPORT_TIME_MAX.as_secs();
        info!(at_most_s, "the machine is rebooted when the server has the results of what runs and ran");
    }
    let seen = Instant::now();
    while !open().is_disjoint(&wanted) {
        if seen.elapsed() >= REPORT_TIME_MAX {
            warn!("the machine is rebooted without the server's acknowledgement: the action may be given out again");
            break;
        }
        sleep(PAUSE / 10).await;
    }
    rustix::fs::sync();
    match Command::new(command).status().await {
        Ok(status) if status.success() => return info!(command = %command.display(), "the machine goes down"),
        Ok(status) => warn!(command = %command.display(), %status, "the reboot command failed"),
        Err(error) => warn!(command = %command.display(), %error, "the reboot command cannot be run"),
    }
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if namespace != Path::new(FIRST_PID_NAMESPACE) {
        error!("the machine cannot be rebooted from a PID namespace of the worker's own; give it the host's");
    } else if let Err(error) = reboot(RebootCommand::Restart) {
        error!(%error, "the kernel refuses to reboot");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A command that notes that it ran, and that the file was gone by then.
    fn command(dir: &Path, file: &Path) -> (PathBuf, PathBuf) {
        let (command, done) = (dir.join("command"), dir.join("done"));
        std::fs::write(&command, format!("#!/bin/sh\n[ -e {} ] || touch {}\n", file.display(), done.display()))
            .unwrap();
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
        (command, done)
    }

    #[tokio::test]
    async fn the_file_is_removed_and_the_machine_rebooted_when_all_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("reboot");
        let (command, done) = command(dir.path(), &file);
        std::fs::create_dir(&file).unwrap();
        let asked = AtomicU32::new(0);
        // The next action, which begins at once, is not waited for.
        let open = || BTreeSet::from([if asked.fetch_add(1, Ordering::Relaxed) == 2 { 8 } else { 7 }]);
        let watching = watch(&file, &command, open);
        tokio::pin!(watching);
        // A directory is no request.
        tokio::select! {
            () = &mut watching => panic!("rebooted for a directory"),
            () = sleep(Duration::from_millis(10)) => {}
        }
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        std::fs::remove_dir(&file).unwrap();
        std::fs::write(&file, "").unwrap();
        watching.await;
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert!(done.exists(), "the command did not run, or the file was still there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_for_minutes_is_waited_for_and_one_that_stays_away_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("reboot");
        let (command, done) = command(dir.path(), &file);
        std::fs::write(&file, "").unwrap();
        let watching = watch(&file, &command, || BTreeSet::from([7]));
        tokio::pin!(watching);
        tokio::select! {
            () = &mut watching => panic!("rebooted without an acknowledgement"),
            () = sleep(Duration::from_secs(500)) => {}
        }
        assert!(!done.exists());
        watching.await;
        assert!(done.exists());
    }
}
