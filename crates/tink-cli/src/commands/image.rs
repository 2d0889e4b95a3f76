//! `tink image`: what the embedded runtime's store holds.

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use tink_image::{ImageError, ImageSummary};
use tink_runtime::{EmbeddedRuntime, Options, Progress};
use tink_workflow::ImageRef;

use crate::args::{Format, ImageCommand, ImportImages, Machine, RemoveImages};
use crate::exit::{DONE, FAILED, Failure};
use crate::output::{self, Table};
use crate::progress::show_import;

/// Carries the command out.
pub async fn run(command: ImageCommand, format: Format) -> Result<u8, Failure> {
    match command {
        ImageCommand::Import(args) => import(&args).await,
        ImageCommand::List(machine) => list(&machine, format),
        ImageCommand::Rm(args) => remove(&args),
    }
}

fn open(machine: &Machine) -> Result<EmbeddedRuntime, Failure> {
    EmbeddedRuntime::open(&Options::new(&machine.state_dir)).map_err(|error| anyhow::Error::from(error).into())
}

/// For what changes nothing: a mistyped directory is not made.
fn open_existing(machine: &Machine) -> Result<EmbeddedRuntime, Failure> {
    if !machine.state_dir.is_dir() {
        let named = machine.state_dir.display();
        let next = "name that of the worker with --state-dir or TINK_STATE_DIR";
        return Err(Failure::usage(anyhow!("there is no state directory {named}; {next}")));
    }
    open(machine)
}

fn parse(name: &str) -> Result<ImageRef, Failure> {
    ImageRef::parse(name).with_context(|| format!("{name:?} is no image name")).map_err(Failure::usage)
}

async fn import(args: &ImportImages) -> Result<u8, Failure> {
    let name = args.name.as_deref().map(parse).transpose()?;
    if name.is_some() && args.paths.len() > 1 {
        return Err(Failure::usage(anyhow!("--name is for one file, and {} are given", args.paths.len())));
    }
    let runtime = open(&args.machine)?;
    let imported = import_all(&runtime, args, name.as_ref()).await;
    // Also what came before an error. Whoever imports images may switch the machine off next.
    let store = runtime.store();
    let settled = store.settle().map_err(|error| failure("put the images on disk".to_owned(), &error));
    imported?;
    settled?;
    Ok(DONE)
}

async fn import_all(runtime: &EmbeddedRuntime, args: &ImportImages, name: Option<&ImageRef>) -> Result<(), Failure> {
    for path in &args.paths {
        let progress = Progress::new();
        let importing = runtime.import(path, name, &progress);
        let images = show_import(path, false, &progress, importing).await;
        for image in images.map_err(|error| Failure::from(anyhow::Error::from(error)))? {
            output::write(format!("{}\n", image.familiar()).as_bytes())?;
        }
    }
    Ok(())
}

fn list(machine: &Machine, format: Format) -> Result<u8, Failure> {
    let list = open_existing(machine)?.store().list().map_err(|error| failure("list the images".to_owned(), &error))?;
    let values: Vec<Value> = list.iter().map(value).collect();
    output::print(format, &values, false, || table(&list))?;
    Ok(DONE)
}

fn value(image: &ImageSummary) -> Value {
    json!({
        "name": image.reference.familiar(),
        "id": image.id.to_string(),
        "digest": image.digest.to_string(),
        "bytes": image.bytes,
        "layers": image.layers,
    })
}

fn table(list: &[ImageSummary]) -> Table {
    let mut table = Table::new(&["NAME", "ID", "SIZE", "LAYERS"]);
    for image in list {
        let id = image.id.to_string();
        let short = id.split_once(':').map_or(id.as_str(), |(_, hex)| hex);
        table.row([
            image.reference.familiar(),
            short.chars().take(12).collect(),
            indicatif::BinaryBytes(image.bytes).to_string(),
            image.layers.to_string(),
        ]);
    }
    table
}

/// Removes each; what fails is said and the rest goes on.
fn remove(args: &RemoveImages) -> Result<u8, Failure> {
    let names = args.names.iter().map(|name| parse(name)).collect::<Result<Vec<_>, _>>()?;
    let runtime = open_existing(&args.machine)?;
    let mut code = DONE;
    for name in names {
        match runtime.store().remove(&name) {
            Ok(_) => output::write(format!("{}\n", name.familiar()).as_bytes())?,
            Err(error) => {
                eprintln!("tink: {}", failure(format!("remove image {}", name.familiar()), &error));
                code = FAILED;
            }
        }
    }
    Ok(code)
}

fn failure(doing: String, error: &ImageError) -> Failure {
    anyhow!("{}", error.chain()).context(format!("failed to {doing}")).into()
}
