//! A server, its workers and the CLI: the real binaries, as an operator would start them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::certificate::LoopbackCertificate;
use crate::{Finished, Process, TestRun, eventually};

/// How long anything that must happen may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A running tink-server with a store of its own, and everything needed to reach it.
pub struct Stack<'r> {
    run: &'r TestRun,
    server: Option<Process>,
    grpc: String,
    http: String,
    store: PathBuf,
    /// Where `bundle.pem`, `server-key.pem` and `ca.pem` are, with TLS.
    certs: Option<PathBuf>,
}

impl<'r> Stack<'r> {
    /// Starts a server on free ports, with an empty store.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(run: &'r TestRun) -> Result<Self> {
        Self::start_named(run, "tink")
    }

    /// The same, where a run has several: the store is called after it.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_named(run: &'r TestRun, name: &str) -> Result<Self> {
        let store = run.scratch().join(format!("{name}.db"));
        Self::over(run, store, None)
    }

    /// As [`Stack::start`], with TLS: the server's certificate is of an authority that nobody knows, and can be fetched
    /// at [`Stack::cert_url`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_with_tls(run: &'r TestRun) -> Result<Self> {
        let issued = LoopbackCertificate::issue()?;
        let certs = run.scratch().join("certs");
        std::fs::create_dir(&certs)?;
        std::fs::write(certs.join("bundle.pem"), format!("{}{}", issued.certificate, issued.authority))?;
        std::fs::write(certs.join("server-key.pem"), issued.key)?;
        std::fs::write(certs.join("ca.pem"), issued.authority)?;
        Self::over(run, run.scratch().join("tink.db"), Some(certs))
    }

    fn over(run: &'r TestRun, store: PathBuf, certs: Option<PathBuf>) -> Result<Self> {
        let free = || "127.0.0.1:0".to_owned();
        let mut stack = Self { run, server: None, grpc: free(), http: free(), store, certs };
        stack.start_server()?;
        Ok(stack)
    }

    /// Starts the server, at the addresses it had before.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_server(&mut self) -> Result<()> {
        self.start_server_with(&[])
    }

    /// The same with more in its environment.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_server_with(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        let mut launch = Process::binary("tink-server")?;
        for (name, value) in environment {
            launch = launch.env(name, value);
        }
        let launch = match &self.certs {
            Some(certs) => launch.arg("--cert-dir").arg(certs),
            None => launch.arg("--insecure"),
        };
        let server = launch
            .args(["--log-format", "json"])
            .args(["--grpc-addr", &self.grpc, "--http-addr", &self.http])
            .arg("--data")
            .arg(self.store.as_os_str())
            .start(self.run)?;
        let line = server.wait_for_line("tink-server started", DEADLINE)?;
        let line: Value = serde_json::from_str(&line).with_context(|| format!("the server logged {line:?}"))?;
        let field = |name: &str| line[name].as_str().map(str::to_owned).with_context(|| format!("no {name}: {line}"));
        self.grpc = field("grpc")?;
        self.http = field("http")?;
        self.server = Some(server);
        Ok(())
    }

    /// The server's process.
    ///
    /// # Errors
    /// When it is stopped.
    pub fn server(&mut self) -> Result<&mut Process> {
        self.server.as_mut().context("the server is stopped")
    }

    /// Stops the server with SIGTERM.
    ///
    /// # Errors
    /// When it does not end, or ends with an error.
    pub fn stop_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server is stopped")?;
        let status = server.terminate(DEADLINE)?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Kills the server.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill_server(&mut self) -> Result<()> {
        self.server.take().context("the server is stopped")?.kill()?;
        Ok(())
    }

    /// Address of the gRPC port.
    #[must_use]
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Where workers of 2021 fetch the server's certificate.
    #[must_use]
    pub fn cert_url(&self) -> String {
        format!("http://{}/cert", self.http)
    }

    /// Address of the HTTP port.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Gets a path of the HTTP port; the status and the body.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("http://{}{path}", self.http)).call()?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    /// The state directory of a worker, kept over its restarts.
    #[must_use]
    pub fn worker_dir(&self, id: &str) -> PathBuf {
        self.run.scratch().join(format!("worker-{id}"))
    }

    /// A worker ready to be started: pointed at this server, with a state directory of its own.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn worker(&self, id: &str) -> Result<crate::Launch> {
        Ok(Process::binary("tink-worker")?
            .named(&format!("worker-{id}"))
            .args(["--id", id, "--grpc-server", &self.grpc, "--log-format", "json", "--backoff-max-interval", "1s"])
            .arg("--state-dir")
            .arg(self.worker_dir(id)))
    }

    /// Runs the CLI against this server.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn tink<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Finished> {
        let launch = Process::binary("tink")?.args(args);
        let launch = match &self.certs {
            Some(certs) => {
                launch.env("TINK_SERVER", format!("https://{}", self.grpc)).env("TINK_CA_FILE", certs.join("ca.pem"))
            }
            None => launch.env("TINK_SERVER", format!("http://{}", self.grpc)),
        };
        let mut process = launch.start(self.run)?;
        let status = process.wait(DEADLINE * 3)?;
        Ok(Finished { code: status.code(), stdout: process.stdout().text(), stderr: process.stderr().text() })
    }

    /// As [`Stack::tink`]; anything but exit code 0 is an error.
    ///
    /// # Errors
    /// With what the CLI printed.
    pub fn tink_ok<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let args: Vec<&str> = args.into_iter().collect();
        let finished = self.tink(args.iter().copied())?;
        if finished.code != Some(0) {
            bail!("tink {args:?} ended with {:?}: {}{}", finished.code, finished.stdout, finished.stderr);
        }
        Ok(finished.stdout)
    }

    /// Applies YAML documents, workflows included.
    ///
    /// # Errors
    /// With what the CLI printed.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile_in(self.run.scratch())?;
        std::fs::write(file.path(), yaml)?;
        self.tink_ok(["apply", "-f", path_text(file.path())?])?;
        Ok(())
    }

    /// Creates template `name` with these tasks (YAML, the value of `tasks:`) and workflow `name` of it.
    ///
    /// # Errors
    /// With what the CLI printed.
    pub fn create(&self, name: &str, tasks: &str) -> Result<()> {
        self.apply(&manifests(name, tasks))
    }

    /// The workflow as `tink workflow get -o json` prints it.
    ///
    /// # Errors
    /// With what the CLI printed.
    pub fn workflow(&self, name: &str) -> Result<Value> {
        let text = self.tink_ok(["workflow", "get", name, "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("tink printed {text:?}"))
    }

    /// Waits until the workflow is in `state`, and returns it.
    ///
    /// # Errors
    /// When it ends in another state, or the deadline passes.
    pub fn wait_for_state(&self, name: &str, state: &str) -> Result<Value> {
        let ended = |state: &str| matches!(state, "SUCCESS" | "FAILED" | "TIMEOUT" | "CANCELLED");
        let found = eventually(&format!("workflow {name} to be {state}"), DEADLINE, || {
            let workflow = self.workflow(name).map_err(|error| format!("{error:#}"))?;
            let now = workflow["status"]["state"].as_str().unwrap_or_default().to_owned();
            if now == state || ended(&now) { Ok(workflow) } else { Err(now) }
        })?;
        let now = found["status"]["state"].as_str().unwrap_or_default();
        ensure!(now == state, "workflow {name} ended {now}, not {state}: {found:#}");
        Ok(found)
    }

    /// Waits until the action is in `state`, and returns it.
    ///
    /// # Errors
    /// When the deadline passes.
    pub fn wait_for_action(&self, workflow: &str, action: &str, state: &str) -> Result<Value> {
        eventually(&format!("action {action} of {workflow} to be {state}"), DEADLINE, || {
            let found = self.workflow(workflow).map_err(|error| format!("{error:#}"))?;
            let action = action_of(&found, action).map_err(|error| error.to_string())?;
            if action["state"] == state { Ok(action.clone()) } else { Err(action.to_string()) }
        })
    }
}

/// An action of a workflow as `tink workflow get -o json` prints it.
///
/// # Errors
/// When there is none of that name.
pub fn action_of<'w>(workflow: &'w Value, name: &str) -> Result<&'w Value> {
    let tasks = workflow["status"]["tasks"].as_array().context("the workflow has no tasks")?;
    let mut actions = tasks.iter().filter_map(|task| task["actions"].as_array()).flatten();
    actions.find(|action| action["name"] == name).with_context(|| format!("no action {name} in {workflow:#}"))
}

/// A Template with these tasks and a Workflow of it, both called `name`.
#[must_use]
pub fn manifests(name: &str, tasks: &str) -> String {
    let indented: String = tasks.lines().map(|line| format!("      {line}\n")).collect();
    format!(
        "apiVersion: tinkerbell.org/v1alpha1\nkind: Template\nmetadata:\n  name: {name}\nspec:\n  data: |\n    version: \"0.1\"\n    name: {name}\n    global_timeout: 600\n    tasks:\n{indented}---\napiVersion: tinkerbell.org/v1alpha1\nkind: Workflow\nmetadata:\n  name: {name}\nspec:\n  templateRef: {name}\n  hardwareMap: {{}}\n"
    )
}

/// The path as text.
///
/// # Errors
/// When it is not UTF-8.
pub fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
