//! `tink ps`: what `docker ps --all` was.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tink_image::{Budget, Store};
use tink_oci::{Outcome, Status};
use tink_runtime::{Identity, Purpose};

use crate::args::{Format, Machine};
use crate::commands::machine::{Container, containers};
use crate::exit::{DONE, Failure};
use crate::output::{self, Table};

/// Lists every container.
pub fn run(machine: &Machine, format: Format) -> Result<u8, Failure> {
    let found = containers(machine)?;
    let images = image_names(&machine.state_dir, &found);
    let values: Vec<Value> = found.iter().zip(&images).map(|(container, image)| value(container, image)).collect();
    output::print(format, &values, false, || table(&found, &images))?;
    Ok(DONE)
}

fn value(container: &Container, image: &str) -> Value {
    let identity = container.owner.as_ref().map(|owner| &owner.identity);
    let (exit, finished) = match &container.status {
        Status::Exited(exit) => (Some(exit.code()), Some(exit.finished_at.to_string())),
        Status::Starting | Status::Running(_) | Status::Gone => (None, None),
    };
    let pid = match &container.status {
        Status::Running(record) => Some(record.init.pid),
        Status::Starting | Status::Exited(_) | Status::Gone => None,
    };
    json!({
        "id": container.id,
        "workflow": identity.map(|identity| identity.workflow.to_string()),
        "action": identity.map(|identity| &identity.action_name),
        "actionId": identity.map(|identity| identity.action.to_string()),
        "worker": identity.map(|identity| identity.worker.to_string()),
        "attempt": identity.map(|identity| identity.attempt),
        "purpose": identity.map(|identity| identity.purpose),
        "state": word(&container.status),
        "exitCode": exit,
        "pid": pid,
        "started": container.started().map(|at| at.to_string()),
        "finished": finished,
        "image": image,
    })
}

fn table(found: &[Container], images: &[String]) -> Table {
    let mut table = Table::new(&["ID", "WORKFLOW", "ACTION", "ATTEMPT", "STATE", "STARTED", "IMAGE"]);
    let now = jiff::Timestamp::now();
    for (container, image) in found.iter().zip(images) {
        let identity = container.owner.as_ref().map(|owner| &owner.identity);
        let cell = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        table.row([
            container.id.clone(),
            cell(identity.map(|identity| identity.workflow.to_string())),
            cell(identity.map(action)),
            cell(identity.map(|identity| identity.attempt.to_string())),
            state(&container.status),
            container.started().map_or_else(|| "-".to_owned(), |at| format!("{} ago", ago(at, now))),
            image.clone(),
        ]);
    }
    table
}

/// What is no action's own run says so.
fn action(identity: &Identity) -> String {
    let name = &identity.action_name;
    match identity.purpose {
        Purpose::Action => name.clone(),
        Purpose::OnTimeout => format!("{name} (on-timeout)"),
        Purpose::OnFailure => format!("{name} (on-failure)"),
        Purpose::Detached => format!("{name} (detached)"),
    }
}

fn word(status: &Status) -> &'static str {
    match status {
        Status::Starting => "starting",
        Status::Running(_) => "running",
        Status::Exited(_) => "exited",
        Status::Gone => "gone",
    }
}

/// As people read it: how it ended is part of it.
fn state(status: &Status) -> String {
    let Status::Exited(exit) = status else { return word(status).to_owned() };
    let how = match &exit.outcome {
        Outcome::Exited { code } => format!("exited {code}"),
        Outcome::Signaled { signal } => format!("killed by signal {signal}"),
        Outcome::NotStarted { failure } => format!("not started ({failure})"),
    };
    if exit.oom { format!("{how}, out of memory") } else { how }
}

fn ago(at: jiff::Timestamp, now: jiff::Timestamp) -> String {
    let at = prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() };
    output::ago(Some(&at), now)
}

/// The name of each container's image; empty where the store does not know it any more.
///
/// A container knows its image by directories. Names are tried from the one used last, which is nearly always the one of
/// what runs: asking for that one changes nothing in the store.
fn image_names(state_dir: &Path, containers: &[Container]) -> Vec<String> {
    let mut names = vec![String::new(); containers.len()];
    let dir = state_dir.join("images");
    if containers.is_empty() || !dir.is_dir() {
        return names;
    }
    let wanted: Vec<Vec<PathBuf>> = containers.iter().map(|container| real(&container.layers)).collect();
    let listed = Store::open(&dir, Budget::unlimited()).and_then(|store| Ok((store.list()?, store)));
    let Ok((list, store)) = listed.inspect_err(|error| eprintln!("tink: images have no names: {}", error.chain()))
    else {
        return names;
    };
    for summary in list.iter().rev() {
        let may_be = |(layers, name): (&Vec<PathBuf>, &String)| name.is_empty() && layers.len() == summary.layers;
        if !wanted.iter().zip(&names).any(may_be) {
            continue;
        }
        let Ok(Some(image)) = store.get(&summary.reference) else { continue };
        let layers = real(&image.layers);
        for (name, _) in names.iter_mut().zip(&wanted).filter(|(name, own)| name.is_empty() && **own == layers) {
            *name = summary.reference.familiar();
        }
    }
    names
}

/// The state directory may have been named in another way, through a link or relatively.
fn real(layers: &[PathBuf]) -> Vec<PathBuf> {
    layers.iter().map(|layer| layer.canonicalize().unwrap_or_else(|_| layer.clone())).collect()
}
