//! Hardware and templates on the server.

use anyhow::Context as _;
use serde_json::Value;
use tink_proto::admin::{Kind, ListRequest, Object, ObjectRequest};

use crate::args::{Files, Format, Name, ObjectCommand, Scope, TemplateCommand};
use crate::client::{Client, key, refused};
use crate::commands::apply;
use crate::exit::{DONE, Failure};
use crate::output::{self, Table};

/// `tink hardware …`.
pub async fn hardware(client: Client, command: ObjectCommand, format: Format) -> Result<u8, Failure> {
    run(client, Kind::Hardware, command, format).await
}

/// `tink template …`, but for what needs no server.
pub async fn template(client: Client, command: TemplateCommand, format: Format) -> Result<u8, Failure> {
    let command = match command {
        TemplateCommand::Apply(files) => ObjectCommand::Apply(files),
        TemplateCommand::Get(name) => ObjectCommand::Get(name),
        TemplateCommand::List(scope) => ObjectCommand::List(scope),
        TemplateCommand::Delete(name) => ObjectCommand::Delete(name),
        // Dispatched before a connection is made.
        TemplateCommand::Lint(_) | TemplateCommand::Render(_) => return Ok(DONE),
    };
    run(client, Kind::Template, command, format).await
}

async fn run(client: Client, kind: Kind, command: ObjectCommand, format: Format) -> Result<u8, Failure> {
    match command {
        ObjectCommand::Apply(files) => apply_one_kind(client, kind, &files, format).await,
        ObjectCommand::Get(name) => get(client, kind, &name, format).await,
        ObjectCommand::List(scope) => list(client, kind, scope, format).await,
        ObjectCommand::Delete(name) => delete(client, kind, &name).await,
    }
}

async fn apply_one_kind(client: Client, kind: Kind, files: &Files, format: Format) -> Result<u8, Failure> {
    let manifests = crate::load::files(&files.file)?;
    if let Some(other) = manifests.iter().find(|manifest| apply::object_kind(manifest) != Some(kind)) {
        return Err(Failure::usage(anyhow::anyhow!(
            "{} is not a {}; `tink apply -f` takes every kind",
            apply::title(other),
            word(kind)
        )));
    }
    apply::all(client, manifests, format).await
}

async fn get(mut client: Client, kind: Kind, name: &Name, format: Format) -> Result<u8, Failure> {
    let request = ObjectRequest { kind: kind.into(), key: Some(key(name)) };
    let object = client.objects.get(request).await.map_err(refused(format!("get {} {}", word(kind), name.name)))?;
    print(kind, vec![object.into_inner()], true, format)
}

async fn list(mut client: Client, kind: Kind, scope: Scope, format: Format) -> Result<u8, Failure> {
    let request = ListRequest { kind: kind.into(), namespace: scope.namespace.unwrap_or_default() };
    let found = client.objects.list(request).await.map_err(refused(format!("list {}", word(kind))))?;
    print(kind, found.into_inner().objects, false, format)
}

async fn delete(mut client: Client, kind: Kind, name: &Name) -> Result<u8, Failure> {
    let request = ObjectRequest { kind: kind.into(), key: Some(key(name)) };
    client.objects.delete(request).await.map_err(refused(format!("delete {} {}", word(kind), name.name)))?;
    output::write(format!("{} {} deleted\n", word(kind), name.name).as_bytes())?;
    Ok(DONE)
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Hardware => "hardware",
        Kind::Template => "template",
        Kind::Unspecified => "object",
    }
}

fn print(kind: Kind, objects: Vec<Object>, single: bool, format: Format) -> Result<u8, Failure> {
    let values = objects
        .iter()
        .map(|object| serde_json::from_str(&object.json))
        .collect::<Result<Vec<Value>, _>>()
        .context("failed to read the server's answer")?;
    output::print(format, &values, single, || match kind {
        Kind::Hardware => hardware_table(&objects, &values),
        Kind::Template | Kind::Unspecified => template_table(&objects, &values),
    })?;
    Ok(DONE)
}

fn hardware_table(objects: &[Object], values: &[Value]) -> Table {
    let mut table = Table::new(&["NAMESPACE", "NAME", "WORKER", "MACS", "DISKS", "AGE"]);
    let now = jiff::Timestamp::now();
    for (object, value) in objects.iter().zip(values) {
        let spec = &value["spec"];
        let texts = |list: &Value, pick: fn(&Value) -> &Value| -> String {
            let all: Vec<&str> = list.as_array().into_iter().flatten().filter_map(|one| pick(one).as_str()).collect();
            all.join(",")
        };
        let key = object.key.clone().unwrap_or_default();
        table.row([
            key.namespace,
            key.name,
            spec["agentID"].as_str().unwrap_or_default().to_owned(),
            texts(&spec["interfaces"], |one| &one["dhcp"]["mac"]),
            texts(&spec["disks"], |one| &one["device"]),
            output::ago(object.created_at.as_ref(), now),
        ]);
    }
    table
}

fn template_table(objects: &[Object], values: &[Value]) -> Table {
    let mut table = Table::new(&["NAMESPACE", "NAME", "BYTES", "VERSION", "AGE"]);
    let now = jiff::Timestamp::now();
    for (object, value) in objects.iter().zip(values) {
        let key = object.key.clone().unwrap_or_default();
        table.row([
            key.namespace,
            key.name,
            value["spec"]["data"].as_str().map_or(0, str::len).to_string(),
            object.version.to_string(),
            output::ago(object.created_at.as_ref(), now),
        ]);
    }
    table
}
