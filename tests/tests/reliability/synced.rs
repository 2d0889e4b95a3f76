//! What an action wrote onto a disk is there to stay before the action says that it is done: the machine's next boot may be
//! a moment away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tink_e2e::stack::{DEADLINE, path_text};
use tink_e2e::{Process, TestRun, binary_path, scenario};

/// The calls that change a disk, that make a change last, and that tell of it.
const CALLS: &str = "trace=write,pwrite64,writev,pwritev,fallocate,ftruncate,fchown,fchmod,renameat,renameat2,fsync,fdatasync,\
                     umount2";
/// Much more than one piece, as `image2disk` writes them.
const DATA_BYTES: usize = 3 << 20;
const IMAGE_BYTES: u64 = 8 << 20;

/// Runs an action's program as it is, and answers with the calls it made that succeeded, in order.
fn calls_of(run: &TestRun, program: &str, environment: &[(&str, &str)]) -> Result<Vec<String>> {
    let log = run.scratch().join("calls");
    let strace = Process::program("strace")?.args(["-f", "--seccomp-bpf", "-y", "-s", "16", "-e", CALLS, "-o"]);
    let mut strace = strace.arg(&log).arg(binary_path("tink")?).args(["action", program]);
    for (name, value) in environment {
        strace = strace.env(name, value);
    }
    let mut action = strace.start(run)?;
    let status = action.wait(DEADLINE)?;
    ensure!(status.success(), "{program} ended with {status}: {}", action.stderr().text());
    let log = fs::read_to_string(&log)?;
    // Each line begins with the id of a thread.
    let calls = log.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start());
    Ok(calls.filter(|call| !call.contains(" = -1 ")).map(str::to_owned).collect())
}

/// A call of one of the names on a file whose path ends so.
fn is_on(call: &str, names: &[&str], file: &str) -> bool {
    let Some((name, arguments)) = call.split_once('(') else { return false };
    names.contains(&name) && arguments.split_once('>').is_some_and(|(descriptor, _)| descriptor.ends_with(file))
}

const CHANGES: [&str; 8] = ["write", "pwrite64", "writev", "pwritev", "fallocate", "ftruncate", "fchown", "fchmod"];
const SYNCS: [&str; 2] = ["fsync", "fdatasync"];

/// Where the file is synced for the last time, which must be after its last change.
fn synced_at(calls: &[String], file: &str) -> Result<usize> {
    let changed = calls.iter().rposition(|call| is_on(call, &CHANGES, file));
    let changed = changed.with_context(|| format!("{file} was not written: {calls:#?}"))?;
    let synced = calls.iter().rposition(|call| is_on(call, &SYNCS, file) && call.ends_with(" = 0"));
    let synced = synced.with_context(|| format!("{file} was never synced: {calls:#?}"))?;
    ensure!(changed < synced, "{file} was changed after its sync: {calls:#?}");
    Ok(synced)
}

/// Where the program says something for the last time: that it is done.
fn told_at(calls: &[String]) -> Result<usize> {
    let told = calls.iter().rposition(|call| call.starts_with("write(1<"));
    told.with_context(|| format!("nothing was said: {calls:#?}"))
}

/// A loop device; detached when dropped.
struct LoopDevice(PathBuf);

impl LoopDevice {
    fn attach(file: &Path) -> Result<Self> {
        let output = Command::new("losetup").args(["--find", "--show", path_text(file)?]).output()?;
        ensure!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self(PathBuf::from(String::from_utf8(output.stdout)?.trim())))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        Command::new("losetup").arg("--detach").arg(&self.0).status().ok();
    }
}

#[test]
fn an_image_is_synced_before_image2disk_says_that_it_is_written() -> Result<()> {
    scenario("an_image_is_synced_before_image2disk_says_that_it_is_written", |run| {
        let (device_file, file) = (run.scratch().join("device"), run.scratch().join("disk.img"));
        fs::File::create(&device_file)?.set_len(IMAGE_BYTES)?;
        let (file, directory) = (path_text(&file)?, path_text(run.scratch())?);
        let device = LoopDevice::attach(&device_file)?;
        // Zeros at the end are not written but cleared, and make a file longer, both of which are to last as well.
        for (name, length) in [("full.img", DATA_BYTES as u64), ("sparse.img", IMAGE_BYTES)] {
            let image = run.scratch().join(name);
            fs::write(&image, vec![b'x'; DATA_BYTES])?;
            fs::OpenOptions::new().write(true).open(&image)?.set_len(length)?;
            let url = format!("file://{}", path_text(&image)?);
            for disk in [file, path_text(&device.0)?] {
                let calls = calls_of(run, "image2disk", &[("IMG_URL", &url), ("DEST_DISK", disk)])?;
                let cleared = calls.iter().any(|call| is_on(call, &["fallocate"], disk));
                assert_eq!(cleared, name == "sparse.img", "{calls:#?}");
                let (synced, told) = (synced_at(&calls, disk)?, told_at(&calls)?);
                ensure!(synced < told, "told before the sync: {calls:#?}");
                // A device had its name before.
                let directory = calls.iter().rposition(|call| is_on(call, &SYNCS, directory) && call.ends_with(" = 0"));
                let named = disk != file || directory.is_some_and(|named| synced < named && named < told);
                ensure!(named, "told before the name was synced: {calls:#?}");
            }
        }
        Ok(())
    })
}

#[test]
fn a_file_is_synced_before_writefile_puts_it_in_its_place() -> Result<()> {
    scenario("a_file_is_synced_before_writefile_puts_it_in_its_place", |run| {
        let disk = run.scratch().join("disk.img");
        fs::File::create(&disk)?.set_len(IMAGE_BYTES)?;
        let mut mkfs = Process::program("mkfs.ext4")?.args(["-q", path_text(&disk)?]).start(run)?;
        ensure!(mkfs.wait(DEADLINE)?.success(), "{}", mkfs.stderr().text());
        // The second time the file is there, and what it held before must not be lost, either.
        for contents in ["first", "second"] {
            let environment = [
                ("DEST_DISK", path_text(&disk)?),
                ("FS_TYPE", "ext4"),
                ("DEST_PATH", "/etc/hostname"),
                ("CONTENTS", contents),
                ("UID", "0"),
                ("GID", "0"),
                ("MODE", "0644"),
                ("DIRMODE", "0755"),
            ];
            let calls = calls_of(run, "writefile", &environment)?;
            let renamed = calls.iter().position(|call| call.starts_with("rename") && call.contains("\"hostname\""));
            let renamed = renamed.with_context(|| format!("nothing was put in its place: {calls:#?}"))?;
            let from = calls[renamed].split('"').nth(1).context("no name in the rename")?;
            ensure!(synced_at(&calls, &format!("/etc/{from}"))? < renamed, "renamed before the sync: {calls:#?}");
            let directory = calls.iter().rposition(|call| is_on(call, &SYNCS, "/etc") && call.ends_with(" = 0"));
            ensure!(directory.is_some_and(|synced| synced > renamed), "the name was not synced: {calls:#?}");
            let unmounted = calls.iter().position(|call| call.starts_with("umount2("));
            let unmounted = unmounted.with_context(|| format!("the disk stayed mounted: {calls:#?}"))?;
            ensure!(directory < Some(unmounted) && unmounted < told_at(&calls)?, "told too early: {calls:#?}");
        }
        let read = ["-R", "cat /etc/hostname", path_text(&disk)?];
        let mut debugfs = Process::program("debugfs")?.args(read).start(run)?;
        ensure!(debugfs.wait(DEADLINE)?.success(), "{}", debugfs.stderr().text());
        assert_eq!(debugfs.stdout().text(), "second");
        Ok(())
    })
}
