//! What a program finds around it.

use super::{Bench, GREETER, image, shell};

pub async fn the_environment_is_laid_over_the_images(bench: &Bench) {
    let mut spec = shell("env");
    spec.environment = ["GIVEN=a=b c", "EMPTY=", "PATH=/bin:/given"].map(str::to_owned).to_vec();
    let env = bench.output_of(&spec).await;
    for line in ["GIVEN=a=b c", "EMPTY=", "PATH=/bin:/given", "HOME=/root"] {
        assert!(env.iter().any(|found| found == line), "{line} is not in {env:?}");
    }
    assert!(env.iter().any(|line| line.starts_with("HOSTNAME=") && line.len() > "HOSTNAME=".len()), "{env:?}");
    assert_eq!(env.iter().filter(|line| line.starts_with("PATH=")).count(), 1, "{env:?}");

    let mut spec = shell("");
    spec.command = ["-c", "env"].map(str::to_owned).to_vec();
    let env = bench.output_of(&shell("env")).await;
    assert!(
        env.iter().any(|line| line == "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        "{env:?}"
    );
}

pub async fn the_image_says_entrypoint_user_and_directory(bench: &Bench) {
    let mut spec = shell("");
    spec.image = image(GREETER);
    spec.environment = vec!["OVERLAID=action".to_owned()];
    spec.command = vec![];
    let facts = ["uid=1000 gid=1000", "/srv/work", "image action", "home=/home/tink"];
    assert_eq!(bench.output_of(&spec).await, [&["greeting nobody"], facts.as_slice()].concat());
    let mut spec = shell("");
    spec.image = image(GREETER);
    spec.environment = vec!["OVERLAID=action".to_owned()];
    spec.command = ["you", "two  of"].map(str::to_owned).to_vec();
    assert_eq!(bench.output_of(&spec).await, [&["greeting you two  of"], facts.as_slice()].concat());
}

pub async fn volumes_are_mounted_writable_and_read_only(bench: &Bench) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("given"), "given\n").expect("a file is written");
    let source = dir.path().display();
    let mut spec = shell("cat /in/given; echo written > /out/result; echo x > /in/x || echo refused; cat /file");
    spec.volumes = vec![format!("{source}:/out"), format!("{source}:/in:ro"), format!("{source}/given:/file:ro")];
    assert_eq!(bench.output_of(&spec).await, ["given", "refused", "given"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("result")).expect("a result"), "written\n");
    assert!(!dir.path().join("x").exists());
}

pub async fn a_missing_volume_source_is_made(bench: &Bench) {
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("not/yet");
    let mut spec = shell("touch /made/file");
    spec.volumes = vec![format!("{}:/made", source.display())];
    bench.output_of(&spec).await;
    assert!(source.join("file").exists());
}

fn own_namespace(kind: &str) -> String {
    let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("namespaces can be read");
    link.to_string_lossy().into_owned()
}

pub async fn processes_are_the_hosts_or_the_containers_own(bench: &Bench) {
    let script = "readlink /proc/self/ns/pid; echo $$";
    let private = bench.output_of(&shell(script)).await;
    assert_ne!(private[0], own_namespace("pid"));
    assert_eq!(private[1], "1");
    let mut spec = shell(script);
    spec.pid = "host".to_owned();
    let host = bench.output_of(&spec).await;
    assert_eq!(host[0], own_namespace("pid"));
    assert_ne!(host[1], "1");
}

pub async fn the_network_is_the_hosts_or_none(bench: &Bench) {
    let script = "readlink /proc/self/ns/net; ls /sys/class/net | grep -v bonding_masters";
    let host = bench.output_of(&shell(script)).await;
    assert_eq!(host[0], own_namespace("net"));
    let mut spec = shell(script);
    spec.network = "none".to_owned();
    let none = bench.output_of(&spec).await;
    assert_ne!(none[0], own_namespace("net"));
    assert_eq!(none[1..], ["lo"]);
}

/// The capabilities that Linux had before 5.8; engines older than that know no others.
const CLASSIC_CAPABILITIES: u64 = (1 << 38) - 1;

pub async fn an_action_is_privileged(bench: &Bench) {
    let mut spec = shell(
        "sed -n 's/^CapEff:\\t//p; s/^Seccomp:\\t//p' /proc/self/status; mkdir /tmp/m && mount -t tmpfs none /tmp/m && \
         touch /tmp/m/x && umount /tmp/m && echo mounted; [ -w /sys/kernel ] && [ -w /proc/sys/kernel ] && echo writable",
    );
    spec.volumes = vec!["/dev:/dev".to_owned()];
    let lines = bench.output_of(&spec).await;
    assert_eq!(lines[1..], ["0", "mounted", "writable"]);
    let set = |hex: &str| u64::from_str_radix(hex, 16).expect("a set of capabilities");
    let own = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    // No more can be given than this test has itself.
    let bounding = set(own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).expect("a bounding set"));
    let effective = set(&lines[0]);
    assert_eq!(effective & CLASSIC_CAPABILITIES, bounding & CLASSIC_CAPABILITIES, "{effective:x} of {bounding:x}");
}

pub async fn a_terminal_is_given_where_it_is_asked_for(bench: &Bench) {
    let script = "for n in 0 1 2; do test -t $n && echo $n is; done; echo also errors >&2; echo TERM=$TERM; tty; \
                  echo through the console > /dev/console; printf 'no newline'";
    let mut spec = shell(script);
    spec.tty = true;
    let expected =
        ["0 is", "1 is", "2 is", "also errors", "TERM=xterm", "/dev/pts/0", "through the console", "no newline"];
    assert_eq!(bench.output_of(&spec).await, expected, "a terminal is one stream");

    // With the host's devices the terminal is one of the host's; the user may open it by its name.
    let mut spec = shell("tty > /dev/null && echo again > $(tty)");
    spec.tty = true;
    spec.volumes = vec!["/dev:/dev".to_owned()];
    assert_eq!(bench.output_of(&spec).await, ["again"]);

    let piped = bench.output_of(&shell("for n in 0 1 2; do test -t $n || echo $n is not; done; echo TERM=$TERM")).await;
    assert_eq!(piped, ["0 is not", "1 is not", "2 is not", "TERM="]);
}

pub async fn a_terminal_carries_megabytes(bench: &Bench) {
    let mut spec = shell("seq 1 200000");
    spec.tty = true;
    let lines = bench.output_of(&spec).await;
    assert_eq!((lines.len(), lines.last().map(String::as_str)), (200_000, Some("200000")));
}
