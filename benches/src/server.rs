//! A tink-server process with an empty store.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tink_proto::admin::object_service_client::ObjectServiceClient;
use tink_proto::admin::workflow_service_client::WorkflowServiceClient;
use tink_proto::admin::{ApplyRequest, CreateWorkflowRequest, Kind, Workflow};
use tonic::transport::Channel;

use crate::binaries;

/// Ended when dropped.
pub struct Server {
    child: Child,
    address: String,
    dir: TempDir,
}

impl Server {
    /// Starts it and waits until it answers.
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir().context("failed to make a directory for the store")?;
        let address = free_address()?;
        let child = Command::new(binaries::path("tink-server")?)
            .args(["--insecure", "--grpc-addr", &address, "--http-addr", "off", "--log-level", "error", "--data"])
            .arg(dir.path().join("tink.db"))
            .stdin(Stdio::null())
            .spawn()
            .context("failed to start tink-server")?;
        let server = Self { child, address, dir };
        let until = Instant::now() + Duration::from_secs(30);
        while server.channel().await.is_err() {
            ensure!(Instant::now() < until, "tink-server does not answer at {}", server.address);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(server)
    }

    /// `host:port` of its gRPC port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A folder on the disk that its store is on.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// A connection of its own.
    pub async fn channel(&self) -> Result<Channel> {
        let endpoint =
            Channel::from_shared(format!("http://{}", self.address)).context("failed to read the address")?;
        endpoint.connect().await.context("failed to connect")
    }

    /// Stores a template `name` of `actions` actions for `worker`.
    pub async fn template(&self, channel: &Channel, name: &str, worker: &str, actions: usize) -> Result<()> {
        let list: String = (0..actions)
            .map(|nth| {
                format!("      - name: action-{nth}\n        image: 127.0.0.1/bench/none:v1\n        timeout: 60\n")
            })
            .collect();
        self.template_with(channel, name, worker, &list).await
    }

    /// Stores a template `name` of one action for `worker`.
    pub async fn template_of(
        &self,
        channel: &Channel,
        name: &str,
        worker: &str,
        image: &str,
        command: &[String],
    ) -> Result<()> {
        let command = json!(command);
        let action =
            format!("      - name: {name}\n        image: {image}\n        timeout: 600\n        command: {command}\n");
        self.template_with(channel, name, worker, &action).await
    }

    async fn template_with(&self, channel: &Channel, name: &str, worker: &str, list: &str) -> Result<()> {
        let data = format!(
            "version: \"0.1\"\nname: {name}\nglobal_timeout: 600\ntasks:\n  - name: only\n    worker: {worker}\n    actions:\n{list}"
        );
        let object = manifest("Template", name, json!({ "data": data }));
        let request = ApplyRequest { kind: Kind::Template.into(), json: object.to_string() };
        ObjectServiceClient::new(channel.clone()).apply(request).await.context("failed to store a template")?;
        Ok(())
    }

    /// Creates workflow `name` of template `template`.
    pub async fn workflow(&self, channel: &Channel, name: &str, template: &str) -> Result<Workflow> {
        let object = manifest("Workflow", name, json!({ "templateRef": template, "hardwareMap": {} }));
        let request = CreateWorkflowRequest { manifest_json: object.to_string() };
        let answer =
            WorkflowServiceClient::new(channel.clone()).create(request).await.context("failed to create a workflow")?;
        answer.into_inner().workflow.context("the server answered without a workflow")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn manifest(kind: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "tinkerbell.org/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("failed to find a free port")?;
    Ok(listener.local_addr().context("failed to find a free port")?.to_string())
}
