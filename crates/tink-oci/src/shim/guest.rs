//! Becoming a further program of a running container.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{chroot, fchdir};
use rustix::thread::move_into_link_name_space;

use super::enter::die_with_parent;
use super::pty;
use crate::container::{Environment, Root, User, run, set_limits};
use crate::exec::ExecOrder;
use crate::failure::{Doing, StartFailure};
use crate::spec::{SPEC_FILE, Spec};
use crate::{cgroup, process, sys};

/// Every namespace a container may have of its own but for that of processes, in the order they are entered: mounts last,
/// for until then the host's `/proc` is needed.
const NAMESPACES: [&str; 5] = ["cgroup", "ipc", "uts", "net", "mnt"];

/// Enters the container whose program is `init` and becomes the program; returns only to say why it could not. The
/// controlling end of its terminal, if it gets one, is sent over `terminal`.
pub(super) fn become_program(
    order: &ExecOrder,
    init: &OwnedFd,
    terminal: &OwnedFd,
) -> Result<Infallible, StartFailure> {
    die_with_parent()?;
    let ExecOrder { record, request } = order;
    let path = record.dir.join(SPEC_FILE);
    let text = std::fs::read(&path).doing(|| format!("read {}", path.display()))?;
    let mut spec: Spec = serde_json::from_slice(&text).doing(|| format!("understand {}", path.display()))?;
    // Where the container could not go, or one that is full: the program is in the others.
    cgroup::join_all(record.cgroups.iter().map(PathBuf::as_path), cgroup::MYSELF, |_, _| {});
    // While the host's `/proc` is there: that of the container does not know us.
    let path = format!("/proc/{}/root", record.init.pid);
    let root = Root::open(path.as_ref()).doing(|| "open the container's root".to_owned())?;
    let user = User::resolve(&root, request.user.as_deref().or(spec.user.as_deref()))?;
    enter(record.init.pid, &root)?;
    // From here on whoever ends the container finds us in it. One that ended before did not look for us.
    if process::has_ended(init) {
        return Err(StartFailure::setup(format!("container {} does not run any more", record.id)));
    }
    spec.env.extend(request.env.iter().cloned());
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut environment = Environment::new(&spec, &hostname, &user.home);
    if request.tty {
        pty::open(terminal)?;
        if environment.get("TERM").is_none() {
            environment.set("TERM=xterm".to_owned());
        }
    }
    set_limits();
    sys::default_signals().doing(|| "reset the signals".to_owned())?;
    let cwd = request.cwd.as_deref().unwrap_or(&spec.cwd);
    run(&request.args, cwd, &user, &environment, die_with_parent)
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
