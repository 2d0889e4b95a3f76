//! What runc is told to make: what `docker run --privileged` makes, on the host's network.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tink_image::ProcessConfig;

use super::data_root::ETC_FILES;
use super::user::{User, within_root};
use crate::ContainerSpec;
use crate::wanted::Wanted;

/// What Docker gives an image that says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The parent of the containers' cgroups.
pub(super) const CGROUP_PARENT: &str = "/tinkerbell";

/// Below `/dev`: what is made anew for each container.
const NO_DEVICES_BELOW: [&str; 7] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-cgroup", ".udev"];
/// Devices of a machine, at most.
const DEVICES_MAX: usize = 10_000;

/// What is known of the machine and the container's directory.
pub(super) struct Place<'a> {
    pub(super) id: &'a str,
    /// The container's directory below the data root.
    pub(super) dir: &'a Path,
    pub(super) hostname: &'a str,
    pub(super) capabilities: &'a [String],
}

/// The OCI runtime specification of the container.
pub(super) fn oci_spec(
    spec: &ContainerSpec,
    wanted: &Wanted,
    image: &ProcessConfig,
    user: &User,
    place: &Place<'_>,
) -> Value {
    let capabilities = place.capabilities;
    // The first one is among them, as with Docker since CVE-2022-36109: files may deny a group what they grant to others.
    let others = user.groups.iter().copied().filter(|gid| *gid != user.gid);
    let groups: Vec<u32> = std::iter::once(user.gid).chain(others).collect();
    let mut namespaces = vec![json!({"type": "mount"}), json!({"type": "ipc"}), json!({"type": "uts"})];
    if !wanted.host_pid {
        namespaces.push(json!({"type": "pid"}));
    }
    if !wanted.host_network {
        namespaces.push(json!({"type": "network"}));
    }
    if on_cgroup_v2_alone() {
        namespaces.push(json!({"type": "cgroup"}));
    }
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": spec.tty,
            "user": {"uid": user.uid, "gid": user.gid, "additionalGids": groups},
            "args": wanted.args,
            "env": environment(image, spec, place.hostname),
            "cwd": wanted.cwd,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "oomScoreAdj": 0,
        },
        "root": {"path": "rootfs"},
        "hostname": place.hostname,
        "mounts": mounts(wanted, place),
        "linux": {
            "cgroupsPath": format!("{CGROUP_PARENT}/{}", place.id),
            "namespaces": namespaces,
            "resources": {"devices": [{"allow": true, "access": "rwm"}]},
            "devices": devices(),
        },
    })
}

/// Docker takes the container's own cgroup namespace where version 2 is alone, and so does this.
fn on_cgroup_v2_alone() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The last of a name wins, in the place of the first.
fn environment(image: &ProcessConfig, spec: &ContainerSpec, hostname: &str) -> Vec<String> {
    let mut all = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={hostname}")];
    if spec.tty {
        all.push("TERM=xterm".to_owned());
    }
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    for pair in image.env.iter().chain(&spec.environment) {
        match all.iter_mut().find(|earlier| name(earlier) == name(pair)) {
            Some(earlier) => earlier.clone_from(pair),
            None => all.push(pair.clone()),
        }
    }
    all
}

/// The standard ones that no volume takes the place of, then the container's own files, then the volumes, those nearer
/// to the root first.
fn mounts(wanted: &Wanted, place: &Place<'_>) -> Vec<Value> {
    let targets: Vec<PathBuf> = wanted.volumes.iter().map(|volume| within_root(volume.target.components())).collect();
    let taken = |target: &str| targets.iter().any(|volume| Path::new(target).starts_with(volume));
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    let plainly = ["nosuid", "noexec", "nodev"];
    let shm = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    let standard: [(&str, &str, &[&str]); 7] = [
        ("/proc", "proc", &plainly),
        ("/dev", "tmpfs", &dev),
        ("/dev/pts", "devpts", &pts),
        ("/sys", "sysfs", &plainly),
        ("/sys/fs/cgroup", "cgroup", &plainly),
        ("/dev/mqueue", "mqueue", &plainly),
        ("/dev/shm", "tmpfs", &shm),
    ];
    let mut mounts: Vec<Value> = standard
        .iter()
        .filter(|(target, ..)| !taken(target))
        .map(|(target, kind, options)| mount(target, kind, options))
        .collect();
    let bind = |source: &Path, target: &Path, options: &[&str]| json!({"destination": target, "type": "bind", "source": source, "options": options});
    let mut binds: Vec<(PathBuf, Value)> = Vec::new();
    for file in ETC_FILES {
        let target = Path::new("/etc").join(file);
        if !targets.contains(&target) {
            binds.push((target.clone(), bind(&place.dir.join(file), &target, &["rbind", "rprivate"])));
        }
    }
    for (at, (volume, target)) in wanted.volumes.iter().zip(&targets).enumerate() {
        let own = own_directory(place.dir, at);
        let source = volume.source.as_deref().unwrap_or(&own);
        let options =
            [if volume.recursive { "rbind" } else { "bind" }, if volume.read_only { "ro" } else { "rw" }, "rprivate"];
        binds.push((target.clone(), bind(source, target, &options)));
    }
    binds.sort_by_key(|(target, _)| target.components().count());
    mounts.extend(binds.into_iter().map(|(_, mount)| mount));
    mounts
}

/// The source of a volume that names none: a fresh directory.
fn own_directory(dir: &Path, at: usize) -> PathBuf {
    dir.join(format!("volume-{at}"))
}

/// Makes what volumes name and is not there: directories, as with Docker.
pub(super) fn make_sources(wanted: &Wanted, dir: &Path) -> Result<(), String> {
    for (at, volume) in wanted.volumes.iter().enumerate() {
        let source = volume.source.clone().unwrap_or_else(|| own_directory(dir, at));
        if !source.exists() {
            fs::create_dir_all(&source).map_err(|error| {
                format!("the volume's source {} is missing and cannot be made: {error}", source.display())
            })?;
        }
    }
    Ok(())
}

/// All devices of the machine. Where `/dev` itself is a volume, runc leaves it as it is.
fn devices() -> Vec<Value> {
    let mut devices = Vec::new();
    let mut open = vec![PathBuf::from("/dev")];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let kind = metadata.file_type();
            if kind.is_dir() {
                if !NO_DEVICES_BELOW.iter().any(|skipped| name == *skipped) {
                    open.push(path);
                }
            } else if (kind.is_char_device() || kind.is_block_device()) && name != "console" {
                let device = metadata.rdev();
                devices.push(json!({
                    "path": path,
                    "type": if kind.is_char_device() { "c" } else { "b" },
                    "major": rustix::fs::major(device),
                    "minor": rustix::fs::minor(device),
                    "fileMode": metadata.mode() & 0o7777,
                    "uid": metadata.uid(),
                    "gid": metadata.gid(),
                }));
            }
            if devices.len() >= DEVICES_MAX {
                return devices;
            }
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action() -> ContainerSpec {
        ContainerSpec {
            command: vec!["given".to_owned()],
            environment: vec!["A=action".to_owned(), "PATH=/own".to_owned()],
            volumes: ["/dev:/dev", "/x:/a/b/c:ro", "/y:/a", "/z:/a/b:bind", "/etc/hosts:/etc/hosts"]
                .map(str::to_owned)
                .to_vec(),
            ..crate::spec::action()
        }
    }

    fn spec_of(action: &ContainerSpec) -> Value {
        let image = ProcessConfig {
            entrypoint: vec!["/entry".to_owned()],
            cmd: vec!["default".to_owned()],
            env: vec!["A=image".to_owned()],
            working_dir: "srv".to_owned(),
            ..ProcessConfig::default()
        };
        let place =
            Place { id: "id", dir: Path::new("/data/id"), hostname: "box", capabilities: &["CAP_CHOWN".to_owned()] };
        let user = User { uid: 7, gid: 8, groups: vec![9] };
        oci_spec(action, &Wanted::read(action, &image, "containerd").unwrap(), &image, &user, &place)
    }

    fn targets(spec: &Value) -> Vec<&str> {
        spec["mounts"].as_array().unwrap().iter().map(|mount| mount["destination"].as_str().unwrap()).collect()
    }

    #[test]
    fn the_action_is_laid_over_the_image() {
        let spec = spec_of(&action());
        let process = &spec["process"];
        assert_eq!(process["args"], json!(["/entry", "given"]));
        assert_eq!(process["env"], json!(["PATH=/own", "HOSTNAME=box", "A=action"]));
        assert_eq!(process["cwd"], "/srv");
        assert_eq!(process["user"], json!({"uid": 7, "gid": 8, "additionalGids": [8, 9]}));
        assert_eq!(process["capabilities"]["effective"], json!(["CAP_CHOWN"]));
        assert_eq!(process["capabilities"].get("ambient"), None);
    }

    #[test]
    fn a_bound_dev_is_taken_as_it_is_and_volumes_nearer_to_the_root_come_first() {
        let spec = spec_of(&action());
        let expected = [
            "/proc",
            "/sys",
            "/sys/fs/cgroup",
            "/dev",
            "/a",
            "/etc/hostname",
            "/etc/resolv.conf",
            "/a/b",
            "/etc/hosts",
            "/a/b/c",
        ];
        assert_eq!(targets(&spec), expected);
        let options = |target: &str| {
            let mounts = spec["mounts"].as_array().unwrap();
            mounts.iter().find(|mount| mount["destination"] == target).unwrap()["options"].clone()
        };
        assert_eq!(options("/a/b/c"), json!(["rbind", "ro", "rprivate"]));
        assert_eq!(options("/a/b"), json!(["bind", "rw", "rprivate"]));
    }

    #[test]
    fn namespaces_are_the_hosts_where_it_is_said() {
        let kinds = |spec: &Value| -> Vec<String> {
            let all = spec["linux"]["namespaces"].as_array().unwrap();
            all.iter().map(|one| one["type"].as_str().unwrap().to_owned()).collect()
        };
        let plain = kinds(&spec_of(&action()));
        assert!(plain.contains(&"pid".to_owned()) && !plain.contains(&"network".to_owned()));
        let other = kinds(&spec_of(&ContainerSpec { pid: "host".into(), network: "none".into(), ..action() }));
        assert!(!other.contains(&"pid".to_owned()) && other.contains(&"network".to_owned()));
    }
}
