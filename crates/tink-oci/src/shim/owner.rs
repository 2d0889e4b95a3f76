//! The shim's life, from the fork that makes it to the container's exit.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::process::{chdir, getpid, set_child_subreaper, setsid};
use rustix::stdio::{dup2_stdin, dup2_stdout};
use rustix::thread::move_into_link_name_space;

use super::child::{self, Role, Started};
use super::finish::{Ending, finish, settle};
use super::output::Output;
use super::supervise::{Supervised, supervise};
use crate::background::close_stray_descriptors;
use crate::boot;
use crate::cgroup::{self, Cgroups};
use crate::exit::Outcome;
use crate::failure::{Doing, StartFailure};
use crate::handshake::Message;
use crate::log::{LOG_DIR, LogWriter};
use crate::process::ProcessId;
use crate::spec::{SPEC_FILE, Spec};
use crate::sys::{self, Forked, OneThread};

/// Forks the shim and ends.
pub(super) fn start(dir: &Path) -> ExitCode {
    let forked = OneThread::check().and_then(|alone| Ok((sys::fork(&alone)?, alone)));
    match forked {
        Ok((Forked::Parent(_), _)) => ExitCode::SUCCESS,
        Ok((Forked::Child, alone)) => match take_streams() {
            Ok((lock, launcher)) => {
                close_stray_descriptors();
                match Ready::prepare() {
                    Ok(ready) => own(dir, ready, lock, launcher, &alone),
                    Err(failure) => not_started(failure, launcher),
                }
            }
            Err(error) => {
                note(&format!("failed to take over the launcher's streams: {error}"));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            note(&format!("failed to fork: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says something in the shim's own log, which is its standard error.
pub(super) fn note(text: &str) {
    use std::io::Write;
    // A log that cannot be written is nobody's concern here.
    let _ = writeln!(std::io::stderr(), "{} {text}", boot::now());
}

/// Starts the container of a state directory and owns it to its end. `lock` is the directory's, `launcher` the way to whoever
/// waits for the container's start.
pub(crate) fn own(dir: &Path, ready: Ready, lock: File, mut launcher: File, alone: &OneThread) -> ExitCode {
    Message::Shim(ready.id).send(&mut launcher);
    let (started_at, started_ms) = (boot::now(), boot::uptime_ms());
    let ending = |outcome, unkillable| Ending { outcome, unkillable, started_at, started_ms };
    let mut owner = match Owner::prepare(dir, ready, lock) {
        Ok(owner) => owner,
        Err(failure) => return not_started(failure, launcher),
    };
    let started = match child::start(&owner, alone, started_at) {
        Ok(Role::Owner(started)) => started,
        Ok(Role::Child(code)) => return code,
        Err(failure) => {
            note(&format!("{failure}"));
            let outcome = Outcome::NotStarted { failure: failure.clone() };
            finish(&mut owner, ending(outcome, 0));
            settle(&mut owner);
            // Last, so that nothing is left when the launcher hears of it.
            Message::Failed(failure).send(&mut launcher);
            return ExitCode::FAILURE;
        }
    };
    let Started { record, init, mounts } = *started;
    Message::Started(Box::new(record)).send(&mut launcher);
    tink_failpoint::hit("shim.launcher.told");
    drop(launcher);
    if let Err(failure) = owner.output.container_runs() {
        note(&format!("the container's output is lost: {failure}"));
    }
    let Supervised { outcome, unkillable } = supervise(&mut owner, init);
    // The last hold on the container's mount namespace: with it all its mounts go, now and in this call, so that no disk
    // is busy any more when the exit can be read. Then nothing of ours uses the layers.
    drop(mounts);
    owner.layers.clear();
    tink_failpoint::hit("shim.exit.before");
    finish(&mut owner, ending(outcome, unkillable));
    tink_failpoint::hit("shim.exit.after");
    end(&mut owner, alone)
}

/// Says why before there is anything that could be left.
fn not_started(failure: StartFailure, mut launcher: File) -> ExitCode {
    note(&format!("{failure}"));
    Message::Failed(failure).send(&mut launcher);
    ExitCode::FAILURE
}

/// Ends, which is what waiters wait for, and leaves the rest to a process of its own, which inherits the lock and holds it
/// until that is done.
fn end(owner: &mut Owner, alone: &OneThread) -> ExitCode {
    // Children would still be born into the container's PID namespace, which is dead.
    let forked =
        move_into_link_name_space(owner.own_pids.as_fd(), None).map_err(Into::into).and_then(|()| sys::fork(alone));
    if !matches!(forked, Ok(Forked::Parent(_))) {
        settle(owner);
    }
    ExitCode::SUCCESS
}

/// What the shim holds.
pub(super) struct Owner {
    pub(super) id: ProcessId,
    pub(super) dir: PathBuf,
    pub(super) spec: Spec,
    pub(super) cgroups: Cgroups,
    /// The shim's own cgroup, if it needed one.
    pub(super) own_cgroup: Option<PathBuf>,
    pub(super) log: LogWriter,
    pub(super) output: Output,
    pub(super) signals: SignalFd,
    /// The image's layers, each under a shared lock for as long as the container may use them.
    layers: Vec<OwnedFd>,
    /// The PID namespace that the shim itself is in.
    own_pids: File,
    /// Held until the process ends: the sign of life.
    _lock: File,
}

/// A process that can become the shim of any container.
pub(crate) struct Ready {
    id: ProcessId,
    signals: SignalFd,
    own_pids: File,
}

impl Ready {
    /// Makes the calling process one.
    pub(crate) fn prepare() -> Result<Self, StartFailure> {
        setsid().doing(|| "start a session".to_owned())?;
        chdir("/").doing(|| "enter /".to_owned())?;
        let id = ProcessId::of(getpid().as_raw_nonzero().get()).doing(|| "read the own start time".to_owned())?;
        set_child_subreaper(Some(getpid())).doing(|| "adopt the container's orphans".to_owned())?;
        // All blocked: those we care for come through the descriptor, none may end us.
        SigSet::all().thread_block().doing(|| "block signals".to_owned())?;
        let signals =
            SignalFd::with_flags(&super::supervise::signals(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .doing(|| "watch signals".to_owned())?;
        // Without CAP_SYS_RESOURCE it stays as it is.
        let _ = std::fs::write("/proc/self/oom_score_adj", "-900");
        let own_pids = File::open("/proc/self/ns/pid").doing(|| "hold the own PID namespace".to_owned())?;
        Ok(Self { id, signals, own_pids })
    }
}

impl Owner {
    fn prepare(dir: &Path, ready: Ready, lock: File) -> Result<Self, StartFailure> {
        let Ready { id, signals, own_pids } = ready;
        let spec = read_spec(dir)?;
        let layers = hold_layers(&spec.layers);
        let log =
            LogWriter::create(&dir.join(LOG_DIR), spec.log).doing(|| format!("make the log in {}", dir.display()))?;
        let output = Output::new(spec.tty)?;
        let hierarchies = cgroup::discover().doing(|| "find the cgroup hierarchies".to_owned())?;
        let own_cgroup = cgroup::leave_service(&hierarchies, &spec.id);
        let cgroups = Cgroups::make(hierarchies, &spec.id, |reason| {
            note(&format!("left out a cgroup hierarchy: {reason}"));
        });
        Ok(Self {
            id,
            dir: dir.to_owned(),
            spec,
            cgroups,
            own_cgroup,
            log,
            output,
            signals,
            layers,
            own_pids,
            _lock: lock,
        })
    }
}

/// Takes the lock of the state directory from the standard input, which the launcher holds, too, until we are up, and the
/// handshake's pipe from the standard output. Both are nothing from now on.
fn take_streams() -> std::io::Result<(File, File)> {
    let lock: OwnedFd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let launcher: OwnedFd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok((File::from(lock), File::from(launcher)))
}

/// The image store drops no layer under such a lock, whoever asks it to and whether or not a worker lives.
///
/// A layer that cannot be opened is left to the one who mounts it, who says so in the exit record.
fn hold_layers(layers: &[PathBuf]) -> Vec<OwnedFd> {
    let hold = |layer: &PathBuf| {
        let directory = open(layer, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        // Waits for a store that looks whether the layer is in use. Nothing interrupts: signals are blocked.
        flock(&directory, FlockOperation::LockShared)
            .inspect_err(|error| note(&format!("failed to hold the layer {}: {error}", layer.display())))
            .ok()?;
        Some(directory)
    };
    layers.iter().filter_map(hold).collect()
}

fn read_spec(dir: &Path) -> Result<Spec, StartFailure> {
    let path = dir.join(SPEC_FILE);
    let text = std::fs::read(&path).doing(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).doing(|| format!("understand {}", path.display()))
}
