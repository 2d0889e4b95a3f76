//! A process under test as a guard: started, watched, ended by its id.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::run::RUN_VARIABLE;
use crate::{Capture, NetNs, TestRun, binaries};

/// How long a process has after SIGTERM when its guard is dropped.
const DROP_GRACE: Duration = Duration::from_secs(10);
/// How long the output may stay open after the exit: a child that holds it lives on.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// What is to be started: a `Command` that knows the test it belongs to.
#[derive(Debug)]
pub struct Launch {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    current_dir: Option<PathBuf>,
    netns: Option<PathBuf>,
    /// Files in the place of others.
    replaced: Vec<(PathBuf, &'static str)>,
    stdin: Stdio,
}

impl Launch {
    fn new(name: &str, program: PathBuf) -> Self {
        let name = name.to_owned();
        Self {
            name,
            program,
            args: vec![],
            env: vec![],
            current_dir: None,
            netns: None,
            replaced: vec![],
            stdin: Stdio::null(),
        }
    }

    /// Names the log files, where several processes of one program take part: `worker-a`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes a variable of the environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Sets the working directory; without it, the run's scratch directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.current_dir = Some(directory.as_ref().to_owned());
        self
    }

    /// Runs it in a network namespace.
    #[must_use]
    pub fn in_netns(mut self, netns: &NetNs) -> Self {
        self.netns = Some(netns.path());
        self
    }

    /// Gives it a `/etc/resolv.conf` of its own, in a mount namespace of its own.
    #[must_use]
    pub fn resolv_conf(mut self, path: impl AsRef<Path>) -> Self {
        self.replaced.push((path.as_ref().to_owned(), "/etc/resolv.conf"));
        self
    }

    /// Lets it live in another boot of the machine, with this file as the boot's id, in a mount namespace of its own.
    #[must_use]
    pub fn boot_id(mut self, path: impl AsRef<Path>) -> Self {
        self.replaced.push((path.as_ref().to_owned(), "/proc/sys/kernel/random/boot_id"));
        self
    }

    /// Sets what it reads; without it, nothing.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Starts it, in a process group of its own.
    ///
    /// # Errors
    /// When it cannot be started or its log files cannot be made.
    pub fn start(self, run: &TestRun) -> Result<Process> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(netns) = &self.netns {
            // Not `ip netns exec`: that gives a mount namespace of its own, too.
            words.extend(["nsenter".into(), format!("--net={}", netns.display()).into(), "--".into()]);
        }
        for (path, target) in &self.replaced {
            // By their paths: what is started may be given an empty PATH.
            let script = format!("/usr/bin/mount --bind \"$0\" {target} && exec \"$@\"");
            let unshare = ["/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", &script];
            words.extend(unshare.map(OsString::from));
            words.push(path.into());
        }
        words.push(self.program.clone().into());
        // Each becomes the next one, under one process id.
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(&self.args).current_dir(self.current_dir.as_deref().unwrap_or(run.scratch()));
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env(RUN_VARIABLE, run.scratch());
        command.stdin(self.stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("failed to start {}", self.program.display()))?;
        let streams = child.stdout.take().zip(child.stderr.take()).context("a started process has no output")?;
        let stdout = Capture::start(streams.0, run.log_path(&self.name, "stdout"))?;
        let stderr = Capture::start(streams.1, run.log_path(&self.name, "stderr"))?;
        let pid = Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).context("failed to open a pidfd")?;
        Ok(Process { name: self.name, child, pid, pidfd, stdout, stderr, status: None })
    }
}

/// A running process. Dropped, it gets SIGTERM, ten seconds, then SIGKILL; its process group goes with it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    stdout: Capture,
    stderr: Capture,
    status: Option<ExitStatus>,
}

impl Process {
    /// Prepares one of the project's own programs (`tink`, `tink-server`, `tink-worker`).
    ///
    /// # Errors
    /// When it was not built.
    pub fn binary(name: &str) -> Result<Launch> {
        Ok(Launch::new(name, binaries::binary_path(name)?))
    }

    /// Prepares a program of the machine, by name or path.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn program(name: &str) -> Result<Launch> {
        if let Some(stem) = name.rsplit_once('/').map(|(_, stem)| stem) {
            return Ok(Launch::new(stem, PathBuf::from(name)));
        }
        Ok(Launch::new(name, binaries::system_program(name)?))
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed to standard output.
    #[must_use]
    pub fn stdout(&self) -> &Capture {
        &self.stdout
    }

    /// What it printed to standard error.
    #[must_use]
    pub fn stderr(&self) -> &Capture {
        &self.stderr
    }

    /// Waits for a line on standard error, where our programs and all daemons log.
    ///
    /// # Errors
    /// When the deadline passes or the process ends without such a line.
    pub fn wait_for_line(&self, pattern: &str, deadline: Duration) -> Result<String> {
        self.stderr.wait_for_line(pattern, deadline).with_context(|| format!("{} ({})", self.name, self.pid()))
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    /// When it has ended and was waited for already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        rustix::process::pidfd_send_signal(&self.pidfd, signal)
            .with_context(|| format!("failed to send {signal:?} to {} ({})", self.name, self.pid()))
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// When it has not ended by the deadline.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        if self.status.is_none() {
            self.signal(Signal::TERM)?;
        }
        self.wait(deadline)
    }

    /// Kills the process alone (SIGKILL); what it started lives on, as after a crash.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        if self.status.is_none() {
            self.signal(Signal::KILL)?;
        }
        self.wait(DROP_GRACE)
    }

    /// Whether it has ended by now.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.status.is_some() || self.exited_within(Duration::ZERO)
    }

    /// Waits for its end and for the rest of its output.
    ///
    /// # Errors
    /// When it has not ended by the deadline; it runs on then.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        if !self.exited_within(deadline) {
            bail!("{} ({}) did not end within {deadline:?}", self.name, self.pid());
        }
        let status = self.child.wait().with_context(|| format!("failed to wait for {}", self.name))?;
        self.status = Some(status);
        let _: [bool; 2] = [self.stdout.wait_for_end(OUTPUT_GRACE), self.stderr.wait_for_end(OUTPUT_GRACE)];
        Ok(status)
    }

    /// Waits for the pidfd to become readable, which happens at the exit and leaves the process to be reaped.
    fn exited_within(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(ready) => return ready > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        self.signal(Signal::TERM).ok();
        if !self.exited_within(DROP_GRACE) {
            eprintln!("{} ({}) did not end {DROP_GRACE:?} after SIGTERM: killed", self.name, self.pid());
        }
        // Before the leader is reaped: until then the group's id cannot be anybody else's.
        rustix::process::kill_process_group(self.pid, Signal::KILL).ok();
        self.child.wait().ok();
        let _: [bool; 2] = [self.stdout.wait_for_end(OUTPUT_GRACE), self.stderr.wait_for_end(OUTPUT_GRACE)];
    }
}

/// Kills one process by its id, if it is still there.
pub(crate) fn kill_pid(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        rustix::process::kill_process(pid, Signal::KILL).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn output_and_exit_code_are_seen() {
        let run = TestRun::new("unit_output_and_exit_code_are_seen").unwrap();
        let script = "echo out; echo err >&2; exit 3";
        let mut process = Process::program("sh").unwrap().args(["-c", script]).start(&run).unwrap();
        assert_eq!(process.wait_for_line("err", SOON).unwrap(), "err");
        assert_eq!(process.wait(SOON).unwrap().code(), Some(3));
        assert_eq!(process.stdout().text(), "out\n");
    }

    #[test]
    fn a_dropped_process_takes_its_group_with_it() {
        let run = TestRun::new("unit_a_dropped_process_takes_its_group_with_it").unwrap();
        let script = "sleep 1000 & echo $! >&2; wait";
        let process = Process::program("sh").unwrap().args(["-c", script]).start(&run).unwrap();
        let child = process.wait_for_line("", SOON).unwrap();
        drop(process);
        crate::eventually("the end of the child", SOON, || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
        })
        .unwrap();
    }

    #[test]
    fn a_killed_process_leaves_its_child_to_the_run() {
        let run = TestRun::new("unit_a_killed_process_leaves_its_child_to_the_run").unwrap();
        let script = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >&2; wait";
        let mut process = Process::program("sh").unwrap().args(["-c", script]).start(&run).unwrap();
        let child = process.wait_for_line("", SOON).unwrap();
        process.kill().unwrap();
        assert!(Path::new("/proc").join(&child).exists());
        drop(run);
        crate::eventually("the end of the child", SOON, || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
        })
        .unwrap();
    }
}
