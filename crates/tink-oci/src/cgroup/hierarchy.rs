//! Which cgroup hierarchies this machine has mounted.

use std::path::{Path, PathBuf};

use crate::mountinfo::{Mount, MountTable};

/// Which interface a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// A mounted hierarchy.
#[derive(Clone, Debug)]
pub(crate) struct Hierarchy {
    /// Where.
    pub(crate) mount: PathBuf,
    pub(crate) version: Version,
    /// Mount options that select it in v1: controllers, or a name.
    pub(crate) options: String,
    /// The calling process's own cgroup in it.
    own: String,
}

/// The hierarchies mounted here, each once, that of version 2 first.
pub(crate) fn discover() -> std::io::Result<Vec<Hierarchy>> {
    Ok(Hierarchies::find()?.found)
}

/// What [`discover`] finds, found before it is needed.
pub(crate) struct Hierarchies {
    found: Vec<Hierarchy>,
    /// What the kernel said of the calling process's cgroups; nothing where it has none.
    own: Option<String>,
    mounts: MountTable,
}

impl Hierarchies {
    pub(crate) fn find() -> std::io::Result<Self> {
        let own = own_cgroups()?;
        // In this order: what is mounted from now on is noticed.
        let mounts = MountTable::open()?;
        let found = match &own {
            Some(own) => select(&mounts.read()?, own),
            None => Vec::new(),
        };
        Ok(Self { found, own, mounts })
    }

    /// As they are now.
    pub(crate) fn now(self) -> std::io::Result<Vec<Hierarchy>> {
        if self.mounts.has_changed() || own_cgroups()? != self.own { discover() } else { Ok(self.found) }
    }
}

fn own_cgroups() -> std::io::Result<Option<String>> {
    match std::fs::read_to_string("/proc/self/cgroup") {
        Ok(own) => Ok(Some(own)),
        // A kernel without cgroups.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn select(mounts: &[Mount], own: &str) -> Vec<Hierarchy> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for mount in mounts {
        let version = match mount.kind.as_str() {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => continue,
        };
        if seen.contains(&&mount.device) {
            continue;
        }
        seen.push(&mount.device);
        let options = selecting_options(&mount.options);
        let own = own_cgroup(own, version, &options).unwrap_or_else(|| "/".to_owned());
        found.push(Hierarchy { mount: mount.point.clone(), version, options, own });
    }
    found.sort_by_key(|hierarchy| hierarchy.version == Version::V1);
    found
}

/// The options of a v1 mount without those that any file system has.
fn selecting_options(options: &str) -> String {
    let general = ["rw", "ro", "xattr", "nsdelegate", "memory_recursiveprot", "memory_localevents", "clone_children"];
    let chosen: Vec<&str> =
        options.split(',').filter(|option| !general.contains(option) && !option.starts_with("release_agent")).collect();
    chosen.join(",")
}

/// Our own line of `/proc/self/cgroup`: `number:controllers:path`, the controllers empty in v2.
fn own_cgroup(own: &str, version: Version, options: &str) -> Option<String> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (controllers, path) = (parts.nth(1)?, parts.next()?);
        let is_it = match version {
            Version::V2 => controllers.is_empty(),
            Version::V1 => {
                !controllers.is_empty() && controllers.split(',').all(|one| options.split(',').any(|o| o == one))
            }
        };
        is_it.then(|| path.to_owned())
    })
}

impl Hierarchy {
    /// Whether a service manager keeps its services apart in this one.
    pub(crate) fn is_managed(&self) -> bool {
        self.version == Version::V2 || self.options.split(',').any(|option| option.starts_with("name="))
    }

    /// Whether the calling process is in the root cgroup already.
    pub(crate) fn is_own_at_root(&self) -> bool {
        self.own == "/"
    }

    /// A new cpuset has no processors and no memory, and takes no process, until it is given its parent's.
    pub(crate) fn inherit_cpuset(&self, path: &Path) -> std::io::Result<()> {
        if self.version == Version::V2 || !self.options.split(',').any(|option| option == "cpuset") {
            return Ok(());
        }
        for name in ["cpuset.cpus", "cpuset.mems"] {
            let current = std::fs::read_to_string(path.join(name))?;
            if current.trim().is_empty()
                && let Some(parent) = path.parent().filter(|_| path != self.mount)
            {
                // Somebody else's start may have just made it.
                self.inherit_cpuset(parent)?;
                super::write(&path.join(name), std::fs::read_to_string(parent.join(name))?.trim())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(device: &str, point: &str, kind: &str, options: &str) -> Mount {
        Mount {
            device: device.into(),
            point: point.into(),
            kind: kind.into(),
            source: kind.into(),
            options: options.into(),
        }
    }

    #[test]
    fn a_hybrid_machine_has_its_v1_hierarchies_and_the_unified_one() {
        let mounts = [
            mount("0:21", "/proc", "proc", "rw"),
            mount("0:28", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
            mount("0:29", "/sys/fs/cgroup/systemd", "cgroup", "rw,xattr,release_agent=/x,name=systemd"),
            mount("0:38", "/sys/fs/cgroup/unified", "cgroup2", "rw,nsdelegate"),
            mount("0:38", "/elsewhere", "cgroup2", "rw,nsdelegate"),
        ];
        let own = "3:cpuacct,cpu:/a\n2:name=systemd:/tink.service\n0::/tink.service\n";
        let found = select(&mounts, own);
        let seen: Vec<_> = found.iter().map(|h| (h.options.as_str(), h.own.as_str(), h.is_managed())).collect();
        assert_eq!(
            seen,
            [("", "/tink.service", true), ("cpu,cpuacct", "/a", false), ("name=systemd", "/tink.service", true)]
        );
    }

    #[test]
    fn one_hierarchy_with_all_controllers_is_one() {
        let found =
            select(&[mount("0:9", "/sys/fs/cgroup", "cgroup", "rw,cpuset,cpu,memory")], "1:cpuset,cpu,memory:/\n");
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert!(only.is_own_at_root() && !only.is_managed());
    }
}
