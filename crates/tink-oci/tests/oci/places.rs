//! The kinds of file system that installers keep their state on.

use std::path::Path;
use std::process::Command;

use crate::support::{Mounted, Trial, host_shell};

const SCRIPT: &str = "echo x > /etc/new && mkdir /mountAction && rm /etc/passwd && mv /etc/group /etc/moved && cat /etc/new && ls /etc | wc -l";

async fn works_below(place: &Path) -> Trial {
    let mut trial = Trial::below(place);
    trial.script(SCRIPT);
    let text = trial.output().await;
    assert!(text.starts_with("x\n"), "{text}");
    trial
}

#[tokio::test]
async fn a_container_runs_with_its_state_on_a_tmpfs_that_forbids_programs_and_devices() {
    let place = tempfile::tempdir().unwrap();
    let _mounted = Mounted::tmpfs(place.path(), "size=64m,nodev,nosuid,noexec");
    let mut trial = Trial::below(place.path());
    trial.script(&format!(
        "{SCRIPT} && cp /bin/busybox /tmp/busybox && /tmp/busybox true && head -c 1 /dev/zero | wc -c"
    ));
    assert!(trial.output().await.ends_with("\n1"));
}

#[tokio::test]
async fn a_container_runs_with_its_state_on_a_ramfs() {
    let place = tempfile::tempdir().unwrap();
    let _mounted = Mounted::new(place.path(), &["-t", "ramfs", "none"]);
    drop(works_below(place.path()).await);
}

fn overlay(below: &Path, place: &Path) -> Mounted {
    for dir in ["lower", "upper", "work"] {
        std::fs::create_dir(below.join(dir)).unwrap();
    }
    let base = below.display();
    let options = format!("lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work");
    Mounted::new(place, &["-t", "overlay", "-o", &options, "none"])
}

#[tokio::test]
async fn a_container_runs_with_its_state_on_an_overlay() {
    let (place, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _mounted = overlay(below.path(), place.path());
    drop(works_below(place.path()).await);
}

/// The kernel stacks two overlays and no third: in an action of an action of a worker that an engine runs.
#[tokio::test]
async fn a_container_runs_with_its_state_on_an_overlay_on_an_overlay() {
    let (place, middle, below) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let memory = tempfile::tempdir().unwrap();
    let _memory = Mounted::tmpfs(memory.path(), "size=64m");
    let _middle = overlay(below.path(), middle.path());
    for dir in ["upper", "work"] {
        std::fs::create_dir(memory.path().join(dir)).unwrap();
    }
    let (lower, memory) = (middle.path().display(), memory.path().display());
    let options = format!("lowerdir={lower},upperdir={memory}/upper,workdir={memory}/work");
    let _mounted = Mounted::new(place.path(), &["-t", "overlay", "-o", &options, "none"]);
    drop(works_below(place.path()).await);
}

/// The kernel's default, half of all there is, is more than may be left, and is granted to every container anew.
#[tokio::test]
async fn what_a_container_may_write_to_memory_is_less_than_half_of_it() {
    let place = tempfile::tempdir().unwrap();
    let _mounted = Mounted::new(place.path(), &["-t", "ramfs", "none"]);
    let mut trial = Trial::below(place.path());
    trial.script("df -k / | tail -1 | awk '{print $2}'; awk '/MemTotal/ {print $2}' /proc/meminfo");
    let text = trial.output().await;
    let (size, total) = text.split_once('\n').unwrap();
    let [size, total] = [size, total].map(|kib| kib.parse::<u64>().unwrap());
    assert!(size > 1024 && size < total / 2, "{size} of {total} KiB");
}

#[tokio::test]
async fn writes_can_be_sent_to_memory_with_a_bound() {
    let mut trial = Trial::shell(
        "dd if=/dev/zero of=/fill bs=1M count=100 2>/dev/null || stat -c %s /fill; df / | tail -1 | awk '{print $2}'",
    );
    trial.spec.upper = tink_oci::Upper::Tmpfs { size_bytes: Some(8 << 20) };
    let text = trial.output().await;
    let (filled, size) = text.split_once('\n').unwrap();
    assert!((7 << 20..=8 << 20).contains(&filled.parse::<u64>().unwrap()) && size == "8192", "{text}");
    assert!(!trial.dir().join("upper").exists());
}

/// In a `chroot` the root is no mount point, and `pivot_root` fails just as it does on the root of an initramfs.
#[tokio::test]
async fn a_container_runs_where_the_root_cannot_be_pivoted() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    for dir in ["proc", "dev", "sys", "tmp", "bin", "etc"] {
        std::fs::create_dir(root.join(dir)).unwrap();
    }
    let _mounts = [
        Mounted::new(&root.join("proc"), &["-t", "proc", "none"]),
        Mounted::new(&root.join("sys"), &["--rbind", "/sys"]),
        Mounted::new(&root.join("dev"), &["--rbind", "/dev"]),
    ];
    for mount in ["sys", "dev"] {
        host_shell(&format!("mount --make-rslave {}", root.join(mount).display()));
    }
    std::fs::copy(env!("CARGO_BIN_EXE_tink-oci-probe"), root.join("bin/probe")).unwrap();
    let mut trial = Trial::below(&root.join("tmp"));
    let busy = trial.host_dir().join("busy");
    std::fs::create_dir(&busy).unwrap();
    trial.script(
        "cat /proc/self/mountinfo | awk '{print $5}' | grep -cE '^/(tmp|layer)|probe'; ls -a / | xargs; cd /; ls -d .. ../bin; \
         chroot / true && echo chroot; unshare -m true && echo unshare; echo x > /etc/new; cat /etc/new",
    );
    // As the launcher in the chroot sees the paths.
    let inside = |path: &Path| Path::new("/").join(path.strip_prefix(root).unwrap());
    let outside_spec = trial.spec.clone();
    trial.spec.dir = inside(&trial.spec.dir);
    trial.spec.layers = trial.spec.layers.iter().map(|layer| inside(layer)).collect();
    std::fs::write(root.join("spec.json"), serde_json::to_vec(&trial.spec).unwrap()).unwrap();
    trial.spec = outside_spec;
    let output = Command::new("chroot").arg(root).args(["/bin/probe", "launch", "/spec.json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let exit = tink_oci::wait(trial.dir()).await.unwrap();
    let text = trial.text();
    assert_eq!(exit.code(), 0, "{text}");
    assert_eq!(text, "0\n. .. bin dev etc proc sys tmp\n..\n../bin\nchroot\nunshare\nx");
}
