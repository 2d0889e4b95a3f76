//! Puts manifests on the server.

use serde_json::{Value, json};
use tink_manifest::Manifest;
use tink_proto::admin::apply_response::Outcome;
use tink_proto::admin::{ApplyRequest, Key, Kind};

use crate::args::{Files, Format};
use crate::client::{Client, refused};
use crate::commands::workflow;
use crate::exit::{DONE, Failure};
use crate::output::{self, Table};

/// `tink apply`.
pub async fn run(client: Client, files: &Files, format: Format) -> Result<u8, Failure> {
    all(client, crate::load::files(&files.file)?, format).await
}

/// Applies hardware and templates first, then creates the workflows, so that files may come in any order.
pub async fn all(client: Client, mut manifests: Vec<Manifest>, format: Format) -> Result<u8, Failure> {
    manifests.sort_by_key(|manifest| object_kind(manifest).is_none());
    let mut done = Vec::new();
    for manifest in &manifests {
        let outcome = one(&client, manifest).await?;
        let metadata = manifest.metadata();
        done.push(json!({
            "kind": manifest.kind(),
            "namespace": metadata.namespace,
            "name": metadata.name,
            "outcome": outcome,
        }));
    }
    output::print(format, &done, false, || {
        let mut table = Table::new(&["KIND", "NAMESPACE", "NAME", "OUTCOME"]);
        for value in &done {
            let cell = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            table.row([cell("kind"), cell("namespace"), cell("name"), cell("outcome")]);
        }
        table
    })?;
    Ok(DONE)
}

/// Applies one manifest and says what became of it.
pub async fn one(client: &Client, manifest: &Manifest) -> Result<&'static str, Failure> {
    let Some(kind) = object_kind(manifest) else {
        workflow::send(client, &manifest.to_json()).await?;
        return Ok("created");
    };
    let request = ApplyRequest { kind: kind.into(), json: manifest.to_json().to_string() };
    let answer = client.clone().objects.apply(request).await.map_err(refused(format!("apply {}", title(manifest))))?;
    let answer = answer.into_inner();
    for warning in &answer.warnings {
        eprintln!("warning: {}: {warning}", title(manifest));
    }
    Ok(match answer.outcome() {
        Outcome::Created => "created",
        Outcome::Updated => "updated",
        Outcome::Unchanged => "unchanged",
        Outcome::Unspecified => "applied",
    })
}

/// The kind on the wire; `None` for a workflow, which is created rather than applied.
pub fn object_kind(manifest: &Manifest) -> Option<Kind> {
    match manifest {
        Manifest::Hardware(_) => Some(Kind::Hardware),
        Manifest::Template(_) => Some(Kind::Template),
        Manifest::Workflow(_) => None,
    }
}

/// Kind and name, for messages.
pub fn title(manifest: &Manifest) -> String {
    let metadata = manifest.metadata();
    format!("{} {}/{}", manifest.kind().to_lowercase(), metadata.namespace, metadata.name)
}

/// The key of a manifest.
pub fn key_of(manifest: &Manifest) -> Key {
    let metadata = manifest.metadata();
    Key { namespace: metadata.namespace.clone(), name: metadata.name.clone() }
}

/// The manifests as JSON, if all are workflows.
pub fn workflows_only(manifests: &[Manifest]) -> Result<Vec<Value>, Failure> {
    if let Some(other) = manifests.iter().find(|manifest| object_kind(manifest).is_some()) {
        return Err(Failure::usage(anyhow::anyhow!(
            "{} is not a workflow; `tink apply -f` takes every kind",
            title(other)
        )));
    }
    Ok(manifests.iter().map(Manifest::to_json).collect())
}
