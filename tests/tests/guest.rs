//! A machine with nothing but a kernel, the `tink` program and a shell: its root is the initramfs, every capability is
//! there, and the cgroup controllers are free.

#![cfg(target_arch = "x86_64")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tink_e2e::stack::manifests;
use tink_e2e::{Initramfs, TestRun, binary_path, guest, scenario, system_program};

/// The guest is emulated: some seconds on a machine that does nothing else.
const DEADLINE: Duration = Duration::from_secs(180);

/// Every capability that the guest's kernel knows, as `/proc/PID/status` shows them.
fn all_capabilities(text: &str) -> Result<String> {
    let last: u32 = value(text, "last capability:")?.parse()?;
    Ok(format!("{:016x}", u64::MAX >> (63 - last)))
}

/// Boots the guest of `guest/init` with its sections, waits until it is powered off, and answers with what its console
/// showed.
fn console(run: &TestRun, sections: &str) -> Result<String> {
    let endless = run.scratch().join("endless.yaml");
    let action = "- name: only\n  worker: w\n  actions:\n  - name: count\n    image: localhost/tink-actions\n    timeout: 600\n    command: [count, --to, \"1000000\", --delay-ms, \"200\"]\n";
    fs::write(&endless, manifests("endless", action))?;
    let partitions = run.scratch().join("partitions.yaml");
    let action = "- name: only\n  worker: w\n  volumes: [\"/partitions:/folder:ro\", \"/dev:/dev\"]\n  actions:\n  - name: write\n    image: localhost/tink-actions\n    timeout: 120\n    command: [image2disk]\n    environment: {IMG_URL: \"file:///folder/disk.img\", DEST_DISK: /dev/loop0}\n";
    fs::write(&partitions, manifests("partitions", action))?;
    let initramfs = Initramfs::new()
        .file("init", include_str!("guest/init"))
        .file("sections", sections)
        .directory("bin")
        .copy("bin/busybox", &system_program("busybox")?)
        .copy("bin/tink", &binary_path("tink")?)
        .copy("overlay.ko", &guest::kernel_file("overlay.ko")?)
        .folder("example", &Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hello"))?
        .copy("loop.ko", &guest::kernel_file("loop.ko")?)
        .directory("partitions")
        .copy("partitions/all.yaml", &partitions)
        .file("partitions/disk.img", partitioned())
        .directory("endless")
        .copy("endless/all.yaml", &endless);
    let mut guest = guest::boot(run, &initramfs)?;
    let status = guest.wait(DEADLINE);
    let text = guest.stdout().text().replace('\r', "");
    let status = status.with_context(|| text.clone())?;
    ensure!(status.success() && text.contains("=== end"), "the guest ended early ({status}):\n{text}");
    Ok(text)
}

/// The beginning of a disk with a partition of 2 MiB.
fn partitioned() -> Vec<u8> {
    let mut disk = vec![0; 1024 * 1024];
    // The first of four entries: type 0x83, its first sector and how many there are.
    disk[446 + 4] = 0x83;
    disk[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
    disk[446 + 12..446 + 16].copy_from_slice(&4096_u32.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// What the console showed between the title of a section and the next.
fn section<'t>(text: &'t str, title: &str) -> Result<&'t str> {
    let begin =
        text.split_once(&format!("=== {title}\n")).with_context(|| format!("no section {title:?} in:\n{text}"))?;
    Ok(begin.1.split("\n=== ").next().unwrap_or_default())
}

/// The rest of the section's line that begins with `name`.
fn value<'t>(section: &'t str, name: &str) -> Result<&'t str> {
    let value = section.lines().find_map(|line| line.strip_prefix(name));
    Ok(value.with_context(|| format!("no line {name:?} in:\n{section}"))?.trim())
}

/// In a section the hello example ran to its end and left nothing.
fn hello_ran(section: &str) -> Result<()> {
    for wanted in ["hello, hello-machine", "5 of 5", "goodbye", "workflow hello SUCCESS", "left behind: nothing"] {
        ensure!(section.contains(wanted), "{wanted:?} is missing:\n{section}");
    }
    assert_eq!(value(section, "exit code")?, "0", "{section}");
    Ok(())
}

#[test]
fn actions_run_from_an_initramfs_root_and_leave_nothing_behind() -> Result<()> {
    scenario("actions_run_from_an_initramfs_root_and_leave_nothing_behind", |run| {
        let text = console(run, include_str!("guest/unified"))?;
        assert_eq!(value(&text, "root:")?, "rootfs");
        for title in ["without overlayfs", "with overlayfs"] {
            hello_ran(section(&text, title)?).context(title)?;
        }

        let outside = section(&text, "from outside")?;
        assert_eq!(value(outside, "CapEff:")?, all_capabilities(&text)?);
        assert_eq!(value(outside, "CapBnd:")?, all_capabilities(&text)?);
        assert_eq!(value(outside, "Seccomp:")?, "0");
        ensure!(value(outside, "NSpid:")?.ends_with("\t1"), "not process 1 of its namespace: {outside}");
        assert_eq!(value(outside, "root:")?, "overlay");
        // All of the image, and none of the guest's root.
        let files = value(outside, "files:")?;
        ensure!(files.contains("tink") && !files.contains("overlay.ko"), "{files}");
        // The one the runtime asks for: it tells that a container ran out of memory.
        assert_eq!(value(outside, "controllers:")?, "memory");
        assert_eq!(value(outside, "processes:")?, "1");
        assert_eq!(value(outside, "exit code")?, "130", "{outside}");
        ensure!(outside.contains("left behind: nothing"), "{outside}");

        let starved = section(&text, "out of memory")?;
        ensure!(starved.contains("killed by signal 9 (SIGKILL) (out of memory)"), "{starved}");
        assert_eq!(value(starved, "exit code")?, "3", "{starved}");
        ensure!(starved.contains("left behind: nothing"), "{starved}");

        let disk = section(&text, "onto a disk")?;
        assert_eq!(value(disk, "before:")?, "0");
        ensure!(disk.contains("workflow partitions SUCCESS"), "{disk}");
        // Blocks of 1 KiB: the kernel looked again by itself when the image was written.
        assert_eq!(value(disk, "after:")?, "2048 loop0p1", "{disk}");
        ensure!(disk.contains("/dev/loop0p1") && disk.contains("left behind: nothing"), "{disk}");
        Ok(())
    })
}

#[test]
fn actions_run_without_cgroups_and_in_one_hierarchy_of_version_1() -> Result<()> {
    scenario("actions_run_without_cgroups_and_in_one_hierarchy_of_version_1", |run| {
        let text = console(run, include_str!("guest/older"))?;
        assert_eq!(value(&text, "hierarchy:")?, "cgroup", "{text}");
        ensure!(value(&text, "controllers:")?.contains("memory"), "not every controller is there:\n{text}");
        for title in ["without cgroups", "with one hierarchy of version 1"] {
            hello_ran(section(&text, title)?).context(title)?;
        }
        let none = section(&text, "stopped without cgroups")?;
        ensure!(!none.contains("processes:"), "there are cgroups:\n{none}");
        let one = section(&text, "stopped with one hierarchy of version 1")?;
        ensure!(value(one, "groups:")?.contains("/tink/tinkerbell_count_"), "not in a cgroup of its own:\n{one}");
        assert_eq!(value(one, "processes:")?, "1", "{one}");
        for stopped in [none, one] {
            assert_eq!(value(stopped, "exit code")?, "130", "{stopped}");
            ensure!(stopped.contains("left behind: nothing"), "{stopped}");
        }
        Ok(())
    })
}
