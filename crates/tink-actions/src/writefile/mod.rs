//! `writefile`: writes a file into a file system; `checkfile`: checks that it is there.
//!
//! Variables (those of Tinkerbell's action `writefile`, with the same meaning):
//!
//! | variable | meaning |
//! |---|---|
//! | `DEST_DISK` | block device with the file system, or a plain file that holds one; required |
//! | `FS_TYPE` | its type; found out where it is left out |
//! | `DEST_PATH` | absolute path of a file inside it; required |
//! | `CONTENTS` | what the file holds |
//! | `UID`, `GID` | its owner, as numbers; -1 leaves it as it is; required |
//! | `MODE` | its permissions in octal; required |
//! | `DIRMODE` | permissions in octal of directories that have to be made; required |
//!
//! The path is resolved inside the file system: a symbolic link in it that points out of it (`/etc` -> `/`) leads back to
//! the file system's root, as it would on the installed machine. The file is replaced whole and synced.

mod place;

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use tink_oci::Root;

use crate::environment::{mode, optional, required};
use crate::mounted::Mounted;
use crate::{ActionError, Environment};

use place::Place;

struct Config {
    disk: String,
    fs_type: String,
    path: PathBuf,
    contents: String,
    /// `None`: as it is.
    uid: Option<u32>,
    gid: Option<u32>,
    mode: u32,
    directory_mode: u32,
}

impl Config {
    fn from(env: &dyn Environment) -> Result<Self, ActionError> {
        let path = required(env, "DEST_PATH", "which file is written, as an absolute path")?;
        let allowed = "an absolute path that ends in the name of a file";
        Ok(Self {
            path: cleaned(&path).ok_or(ActionError::Invalid { name: "DEST_PATH", found: path, allowed })?,
            disk: required(env, "DEST_DISK", "which block device holds the file system")?,
            fs_type: optional(env, "FS_TYPE").unwrap_or_default(),
            contents: env.get("CONTENTS").unwrap_or_default(),
            uid: id(env, "UID", "the owner's user id")?,
            gid: id(env, "GID", "the owner's group id")?,
            mode: mode(env, "MODE", "the permissions of the file in octal")?,
            directory_mode: mode(env, "DIRMODE", "the permissions in octal of directories that have to be made")?,
        })
    }
}

/// The path without `.` and `..`. compat: they are resolved in the text, whatever links there are.
fn cleaned(path: &str) -> Option<PathBuf> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if !path.starts_with('/') || matches!(name, "" | "." | "..") {
        return None;
    }
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir => drop(clean.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    Some(clean)
}

fn id(env: &dyn Environment, name: &'static str, meaning: &'static str) -> Result<Option<u32>, ActionError> {
    let found = required(env, name, meaning)?;
    match found.parse::<i64>() {
        // What chown calls "leave it", in both spellings.
        Ok(-1 | 0xFFFF_FFFF) => Ok(None),
        Ok(id) if u32::try_from(id).is_ok() => Ok(u32::try_from(id).ok()),
        _ => Err(ActionError::Invalid { name, found, allowed: "a number from 0 to 4294967294, or -1" }),
    }
}

/// Runs `writefile`.
pub fn run(env: &dyn Environment, out: &mut dyn Write) -> Result<(), ActionError> {
    let config = Config::from(env)?;
    let mounted = Mounted::mount(&config.disk, &config.fs_type)?;
    write(mounted.path(), &config)?;
    mounted.unmount()?;
    let (bytes, path) = (config.contents.len(), config.path.display());
    writeln!(out, "{bytes} bytes written to {path} on {}", config.disk).map_err(ActionError::Output)
}

/// Runs `checkfile`.
pub fn check(env: &dyn Environment, out: &mut dyn Write) -> Result<(), ActionError> {
    let config = Config::from(env)?;
    let mounted = Mounted::mount(&config.disk, &config.fs_type)?;
    compare(mounted.path(), &config)?;
    mounted.unmount()?;
    writeln!(out, "{} on {} is as wanted", config.path.display(), config.disk).map_err(ActionError::Output)
}

fn write(root: &Path, config: &Config) -> Result<(), ActionError> {
    let root = Root::open(root).map_err(ActionError::io("open the root of", config.path.display()))?;
    let place = Place::find(&root, config)?;
    // The same name every time: what a killed action left behind is used up by the next one.
    let temporary = format!(".tink-writefile-{}", std::process::id());
    let result = put(&place, &temporary, config);
    if result.is_err() {
        // The first failure is the one to tell.
        let _ = rustix::fs::unlinkat(&place.directory, temporary.as_str(), AtFlags::empty());
    }
    result
}

/// Writes the file under another name, and puts it in its place once it is whole.
fn put(place: &Place, temporary: &str, config: &Config) -> Result<(), ActionError> {
    let io = |doing| ActionError::io(doing, config.path.display());
    let directory = &place.directory;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file: File = rustix::fs::openat(directory, temporary, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| io("create")(error.into()))?
        .into();
    file.write_all(config.contents.as_bytes()).map_err(io("write"))?;
    let (uid, gid) = (config.uid.or(place.owner.map(|(uid, _)| uid)), config.gid.or(place.owner.map(|(_, gid)| gid)));
    // Owner first: changing it clears set-id bits.
    rustix::fs::fchown(&file, uid.map(Uid::from_raw), gid.map(Gid::from_raw))
        .map_err(|error| io("set the owner of")(error.into()))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(config.mode))
        .map_err(|error| io("set the permissions of")(error.into()))?;
    file.sync_all().map_err(io("sync"))?;
    rustix::fs::renameat(directory, temporary, directory, &place.name)
        .map_err(|error| io("put in place")(error.into()))?;
    rustix::fs::fsync(directory).map_err(|error| io("sync the directory of")(error.into()))
}

fn compare(root: &Path, config: &Config) -> Result<(), ActionError> {
    use std::os::unix::fs::MetadataExt as _;
    let io = |doing| ActionError::io(doing, config.path.display());
    let differs = |reason: String| ActionError::Differs { path: config.path.display().to_string(), reason };
    let root = Root::open(root).map_err(io("open the root of"))?;
    let file = root.open_file(&config.path).map_err(io("open"))?;
    let found = file.metadata().map_err(io("look at"))?;
    let wanted = config.contents.as_bytes();
    let mut contents = Vec::new();
    // Never more than what is wanted and a byte, however large the file is.
    file.take(wanted.len() as u64 + 1).read_to_end(&mut contents).map_err(io("read"))?;
    if contents != wanted {
        return Err(differs(format!("it holds {} bytes that are not the {} wanted", found.len(), wanted.len())));
    }
    for (what, found, wanted) in [("user", found.uid(), config.uid), ("group", found.gid(), config.gid)] {
        if wanted.is_some_and(|wanted| wanted != found) {
            return Err(differs(format!("it belongs to the {what} {found}, not {}", wanted.unwrap_or_default())));
        }
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

    fn path_of(path: &str) -> Config {
        Config::from(&env(&[("DEST_PATH", path)])).unwrap()
    }

    #[test]
    fn directories_behind_links_are_entered() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/lib")).unwrap();
        for (link, target) in [("lib", "usr/lib"), ("lib64", "/usr/lib"), ("lib32", "../../usr/./lib")] {
            std::os::unix::fs::symlink(target, root.path().join(link)).unwrap();
            let config = path_of(&format!("/{link}/systemd/{link}.conf"));
            write(root.path(), &config).unwrap();
            compare(root.path(), &config).unwrap();
            assert!(root.path().join("usr/lib/systemd").join(format!("{link}.conf")).is_file());
        }
    }

    #[test]
    fn a_link_to_a_file_is_followed_and_one_to_nothing_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/real")).unwrap();
        fs::write(root.path().join("etc/real/file"), "old").unwrap();
        for (link, target) in [("first", "second"), ("second", "/etc/real/file"), ("dangling", "/run/nothing")] {
            std::os::unix::fs::symlink(target, root.path().join("etc").join(link)).unwrap();
        }
        write(root.path(), &path_of("/etc/first")).unwrap();
        assert!(root.path().join("etc/first").is_symlink() && root.path().join("etc/second").is_symlink());
        compare(root.path(), &path_of("/etc/real/file")).unwrap();
        write(root.path(), &path_of("/etc/dangling")).unwrap();
        assert!(!root.path().join("etc/dangling").is_symlink());
        compare(root.path(), &path_of("/etc/dangling")).unwrap();
    }

    #[test]
    fn what_fails_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/directory")).unwrap();
        let error = write(root.path(), &path_of("/etc/directory")).unwrap_err();
        assert!(error.to_string().contains("directory"), "{error}");
        let too_long = format!("/etc/{}", "x".repeat(300));
        write(root.path(), &path_of(&too_long)).unwrap_err();
        assert_eq!(fs::read_dir(root.path().join("etc")).unwrap().count(), 1, "a temporary file stayed");
    }

    #[test]
    fn an_owner_of_minus_one_stays() {
        use std::os::unix::fs::MetadataExt as _;
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "old").unwrap();
        std::os::unix::fs::chown(root.path().join("file"), Some(7), Some(8)).unwrap();
        let config = Config::from(&env(&[("DEST_PATH", "/file"), ("UID", "-1"), ("GID", "9")])).unwrap();
        write(root.path(), &config).unwrap();
        compare(root.path(), &config).unwrap();
        let found = fs::metadata(root.path().join("file")).unwrap();
        assert_eq!((found.uid(), found.gid()), (7, 9));
        let config = Config::from(&env(&[("DEST_PATH", "/new/file"), ("UID", "-1"), ("GID", "4294967295")])).unwrap();
        write(root.path(), &config).unwrap();
        assert_eq!(fs::metadata(root.path().join("new/file")).unwrap().uid(), rustix::process::getuid().as_raw());
    }

    #[test]
    fn paths_and_modes_of_the_original_are_taken() {
        for (path, wanted) in [("/etc/../srv/./a//b", "/srv/a/b"), ("/../../a", "/a"), ("/a", "/a")] {
            assert_eq!(path_of(path).path, Path::new(wanted));
        }
        assert_eq!(Config::from(&env(&[("MODE", "0100644")])).unwrap().mode, 0o644);
    }

    /// The disk of examples/provision-a-disk: 8 MiB of ext4 with nothing in it.
    fn ext4() -> tempfile::NamedTempFile {
        let packed = include_bytes!("../../../../examples/provision-a-disk/disk.img.gz");
        let mut disk = tempfile::NamedTempFile::new().unwrap();
        std::io::copy(&mut flate2::read::GzDecoder::new(&packed[..]), &mut disk).unwrap();
        disk
    }

    #[test]
    fn a_file_is_written_onto_a_block_device() {
        let disk = ext4();
        let device = tink_oci::LoopDevice::attach(disk.path()).unwrap();
        let env = env(&[("DEST_DISK", device.path().to_str().unwrap())]);
        for _ in 0..2 {
            run(&env, &mut Vec::new()).unwrap();
            check(&env, &mut Vec::new()).unwrap();
        }
    }

    #[test]
    fn a_full_disk_keeps_nothing_of_a_file_that_did_not_fit() {
        let disk = ext4();
        let device = tink_oci::LoopDevice::attach(disk.path()).unwrap();
        let (device, contents) = (device.path().to_str().unwrap(), "x".repeat(9 << 20));
        let large = env(&[("DEST_DISK", device), ("DEST_PATH", "/file"), ("CONTENTS", &contents)]);
        let error = run(&large, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
        let mounted = Mounted::mount(device, "ext4").unwrap();
        let names: Vec<_> = fs::read_dir(mounted.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["lost+found"]);
    }

    #[test]
    fn a_disk_without_a_file_system_says_what_was_tried() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(8 << 20).unwrap();
        let device = tink_oci::LoopDevice::attach(disk.path()).unwrap();
        let error = run(&env(&[("DEST_DISK", device.path().to_str().unwrap())]), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("as ext4: ") && error.to_string().contains("as vfat: "), "{error}");
    }

    #[test]
    fn wrong_variables_are_named() {
        for (name, value) in [
            ("DEST_PATH", "relative"),
            ("DEST_PATH", "/"),
            ("DEST_PATH", "/etc/netplan/"),
            ("DEST_PATH", "/etc/.."),
            ("UID", "root"),
            ("UID", "-2"),
            ("GID", ""),
            ("GID", "4294967296"),
            ("MODE", "0999"),
            ("MODE", ""),
        ] {
            let error = Config::from(&env(&[(name, value)])).err().unwrap();
            assert!(error.is_usage() && error.to_string().contains(name), "{name}={value}: {error}");
        }
    }
}
