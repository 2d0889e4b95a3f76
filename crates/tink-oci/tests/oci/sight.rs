//! What a container sees of itself and of the machine.

use std::path::Path;

use tink_oci::{Dns, Network, PidNamespace, Spec, Volume};

use crate::support::{Mounted, Trial, host_shell};

/// The value of a line of `/proc/<pid>/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[tokio::test]
async fn a_container_has_every_capability_we_could_give_and_no_filter() {
    let mut trial = Trial::new();
    trial.spec.args = ["cat", "/proc/self/status"].map(str::to_owned).to_vec();
    let (inside, own) = (trial.output().await, std::fs::read_to_string("/proc/self/status").unwrap());
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(&inside, set), field(&own, "CapBnd:"), "{set}");
    }
    assert_eq!((field(&inside, "Seccomp:"), field(&inside, "NoNewPrivs:")), ("0", "0"));
    // What the standard library ignores, and the shim blocks, must not be passed on.
    for set in ["SigIgn:", "SigBlk:", "SigCgt:"] {
        // Without 32 and 33, the C library's own, which it keeps as it found them.
        let signals = u64::from_str_radix(field(&inside, set), 16).unwrap() & !(0b11 << 31);
        assert_eq!(signals, 0, "{set}");
    }
}

#[tokio::test]
async fn proc_is_unmasked_and_sys_is_writable() {
    let trial = Trial::shell(
        "cat /proc/self/mountinfo; cat /sys/kernel/rcu_normal > /sys/kernel/rcu_normal && cat /proc/sys/kernel/panic > /proc/sys/kernel/panic; echo $?",
    );
    let text = trial.output().await;
    let below =
        |top: &str| text.lines().filter(|line| line.split(' ').nth(4).is_some_and(|p| p.starts_with(top))).count();
    assert_eq!(below("/proc"), 1, "something covers a part of /proc: {text}");
    for point in ["/proc", "/sys"] {
        let line = text.lines().find(|line| line.split(' ').nth(4) == Some(point)).unwrap();
        assert!(line.split(' ').nth(5).unwrap().starts_with("rw"), "{line}");
    }
    assert_eq!(text.lines().last(), Some("0"));
}

#[tokio::test]
async fn without_a_dev_volume_there_is_a_node_for_every_device_of_the_host() {
    let list = "find /dev \\( -path /dev/pts -o -path /dev/shm -o -path /dev/mqueue \\) -prune -o \\( -type b -o -type c \\) -print \
                | grep -vE '^/dev/(console|ptmx)$' | xargs busybox stat -c '%n %t:%T %a' | sort";
    let trial = Trial::shell(list);
    assert_eq!(trial.output().await, host_shell(list));
}

#[tokio::test]
async fn the_own_dev_has_terminals_shared_memory_queues_and_the_usual_links() {
    let trial = Trial::shell(
        "mount | grep -cE ' /dev/(pts|shm|mqueue) '; readlink /dev/fd; readlink /dev/ptmx; \
         test -c /dev/pts/ptmx && echo ptmx; echo x > /dev/shm/x && echo > /dev/null && head -c 4 /dev/urandom | wc -c",
    );
    assert_eq!(trial.output().await, "3\n/proc/self/fd\npts/ptmx\nptmx\n4");
}

#[tokio::test]
async fn a_bound_dev_is_the_hosts_and_nothing_is_set_up_in_it() {
    let list = "find /dev -path /dev/pts -prune -o -path /dev/shm -prune -o -print | sort";
    let before = host_shell(list);
    let mut trial = Trial::shell("stat -c '%d:%i' /dev; mount | grep -c ' on /dev type'; ls /dev | wc -l");
    trial.spec.volumes = vec!["/dev:/dev", "/dev/console:/dev/console"].into_iter().map(volume).collect();
    let host = host_shell("busybox stat -c '%d:%i' /dev; echo 1; ls /dev | wc -l");
    assert_eq!(trial.output().await, host);
    assert_eq!(host_shell(list), before);
}

fn volume(text: &str) -> tink_oci::Volume {
    tink_oci::Volume::parse(text).unwrap()
}

#[tokio::test]
async fn names_that_the_environment_lacks_are_those_docker_gives() {
    let mut trial = Trial::new();
    trial.spec.hostname = Some("box".to_owned());
    trial.spec.env = vec!["A=1".to_owned(), "A=2".to_owned()];
    trial.spec.args = vec!["env".to_owned()];
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(trial.output().await, format!("A=2\n{path}\nHOSTNAME=box\nHOME=/root"));
}

#[tokio::test]
async fn the_user_is_looked_up_in_the_image() {
    let mut trial = Trial::shell("id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status");
    trial.spec.user = Some("web".to_owned());
    assert_eq!(trial.output().await, "33\n34\n34 90\n/srv\nCapEff:\t0000000000000000");
    let mut trial = Trial::shell("id -u; id -g; id -G; echo $HOME");
    trial.spec.user = Some("1234:ssl".to_owned());
    assert_eq!(trial.output().await, "1234\n90\n90\n/");
}

#[tokio::test]
async fn the_working_directory_is_made() {
    let mut trial = Trial::shell("pwd; umask");
    trial.spec.cwd = "/a/b".to_owned();
    assert_eq!(trial.output().await, "/a/b\n0022");
}

#[tokio::test]
async fn an_image_made_from_nothing_gets_its_name_and_dns_files() {
    let mut trial = Trial::new();
    // One file, as `FROM scratch` images are: no /etc, /proc, /dev or /tmp.
    let layer = trial.host_dir().join("scratch");
    std::fs::create_dir(&layer).unwrap();
    std::fs::copy("/bin/busybox", layer.join("busybox")).unwrap();
    trial.spec.layers = vec![layer.clone()];
    trial.spec.hostname = Some("box".to_owned());
    trial.spec.dns = Dns::Text("nameserver 192.0.2.1\n".to_owned());
    trial.spec.extra_hosts = vec![("192.0.2.2".to_owned(), "registry".to_owned())];
    trial.spec.network = Network::Isolated;
    let script = "cat /etc/hostname /etc/resolv.conf; grep -E 'localhost$|box|registry' /etc/hosts; hostname; test -f /etc/hosts; echo $?";
    trial.spec.args = ["/busybox", "sh", "-c", script].map(str::to_owned).to_vec();
    let expected = "box\nnameserver 192.0.2.1\n127.0.0.1\tlocalhost\n127.0.1.1\tbox\n192.0.2.2\tregistry\nbox\n0";
    assert_eq!(trial.output().await, expected);
    assert!(!layer.join("etc").exists(), "the layer was written to");
}

#[tokio::test]
async fn the_hosts_name_servers_are_the_containers() {
    let trial = Trial::shell("cat /etc/resolv.conf");
    assert_eq!(trial.output().await, std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default().trim_end());
}

#[tokio::test]
async fn the_program_is_process_1_of_its_own_namespace() {
    // The shell itself finds the names: no other process is begun.
    let trial = Trial::shell("echo $$; echo /proc/[0-9]*");
    assert_eq!(trial.output().await, "1\n/proc/1");
}

#[tokio::test]
async fn with_the_hosts_processes_those_are_seen() {
    let mut trial = Trial::shell("readlink /proc/self/ns/pid; cat /proc/1/comm; test $$ -ne 1; echo $?");
    trial.spec.pid = PidNamespace::Host;
    assert_eq!(trial.output().await, host_shell("readlink /proc/self/ns/pid; cat /proc/1/comm; echo 0"));
}

#[tokio::test]
async fn the_network_is_the_hosts_or_a_loopback() {
    let trial = Trial::shell("readlink /proc/self/ns/net; ls /sys/class/net");
    assert_eq!(trial.output().await, host_shell("readlink /proc/self/ns/net; ls /sys/class/net"));
    let mut trial = Trial::shell("ls /sys/class/net; ping -c 1 127.0.0.1 > /dev/null; echo $?; ip route | wc -l");
    trial.spec.network = Network::Isolated;
    assert_eq!(trial.output().await, "lo\n0\n0");
}

#[tokio::test]
async fn mounts_ipc_names_and_cgroups_are_its_own() {
    let script = "for n in mnt ipc uts cgroup pid net; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup";
    let (inside, host) = (Trial::shell(script).output().await, host_shell(script));
    let (inside, host): (Vec<_>, Vec<_>) = (inside.lines().collect(), host.lines().collect());
    for number in 0..5 {
        assert_ne!(inside[number], host[number]);
    }
    assert_eq!(inside[5], host[5], "the network is the host's by default");
    assert!(inside[6..].iter().all(|line| line.ends_with(":/")), "{inside:?}");
}

#[tokio::test]
async fn nothing_but_the_three_streams_is_inherited() {
    let mut trial = Trial::new();
    // The fourth is the directory that `ls` reads.
    trial.spec.args = ["ls", "/proc/self/fd"].map(str::to_owned).to_vec();
    assert_eq!(trial.output().await, "0\n1\n2\n3");
    let trial = Trial::shell("readlink /proc/self/fd/0; cat /proc/self/oom_score_adj");
    assert_eq!(trial.output().await, "/dev/null\n0");
}

#[tokio::test]
async fn as_many_files_may_be_open_as_we_may_allow() {
    let hard: u64 = host_shell("ulimit -Hn").parse().unwrap();
    let trial = Trial::shell("ulimit -n; ulimit -c");
    let text = trial.output().await;
    let allowed: u64 = text.lines().next().unwrap().parse().unwrap();
    assert!(allowed == 1_048_576 || allowed == hard, "{allowed}, hard limit {hard}");
}

#[tokio::test]
async fn cgroups_are_mounted_writable_and_start_at_the_containers_own() {
    let trial = Trial::shell(
        "mount | grep -E ' type cgroup2? ' | grep -vc '(rw'; find /sys/fs/cgroup -name cgroup.procs -maxdepth 2 | wc -l",
    );
    let text = trial.output().await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "0");
    assert!(lines[1].parse::<u32>().unwrap() > 0, "{text}");
}

#[tokio::test]
async fn the_specification_on_disk_is_for_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let trial = Trial::shell("true");
    trial.run().await;
    for file in ["spec.json", "record.json", "exit.json", "log/00000000000000000000.log"] {
        let Ok(meta) = std::fs::metadata(trial.dir().join(file)) else { continue };
        assert_eq!(meta.permissions().mode() & 0o077, 0, "{file}");
    }
    let spec: Spec = serde_json::from_slice(&std::fs::read(trial.dir().join("spec.json")).unwrap()).unwrap();
    assert_eq!(spec, trial.spec);
    assert!(Path::new(trial.dir()).is_absolute());
}

/// A host whose `/dev` has no console, as in a container of an engine.
#[tokio::test]
async fn a_terminal_leaves_nothing_in_a_dev_of_the_hosts() {
    for (own, console) in [(false, "none"), (true, "a terminal")] {
        let mut trial = Trial::shell("test -t 0 && if test -c /dev/console; then echo a terminal; else echo none; fi");
        let dev = trial.host_dir().join("dev");
        std::fs::create_dir(&dev).unwrap();
        let _mounted = Mounted::tmpfs(&dev, "");
        let place = dev.display();
        host_shell(&format!("mknod {place}/null c 1 3; mkdir {place}/pts; ln -s pts/ptmx {place}/ptmx"));
        let _terminals = Mounted::new(&dev.join("pts"), &["-t", "devpts", "-o", "newinstance,ptmxmode=0666", "none"]);
        trial.spec.tty = true;
        if !own {
            trial.spec.volumes = vec![Volume::bind(&dev, "/dev")];
        }
        assert_eq!(trial.output().await.trim_end(), console);
        assert!(!dev.join("console").exists(), "the host's /dev was written to");
    }
}
