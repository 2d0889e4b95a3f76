//! Deliberate bugs, each switched on alone, which the simulation must find: a simulation that finds none of them would
//! not find a real one either.
//!
//! Without the feature `on`, which only `tink-simulation` asks for, [`is`] is the constant `false` and nothing of a bug is
//! left in what is compiled. With it, a bug is on for the thread that called [`switch`].
//!
//! ```
//! use tink_mutation::Mutation;
//! assert!(!tink_mutation::is(Mutation::ForgetLease));
//! ```

macro_rules! mutations {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// A deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutation {
            $($(#[doc = $doc])* $name,)*
        }

        impl Mutation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name on a command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

mutations! {
    /// Journal: a file is renamed into its place before its content is synced.
    SkipFileSync = "skip-file-sync",
    /// Journal: the new name of a file is not synced.
    SkipDirectorySync = "skip-directory-sync",
    /// Journal: an attempt is begun that is not written down.
    ForgetAttempt = "forget-attempt",
    /// Journal: the log of an action is begun anew by each life of the worker.
    LogFromZero = "log-from-zero",
    /// Worker: a container is started without a look whether it was started before.
    StartWithoutLooking = "start-without-looking",
    /// Worker: an action is started also when the server did not take the RUNNING report.
    StartWithoutLeave = "start-without-leave",
    /// Worker: a container is removed before its result is written down, which is not done at all.
    ForgetResult = "forget-result",
    /// Worker: an action whose container is gone runs again before the server was asked.
    RunAgainWhenGone = "run-again-when-gone",
    /// Worker: an action that ends its machine is started and the server not told before.
    LeaveUnannounced = "leave-unannounced",
    /// Worker: work is asked for where the acknowledgement of such an action cannot be stored.
    AskWhileLeaving = "ask-while-leaving",
    /// Reporter: a report that fails is dropped.
    DropReportOnError = "drop-report-on-error",
    /// Reporter: an entry is closed before its report is acknowledged.
    CloseBeforeAcknowledged = "close-before-acknowledged",
    /// Engine: no process is alive.
    ForgetLease = "forget-lease",
    /// Engine: a start of the server ends every lease.
    ForgetLeaseAtStart = "forget-lease-at-start",
    /// Engine: a lease never runs out.
    EternalLease = "eternal-lease",
    /// Engine: RUNNING is taken from a process that does not have the action.
    LeaveForAnybody = "leave-for-anybody",
    /// Machine: a report may change a result.
    AcceptContradiction = "accept-contradiction",
    /// Machine: an action of a workflow that ended may begin.
    BeginAfterEnd = "begin-after-end",
    /// Store: a change is stored whatever the version.
    IgnoreVersion = "ignore-version",
    /// Store: a change is acknowledged before it is committed.
    AcknowledgeBeforeCommit = "acknowledge-before-commit",
}

/// Whether this bug is on.
#[cfg(not(feature = "on"))]
#[inline(always)]
#[must_use]
pub const fn is(_mutation: Mutation) -> bool {
    false
}

#[cfg(feature = "on")]
pub use on::{is, switch};

#[cfg(feature = "on")]
mod on {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static ON: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Whether this bug is on in this thread.
    #[must_use]
    pub fn is(mutation: Mutation) -> bool {
        ON.get() == Some(mutation)
    }

    /// Switches one bug on in this thread, or all off.
    pub fn switch(mutation: Option<Mutation>) {
        ON.set(mutation);
    }
}
