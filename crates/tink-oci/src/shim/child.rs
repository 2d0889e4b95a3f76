//! Forking the container's first process and seeing it through to exec.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use jiff::Timestamp;
use nix::sched::{CloneFlags, unshare};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::owner::Owner;
use crate::cgroup;
use crate::container::{Gate, become_program};
use crate::exit::ExitStatus;
use crate::failure::{Doing, StartFailure};
use crate::process::ProcessId;
use crate::record::Record;
use crate::spec::PidNamespace;
use crate::stop::is_stopped;
use crate::sys::{self, Forked, OneThread};

/// The shim's words to the child, a byte each: it is in its cgroups; its program shall run.
const ADMITTED: &[u8] = b"a";
const GO: &[u8] = b"g";

/// Which process comes back from [`start`].
pub(super) enum Role {
    /// The shim, with its container.
    Owner(Box<Started>),
    /// The forked child, which could not become the program and has said why: it ends with this.
    Child(ExitCode),
}

/// A container whose program runs.
pub(super) struct Started {
    pub(super) record: Record,
    pub(super) init: Pid,
    /// Keeps the container's mount namespace, so that its end is ours to choose.
    pub(super) mounts: File,
}

/// Forks, lets the child build the container, stores the record, and lets the child become the program.
pub(super) fn start(owner: &mut Owner, alone: &OneThread, started_at: Timestamp) -> Result<Role, StartFailure> {
    let (spec, cgroups) = (&owner.spec, &owner.cgroups);
    let pipes = || "make a pipe".to_owned();
    let (from_child, to_shim) = pipe_with(PipeFlags::CLOEXEC).doing(pipes)?;
    let (from_shim, to_child) = pipe_with(PipeFlags::CLOEXEC).doing(pipes)?;
    if spec.pid == PidNamespace::Private {
        // For the next child, which is its process 1; not for us.
        unshare(CloneFlags::CLONE_NEWPID).doing(|| "make a PID namespace".to_owned())?;
    }
    let birthplace = cgroups.birthplace.as_deref().and_then(cgroup::open);
    let forked = sys::fork_into(alone, birthplace.as_ref().map(AsFd::as_fd));
    let init = match forked.doing(|| "fork the container's first process".to_owned())? {
        Forked::Parent(init) => init,
        Forked::Child => {
            drop((from_child, to_child));
            let mut gate = Gate { ready: File::from(to_shim), go: File::from(from_shim) };
            let failure = match owner.output.child_ends() {
                Some(streams) => {
                    let Err(failure) = become_program(spec, cgroups, owner.dev.as_ref(), streams, &mut gate);
                    failure
                }
                None => StartFailure::setup("the container's streams are gone"),
            };
            report(&mut gate.ready, &failure);
            let code = u8::try_from(failure.kind.exit_code()).unwrap_or(u8::MAX);
            return Ok(Role::Child(ExitCode::from(code)));
        }
    };
    drop((to_shim, from_shim));
    let mut up = BufReader::new(File::from(from_child));
    let started = pass_gate(owner, init, &mut up, &mut File::from(to_child), started_at);
    if started.is_err() {
        // Whatever it is doing: the pipe it waits on is closed, and it was about to end anyway.
        let _ = rustix::process::kill_process(init, rustix::process::Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(init), WaitOptions::empty()));
    }
    started.map(|started| Role::Owner(Box::new(started)))
}

fn pass_gate(
    owner: &mut Owner,
    init: Pid,
    up: &mut BufReader<File>,
    down: &mut File,
    started_at: Timestamp,
) -> Result<Started, StartFailure> {
    let pid = init.as_raw_nonzero().get();
    // All this while the child builds the container.
    owner.take_in(init);
    // A child that has failed says why.
    let _ = down.write_all(ADMITTED);
    if let Some(mut dev) = owner.dev.take() {
        dev.update_for(&owner.spec.volumes)?;
    }
    owner.hold_ending();
    let spec = &owner.spec;
    ExitStatus::reserve(&spec.dir).doing(|| format!("take room for the exit in {}", spec.dir.display()))?;
    let record = Record {
        id: spec.id.clone(),
        dir: spec.dir.clone(),
        boot_id: owner.boot_id.clone(),
        shim: owner.id,
        init: ProcessId::of(pid).doing(|| "read the program's start time".to_owned())?,
        cgroups: owner.cgroups.own.clone(),
        started_at,
    };
    match next_word(up)? {
        Some(FromChild::Ready) => {}
        Some(FromChild::Failed(failure)) => return Err(failure),
        None => return Err(StartFailure::setup("the container's first process died while it was built")),
    }
    let mounts = File::open(format!("/proc/{pid}/ns/mnt")).doing(|| "hold the container's mounts".to_owned())?;
    // Before the program runs: from then on, whoever looks must find it.
    record.save().doing(|| format!("write the record to {}", spec.dir.display()))?;
    tink_failpoint::hit("shim.record.saved");
    // Looked for after the record was saved, and made before the record is looked for: one of the two is seen.
    if is_stopped(&spec.dir) {
        return Err(StartFailure::setup("the container was stopped before its program started"));
    }
    down.write_all(GO).doing(|| "give the word to start".to_owned())?;
    match next_word(up)? {
        // The pipe was closed by exec.
        None => {
            tink_failpoint::hit("shim.program.started");
            Ok(Started { record, init, mounts })
        }
        Some(FromChild::Ready) => Err(StartFailure::setup("the container's first process said an unexpected word")),
        Some(FromChild::Failed(failure)) => Err(failure),
    }
}

enum FromChild {
    Ready,
    Failed(StartFailure),
}

/// The child's next line: empty when it is ready, else a failure. Nothing at the end of the stream.
fn next_word(up: &mut BufReader<File>) -> Result<Option<FromChild>, StartFailure> {
    let what = || "hear from the container's first process".to_owned();
    let mut line = Vec::new();
    up.read_until(b'\n', &mut line).doing(what)?;
    match line.as_slice() {
        [] => Ok(None),
        b"\n" => Ok(Some(FromChild::Ready)),
        json => serde_json::from_slice(json).map(|failure| Some(FromChild::Failed(failure))).doing(what),
    }
}

fn report(shim: &mut File, failure: &StartFailure) {
    if let Ok(mut line) = serde_json::to_vec(failure) {
        line.push(b'\n');
        // A shim that does not listen is dead, and we are about to be.
        let _ = shim.write_all(&line);
    }
}
