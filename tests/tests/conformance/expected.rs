//! The differences that are meant, and why.

/// A difference, or several of one reason.
#[derive(Debug)]
pub struct Expected {
    /// The beginning of the names of the fields, and the whole name where it ends in a tab.
    pub fields: &'static [&'static str],
    /// The first column of the row in docs/differences.md that tells users, with the reason.
    pub in_docs: &'static str,
    /// Whether every machine shows it; else it depends on the version of Docker or on the machine.
    pub everywhere: bool,
    /// Whether what Docker and we show is what the row says.
    pub holds: fn(case: &str, docker: Option<&str>, embedded: Option<&str>) -> bool,
}

impl Expected {
    /// Whether this is the reason for a difference.
    pub fn explains(&self, case: &str, field: &str, docker: Option<&str>, embedded: Option<&str>) -> bool {
        let field = format!("{field}\t");
        self.fields.iter().any(|beginning| field.starts_with(beginning)) && (self.holds)(case, docker, embedded)
    }
}

/// Whether the machine has another interface than its loopback, in the probe's words.
fn of_host_interfaces() -> &'static str {
    let mut interfaces = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    if interfaces.any(|interface| interface.file_name() != "lo") { "yes" } else { "no" }
}

/// There is no bridge, since there is no daemon to keep one; an action that asks for nothing must reach its servers.
const NETWORK: Expected = Expected {
    fields: &["namespace net\t"],
    in_docs: "network of its own behind a bridge, unless `host` or `none` is said",
    everywhere: true,
    holds: |case, docker, ours| case != "no network" && (docker, ours) == (Some("its own"), Some("the host's")),
};

const INTERFACES: Expected = Expected {
    fields: &["interfaces but the loopback\t"],
    in_docs: "network of its own behind a bridge, unless `host` or `none` is said",
    everywhere: false,
    holds: |case, docker, ours| case != "no network" && docker == Some("yes") && ours == Some(of_host_interfaces()),
};

/// A random name says nothing; logs that an action sends should name the machine.
const HOST_NAME: Expected = Expected {
    fields: &["host name\t"],
    in_docs: "host name: the container's id",
    everywhere: true,
    holds: |_, docker, ours| docker == Some("its own") && ours == Some("the host's"),
};

/// A name that does not resolve makes programs wait.
const HOSTS_NAME: Expected = Expected {
    fields: &["/etc/hosts has the host name\t"],
    in_docs: "with no network, `/etc/hosts` lacks the host name",
    everywhere: true,
    holds: |case, docker, ours| case == "no network" && (docker, ours) == (Some("no"), Some("yes")),
};

/// It tells that Docker runs the container, and Docker does not.
const DOCKER_MARK: Expected = Expected {
    fields: &["entry /.dockerenv\t"],
    in_docs: "the root holds `/.dockerenv`",
    everywhere: true,
    holds: |_, docker, ours| docker.is_some() && ours.is_none(),
};

/// Nothing that the host mounts later is to be held by a container, nor the other way round.
const ROOT: Expected = Expected {
    fields: &["mount /\t"],
    in_docs: "the root is a slave mount",
    everywhere: true,
    holds: |_, docker, ours| {
        docker.is_some_and(|text| text.contains("tags: master:"))
            && ours.is_some_and(|text| text.contains("tags: none"))
    },
};

/// Docker 20.10 knows the capabilities up to 37 (AUDIT_READ); later ones know all.
const CAPABILITIES: Expected = Expected {
    fields: &["status CapPrm\t", "status CapEff\t", "status CapBnd\t"],
    in_docs: "the capabilities that the engine's version knows",
    everywhere: false,
    holds: |_, docker, ours| {
        let set = |text: Option<&str>| u64::from_str_radix(text.unwrap_or_default(), 16);
        let (Ok(docker), Ok(ours)) = (set(docker), set(ours)) else { return false };
        ours & ((1 << 38) - 1) == docker
    },
};

/// Of the embedded runtime.
pub const EMBEDDED: &[Expected] = &[
    NETWORK,
    INTERFACES,
    HOST_NAME,
    HOSTS_NAME,
    DOCKER_MARK,
    ROOT,
    CAPABILITIES,
    // Written into the container's own layer: no mount that a program could stumble over when it replaces the file.
    Expected {
        fields: &["mount /etc/hostname\t", "mount /etc/hosts\t", "mount /etc/resolv.conf\t"],
        in_docs: "`/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` are mounts",
        everywhere: true,
        holds: |_, docker, embedded| docker.is_some() && embedded.is_none(),
    },
    // Docker passes on what its daemon was started with.
    Expected {
        fields: &["limit Max core file size\t"],
        in_docs: "core files are limited as those of the daemon",
        everywhere: false,
        holds: |_, docker, embedded| docker.is_some() && embedded == Some(" unlimited unlimited bytes"),
    },
    // Docker's programs may hand on what their own starter had left open; nothing but the streams is handed on here.
    Expected {
        fields: &["open files\t"],
        in_docs: "files that the engine itself was started with may stay open",
        everywhere: false,
        holds: |_, docker, embedded| {
            let (docker, embedded) = (docker.unwrap_or_default(), embedded.unwrap_or_default());
            embedded.split_whitespace().all(|file| docker.split_whitespace().any(|other| other == file))
        },
    },
    // What a program may only read is not to be written through what is mounted in it.
    Expected {
        fields: &["mount /volumes/locked/below\t"],
        in_docs: "what is mounted below a read-only volume can be written, before version 25",
        everywhere: false,
        holds: |_, docker, embedded| {
            docker.is_some_and(|text| text.starts_with("tmpfs rw,"))
                && docker.map(|text| text.replacen("rw,", "ro,", 1)).as_deref() == embedded
        },
    },
    // A container sees its own cgroup as the root on either version, and not where the host keeps it.
    Expected {
        fields: &["namespace cgroup\t"],
        in_docs: "the cgroup namespace is the host's on cgroup v1",
        everywhere: false,
        holds: |_, docker, embedded| docker == Some("the host's") && embedded == Some("its own"),
    },
    // Where version 1 and 2 are mounted side by side, programs that know version 2 find theirs.
    Expected {
        fields: &["mount /sys/fs/cgroup/"],
        in_docs: "of a hybrid set-up, only the cgroup v1 hierarchies are mounted",
        everywhere: false,
        holds: |_, docker, embedded| docker.is_none() && embedded.is_some_and(|text| text.starts_with("cgroup2 ")),
    },
    // A /dev that is the host's is taken as it is: nothing is mounted, and least of all made, in it.
    Expected {
        fields: &["mount /dev/console\t", "device /dev/console\t"],
        in_docs: "with a terminal and `/dev:/dev`, `/dev/console` is that terminal",
        everywhere: false,
        holds: |case, docker, embedded| {
            case == "a terminal and devices of the host"
                && (docker.is_some_and(|text| text.starts_with("devpts ")) && embedded.is_none()
                    || embedded.is_some_and(|text| text.starts_with("character special file 5:1 ")))
        },
    },
];

/// Of the containerd runtime.
pub const CONTAINERD: &[Expected] = &[NETWORK, INTERFACES, HOST_NAME, HOSTS_NAME, DOCKER_MARK, ROOT, CAPABILITIES];
