//! Layers and volumes.

use std::os::unix::fs::symlink;
use std::path::Path;

use tink_oci::{LoopDevice, Volume};

use crate::support::{Mounted, Trial, assert_free, host_shell};

#[tokio::test]
async fn a_volume_is_there_in_both_directions() {
    let mut trial = Trial::shell("cat /data/in; echo out > /data/out");
    let host = trial.host_dir();
    std::fs::write(host.join("in"), "in\n").unwrap();
    trial.spec.volumes = vec![Volume::bind(&host, "/data")];
    assert_eq!(trial.output().await, "in");
    assert_eq!(std::fs::read_to_string(host.join("out")).unwrap(), "out\n");
}

#[tokio::test]
async fn volumes_inside_each_other_are_all_seen_in_whatever_order_they_are_given() {
    let mut trial = Trial::shell("cat /a/name /a/b/name /a/b/c");
    let host = trial.host_dir();
    for dir in ["outer/b", "inner"] {
        std::fs::create_dir_all(host.join(dir)).unwrap();
    }
    std::fs::write(host.join("outer/name"), "outer\n").unwrap();
    std::fs::write(host.join("inner/name"), "inner\n").unwrap();
    std::fs::write(host.join("file"), "file\n").unwrap();
    let bind = |source: &str, target: &str| Volume::bind(host.join(source), target);
    trial.spec.volumes = vec![bind("file", "/a/b/c"), bind("inner", "/a/b"), bind("outer", "/a")];
    assert_eq!(trial.output().await, "outer\ninner\nfile");
}

#[tokio::test]
async fn a_missing_source_becomes_a_directory() {
    let mut trial = Trial::shell("echo x > /data/x");
    let source = trial.host_dir().join("made/here");
    trial.spec.volumes = vec![Volume::bind(&source, "/data")];
    trial.output().await;
    assert!(source.join("x").is_file());
}

/// As on HookOS, whose root is read-only.
#[tokio::test]
async fn a_source_that_the_host_has_no_place_for_is_made_elsewhere_and_shared() {
    let mut trial = Trial::shell("cat /state/x /state/deep/y 2>/dev/null; echo x > /state/x; echo y > /deep/y");
    let host = trial.host_dir();
    let (read_only, stand_ins) = (host.join("read-only"), host.join("stand-ins"));
    std::fs::create_dir(&read_only).unwrap();
    let _mounted = Mounted::tmpfs(&read_only, "ro");
    trial.spec.volumes = vec![
        Volume::bind(read_only.join("statedir"), "/state"),
        Volume::bind(read_only.join("./statedir/deep"), "/deep"),
    ];
    let (code, message) = trial.try_launch().unwrap_err();
    assert_eq!(code, 125, "{message}");
    assert!(message.contains("Read-only file system"), "{message}");
    tink_oci::remove(trial.dir()).await.unwrap();

    trial.spec.stand_ins = Some(stand_ins.clone());
    assert_eq!(trial.output().await, "");
    assert!(trial.shim_log().contains("read-only"), "{}", trial.shim_log());
    tink_oci::remove(trial.dir()).await.unwrap();
    assert_eq!(trial.output().await, "x\ny", "what another container left is gone");
    let made = stand_ins.join(read_only.strip_prefix("/").unwrap()).join("statedir");
    assert_eq!(std::fs::read_to_string(made.join("deep/y")).unwrap(), "y\n");
}

#[tokio::test]
async fn a_file_is_bound_on_a_file_that_is_made_for_it() {
    let mut trial = Trial::shell("cat /deep/down/file; echo more >> /deep/down/file");
    let source = trial.host_dir().join("file");
    std::fs::write(&source, "one\n").unwrap();
    trial.spec.volumes = vec![Volume::bind(&source, "/deep/down/file")];
    assert_eq!(trial.output().await, "one");
    assert_eq!(std::fs::read_to_string(&source).unwrap(), "one\nmore\n");
}

#[tokio::test]
async fn a_read_only_volume_can_be_read_only() {
    let mut trial = Trial::shell(
        "cat /data/x; (echo y > /data/x) 2>/dev/null || echo refused; grep -c ' /data ro,' /proc/self/mountinfo",
    );
    let host = trial.host_dir();
    std::fs::write(host.join("x"), "x\n").unwrap();
    trial.spec.volumes = vec![Volume::parse(&format!("{}:/data:ro", host.display())).unwrap()];
    assert_eq!(trial.output().await, "x\nrefused\n1");
    assert_eq!(std::fs::read_to_string(host.join("x")).unwrap(), "x\n");
}

#[test]
fn what_is_mounted_below_a_read_only_volume_is_read_only_too() {
    let mut trial = Trial::shell(
        "for dir in /data /data/deep /data/deep/er /data/hidden; do touch $dir/x 2>/dev/null && exit 1; done; \
         touch /inner/x && [ $(grep -c ' /data/deep.* ro,nosuid,' /proc/self/mountinfo) = 2 ]",
    );
    let host = trial.host_dir();
    // The inner ones go first, and of two on one place the upper one.
    let mut below = ["deep", "deep/er", "hidden", "hidden"].map(|name| {
        std::fs::create_dir_all(host.join(name)).unwrap();
        Mounted::tmpfs(&host.join(name), "nosuid")
    });
    for place in ["inner", "deep/inner"] {
        std::fs::create_dir(host.join(place)).unwrap();
    }
    trial.spec.volumes = vec![
        Volume::parse(&format!("{}:/data:ro", host.display())).unwrap(),
        Volume::bind(host.join("inner"), "/data/deep/inner"),
        Volume::bind(host.join("inner"), "/inner"),
    ];
    let launch = format!("{} bench {} 1", env!("CARGO_BIN_EXE_tink-oci-probe"), trial.spec_file().display());
    host_shell(&launch);
    // As before Linux 5.12.
    let calls = trial.host_dir().join("inner/calls");
    host_shell(&format!("strace -f -o {} -e inject=mount_setattr:error=ENOSYS {launch}", calls.display()));
    assert!(std::fs::read_to_string(calls).unwrap().contains("(INJECTED)"));
    below.reverse();
}

#[tokio::test]
async fn links_in_the_image_do_not_lead_a_volume_to_the_host() {
    let mut trial = Trial::shell("cat /x/name /escape/name");
    let host = trial.host_dir();
    std::fs::create_dir(host.join("victim")).unwrap();
    std::fs::create_dir(host.join("source")).unwrap();
    std::fs::write(host.join("source/name"), "here\n").unwrap();
    let up = format!("../../../../../../../..{}", host.join("victim").display());
    symlink(&up, trial.layer().join("escape")).unwrap();
    symlink("/y", trial.layer().join("x")).unwrap();
    trial.spec.volumes = vec![Volume::bind(host.join("source"), "/escape"), Volume::bind(host.join("source"), "/x")];
    assert_eq!(trial.output().await, "here\nhere");
    assert_eq!(std::fs::read_dir(host.join("victim")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_mounted_below_a_source_comes_along_unless_bind_is_said() {
    for (option, expected) in [("rbind", "below"), ("bind", "gone")] {
        let mut trial = Trial::shell("cat /data/sub/name 2>/dev/null || echo gone");
        let host = trial.host_dir();
        std::fs::create_dir(host.join("sub")).unwrap();
        let _mounted = Mounted::tmpfs(&host.join("sub"), "");
        std::fs::write(host.join("sub/name"), "below\n").unwrap();
        trial.spec.volumes = vec![Volume::parse(&format!("{}:/data:{option}", host.display())).unwrap()];
        assert_eq!(trial.output().await, expected);
    }
}

#[tokio::test]
async fn a_target_without_a_source_is_a_fresh_directory() {
    let mut trial = Trial::shell("ls /scratch | wc -l; echo x > /scratch/x");
    trial.spec.volumes = vec![Volume::parse("/scratch").unwrap()];
    assert_eq!(trial.output().await, "0");
}

#[tokio::test]
async fn nothing_mounted_inside_is_seen_outside_even_where_the_host_shares_its_mounts() {
    let mut trial = Trial::shell(
        "mount -t tmpfs none /data/in && echo x > /data/in/x && mount -t tmpfs none /mnt2; cat /data/in/x",
    );
    std::fs::create_dir(trial.layer().join("mnt2")).unwrap();
    let host = trial.host_dir();
    let _mounted = Mounted::tmpfs(&host, "");
    host_shell(&format!("mount --make-rshared {}", host.display()));
    std::fs::create_dir(host.join("in")).unwrap();
    trial.spec.volumes = vec![Volume::bind(&host, "/data")];
    assert_eq!(trial.output().await, "x");
    assert_eq!(std::fs::read_dir(host.join("in")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_disk_left_mounted_is_free_as_soon_as_the_exit_is_known() {
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(8 << 20).unwrap();
    let device = LoopDevice::attach(disk.path()).unwrap();
    for _ in 0..20 {
        let node = device.path().display();
        let mut trial = Trial::shell(&format!(
            "mke2fs {node} > /dev/null && mkdir /mountAction && mount -t ext2 {node} /mountAction && echo x > /mountAction/x"
        ));
        trial.spec.volumes = vec![Volume::bind("/dev", "/dev")];
        trial.output().await;
        assert_free(&device);
    }
}

/// The action `cexec`: mounts a disk, binds its own /dev, /proc, /sys and resolv.conf there, not recursively, and runs a
/// command in it.
#[tokio::test]
async fn a_command_runs_in_the_system_on_a_disk_with_devices_proc_sys_and_name_servers() {
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(16 << 20).unwrap();
    let device = LoopDevice::attach(disk.path()).unwrap();
    let node = device.path().display();
    for volumes in [vec![], vec![Volume::bind("/dev", "/dev")]] {
        let mut trial = Trial::shell(&format!(
            "set -e; mke2fs {node} > /dev/null; mkdir /mountAction; mount -t ext2 {node} /mountAction; cd /mountAction; \
             mkdir bin dev proc sys etc; cp /bin/busybox bin; ln -s busybox bin/sh; touch etc/resolv.conf; \
             for each in dev proc sys etc/resolv.conf; do mount -o bind /$each $each; done; \
             exec chroot . sh -c '\
                 echo > /dev/null && busybox test -b {node} && busybox grep -c ^processor /proc/cpuinfo > /etc/inside && \
                 busybox cat /etc/resolv.conf && \
                 was=$(busybox cat /proc/sys/kernel/panic) && echo $was > /proc/sys/kernel/panic && \
                 for each in dev sys proc; do busybox test -w /$each || exit 1; done && \
                 ! busybox grep -E \"^[^ ]+ /(sys|proc)[^ ]* [^ ]+ ro\" /proc/mounts'"
        ));
        trial.spec.dns = tink_oci::Dns::Text("nameserver 192.0.2.53\n".to_owned());
        trial.spec.volumes = volumes;
        assert_eq!(trial.output().await, "nameserver 192.0.2.53");
        assert_free(&device);
        let inside = host_shell(&format!("debugfs -R 'cat /etc/inside' {node} 2>/dev/null"));
        assert!(inside.parse::<u32>().is_ok_and(|processors| processors > 0), "{inside:?}");
    }
}

#[tokio::test]
async fn a_layer_above_replaces_and_hides_and_no_layer_is_ever_written() {
    let mut trial = Trial::shell(
        "cat /etc/name; ls /etc/gone 2>&1 | grep -c 'No such'; echo new > /etc/name; rm /etc/passwd; cat /etc/name",
    );
    let upper = trial.host_dir().join("upper");
    std::fs::create_dir_all(upper.join("etc")).unwrap();
    std::fs::write(trial.layer().join("etc/name"), "lower\n").unwrap();
    std::fs::write(trial.layer().join("etc/gone"), "").unwrap();
    std::fs::write(upper.join("etc/name"), "upper\n").unwrap();
    host_shell(&format!("mknod {} c 0 0", upper.join("etc/gone").display()));
    trial.spec.layers.push(upper.clone());
    assert_eq!(trial.output().await, "upper\n1\nnew");
    assert_eq!(std::fs::read_to_string(upper.join("etc/name")).unwrap(), "upper\n");
    assert!(trial.layer().join("etc/passwd").exists());
}

#[tokio::test]
async fn every_attempt_starts_with_a_fresh_layer() {
    let mut trial = Trial::shell("mkdir /mountAction && ls /mountAction | wc -l");
    for attempt in 0..3 {
        trial.spec.dir = trial.spec.dir.with_file_name(format!("attempt-{attempt}"));
        assert_eq!(trial.output().await, "0");
        tink_oci::remove(trial.dir()).await.unwrap();
    }
}

#[tokio::test]
async fn an_image_of_a_hundred_layers_with_awkward_names_is_mounted() {
    let mut trial = Trial::shell("ls /many | wc -l");
    for number in 0..100 {
        let layer = trial.host_dir().join(format!("layer,with:odd\\name-{number}-{}", "x".repeat(100)));
        std::fs::create_dir_all(layer.join("many")).unwrap();
        std::fs::write(layer.join(format!("many/{number}")), "").unwrap();
        trial.spec.layers.push(layer);
    }
    assert_eq!(trial.output().await, "100");
}

#[tokio::test]
async fn the_containers_root_has_an_ordinary_mode() {
    let trial = Trial::shell("stat -c %a /");
    assert_eq!(trial.output().await, "755");
    assert!(Path::new("/proc").exists());
}
