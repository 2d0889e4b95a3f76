//! The shim's life, from the fork that makes it to the container's exit.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::process::{Pid, chdir, getpid, set_child_subreaper, setsid};
use rustix::stdio::{dup2_stdin, dup2_stdout};

use super::child::{self, Role, Started};
use super::finish::{Facts, finish, settle};
use super::output::Output;
use super::supervise::{Supervised, supervise};
use crate::background::close_stray_descriptors;
use crate::boot;
use crate::cgroup::{self, Cgroups, Hierarchies};
use crate::container::ReadyDev;
use crate::ending::Ending;
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
                match Ready::prepare(None) {
                    Ok(ready) => own(dir, ready, lock, launcher, None, &alone),
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
///
/// `busy` is let go of when whoever waits for the other end may be busy, too: the container runs, or has ended.
pub(crate) fn own(
    dir: &Path,
    ready: Ready,
    lock: File,
    mut launcher: File,
    busy: Option<File>,
    alone: &OneThread,
) -> ExitCode {
    Message::Shim(ready.id).send(&mut launcher);
    let (started_at, started_ms) = (boot::now(), boot::uptime_ms());
    let facts = |outcome, unkillable| Facts { outcome, unkillable, started_at, started_ms };
    let mut owner = match Owner::prepare(dir, ready, lock) {
        Ok(owner) => owner,
        Err(failure) => return not_started(failure, launcher),
    };
    let started = match child::start(&mut owner, alone, started_at) {
        Ok(Role::Owner(started)) => started,
        Ok(Role::Child(code)) => return code,
        Err(failure) => {
            note(&format!("{failure}"));
            let outcome = Outcome::NotStarted { failure: failure.clone() };
            finish(&mut owner, facts(outcome, 0));
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
    finish(&mut owner, facts(outcome, unkillable));
    tink_failpoint::hit("shim.exit.after");
    // Which waiters wait for. What comes now only who removes the container waits for.
    owner.ending = None;
    drop(busy);
    settle(&mut owner);
    ExitCode::SUCCESS
}

/// Says why before there is anything that could be left.
fn not_started(failure: StartFailure, mut launcher: File) -> ExitCode {
    note(&format!("{failure}"));
    Message::Failed(failure).send(&mut launcher);
    ExitCode::FAILURE
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
    pub(super) boot_id: String,
    /// The container's `/dev`, until it has it.
    pub(super) dev: Option<ReadyDev>,
    /// What waiters wait for.
    ending: Option<Ending>,
    /// Held until the process ends: the sign of life.
    _lock: File,
}

/// A process that can become the shim of any container.
pub(crate) struct Ready {
    id: ProcessId,
    signals: SignalFd,
    boot_id: String,
    hierarchies: Hierarchies,
    dev: Option<ReadyDev>,
}

impl Ready {
    /// Makes the calling process one.
    pub(crate) fn prepare(dev: Option<ReadyDev>) -> Result<Self, StartFailure> {
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
        let boot_id = boot::boot_id().doing(|| "read the boot id".to_owned())?;
        let hierarchies = Hierarchies::find().doing(|| "find the cgroup hierarchies".to_owned())?;
        // Where the kernel or its guards do not let us, the container makes its own.
        let dev = dev.or_else(|| ReadyDev::make().ok());
        Ok(Self { id, signals, boot_id, hierarchies, dev })
    }
}

impl Owner {
    fn prepare(dir: &Path, ready: Ready, lock: File) -> Result<Self, StartFailure> {
        let Ready { id, signals, boot_id, hierarchies, dev } = ready;
        let spec = read_spec(dir)?;
        let layers = hold_layers(&spec.layers);
        let log =
            LogWriter::create(&dir.join(LOG_DIR), spec.log).doing(|| format!("make the log in {}", dir.display()))?;
        let output = Output::new(spec.tty)?;
        let hierarchies = hierarchies.now().doing(|| "find the cgroup hierarchies".to_owned())?;
        let own_cgroup = cgroup::leave_service(&hierarchies, &spec.id);
        let cgroups = Cgroups::begin(hierarchies, &spec.id, note_left_out);
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
            boot_id,
            dev,
            ending: None,
            _lock: lock,
        })
    }

    /// Makes the rest of the container's cgroups and moves its first process into them.
    pub(super) fn take_in(&mut self, init: Pid) {
        self.cgroups.complete(note_left_out);
        self.cgroups.take_in(init, |path, error| note(&format!("left out the cgroup {}: {error}", path.display())));
    }

    /// From now on waiters hear when the exit is written. Where that cannot be, when the shim ends.
    pub(super) fn hold_ending(&mut self) {
        self.ending = Ending::hold(&self.dir).inspect_err(|error| note(&format!("no pipe for waiters: {error}"))).ok();
    }
}

fn note_left_out(reason: &str) {
    note(&format!("left out a cgroup hierarchy: {reason}"));
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
