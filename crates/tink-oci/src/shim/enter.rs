//! Running a program inside a running container.

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{WaitOptions, chroot, fchdir, set_parent_process_death_signal, waitpid};
use rustix::thread::move_into_link_name_space;

use super::pty::Terminal;
use crate::cgroup;
use crate::container::{Environment, Root, User, run as run_program, set_limits};
use crate::exec::{ExecOrder, ExecRequest};
use crate::failure::{Doing, StartFailure};
use crate::spec::{SPEC_FILE, Spec};
use crate::sys::{self, Forked, OneThread};

/// Every namespace a container may have of its own, in the order they are entered: mounts last, for until then the host's
/// `/proc` is needed.
const NAMESPACES: [&str; 6] = ["cgroup", "ipc", "uts", "net", "pid", "mnt"];

/// Runs the program and ends as it does.
pub(super) fn run(order: &OsStr) -> ExitCode {
    match order_and_run(order) {
        Ok(code) => code,
        Err(failure) => complain(&failure),
    }
}

fn complain(failure: &StartFailure) -> ExitCode {
    let cause = failure.cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "tink: {failure}{cause}");
    ExitCode::from(u8::try_from(failure.kind.exit_code()).unwrap_or(u8::MAX))
}

fn order_and_run(order: &OsStr) -> Result<ExitCode, StartFailure> {
    let alone = OneThread::check().doing(|| "make sure that there is one thread".to_owned())?;
    let order: ExecOrder =
        serde_json::from_slice(order.as_encoded_bytes()).doing(|| "understand the order".to_owned())?;
    let ExecOrder { record, request } = order;
    let path = record.dir.join(SPEC_FILE);
    let text = std::fs::read(&path).doing(|| format!("read {}", path.display()))?;
    let mut spec: Spec = serde_json::from_slice(&text).doing(|| format!("understand {}", path.display()))?;
    // Where the container could not go, or one that is full: the program is in the others.
    cgroup::join_all(&record.cgroups, |_, _| {});
    // Held before anything else is opened by the number: it cannot be given away any more.
    let init = record.init.open().doing(|| "look for the container's program".to_owned())?;
    init.ok_or_else(|| StartFailure::setup(format!("container {} does not run any more", record.id)))?;
    // While the host's `/proc` is there: that of the container does not know us.
    let path = format!("/proc/{}/root", record.init.pid);
    let root = Root::open(path.as_ref()).doing(|| "open the container's root".to_owned())?;
    let user = User::resolve(&root, request.user.as_deref().or(spec.user.as_deref()))?;
    enter(record.init.pid, &root)?;
    spec.env.extend(request.env.iter().cloned());
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut environment = Environment::new(&spec, &hostname, &user.home);
    let terminal = if request.tty { Some(Terminal::open()?) } else { None };
    if terminal.is_some() && environment.get("TERM").is_none() {
        environment.set("TERM=xterm".to_owned());
    }
    // The PID namespace is entered by children only.
    match sys::fork(&alone).doing(|| "fork".to_owned())? {
        Forked::Child => Ok(complain(&in_child(&request, &spec, &user, &environment, terminal.as_ref()))),
        Forked::Parent(child) => {
            let relayed = terminal.map(|terminal| terminal.relay(child)).transpose()?;
            let status = match relayed {
                Some(status) => status,
                None => rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()))
                    .doing(|| "wait for the program".to_owned())?
                    .map(|(_, status)| status)
                    .ok_or_else(|| StartFailure::setup("the program's end was missed"))?,
            };
            let code =
                status.terminating_signal().map_or_else(|| status.exit_status().unwrap_or(0), |signal| 128 + signal);
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
        }
    }
}

/// Enters the namespaces of the process `pid`, and its root.
fn enter(pid: i32, root: &Root) -> Result<(), StartFailure> {
    let mut namespaces: Vec<(&str, OwnedFd)> = Vec::with_capacity(NAMESPACES.len());
    for name in NAMESPACES {
        match open(format!("/proc/{pid}/ns/{name}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(namespace) => namespaces.push((name, namespace)),
            // A kernel built without it.
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error).doing(|| format!("open the container's {name} namespace")),
        }
    }
    for (name, namespace) in &namespaces {
        move_into_link_name_space(namespace.as_fd(), None)
            .doing(|| format!("enter the container's {name} namespace"))?;
    }
    // Where the container could not pivot, the namespace's root is not the container's.
    fchdir(root.fd()).and_then(|()| chroot(".")).doing(|| "enter the container's root".to_owned())
}

/// Becomes the program; returns only to say why it could not.
fn in_child(
    request: &ExecRequest,
    spec: &Spec,
    user: &User,
    environment: &Environment,
    terminal: Option<&Terminal>,
) -> StartFailure {
    let become_program = || {
        if let Some(terminal) = terminal {
            terminal.take_over()?;
        }
        set_limits();
        sys::default_signals().doing(|| "reset the signals".to_owned())?;
        let cwd = request.cwd.as_deref().unwrap_or(&spec.cwd);
        // Whoever asked for the program sees it end when the caller ends.
        let die_with_caller = || {
            set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                .doing(|| "tie the program to us".to_owned())
        };
        run_program(&request.args, cwd, user, environment, die_with_caller)
    };
    match become_program() {
        Err(failure) => failure,
        Ok(never) => match never {},
    }
}
