//! Whom the program runs as, by the image's own user files.

use std::path::Path;

use super::Root;
use crate::failure::{Doing, StartFailure};

/// Far more than a real file has; an image must not make us read without end.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A user as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// Home directory; `/` where the image does not say.
    pub(crate) home: String,
}

impl User {
    /// Looks up `user[:group]`, names or numbers; root if nothing is said.
    pub(crate) fn resolve(root: &Root, text: Option<&str>) -> Result<Self, StartFailure> {
        let passwd = read(root, "/etc/passwd")?;
        let group = read(root, "/etc/group")?;
        lookup(text.unwrap_or("0"), &passwd, &group).map_err(|missing| {
            let file = if missing.is_group { "/etc/group" } else { "/etc/passwd" };
            StartFailure::setup(format!("failed to find {:?} in the image's {file}", missing.name))
        })
    }
}

fn read(root: &Root, path: &str) -> Result<String, StartFailure> {
    let text = root.read(Path::new(path), FILE_BYTES_MAX).doing(|| format!("read {path} in the image"))?;
    Ok(text.unwrap_or_default())
}

#[derive(Debug, PartialEq, Eq)]
struct Unknown {
    name: String,
    is_group: bool,
}

fn lookup(text: &str, passwd: &str, group: &str) -> Result<User, Unknown> {
    let (name, group_name) = text.split_once(':').map_or((text, ""), |(name, group)| (name, group));
    let name = if name.is_empty() { "0" } else { name };
    // By name first: an all-digit name is legal, if unwise.
    let entry = fields(passwd).find(|entry| entry.first() == Some(&name));
    let entry = entry.or_else(|| {
        let uid: u32 = name.parse().ok()?;
        fields(passwd).find(|entry| number(entry, 2) == Some(uid))
    });
    let uid = entry.as_ref().and_then(|entry| number(entry, 2)).or_else(|| name.parse().ok());
    let uid = uid.ok_or_else(|| Unknown { name: name.to_owned(), is_group: false })?;
    let login = entry.as_ref().and_then(|entry| entry.first().copied());
    let home = entry.as_ref().and_then(|entry| entry.get(5).copied()).filter(|home| !home.is_empty()).unwrap_or("/");
    let mut user = User { uid, gid: 0, groups: Vec::new(), home: home.to_owned() };
    if group_name.is_empty() {
        user.gid = entry.as_ref().and_then(|entry| number(entry, 3)).unwrap_or(0);
        // Only where no group is asked for, as Docker does.
        user.groups = fields(group)
            .filter(|entry| login.is_some_and(|login| entry.get(3).is_some_and(|of| of.split(',').any(|m| m == login))))
            .filter_map(|entry| number(&entry, 2))
            .collect();
    } else {
        let found = fields(group).find(|entry| entry.first() == Some(&group_name)).and_then(|entry| number(&entry, 2));
        let gid = found.or_else(|| group_name.parse().ok());
        user.gid = gid.ok_or_else(|| Unknown { name: group_name.to_owned(), is_group: true })?;
    }
    Ok(user)
}

fn fields(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.trim().split(':').collect())
}

fn number(entry: &[&str], at: usize) -> Option<u32> {
    entry.get(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/false\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nssl:x:90:ops,web\nadm:x:4:web\n";

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> Result<User, Unknown> {
        Ok(User { uid, gid, groups: groups.to_vec(), home: home.to_owned() })
    }

    #[test]
    fn names_and_numbers_are_looked_up() {
        assert_eq!(lookup("0", PASSWD, GROUP), user(0, 0, &[], "/root"));
        assert_eq!(lookup("web", PASSWD, GROUP), user(33, 34, &[90, 4], "/srv"));
        assert_eq!(lookup("33", PASSWD, GROUP), user(33, 34, &[90, 4], "/srv"));
        assert_eq!(lookup("web:ssl", PASSWD, GROUP), user(33, 90, &[], "/srv"));
        assert_eq!(lookup("1000:1001", PASSWD, GROUP), user(1000, 1001, &[], "/"));
        assert_eq!(lookup(":4", PASSWD, GROUP), user(0, 4, &[], "/root"));
    }

    #[test]
    fn an_image_without_users_has_root_at_the_root() {
        assert_eq!(lookup("0", "", ""), user(0, 0, &[], "/"));
        assert_eq!(lookup("65534", "", ""), user(65534, 0, &[], "/"));
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        assert_eq!(lookup("nobody", PASSWD, GROUP), Err(Unknown { name: "nobody".to_owned(), is_group: false }));
        assert_eq!(lookup("web:nogroup", PASSWD, GROUP), Err(Unknown { name: "nogroup".to_owned(), is_group: true }));
        assert!(lookup("-1", PASSWD, GROUP).is_err());
    }

    proptest! {
        #[test]
        fn no_file_makes_the_lookup_panic(text in ".*", passwd in "[a-z:0-9\n]*", group in "[a-z:0-9,\n]*") {
            let _ = lookup(&text, &passwd, &group);
        }
    }
}
