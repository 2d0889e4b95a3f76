//! Running a program inside a running container.
//!
//! ```text
//! caller ──exec──▶ relay ──fork──▶ reaper ──fork──▶ the program
//!                    ▲                │               enters the container, then exec
//!                    └── exit code ───┘
//! ```
//!
//! The kernel does not finish a PID namespace before every process in it was reaped, by parents outside, too. So the relay,
//! which may be held up by a pager or stopped from its terminal, must not be the program's parent: the container could not
//! end. Neither is in the container, whose mounts they would keep in use.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::sys::signal::SigSet;
use rustix::fs::{Mode, OFlags, open};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, set_parent_process_death_signal, setsid, waitpid};
use rustix::thread::move_into_link_name_space;

use super::guest::become_program;
use super::{output, pty};
use crate::exec::ExecOrder;
use crate::failure::{Doing, StartFailure};
use crate::sys::{self, Forked, OneThread};

/// Runs the program and ends as it does.
pub(super) fn run(order: &OsStr) -> ExitCode {
    ExitCode::from(order_and_run(order).unwrap_or_else(|failure| complain(&failure)))
}

/// Says why, and with which code to end.
fn complain(failure: &StartFailure) -> u8 {
    let cause = failure.cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "tink: {failure}{cause}");
    u8::try_from(failure.kind.exit_code()).unwrap_or(u8::MAX)
}

fn order_and_run(order: &OsStr) -> Result<u8, StartFailure> {
    let alone = OneThread::check().doing(|| "make sure that there is one thread".to_owned())?;
    let order: ExecOrder =
        serde_json::from_slice(order.as_encoded_bytes()).doing(|| "understand the order".to_owned())?;
    let what = || "make a pipe".to_owned();
    let (end, tell_end) = pipe_with(PipeFlags::CLOEXEC).doing(what)?;
    let (terminal, send_terminal) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).doing(what)?;
    match sys::fork(&alone).doing(|| "fork".to_owned())? {
        Forked::Child => {
            drop((end, terminal));
            Ok(reap(&order, &send_terminal, File::from(tell_end), &alone).unwrap_or_else(|failure| complain(&failure)))
        }
        Forked::Parent(reaper) => {
            drop((tell_end, send_terminal));
            let code = relay(order.request.tty, &terminal, File::from(end))?;
            let _ = waitpid(Some(reaper), WaitOptions::empty());
            Ok(code)
        }
    }
}

/// The relay: between the caller and the program's terminal, if it has one, until it has ended; gives its code.
fn relay(has_terminal: bool, terminal: &OwnedFd, mut end: File) -> Result<u8, StartFailure> {
    // None comes from a program that could not be started.
    if has_terminal && let Ok(control) = output::receive(terminal, RecvFlags::empty()) {
        return pty::relay(&control, &mut end);
    }
    code(&mut end)
}

/// Waits for the code that the program ended with.
pub(super) fn code(end: &mut File) -> Result<u8, StartFailure> {
    let mut code = [0_u8];
    end.read_exact(&mut code).doing(|| "hear how the program ended".to_owned())?;
    Ok(code[0])
}

/// The reaper: starts the program and tells its end. It waits for nothing else.
fn reap(order: &ExecOrder, terminal: &OwnedFd, mut tell: File, alone: &OneThread) -> Result<u8, StartFailure> {
    // Whoever asked for the program sees it end when the caller ends.
    die_with_parent()?;
    let record = &order.record;
    // Held before anything else is opened by the number: it cannot be given away any more.
    let init = record.init.open().doing(|| "look for the container's program".to_owned())?;
    let Some(init) = init else {
        return tell_code(
            &mut tell,
            complain(&StartFailure::setup(format!("container {} does not run any more", record.id))),
        );
    };
    // Only children are in it.
    let pids = open(format!("/proc/{}/ns/pid", record.init.pid), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let entered = pids.and_then(|pids| move_into_link_name_space(pids.as_fd(), None));
    let forked = entered.map_err(Into::into).and_then(|()| sys::fork(alone));
    match forked.doing(|| format!("enter the processes of container {}", record.id)) {
        Ok(Forked::Child) => {
            drop(tell);
            match become_program(order, &init, terminal) {
                Ok(never) => match never {},
                Err(failure) => Err(failure),
            }
        }
        Ok(Forked::Parent(program)) => {
            // Not in the caller's session, from whose terminal we could be stopped.
            let _ = setsid();
            let _ = SigSet::all().thread_block();
            let status = wait_for(program)?;
            let code =
                status.terminating_signal().map_or_else(|| status.exit_status().unwrap_or(0), |signal| 128 + signal);
            tell_code(&mut tell, u8::try_from(code).unwrap_or(u8::MAX))
        }
        Err(failure) => tell_code(&mut tell, complain(&failure)),
    }
}

fn wait_for(program: Pid) -> Result<WaitStatus, StartFailure> {
    let waited = rustix::io::retry_on_intr(|| waitpid(Some(program), WaitOptions::empty()));
    let ended = waited.doing(|| "wait for the program".to_owned())?;
    ended.map(|(_, status)| status).ok_or_else(|| StartFailure::setup("the program's end was missed"))
}

fn tell_code(tell: &mut File, code: u8) -> Result<u8, StartFailure> {
    // A relay that is not there any more has nobody to tell.
    let _ = tell.write_all(&[code]);
    Ok(code)
}

/// Ends the calling process when its parent does.
pub(super) fn die_with_parent() -> Result<(), StartFailure> {
    set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "tie the program to its caller".to_owned())
}
