//! Named places at which a program kills itself, for the crash tests.
//!
//! A program built with debug assertions (cargo's dev profile) reads [`VARIABLE`]: `worker.start.after@2` ends it with
//! SIGKILL when it passes [`hit`]`("worker.start.after")` for the second time. That is a crash as any other, at a moment
//! that a kill from outside meets once in a thousand tries.
//!
//! In a build without debug assertions (release, dist) every function here is empty and the variable is not read:
//! nothing that is shipped can be switched off by its environment. A profile decides, not a cargo feature, so that the
//! crash tests run what `cargo build` makes and no dependency can turn it on.
//!
//! ```
//! tink_failpoint::hit("worker.start.before");
//! ```

/// Names the failpoint and, after `@`, which pass of it ends the program; without a number, the first.
pub const VARIABLE: &str = "TINK_FAILPOINT";

/// Whether this build has failpoints.
pub const ENABLED: bool = cfg!(debug_assertions);

/// Failpoints of the worker. Those of the journal come on top: [`journal`].
pub const WORKER: [&str; 7] = [
    "worker.running.acknowledged",
    "worker.pulled",
    "worker.start.before",
    "worker.start.after",
    "worker.report.before",
    "worker.report.answered",
    "worker.container.removed",
];

/// Files of the journal and steps of writing one: the worker's failpoints are `journal.<file>.<step>`.
pub const JOURNAL_FILES: [&str; 7] =
    ["assignment.json", "attempt.json", "container.json", "exit.json", "result.json", "removed", "acknowledged"];
/// See [`JOURNAL_FILES`].
pub const JOURNAL_STEPS: [&str; 3] = ["written", "synced", "renamed"];

/// Failpoints of the server.
pub const SERVER: [&str; 5] = [
    "server.offer.answer",
    "server.report.before",
    "server.report.answer",
    "server.commit.before",
    "server.commit.after",
];

/// Failpoints of the embedded runtime's shim.
pub const SHIM: [&str; 5] =
    ["shim.record.saved", "shim.program.started", "shim.launcher.told", "shim.exit.before", "shim.exit.after"];

/// The failpoint of a step of writing a file of the journal.
#[must_use]
pub fn journal(file: &str, step: &str) -> String {
    format!("journal.{file}.{step}")
}

/// Ends the program here if it was asked to.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    hit_with(|| name.to_owned());
}

/// As [`hit`], for a name that has to be put together.
#[cfg(debug_assertions)]
pub fn hit_with(name: impl FnOnce() -> String) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static PLAN: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Some((wanted, nth)) = PLAN.get_or_init(|| std::env::var(VARIABLE).ok().map(|text| plan(&text))) else { return };
    if *wanted == name() && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(debug_assertions)]
fn plan(text: &str) -> (String, u32) {
    match text.rsplit_once('@') {
        Some((name, nth)) => (name.to_owned(), nth.parse().unwrap_or(1)),
        None => (text.to_owned(), 1),
    }
}

/// What to hand on to a process whose environment is made anew.
#[cfg(debug_assertions)]
#[must_use]
pub fn inherited() -> Option<(&'static str, std::ffi::OsString)> {
    std::env::var_os(VARIABLE).map(|value| (VARIABLE, value))
}

/// Nothing: this build has no failpoints.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_name: &str) {}

/// Nothing: this build has no failpoints.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit_with(_name: impl FnOnce() -> String) {}

/// Nothing: this build has no failpoints.
#[cfg(not(debug_assertions))]
#[inline(always)]
#[must_use]
pub fn inherited() -> Option<(&'static str, std::ffi::OsString)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_the_place_and_the_pass() {
        assert_eq!(plan("worker.start.after@3"), ("worker.start.after".to_owned(), 3));
        assert_eq!(plan("worker.start.after"), ("worker.start.after".to_owned(), 1));
    }

    #[test]
    fn a_place_that_nobody_asked_for_is_passed() {
        hit("worker.start.before");
    }
}
