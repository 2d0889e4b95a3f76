//! A container to try things in, made from busybox.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags, open};
use tink_oci::{ExitStatus, LogItem, LogReader, LoopDevice, Record, Spec, Stream, remove, wait};

const BUSYBOX: &str = "/bin/busybox";

/// A state directory, an image of one layer, and a specification that the test changes.
///
/// Dropped, it checks that nothing is left: no process, mount, cgroup or directory.
pub struct Trial {
    pub spec: Spec,
    base: tempfile::TempDir,
}

impl Trial {
    /// A trial on the disk that holds temporary files.
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// A trial with its state and its layers below `parent`.
    pub fn below(parent: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let uid = Command::new("id").arg("-u").output().unwrap().stdout;
        assert_eq!(uid, b"0\n", "these tests make containers: run them as root");
        let base = tempfile::Builder::new().prefix("tink-oci-").tempdir_in(parent).unwrap();
        let layer = base.path().join("layer");
        write_busybox(&layer);
        let id = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let spec = Spec::new(id, base.path().join("state"), vec![layer]);
        Self { spec, base }
    }

    /// The same with `script` for the shell to run.
    pub fn shell(script: &str) -> Self {
        let mut trial = Self::new();
        trial.script(script);
        trial
    }

    pub fn script(&mut self, script: &str) {
        self.spec.args = ["sh", "-c", script].map(str::to_owned).to_vec();
    }

    /// A directory of the test's own on the host, removed with the trial.
    pub fn host_dir(&self) -> PathBuf {
        let dir = self.base.path().join("host");
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    pub fn layer(&self) -> &Path {
        &self.spec.layers[0]
    }

    pub fn dir(&self) -> &Path {
        &self.spec.dir
    }

    /// Launches from a process that ends right after: every test is one of a launcher that died.
    pub fn try_launch(&self) -> Result<Record, (i32, String)> {
        self.try_launch_with(&[])
    }

    /// The same with something in the launcher's environment.
    pub fn try_launch_with(&self, environment: &[(&str, &str)]) -> Result<Record, (i32, String)> {
        let output = self.launcher().envs(environment.iter().copied()).output().unwrap();
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).unwrap());
        }
        Err((output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap()))
    }

    /// Launches without waiting for that.
    pub fn spawn_launch(&self) -> Child {
        self.launcher().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The specification as a file, as the launcher takes it.
    pub fn spec_file(&self) -> PathBuf {
        let path = self.base.path().join("wanted.json");
        std::fs::write(&path, serde_json::to_vec(&self.spec).unwrap()).unwrap();
        path
    }

    fn launcher(&self) -> Command {
        let path = self.spec_file();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tink-oci-probe"));
        command.args(["launch", path.to_str().unwrap()]);
        command
    }

    pub fn launch(&self) -> Record {
        match self.try_launch() {
            Ok(record) => record,
            Err((code, message)) => panic!("not launched ({code}): {message}\n{}", self.shim_log()),
        }
    }

    /// Launches and waits for the end.
    pub async fn run(&self) -> ExitStatus {
        self.launch();
        wait(self.dir()).await.unwrap()
    }

    /// Runs a script in a trial of its own and gives its output; the script must succeed.
    pub async fn output(&self) -> String {
        let exit = self.run().await;
        let text = self.text();
        assert_eq!(exit.code(), 0, "{exit:?}\n{text}");
        text
    }

    /// Everything the container printed, both streams, one line each.
    pub fn text(&self) -> String {
        self.lines(&[Stream::Stdout, Stream::Stderr]).join("\n")
    }

    pub fn lines(&self, streams: &[Stream]) -> Vec<String> {
        let mut reader = LogReader::open(self.dir());
        std::iter::from_fn(|| reader.next_item().unwrap())
            .filter_map(|item| match item {
                LogItem::Line(line) => streams.contains(&line.stream).then(|| String::from_utf8(line.bytes).unwrap()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    pub fn shim_log(&self) -> String {
        std::fs::read_to_string(self.dir().join("shim.log")).unwrap_or_default()
    }

    /// A pipe by which the test lets the container's script go on, which it finds at `/gate`.
    pub fn gate(&mut self) -> PathBuf {
        let fifo = self.host_dir().join("gate");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        self.spec.volumes.push(tink_oci::Volume::bind(&fifo, "/gate"));
        fifo
    }

    /// Waits until the container has printed a line that is exactly `wanted`.
    pub async fn printed(&self, wanted: &str) {
        let mut reader = LogReader::open(self.dir());
        while let Some(item) = reader.follow().await.unwrap() {
            if matches!(&item, LogItem::Line(line) if line.bytes == wanted.as_bytes()) {
                return;
            }
        }
        panic!("ended without printing {wanted:?}: {}", self.text());
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let (dir, id) = (self.spec.dir.clone(), self.spec.id.clone());
        // A runtime of its own: the test's cannot be blocked on.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(remove(&dir)).map_err(|error| error.to_string())
        });
        let removed = removed.join().unwrap();
        if std::thread::panicking() {
            return;
        }
        removed.unwrap();
        // A process lets go of its lock, which `remove` waits for, a moment before it is gone from the list of processes.
        let left = (0..1000).map(|_| leftovers(&self.spec.id, self.base.path())).find(Vec::is_empty);
        if left.is_none() {
            assert_eq!(leftovers(&self.spec.id, self.base.path()), Vec::<String>::new(), "left behind by {id}");
        }
    }
}

/// What of a container is still there: its directory, mounts, processes, cgroups.
fn leftovers(id: &str, base: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let base_text = base.to_str().unwrap();
    if base.join("state").exists() {
        found.push(base.join("state").display().to_string());
    }
    for mount in
        std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|line| line.contains(base_text))
    {
        found.push(mount.to_owned());
    }
    found.extend(processes(|cgroup, words| {
        cgroup.contains(id) || (words.contains(base_text) && words.starts_with("tink-shim"))
    }));
    let mut dirs = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
                if entry.path().to_str().unwrap().contains(id) {
                    found.push(entry.path().display().to_string());
                }
            }
        }
    }
    found
}

/// The processes in a container's cgroups. When its exit is told there is none; the cgroups themselves go after.
pub fn processes_of(id: &str) -> Vec<String> {
    processes(|cgroup, _| cgroup.contains(id))
}

/// The processes of which this holds, given their cgroups and their command line.
fn processes(wanted: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        // Dead already, and another process's to reap: orphans of a killed shim go to the machine's first process.
        if read("stat").contains(") Z ") {
            continue;
        }
        let words = read("cmdline");
        if wanted(&read("cgroup"), &words) {
            found.push(format!("process {}: {}", entry.path().display(), words.replace('\0', " ")));
        }
    }
    found
}

/// Nobody has the device mounted: it is opened as the kernel does to read a partition table anew, once.
pub fn assert_free(device: &LoopDevice) {
    let node = device.path();
    if let Err(error) = open(node, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty()) {
        panic!("{} is busy: {error}", node.display());
    }
}

/// Runs the launcher.
pub fn probe(args: &[&str]) -> Output {
    probe_with(args, &[])
}

/// The same with something in its environment.
pub fn probe_with(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tink-oci-probe"));
    command.args(args).envs(environment.iter().copied()).output().unwrap()
}

/// Runs a script on the host, with busybox's programs where the container would have them; gives what it printed.
pub fn host_shell(script: &str) -> String {
    let output = Command::new("/bin/sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Something mounted on the host, until dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    pub fn tmpfs(point: &Path, options: &str) -> Self {
        let options = format!("mode=755,{options}");
        Self::new(point, &["-t", "tmpfs", "-o", options.trim_end_matches(','), "none"])
    }

    /// `mount ARGS… point`, private whatever the host does.
    pub fn new(point: &Path, args: &[&str]) -> Self {
        let status = Command::new("mount").args(args).arg(point).status().unwrap();
        assert!(status.success(), "mount {args:?} {}", point.display());
        Self(point.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Not detached lazily: a container that keeps something of it busy fails the test. Tried again, for a shim lets go of
        // its lock, which `remove` waits for, a moment before the rest, and what another test forks has copies of this
        // process's descriptors until its exec.
        let unmounted =
            (0..500).any(|_| Command::new("umount").arg("-R").arg(&self.0).output().unwrap().status.success());
        assert!(unmounted || std::thread::panicking(), "{} stays busy", self.0.display());
    }
}

fn write_busybox(layer: &Path) {
    for dir in ["bin", "etc", "tmp"] {
        std::fs::create_dir_all(layer.join(dir)).unwrap();
    }
    let copied = std::fs::copy(BUSYBOX, layer.join("bin/busybox"));
    copied.unwrap_or_else(|error| panic!("{BUSYBOX}: {error}; `cargo xtask test` installs busybox-static"));
    let applets = Command::new(BUSYBOX).arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines().filter(|applet| *applet != "busybox") {
        std::os::unix::fs::symlink("busybox", layer.join("bin").join(applet)).unwrap();
    }
    std::fs::write(layer.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n").unwrap();
    std::fs::write(layer.join("etc/group"), "root:x:0:\nwww:x:34:\nssl:x:90:web\n").unwrap();
}
