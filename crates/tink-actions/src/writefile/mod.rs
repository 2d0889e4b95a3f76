//! `writefile`: writes a file into a file system; `checkfile`: checks that it is there.
//!
//! Variables (those of Tinkerbell's action `writefile`, with the same meaning):
//!
//! | variable | meaning |
//! |---|---|
//! | `DEST_DISK` | block device with the file system, or a plain file that holds one; required |
//! | `FS_TYPE` | its type; found out where it is left out |
//! | `DEST_PATH` | absolute path inside it; required |
//! | `CONTENTS` | what the file holds |
//! | `UID`, `GID` | its owner, as numbers; required |
//! | `MODE` | its permissions in octal; required |
//! | `DIRMODE` | permissions in octal of directories that have to be made; required |
//!
//! The path is resolved inside the file system: a symbolic link in it that points out of it (`/etc` -> `/`) leads back to
//! the file system's root, as it would on the installed machine. The file is replaced whole and synced.

use std::fs::File;
use std::io::{Read as _, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};

use crate::environment::{mode, optional, required};
use crate::mounted::Mounted;
use crate::{ActionError, Environment};

struct Config {
    disk: String,
    fs_type: String,
    path: String,
    contents: String,
    uid: u32,
    gid: u32,
    mode: u32,
    directory_mode: u32,
}

impl Config {
    fn from(env: &dyn Environment) -> Result<Self, ActionError> {
        let path = required(env, "DEST_PATH", "which file is written, as an absolute path")?;
        if !path.starts_with('/') || Path::new(&path).file_name().is_none() || path.contains("/../") {
            let allowed = "an absolute path of a file, without ..";
            return Err(ActionError::Invalid { name: "DEST_PATH", found: path, allowed });
        }
        required(env, "MODE", "the permissions of the file in octal")?;
        required(env, "DIRMODE", "the permissions in octal of directories that have to be made")?;
        Ok(Self {
            disk: required(env, "DEST_DISK", "which block device holds the file system")?,
            fs_type: optional(env, "FS_TYPE").unwrap_or_default(),
            path,
            contents: env.get("CONTENTS").unwrap_or_default(),
            uid: id(env, "UID", "the owner's user id")?,
            gid: id(env, "GID", "the owner's group id")?,
            mode: mode(env, "MODE", 0o644)?,
            directory_mode: mode(env, "DIRMODE", 0o755)?,
        })
    }
}

fn id(env: &dyn Environment, name: &'static str, meaning: &'static str) -> Result<u32, ActionError> {
    let found = required(env, name, meaning)?;
    // u32::MAX means "leave it" to chown.
    match found.parse() {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(ActionError::Invalid { name, found, allowed: "a number from 0 to 4294967294" }),
    }
}

/// Runs `writefile`.
pub fn run(env: &dyn Environment, out: &mut dyn Write) -> Result<(), ActionError> {
    let config = Config::from(env)?;
    let mounted = Mounted::mount(&config.disk, &config.fs_type)?;
    write(mounted.path(), &config)?;
    mounted.unmount()?;
    let bytes = config.contents.len();
    writeln!(out, "{bytes} bytes written to {} on {}", config.path, config.disk).map_err(ActionError::Output)
}

/// Runs `checkfile`.
pub fn check(env: &dyn Environment, out: &mut dyn Write) -> Result<(), ActionError> {
    let config = Config::from(env)?;
    let mounted = Mounted::mount(&config.disk, &config.fs_type)?;
    compare(mounted.path(), &config)?;
    mounted.unmount()?;
    writeln!(out, "{} on {} is as wanted", config.path, config.disk).map_err(ActionError::Output)
}

fn write(root: &Path, config: &Config) -> Result<(), ActionError> {
    let io = |doing| ActionError::io(doing, &config.path);
    let relative = config.path.trim_start_matches('/');
    let (parent, name) = relative.rsplit_once('/').unwrap_or((".", relative));
    let root = File::open(root).map_err(io("open the root of"))?;
    let directory = make_directories(&root, Path::new(parent), config)?;
    let temporary = format!(".{name}.tink-{}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file: File = rustix::fs::openat(&directory, temporary.as_str(), flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| io("create")(error.into()))?
        .into();
    file.write_all(config.contents.as_bytes()).map_err(io("write"))?;
    // Owner first: changing it clears set-id bits.
    rustix::fs::fchown(&file, Some(Uid::from_raw(config.uid)), Some(Gid::from_raw(config.gid)))
        .map_err(|error| io("set the owner of")(error.into()))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(config.mode))
        .map_err(|error| io("set the permissions of")(error.into()))?;
    file.sync_all().map_err(io("sync"))?;
    rustix::fs::renameat(&directory, temporary.as_str(), &directory, name)
        .map_err(|error| io("put in place")(error.into()))?;
    rustix::fs::fsync(&directory).map_err(|error| io("sync the directory of")(error.into()))
}

/// Opens the directory `path` inside `root`, making what is missing of it.
fn make_directories(root: &File, path: &Path, config: &Config) -> Result<OwnedFd, ActionError> {
    let io = |doing| ActionError::io(doing, &config.path);
    let mut so_far = std::path::PathBuf::from(".");
    let mut directory = open_inside(root, &so_far).map_err(|error| io("open the root of")(error.into()))?;
    for component in path.components().filter(|component| matches!(component, Component::Normal(_))) {
        so_far.push(component);
        directory = match open_inside(root, &so_far) {
            Err(rustix::io::Errno::NOENT) => {
                let name = component.as_os_str();
                rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(config.directory_mode))
                    .map_err(|error| io("make a directory of")(error.into()))?;
                let made = open_inside(root, &so_far).map_err(|error| io("open a directory of")(error.into()))?;
                rustix::fs::fchown(&made, Some(Uid::from_raw(config.uid)), Some(Gid::from_raw(config.gid)))
                    .and_then(|()| rustix::fs::fchmod(&made, Mode::from_raw_mode(config.directory_mode)))
                    .map_err(|error| io("set owner and permissions of a directory of")(error.into()))?;
                made
            }
            opened => opened.map_err(|error| io("open a directory of")(error.into()))?,
        };
    }
    Ok(directory)
}

fn open_inside(root: &File, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        // Before Linux 5.6: no link may be followed then, which is stricter.
        Err(rustix::io::Errno::NOSYS) => open_without_links(root, path, flags),
        opened => opened,
    }
}

fn open_without_links(root: &File, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut directory = rustix::fs::openat(root, ".", flags, Mode::empty())?;
    for component in path.components().filter(|component| matches!(component, Component::Normal(_))) {
        directory = rustix::fs::openat(&directory, component.as_os_str(), flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(directory)
}

fn compare(root: &Path, config: &Config) -> Result<(), ActionError> {
    use std::os::unix::fs::MetadataExt as _;
    let differs = |reason: String| ActionError::Differs { path: config.path.clone(), reason };
    let root = File::open(root).map_err(ActionError::io("open the root of", &config.path))?;
    let relative = Path::new(config.path.trim_start_matches('/'));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut file: File = rustix::fs::openat2(&root, relative, flags, Mode::empty(), ResolveFlags::IN_ROOT)
        .map_err(|error| ActionError::io("open", &config.path)(error.into()))?
        .into();
    let found = file.metadata().map_err(ActionError::io("look at", &config.path))?;
    let mut contents = String::new();
    file.read_to_string(&mut contents).map_err(ActionError::io("read", &config.path))?;
    if contents != config.contents {
        return Err(differs(format!(
            "it holds {} bytes that are not the {} wanted",
            contents.len(),
            config.contents.len()
        )));
    }
    if (found.uid(), found.gid()) != (config.uid, config.gid) {
        return Err(differs(format!(
            "it belongs to {}:{}, not {}:{}",
            found.uid(),
            found.gid(),
            config.uid,
            config.gid
        )));
    }
    if found.mode() & 0o7777 != config.mode {
        return Err(differs(format!("its permissions are {:o}, not {:o}", found.mode() & 0o7777, config.mode)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn env(changes: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
        let mut all: std::collections::BTreeMap<String, String> = [
            ("DEST_DISK", "/dev/null"),
            ("DEST_PATH", "/etc/netplan/config.yaml"),
            ("CONTENTS", "network:\n  version: 2\n"),
            ("UID", "0"),
            ("GID", "0"),
            ("MODE", "0640"),
            ("DIRMODE", "0751"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        for (key, value) in changes {
            all.insert((*key).to_owned(), (*value).to_owned());
        }
        move |name| all.get(name).cloned()
    }

    #[test]
    fn a_file_is_written_with_its_directories_and_found_as_wanted() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let config = Config::from(&env(&[])).unwrap();
        write(root.path(), &config).unwrap();
        compare(root.path(), &config).unwrap();
        let made = fs::metadata(root.path().join("etc/netplan")).unwrap();
        assert_eq!(made.permissions().mode() & 0o7777, 0o751);
        let other = Config::from(&env(&[("CONTENTS", "other"), ("MODE", "0600")])).unwrap();
        assert!(compare(root.path(), &other).is_err());
        write(root.path(), &other).unwrap();
        compare(root.path(), &other).unwrap();
        assert_eq!(fs::read_dir(root.path().join("etc/netplan")).unwrap().count(), 1, "a temporary file stayed");
    }

    #[test]
    fn a_link_out_of_the_file_system_leads_back_into_it() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("etc")).unwrap();
        let config = Config::from(&env(&[("DEST_PATH", "/etc/file")])).unwrap();
        let result = write(root.path(), &config);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "written outside: {result:?}");
    }

    #[test]
    fn wrong_variables_are_named() {
        for (name, value) in [
            ("DEST_PATH", "relative"),
            ("DEST_PATH", "/"),
            ("UID", "root"),
            ("GID", ""),
            ("MODE", "0999"),
            ("MODE", ""),
        ] {
            let error = Config::from(&env(&[(name, value)])).err().unwrap();
            assert!(error.is_usage() && error.to_string().contains(name), "{name}={value}: {error}");
        }
    }
}
