//! What starts the worker, by init system.

use std::path::Path;

/// An init system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Systemd,
    OpenRc,
    Inittab,
    Rcs,
    LinuxKit,
}

impl Kind {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "systemd" => Self::Systemd,
            "openrc" => Self::OpenRc,
            "inittab" | "busybox" => Self::Inittab,
            "rcs" | "rcS" => Self::Rcs,
            "linuxkit" => Self::LinuxKit,
            other => return Err(format!("{other:?} is none of systemd, openrc, inittab, rcs and linuxkit")),
        })
    }

    /// The one that a file system is made for.
    pub(super) fn of(root: &Path) -> Option<Self> {
        let signs = [
            (Self::Systemd, "usr/lib/systemd/systemd"),
            (Self::Systemd, "lib/systemd/systemd"),
            (Self::OpenRc, "sbin/openrc"),
            (Self::OpenRc, "usr/sbin/openrc"),
            (Self::Inittab, "etc/inittab"),
            (Self::Rcs, "etc/init.d/rcS"),
        ];
        signs.into_iter().find(|(_, file)| root.join(file).exists()).map(|(kind, _)| kind)
    }

    /// Where it is looked for, below the root.
    pub(super) fn file(self) -> Option<&'static str> {
        match self {
            Self::Systemd => Some("etc/systemd/system/tink-worker.service"),
            Self::OpenRc => Some("etc/init.d/tink-worker"),
            Self::Inittab => Some("etc/inittab"),
            Self::Rcs => Some("etc/init.d/rcS"),
            Self::LinuxKit => None,
        }
    }

    pub(super) fn is_part_of_a_file(self) -> bool {
        matches!(self, Self::Inittab | Self::Rcs)
    }

    pub(super) fn mode(self) -> u32 {
        if self == Self::OpenRc { 0o755 } else { 0o644 }
    }

    /// The link that enables it, and where it points.
    pub(super) fn link(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Systemd => Some((
                "etc/systemd/system/multi-user.target.wants/tink-worker.service",
                "/etc/systemd/system/tink-worker.service",
            )),
            Self::OpenRc => Some(("etc/runlevels/default/tink-worker", "/etc/init.d/tink-worker")),
            Self::Inittab | Self::Rcs | Self::LinuxKit => None,
        }
    }

    pub(super) fn text(self, flags: &[String]) -> String {
        match self {
            Self::Systemd => systemd(flags),
            Self::OpenRc => openrc(flags),
            Self::Inittab => format!("::respawn:/usr/bin/tink-worker {}\n", shell_words(flags)),
            Self::Rcs => {
                format!("( while :; do /usr/bin/tink-worker {} </dev/null; sleep 1; done ) &\n", shell_words(flags))
            }
            Self::LinuxKit => linuxkit(flags),
        }
    }
}

fn systemd(flags: &[String]) -> String {
    // systemd takes % for a specifier and $ for a variable.
    let words: Vec<String> = flags
        .iter()
        .map(|flag| {
            let flag = flag.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
            format!("\"{flag}\"")
        })
        .collect();
    format!(
        "[Unit]\n\
         Description=Tinkerbell worker\n\
         Wants=network-online.target\n\
         After=network-online.target containerd.service docker.service\n\
         StartLimitIntervalSec=0\n\n\
         [Service]\n\
         ExecStart=/usr/bin/tink-worker {}\n\
         Restart=always\n\
         RestartSec=1\n\
         # An action outlives a restart of the worker, which takes it up again.\n\
         KillMode=process\n\
         Delegate=yes\n\
         TasksMax=infinity\n\
         LimitNOFILE=1048576\n\
         OOMScoreAdjust=-900\n\n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        words.join(" ")
    )
}

fn openrc(flags: &[String]) -> String {
    format!(
        "#!/sbin/openrc-run\n\n\
         description=\"Tinkerbell worker\"\n\
         supervisor=supervise-daemon\n\
         command=/usr/bin/tink-worker\n\
         command_args={}\n\
         respawn_delay=1\n\
         respawn_max=0\n\
         # An action outlives a restart of the worker, which takes it up again.\n\
         rc_cgroup_cleanup=no\n\n\
         depend() {{\n\
         \tneed net\n\
         \tafter docker containerd\n\
         }}\n",
        shell_word(&shell_words(flags))
    )
}

fn linuxkit(flags: &[String]) -> String {
    // HookOS has a watcher for this file, which actions make to have the machine rebooted.
    let of_hook = ["-reboot-file", "/worker/reboot"];
    let has_own = flags.iter().any(|flag| flag.trim_start_matches('-').starts_with("reboot-file"));
    let of_hook = if has_own { &[] } else { of_hook.as_slice() };
    let command: Vec<String> = std::iter::once("/usr/bin/tink-worker")
        .chain(flags.iter().map(String::as_str))
        .chain(of_hook.iter().copied())
        .map(|word| serde_json::Value::from(word).to_string())
        .collect();
    format!(
        "services:\n  \
           - name: tink-worker\n    \
             # The worker's image, or any that has its binary.\n    \
             image: ghcr.io/tinkerbell/tink-worker:latest\n    \
             command: [{}]\n    \
             capabilities: [all]\n    \
             net: host\n    \
             # For actions that ask for the host's processes (kexec, reboot).\n    \
             pid: host\n    \
             mounts:\n      \
               - type: cgroup2\n        \
                 options: [\"rw\", \"nosuid\", \"noexec\", \"nodev\", \"relatime\"]\n        \
                 destination: /sys/fs/cgroup\n      \
               # Images and the journal; /run and /var of LinuxKit are small and noexec.\n      \
               - type: tmpfs\n        \
                 source: tmpfs\n        \
                 destination: /var/lib/tink-worker\n        \
                 options: [\"size=75%\", \"mode=0755\"]\n    \
             binds:\n      \
               - /dev/console:/dev/console\n      \
               - /dev:/dev\n      \
               - /etc/resolv.conf:/etc/resolv.conf\n      \
               - /lib/modules:/lib/modules\n      \
               - /run:/run\n      \
               # As the sources of actions' volumes.\n      \
               - /:/host_root\n      \
               - /var/run/worker:/worker\n    \
             runtime:\n      \
               mkdir: [\"/var/run/worker\"]\n    \
             devices:\n      \
               - path: all\n        \
                 type: b\n      \
               - path: all\n        \
                 type: c\n",
        command.join(", ")
    )
}

fn shell_words(words: &[String]) -> String {
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
