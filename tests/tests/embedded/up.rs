//! `tink up` and `tink run` on a machine with no engine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tink_e2e::stack::{DEADLINE, manifests, path_text};
use tink_e2e::{Census, Finished, Process, Scope, TestRun, binary_path, scenario};

use crate::site::{finished, image_of, write_layout};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// Copies a folder of plain files.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("failed to read {}", from.display()))?.flatten() {
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn tink(run: &TestRun, args: &[&str]) -> Result<Finished> {
    finished(&mut Process::binary("tink")?.args(args).start(run)?)
}

#[test]
fn the_example_provisions_a_disk() -> Result<()> {
    scenario("the_example_provisions_a_disk", |run| {
        let folder = run.scratch().join("provision-a-disk");
        copy(&example("provision-a-disk"), &folder)?;
        let names = ["stream-image", "write-hostname", "verify"];
        let before = Census::take(Scope::Run(run, &names))?;
        // By a relative path: the volumes must be found all the same.
        for _again in 0..2 {
            let up = tink(run, &["up", "provision-a-disk", "--runtime", "embedded", "--plain"])?;
            assert_eq!(up.code, Some(0), "{}{}", up.stdout, up.stderr);
            ensure!(up.stdout.contains("workflow provision-a-disk SUCCESS"), "{}", up.stdout);
            ensure!(!up.stderr.contains("warning"), "{}", up.stderr);
        }
        Census::settles_to(&before, Scope::Run(run, &names), DEADLINE)?;
        let disk = folder.join("disk/disk.img");
        assert_eq!(fs::metadata(&disk)?.len(), 8 << 20);
        let read = ["-R", "cat /etc/hostname", path_text(&disk)?];
        assert_eq!(finished(&mut Process::program("debugfs")?.args(read).start(run)?)?.stdout, "disk-machine\n");
        Ok(())
    })
}

#[test]
fn a_damaged_disk_image_fails_the_example_with_the_checksum() -> Result<()> {
    scenario("a_damaged_disk_image_fails_the_example_with_the_checksum", |run| {
        let folder = run.scratch().join("damaged");
        copy(&example("provision-a-disk"), &folder)?;
        let image = folder.join("disk.img.gz");
        let mut bytes = fs::read(&image)?;
        // The field that names the system it was packed on: the content is the same, and only the checksum can tell.
        bytes[9] ^= 1;
        fs::write(&image, bytes)?;
        let up = tink(run, &["up", path_text(&folder)?, "--runtime", "embedded", "--plain"])?;
        assert_eq!(up.code, Some(3), "{}{}", up.stdout, up.stderr);
        ensure!(up.stdout.contains("sha256:"), "{}", up.stdout);
        Ok(())
    })
}

#[test]
fn up_and_run_take_images_from_a_folder() -> Result<()> {
    scenario("up_and_run_take_images_from_a_folder", |run| {
        let images = run.scratch().join("images");
        let folder = run.scratch().join("folder");
        fs::create_dir(&folder)?;
        // Nothing listens there: what runs must have come from the folder.
        let name = "127.0.0.1:1/offline/busybox:v1";
        write_layout(&image_of(run)?, name, &images.join("busybox"))?;
        let tasks = format!(
            "- name: only\n  worker: w\n  actions:\n  - name: reads\n    image: {name}\n    timeout: 60\n    command: [cat, /etc/run]\n"
        );
        let file = folder.join("all.yaml");
        fs::write(&file, manifests("offline", &tasks))?;
        for (command, path) in [("up", &folder), ("run", &file)] {
            let args = [command, path_text(path)?, "--runtime", "embedded", "--plain"];
            let ran = tink(run, &[&args[..], &["--images", path_text(&images)?]].concat())?;
            assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
            ensure!(ran.stdout.contains(run.name()), "{}", ran.stdout);
            let nothing = tink(run, &[&args[..], &["--images", path_text(&folder)?]].concat())?;
            assert_eq!(nothing.code, Some(64), "{}{}", nothing.stdout, nothing.stderr);
        }
        Ok(())
    })
}

/// A directory that holds the program, an example and an empty `/tmp`: no shell, no library, no engine.
#[test]
fn up_needs_nothing_but_its_own_program() -> Result<()> {
    scenario("up_needs_nothing_but_its_own_program", |run| {
        let root = run.scratch().join("root");
        for directory in ["tmp", "proc", "sys", "dev"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::copy(binary_path("tink")?, root.join("tink"))?;
        for name in ["hello", "provision-a-disk"] {
            copy(&example(name), &root.join(name))?;
        }
        let mount = "for each in proc sys dev; do mount --rbind /$each \"$0/$each\" || exit 99; done; \
                     exec chroot \"$0\" /tink up \"/$1\" --plain";
        let before = Census::take(Scope::Run(run, &[]))?;
        for (name, words) in
            [("hello", "goodbye"), ("provision-a-disk", "/etc/hostname on /disk/disk.img is as wanted")]
        {
            // The mounts are this process's own and end with it.
            let launch = Process::program("unshare")?.args(["--mount", "--propagation", "slave", "--"]);
            let launch = launch.args(["sh", "-c", mount, path_text(&root)?, name]);
            let up = finished(&mut launch.env_remove("TINK_LOG").start(run)?)?;
            assert_eq!(up.code, Some(0), "{}{}", up.stdout, up.stderr);
            ensure!(
                up.stdout.contains(&format!("workflow {name} SUCCESS")) && up.stdout.contains(words),
                "{}",
                up.stdout
            );
            ensure!(up.stdout.contains("embedded runtime"), "another engine was used: {}", up.stdout);
        }
        Census::settles_to(&before, Scope::Run(run, &[]), DEADLINE)?;
        assert_eq!(fs::read_dir(root.join("tmp"))?.count(), 0, "something is left in /tmp");
        Ok(())
    })
}
