//! The order in which a container is built.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Write};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Signal, chroot, fchdir, set_parent_process_death_signal, setsid, umask};

use super::dev::ReadyDev;
use super::mounts::{self, Given};
use super::rootfs::Rootfs;
use super::{Environment, Streams, User, files, limits, loopback, pivot, program};
use crate::cgroup::Cgroups;
use crate::failure::{Doing, StartFailure};
use crate::spec::{Network, Spec};
use crate::{members, sys};

/// The child's end of its agreement with the shim: the first word it hears is that it is in its cgroups; it says that it is
/// *ready* when all is built, and goes on with the second word.
pub(crate) struct Gate {
    /// To the shim.
    pub(crate) ready: File,
    /// From the shim.
    pub(crate) go: File,
}

impl Gate {
    /// Waits until the shim has moved us into the container's cgroups.
    fn be_admitted(&mut self) -> Result<(), StartFailure> {
        self.hear().doing(|| "hear of the container's cgroups".to_owned())
    }

    /// Says that everything is built and waits for the word to start.
    fn pass(&mut self) -> Result<(), StartFailure> {
        self.ready.write_all(b"\n").doing(|| "tell the shim that the container is ready".to_owned())?;
        self.hear().doing(|| "hear the shim's word to start".to_owned())
    }

    /// The end of the stream means that the shim died: the container must not run without it.
    fn hear(&mut self) -> std::io::Result<()> {
        self.go.read_exact(&mut [0_u8; 1])
    }
}

/// Builds the container around the calling process and executes its program; returns only to say why it could not.
pub(crate) fn become_program(
    spec: &Spec,
    cgroups: &Cgroups,
    dev: Option<&ReadyDev>,
    streams: &Streams,
    gate: &mut Gate,
) -> Result<Infallible, StartFailure> {
    die_with_shim()?;
    setsid().doing(|| "start a session".to_owned())?;
    // What is made below gets the modes that are given.
    umask(Mode::empty());
    enter_namespaces(spec)?;
    let rootfs = Rootfs::assemble(spec, members::root_name(&cgroups.own, &spec.dir))?;
    let root = rootfs.root();
    let hostname = hostname(spec)?;
    files::write(spec, &hostname, root)?;
    let mut admission = || {
        gate.be_admitted()?;
        // A kernel without cgroups refuses it, and has nothing to hide.
        let _ = unshare(CloneFlags::CLONE_NEWCGROUP);
        Ok(())
    };
    let mut given = Given { dev, hierarchies: &cgroups.hierarchies, admission: Some(&mut admission) };
    mounts::mount_all(spec, &mut given, root)?;
    given.admitted()?;
    let user = User::resolve(root, spec.user.as_deref())?;
    let environment = Environment::new(spec, &hostname, &user.home);
    root.make_dir(spec.cwd.as_ref()).doing(|| format!("make the working directory {}", spec.cwd))?;
    limits::set_limits();

    let null = File::open("/dev/null").doing(|| "open /dev/null".to_owned())?;
    pivot::enter(&rootfs)?;
    streams.set(&null, &user, mounts::has_own_dev(&spec.volumes))?;
    sys::default_signals().doing(|| "reset the signals".to_owned())?;
    gate.pass()?;
    program::run(&spec.args, &spec.cwd, &user, &environment, die_with_shim)
}

/// A container never outlives its shim: without it nobody would see how it ends.
fn die_with_shim() -> Result<(), StartFailure> {
    set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "tie the container to its shim".to_owned())
}

fn enter_namespaces(spec: &Spec) -> Result<(), StartFailure> {
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if spec.network == Network::Isolated {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    unshare(flags).doing(|| "enter namespaces of the container's own".to_owned())?;
    make_mounts_private().doing(|| "make the container's mounts private".to_owned())?;
    if spec.network == Network::Isolated {
        loopback::up().doing(|| "bring the loopback interface up".to_owned())?;
    }
    Ok(())
}

/// Before anything is mounted: on many hosts the root is shared, and what we mount would show, and stay, there.
///
/// A launcher in a `chroot` cannot name the mount that its root lies in; hence the way over the namespace's own root.
fn make_mounts_private() -> std::io::Result<()> {
    let root = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    pivot::leave_chroot()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    fchdir(&root)?;
    chroot(".")?;
    Ok(())
}

/// Sets the host name in our own UTS namespace.
fn hostname(spec: &Spec) -> Result<String, StartFailure> {
    match &spec.hostname {
        Some(name) => {
            rustix::system::sethostname(name.as_bytes()).doing(|| format!("set the host name {name:?}"))?;
            Ok(name.clone())
        }
        None => Ok(rustix::system::uname().nodename().to_string_lossy().into_owned()),
    }
}
