//! The embedded container runtime: starts a program in a root file system made of layer directories, with no engine beside it.
//!
//! The calling process, once it has threads, never forks. It starts its own binary again as the *shim*, or has its forker
//! ([`start_forker`]) fork one, which is quicker: a single-threaded process in a session of its own that builds the
//! container, owns it, writes its log and its exit into the container's state directory, and so outlives the caller. Whoever
//! comes later finds the container again by its [`Record`] (or by its directory alone).
//!
//! A program that uses this crate hands over first thing in `main`, before any thread starts:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     if let Some(code) = tink_oci::shim_main_if_asked() {
//!         return code;
//!     }
//!     let mut spec = tink_oci::Spec::new("hello", "/var/lib/tink/hello", vec!["/var/lib/tink/layers/busybox".into()]);
//!     spec.args = vec!["/bin/echo".to_owned(), "hello".to_owned()];
//!     match tink_oci::launch_blocking(&spec) {
//!         Ok(record) => println!("{} runs as process {}", record.id, record.init.pid),
//!         Err(error) => println!("{error}"),
//!     }
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! What a container gets is what a *privileged* Docker container gets: every capability of our own bounding set, no seccomp,
//! an unmasked `/proc`, a writable `/sys`, every device. Its mount, IPC, UTS and cgroup namespaces are its own, and nothing
//! it mounts is seen, or kept busy, outside.
//!
//! Limits: Linux 5.4 or later, as root. It does not pull images (`tink-image` does), does not set resource limits, does not
//! build bridges (the network is the host's, or loopback alone), and is no security boundary: a privileged container can do
//! to the machine whatever root can.

mod background;
mod boot;
mod capabilities;
mod cgroup;
mod claim;
mod container;
mod ending;
mod exec;
mod exit;
mod failure;
mod first;
mod forker;
mod handshake;
mod launch;
mod log;
mod loop_device;
mod members;
mod mountinfo;
mod process;
mod record;
mod remove;
mod shim;
mod spec;
mod status;
mod stop;
mod sys;
mod volume;
mod watch;
mod whole_file;

pub use background::{Side, go_to_background};
pub use capabilities::missing_capabilities;
pub use claim::Claim;
pub use container::{Missing, Root, in_initial_pid_namespace};
pub use exec::{ExecError, ExecRequest, exec_command};
pub use exit::{ExitStatus, LogTotals, Outcome};
pub use failure::{Cause, FailureKind, StartFailure};
pub use first::keep_if_first_process;
pub use forker::{end_forker, start_forker};
pub use launch::{LaunchError, launch, launch_blocking};
pub use log::{LineEnd, LogError, LogItem, LogLine, LogReader, Stream};
pub use loop_device::LoopDevice;
pub use process::ProcessId;
pub use record::{Record, RecordError};
pub use remove::{RemoveError, remove, remove_layer};
pub use shim::shim_main_if_asked;
pub use spec::{Dns, LogLimits, Network, PidNamespace, Spec, SpecError, Upper};
pub use status::{Status, StatusError, WaitError, status, wait};
pub use stop::{StopError, stop};
pub use volume::{Volume, VolumeError};
