//! Reboots the machine when an action asks for it by a file, as HookOS does for `/worker/reboot`.

use std::path::Path;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

/// How often the file is looked for: as often as HookOS does.
const PAUSE: Duration = Duration::from_secs(1);

/// For the result of the action that made the file to reach the server.
const IDLE_TIME_MAX: Duration = Duration::from_secs(15);

/// The kernel's number for the first PID namespace. In any other one, rebooting ends the namespace only.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Waits for the file, removes it, and reboots once `is_idle` says that nothing is left to report, or after a while.
/// Returns when the machine goes down, or cannot.
pub async fn watch(file: &Path, command: &Path, is_idle: impl Fn() -> bool) {
    while !file.is_file() {
        sleep(PAUSE).await;
    }
    info!(file = %file.display(), "an action asks for a reboot");
    // On a disk that outlives the reboot it would ask again, for ever.
    if let Err(error) = std::fs::remove_file(file) {
        error!(file = %file.display(), %error, "the file cannot be removed, and the machine is not rebooted; do it by hand");
        return;
    }
    let seen = Instant::now();
    while !is_idle() && seen.elapsed() < IDLE_TIME_MAX {
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_file_is_removed_and_the_machine_rebooted_when_all_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let (file, command, done) = (dir.path().join("reboot"), dir.path().join("command"), dir.path().join("done"));
        std::fs::write(&command, format!("#!/bin/sh\n[ -e {} ] || touch {}\n", file.display(), done.display()))
            .unwrap();
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(&file).unwrap();
        let asked = AtomicU32::new(0);
        let idle = || asked.fetch_add(1, Ordering::Relaxed) == 2;
        let watching = watch(&file, &command, idle);
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
}
