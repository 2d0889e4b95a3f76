//! What is mounted in the container, and in which order.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, mount, move_mount};

use super::dev::ReadyDev;
use super::root::{Missing, Root};
use super::{binds, dev};
use crate::cgroup;
use crate::failure::{Doing, StartFailure};
use crate::spec::Spec;
use crate::volume::Volume;

/// The name under which the kernel mounts on what a descriptor stands for, however it was reached.
pub(super) fn mount_point(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A file system that every container has, unless a volume takes its place.
struct Standard {
    target: &'static str,
    kind: &'static str,
    flags: MountFlags,
    options: Option<&'static CStr>,
}

/// Flags of file systems that hold nothing to execute.
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The only one with times of access: programs tell by those of a terminal whether somebody is there.
const OF_DEV: MountFlags = MountFlags::NOSUID.union(MountFlags::STRICTATIME);

/// As in a privileged container of Docker: nothing masked, nothing read-only.
const STANDARD: [Standard; 7] = [
    Standard { target: "/proc", kind: "proc", flags: PLAIN, options: None },
    Standard { target: "/dev", kind: "tmpfs", flags: OF_DEV, options: Some(dev::OPTIONS) },
    Standard { target: "/sys", kind: "sysfs", flags: PLAIN, options: None },
    Standard {
        target: "/dev/pts",
        kind: "devpts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        options: Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5"),
    },
    Standard { target: "/dev/shm", kind: "tmpfs", flags: PLAIN, options: Some(c"mode=1777,size=65536k") },
    Standard { target: "/dev/mqueue", kind: "mqueue", flags: PLAIN, options: None },
    Standard { target: CGROUP, kind: "cgroup", flags: PLAIN, options: None },
];

const CGROUP: &str = "/sys/fs/cgroup";

/// What others make for the container's mounts.
pub(super) struct Given<'a> {
    pub(super) dev: Option<&'a ReadyDev>,
    pub(super) hierarchies: &'a [cgroup::Hierarchy],
    /// Returns when the calling process is in its cgroups and in a namespace of them; taken when that has been done.
    pub(super) admission: Option<&'a mut dyn FnMut() -> Result<(), StartFailure>>,
}

impl<'a> Given<'a> {
    /// The cgroup hierarchies, when the calling process is where it belongs in them.
    pub(super) fn admitted(&mut self) -> Result<&'a [cgroup::Hierarchy], StartFailure> {
        if let Some(admission) = self.admission.take() {
            admission()?;
        }
        Ok(self.hierarchies)
    }
}

enum Planned<'a> {
    Standard(&'static Standard),
    Volume(&'a Volume),
}

/// Mounts the standard file systems and the volumes, those nearer to the root first, so that none hides another.
pub(super) fn mount_all(spec: &Spec, given: &mut Given<'_>, root: &Root) -> Result<(), StartFailure> {
    for planned in plan(&spec.volumes) {
        match planned {
            Planned::Standard(standard) if standard.target == CGROUP => mount_cgroups(given.admitted()?, root)?,
            Planned::Standard(standard) => mount_standard(standard, given.dev, root)?,
            Planned::Volume(volume) => binds::mount_volume(volume, spec.stand_ins.as_deref(), root)?,
        }
    }
    Ok(())
}

/// A volume on or above a standard target replaces it: with `/dev:/dev` the host's `/dev` is the container's as it is,
/// and setting anything up in it would be done to the host.
fn plan(volumes: &[Volume]) -> Vec<Planned<'_>> {
    let targets: Vec<PathBuf> = volumes.iter().map(Volume::plain_target).collect();
    let kept = STANDARD.iter().filter(|standard| !targets.iter().any(|t| Path::new(standard.target).starts_with(t)));
    let mut planned: Vec<(usize, Planned<'_>)> =
        kept.map(|standard| (depth(Path::new(standard.target)), Planned::Standard(standard))).collect();
    planned.extend(volumes.iter().zip(&targets).map(|(volume, target)| (depth(target), Planned::Volume(volume))));
    // Stable: among equals the standard ones come first, then the volumes as they were given.
    planned.sort_by_key(|(depth, _)| *depth);
    planned.into_iter().map(|(_, planned)| planned).collect()
}

fn depth(path: &Path) -> usize {
    path.components().filter(|part| matches!(part, Component::Normal(_))).count()
}

/// Whether the container's `/dev` is its own: no volume is in its place.
pub(super) fn has_own_dev(volumes: &[Volume]) -> bool {
    !volumes.iter().any(|volume| Path::new("/dev").starts_with(volume.plain_target()))
}

fn mount_standard(standard: &Standard, ready: Option<&ReadyDev>, root: &Root) -> Result<(), StartFailure> {
    let what = || format!("mount {} on {}", standard.kind, standard.target);
    let target = root.locate(standard.target.as_ref(), Missing::Directory).doing(what)?;
    let is_dev = standard.target == "/dev";
    if is_dev && ready.is_some_and(|ready| attach(ready.fd(), &target).is_ok()) {
        return Ok(());
    }
    match mount(standard.kind, mount_point(&target), standard.kind, standard.flags, standard.options) {
        // A kernel without POSIX message queues is a small loss.
        Err(Errno::NODEV) if standard.kind == "mqueue" => return Ok(()),
        mounted => mounted.doing(what)?,
    }
    if !is_dev {
        return Ok(());
    }
    // Located anew: this time it is what was just mounted.
    dev::fill(&root.locate(standard.target.as_ref(), Missing::Refuse).doing(what)?)
}

/// Mounts what is mounted nowhere yet.
fn attach(mount: BorrowedFd<'_>, target: &OwnedFd) -> rustix::io::Result<()> {
    let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", by_descriptor)
}

/// The cgroup hierarchies as the host has them, seen from the container's own cgroup namespace, writable.
///
/// For show: nothing of Tinkerbell's needs them, so a hierarchy that cannot be mounted is left out.
fn mount_cgroups(hierarchies: &[cgroup::Hierarchy], root: &Root) -> Result<(), StartFailure> {
    let what = || format!("mount the cgroups on {CGROUP}");
    let Some(first) = hierarchies.first() else { return Ok(()) };
    let on_its_own = hierarchies.len() == 1 && first.mount == Path::new(CGROUP);
    let target = match root.locate(CGROUP.as_ref(), Missing::Refuse) {
        Ok(target) => target,
        // The kernel's sysfs has no such directory where it has no cgroups.
        Err(_) => return Ok(()),
    };
    if on_its_own {
        let _ = mount_hierarchy(first, &mount_point(&target));
        return Ok(());
    }
    mount("tmpfs", mount_point(&target), "tmpfs", PLAIN, Some(c"mode=755")).doing(what)?;
    // Nothing in what was just mounted leads anywhere else.
    let target = root.locate(CGROUP.as_ref(), Missing::Refuse).doing(what)?;
    for hierarchy in hierarchies {
        let Some(name) = hierarchy.mount.file_name() else { continue };
        match mkdirat(&target, name, Mode::from_raw_mode(0o755)) {
            // Two hierarchies of one name: the first is as good.
            Err(Errno::EXIST) => continue,
            made => made.doing(what)?,
        }
        let _ = mount_hierarchy(hierarchy, &format!("{}/{}", mount_point(&target), name.display()));
    }
    Ok(())
}

fn mount_hierarchy(hierarchy: &cgroup::Hierarchy, target: &str) -> rustix::io::Result<()> {
    let options = std::ffi::CString::new(hierarchy.options.as_str()).map_err(|_| Errno::INVAL)?;
    match hierarchy.version {
        cgroup::Version::V2 => mount("cgroup2", target, "cgroup2", PLAIN, None),
        cgroup::Version::V1 => mount("cgroup", target, "cgroup", PLAIN, Some(options.as_c_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(volumes: &[Volume]) -> Vec<String> {
        plan(volumes)
            .into_iter()
            .map(|planned| match planned {
                Planned::Standard(standard) => format!("{} {}", standard.kind, standard.target),
                Planned::Volume(volume) => volume.target.display().to_string(),
            })
            .collect()
    }

    #[test]
    fn a_bound_dev_is_taken_as_it_is() {
        let planned = targets(&[Volume::bind("/dev/console", "/dev/console"), Volume::bind("/dev", "/dev/.")]);
        assert_eq!(planned, ["proc /proc", "sysfs /sys", "/dev/.", "/dev/console", "cgroup /sys/fs/cgroup"]);
    }

    #[test]
    fn volumes_nearer_to_the_root_come_first() {
        let planned = targets(&[Volume::bind("/x", "/a/b/c"), Volume::bind("/y", "/a"), Volume::bind("/z", "/a/b")]);
        let own: Vec<_> = planned.iter().filter(|target| target.starts_with("/a")).collect();
        assert_eq!(own, ["/a", "/a/b", "/a/b/c"]);
    }

    #[test]
    fn a_volume_below_dev_leaves_the_standard_dev() {
        let below = [Volume::bind("/dev/sda", "/dev/sda")];
        assert!(targets(&below).contains(&"tmpfs /dev".to_owned()) && has_own_dev(&below));
        assert!(!has_own_dev(&[Volume::bind("/dev", "/x/../dev/")]));
    }
}
