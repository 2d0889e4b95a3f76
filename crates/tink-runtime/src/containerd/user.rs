//! Whom the program runs as, by the image's own user files, read from the directories of its layers.
//!
//! Nothing is mounted for it: a worker that dies at the wrong moment would leave the mount behind.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use tink_containerd::types::Mount;

/// Far more than a real file has; an image must not make us read without end.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// As many as the kernel follows.
const LINKS_MAX: u32 = 40;

/// A user as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
}

impl User {
    /// Looks up `user[:group]`, names or numbers; root if nothing is said.
    pub(super) fn resolve(mounts: &[Mount], text: &str) -> Result<Self, String> {
        let layers = layers(mounts);
        let text = if text.is_empty() { "0" } else { text };
        let (passwd, group) = (read(&layers, "/etc/passwd")?, read(&layers, "/etc/group")?);
        lookup(text, &passwd, &group)
    }
}

/// The directories that make up the root, the uppermost first.
fn layers(mounts: &[Mount]) -> Vec<PathBuf> {
    let Some(mount) = mounts.first() else { return Vec::new() };
    if mount.r#type != "overlay" {
        return vec![PathBuf::from(&mount.source)];
    }
    let lower = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir="));
    lower.unwrap_or_default().split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
}

/// A file of the image; empty where it has none.
fn read(layers: &[PathBuf], path: &str) -> Result<String, String> {
    let mut path = PathBuf::from(path);
    for _ in 0..LINKS_MAX {
        match find(layers, &path) {
            Found::Nothing => return Ok(String::new()),
            Found::Link(target) => path = target,
            Found::File(file) => {
                let mut text = Vec::new();
                let opened = fs::File::open(&file).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut text));
                opened.map_err(|error| format!("failed to read {} in the image: {error}", path.display()))?;
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
        }
    }
    Err(format!("{} in the image is a link that leads round", path.display()))
}

enum Found {
    Nothing,
    File(PathBuf),
    /// Where the path leads from here, inside the image.
    Link(PathBuf),
}

fn find(layers: &[PathBuf], path: &Path) -> Found {
    let parts: Vec<_> = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    'layers: for layer in layers {
        let mut place = layer.clone();
        let mut opaque = false;
        for (at, part) in parts.iter().enumerate() {
            opaque |= at > 0 && is_opaque(&place);
            place.push(part);
            let Ok(metadata) = fs::symlink_metadata(&place) else {
                if opaque {
                    return Found::Nothing;
                }
                continue 'layers;
            };
            let kind = metadata.file_type();
            if kind.is_symlink() {
                let Ok(target) = fs::read_link(&place) else { return Found::Nothing };
                return Found::Link(followed(&parts[..at], &target, &parts[at + 1..]));
            }
            let last = at + 1 == parts.len();
            if last && kind.is_file() {
                return Found::File(place);
            }
            // A whiteout, or something else than it should be: nothing below shows through.
            if (kind.is_char_device() && metadata.rdev() == 0) || last || !kind.is_dir() {
                return Found::Nothing;
            }
        }
    }
    Found::Nothing
}

/// Whether a directory hides those of the same name in the layers below.
fn is_opaque(dir: &Path) -> bool {
    let mut value = [0_u8; 1];
    matches!(rustix::fs::getxattr(dir, "trusted.overlay.opaque", &mut value), Ok(1)) && value == *b"y"
}

/// The path after a link at `before`, inside of the image whatever the link says.
fn followed(before: &[Component<'_>], target: &Path, after: &[Component<'_>]) -> PathBuf {
    let start: &[Component<'_>] = if target.is_absolute() { &[] } else { before };
    within_root(start.iter().copied().chain(target.components()).chain(after.iter().copied()))
}

/// The absolute path of these parts; what leads above the root stays in it.
pub(super) fn within_root<'a>(parts: impl Iterator<Item = Component<'a>>) -> PathBuf {
    let mut path = PathBuf::from("/");
    for part in parts {
        match part {
            Component::Normal(word) => path.push(word),
            Component::ParentDir => {
                path.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    path
}

fn lookup(text: &str, passwd: &str, group: &str) -> Result<User, String> {
    let (name, group_name) = text.split_once(':').unwrap_or((text, ""));
    let name = if name.is_empty() { "0" } else { name };
    // By name first: an all-digit name is legal, if unwise.
    let entry = fields(passwd).find(|entry| entry.first() == Some(&name));
    let entry = entry.or_else(|| {
        let uid: u32 = name.parse().ok()?;
        fields(passwd).find(|entry| number(entry, 2) == Some(uid))
    });
    let uid = entry.as_ref().and_then(|entry| number(entry, 2)).or_else(|| name.parse().ok());
    let uid = uid.ok_or_else(|| format!("the image's user {name:?} is not in its /etc/passwd"))?;
    let login = entry.as_ref().and_then(|entry| entry.first().copied());
    if group_name.is_empty() {
        let gid = entry.as_ref().and_then(|entry| number(entry, 3)).unwrap_or(0);
        let is_member = |entry: &Vec<&str>| {
            login.is_some_and(|login| entry.get(3).is_some_and(|members| members.split(',').any(|one| one == login)))
        };
        let groups = fields(group).filter(is_member).filter_map(|entry| number(&entry, 2)).collect();
        return Ok(User { uid, gid, groups });
    }
    let found = fields(group).find(|entry| entry.first() == Some(&group_name)).and_then(|entry| number(&entry, 2));
    let gid = found.or_else(|| group_name.parse().ok());
    let gid = gid.ok_or_else(|| format!("the image's group {group_name:?} is not in its /etc/group"))?;
    Ok(User { uid, gid, groups: Vec::new() })
}

fn fields(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.trim().split(':').collect())
}

fn number(entry: &[&str], at: usize) -> Option<u32> {
    entry.get(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/false\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nssl:x:90:ops,web\nadm:x:4:web\n";

    fn user(uid: u32, gid: u32, groups: &[u32]) -> User {
        User { uid, gid, groups: groups.to_vec() }
    }

    #[test]
    fn names_and_numbers_are_looked_up() {
        assert_eq!(lookup("0", PASSWD, GROUP), Ok(user(0, 0, &[])));
        assert_eq!(lookup("web", PASSWD, GROUP), Ok(user(33, 34, &[90, 4])));
        assert_eq!(lookup("web:ssl", PASSWD, GROUP), Ok(user(33, 90, &[])));
        assert_eq!(lookup("1000:1001", PASSWD, GROUP), Ok(user(1000, 1001, &[])));
        assert!(lookup("nobody", PASSWD, GROUP).unwrap_err().contains("nobody"));
        assert!(lookup("web:nogroup", PASSWD, GROUP).unwrap_err().contains("nogroup"));
    }

    #[test]
    fn upper_layers_hide_lower_ones_and_links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let layer = |name: &str| dir.path().join(name);
        for (name, file, text) in [("upper", "usr/etc/passwd", "new:x:5:5::/:/\n"), ("lower", "etc/passwd", PASSWD)] {
            let path = layer(name).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let layers = [layer("upper"), layer("lower")];
        assert_eq!(read(&layers, "/etc/passwd").unwrap(), PASSWD);
        std::os::unix::fs::symlink("../../usr/etc", layer("upper").join("etc")).unwrap();
        assert_eq!(read(&layers, "/etc/passwd").unwrap(), "new:x:5:5::/:/\n");
        assert_eq!(read(&layers, "/etc/group").unwrap(), "");
        fs::remove_file(layer("upper").join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc", layer("upper").join("etc")).unwrap();
        assert!(read(&layers, "/etc/passwd").unwrap_err().contains("leads round"));
    }

    #[test]
    fn the_layers_are_those_of_the_mount() {
        let options = vec!["workdir=/w".to_owned(), "upperdir=/u".to_owned(), "lowerdir=/b:/a".to_owned()];
        let overlay = Mount { r#type: "overlay".into(), source: "overlay".into(), options, ..Mount::default() };
        assert_eq!(layers(&[overlay]), [PathBuf::from("/b"), PathBuf::from("/a")]);
        let bind = Mount { r#type: "bind".into(), source: "/root".into(), ..Mount::default() };
        assert_eq!(layers(&[bind]), [PathBuf::from("/root")]);
    }
}
