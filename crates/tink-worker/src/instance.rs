//! Which process of its worker this is.

use std::path::Path;

use tracing::{info, warn};

use crate::journal::{Disk, durable};
use crate::random::random_u64;

/// More than the names of a process and its machine have.
const FILE_BYTES_MAX: u64 = 512;

/// Where a kernel says which machine it runs on: firmware's own number of it. What an operating system was given, such as
/// `/etc/machine-id`, is copied with its disk, or is another one after each boot from the network.
const MACHINE_FILES: [&str; 2] = ["sys/class/dmi/id/product_uuid", "sys/firmware/devicetree/base/serial-number"];

/// Which process of its worker uses this state directory: a name that is made once and kept in the file `instance`, so that
/// a worker that is started again is the same process to the server, and one with another state directory is not.
///
/// The name is bound to `machine`, where that is known: a disk that was copied to another machine, with a name on it, is
/// not the same process there. A name that cannot be kept is used all the same, for this life of the worker.
#[must_use]
pub fn of(state_dir: &Path, machine: Option<&str>, disk: &dyn Disk) -> String {
    let file = state_dir.join("instance");
    let kept = disk.read(&file, FILE_BYTES_MAX).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
    let mut lines = kept.iter().flat_map(|text| text.lines()).map(str::trim);
    let name = lines.next().filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()));
    let kept_on = lines.next().filter(|machine| !machine.is_empty());
    let is_elsewhere = kept_on.is_some() && machine.is_some() && kept_on != machine;
    let name = match name {
        // Also where firmware says nothing today: it is asked again at the next start.
        Some(name) if !is_elsewhere && (kept_on.is_some() || machine.is_none()) => return name.to_owned(),
        Some(name) if !is_elsewhere => name.to_owned(),
        _ => format!("{:016x}{:016x}", random_u64(), random_u64()),
    };
    if is_elsewhere {
        info!(path = %file.display(), "the state directory comes from another machine; this worker is a process of its own");
    }
    let text = format!("{name}\n{}\n", machine.unwrap_or_default());
    if let Err(error) = durable::create_dir(disk, state_dir).and_then(|()| durable::write(disk, &file, text.as_bytes()))
    {
        warn!(path = %file.display(), %error, "the name of this worker's process cannot be kept");
    }
    name
}

/// What firmware calls this machine, if it says anything that tells it from others.
#[must_use]
pub fn machine(root: &Path) -> Option<String> {
    let read = |file| std::fs::read(root.join(file)).ok();
    MACHINE_FILES.iter().filter_map(read).find_map(|bytes| {
        let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').trim().to_owned();
        let digits = || text.chars().filter(char::is_ascii_alphanumeric);
        // Boards that were never given a number say zeros, or ones.
        let is_filled_in = digits().next().is_some_and(|first| digits().any(|c| c != first));
        (is_filled_in && text.len() <= 128 && !text.contains('\n')).then_some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;

    #[test]
    fn a_process_keeps_its_name_where_that_can_be_kept() {
        let dir = tempfile::tempdir().unwrap();
        let name_in = |dir: &Path| of(dir, None, &RealDisk);
        let name = name_in(dir.path());
        assert_eq!((name.len(), name_in(dir.path())), (32, name.clone()));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(name_in(other.path()), name);
        for damaged in ["", "\n", "a b"] {
            std::fs::write(dir.path().join("instance"), damaged).unwrap();
            assert_eq!(name_in(dir.path()).len(), 32);
        }
        let deep = dir.path().join("a/b");
        assert_eq!(name_in(&deep), name_in(&deep));
        let below_a_file = dir.path().join("instance/b");
        assert_ne!(name_in(&below_a_file), name_in(&below_a_file));
    }

    #[test]
    fn a_disk_that_was_copied_to_another_machine_is_another_process_there() {
        let dir = tempfile::tempdir().unwrap();
        let on = |machine| of(dir.path(), machine, &RealDisk);
        let name = on(Some("m1"));
        assert_eq!([on(Some("m1")), on(None), on(Some("m1"))], [name.clone(), name.clone(), name.clone()]);
        let copy = on(Some("m2"));
        assert_ne!(copy, name);
        assert_eq!(on(Some("m2")), copy);
    }

    #[test]
    fn a_name_of_before_is_bound_to_the_machine_it_is_found_on() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("instance"), "0123abcd\n").unwrap();
        assert_eq!(of(dir.path(), Some("m1"), &RealDisk), "0123abcd");
        assert_ne!(of(dir.path(), Some("m2"), &RealDisk), "0123abcd");
    }

    #[test]
    fn a_machine_is_known_by_its_firmware_where_that_has_a_number() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(machine(root.path()), None);
        let [uuid, serial] = MACHINE_FILES.map(|file| root.path().join(file));
        for file in [&uuid, &serial] {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        std::fs::write(&serial, "10000000abcdef01\0").unwrap();
        assert_eq!(machine(root.path()).as_deref(), Some("10000000abcdef01"));
        std::fs::write(&uuid, "00000000-0000-0000-0000-000000000000\n").unwrap();
        assert_eq!(machine(root.path()).as_deref(), Some("10000000abcdef01"));
        std::fs::write(&uuid, "4c4c4544-0042-3510-8056-b4c04f4d3232\n").unwrap();
        assert_eq!(machine(root.path()).as_deref(), Some("4c4c4544-0042-3510-8056-b4c04f4d3232"));
    }
}
