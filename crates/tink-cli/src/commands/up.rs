//! `tink up`: a server, its workers and the CLI's view in one process.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tink_manifest::Manifest;
use tink_proto::admin::{CancelWorkflowRequest, Key, Workflow};
use tink_runtime::Selected;
use tink_server::{Listen, Place, Running};
use tink_worker::transport::grpc::{GrpcSettings, v2025::Transport2025};
use tink_worker::{CancellationToken, EventStream, Events, Settings, Worker, event_channel};
use tink_workflow::WorkerId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Code;

use crate::args::{Server, Up};
use crate::client::{Client, refused};
use crate::commands::apply;
use crate::commands::watch::{self, Ended};
use crate::commands::workflow::{actions, key_title};
use crate::exit::{self, Failure};
use crate::load;
use crate::local::{self, Interrupt, OUTPUT_LINES_MAX, StateDir};
use crate::progress::Display;

/// Key of the hardware map with the absolute path of the folder.
const FOLDER_KEY: &str = "folder";

/// Updates on their way to the display.
const UPDATES_MAX: usize = 64;

/// Runs every workflow of a folder and returns how they ended.
pub async fn run(args: Up) -> Result<u8, Failure> {
    let mut manifests = load::folder(&args.dir)?;
    if !manifests.iter().any(|manifest| matches!(manifest, Manifest::Workflow(_))) {
        let error = anyhow::anyhow!("{} holds no Workflow manifest, so there is nothing to run", args.dir.display());
        return Err(Failure::usage(error));
    }
    name_folder(&mut manifests, &args.dir)?;
    let state = StateDir::open(args.engine.state_dir.as_deref())?;
    let server = start_server(state.path()).await?;
    let result = with_server(&args, &manifests, state.path(), &server).await;
    server.shutdown().await;
    state.close();
    result
}

/// Tells every template where the files beside it are; a workflow that says so itself is believed.
fn name_folder(manifests: &mut [Manifest], dir: &Path) -> Result<(), Failure> {
    let folder = dir.canonicalize().with_context(|| format!("failed to find {}", dir.display()))?;
    // A path that is no text cannot be named in a template; whoever needs it learns that the key is missing.
    let Some(folder) = folder.to_str() else { return Ok(()) };
    for manifest in manifests {
        if let Manifest::Workflow(workflow) = manifest {
            workflow.hardware_map.entry(FOLDER_KEY.to_owned()).or_insert_with(|| folder.to_owned());
        }
    }
    Ok(())
}

async fn start_server(state_dir: &Path) -> Result<Running, Failure> {
    let config = tink_server::Config {
        data: Place::File(state_dir.join("tink.db")),
        http_addr: Listen::Off,
        ..tink_server::Config::embedded()
    };
    Ok(tink_server::start(config).await.context("failed to start the server")?)
}

async fn with_server(args: &Up, manifests: &[Manifest], state_dir: &Path, server: &Running) -> Result<u8, Failure> {
    let address = server.grpc_addr().to_string();
    let client = Client::connect(&Server { server: format!("http://{address}"), ca_file: None }).await?;
    let keys = create(&client, manifests).await?;
    let mut workflows = Vec::new();
    for key in &keys {
        workflows.push(get(&client, key).await?.unwrap_or_default());
    }
    let Selected { runtime, why } = local::select(&args.engine, state_dir).await?;
    local::preload_images(runtime.as_ref(), args.engine.images.as_deref(), args.plain).await?;
    let images = workflows.iter().flat_map(|workflow| actions(workflow).map(|(_, action)| action.image.as_str()));
    local::provide_own_image(runtime.as_ref(), images, state_dir).await?;
    let mut display = Display::fitting(args.plain);
    display.note(&why);

    let stop = CancellationToken::new();
    let (observer, events) = event_channel(OUTPUT_LINES_MAX);
    let (mut workers, mut idles) = (JoinSet::new(), Vec::new());
    for id in worker_ids(&workflows)? {
        let dir = state_dir.join("workers").join(directory_name(&id));
        let settings =
            Settings { events: Events::none().with(Arc::clone(&observer)), ..Settings::new(id.clone(), dir) };
        let transport =
            Transport2025::new(&GrpcSettings::plaintext(address.clone()), id).context("failed to set up a worker")?;
        let worker =
            Worker::new(settings, Arc::new(transport), Arc::clone(&runtime)).context("failed to start a worker")?;
        idles.push(worker.idle());
        let stop = stop.clone();
        workers.spawn(async move { worker.run(stop).await });
    }
    drop(observer);
    let ended = watch_all(&client, &keys, events, &mut display).await;
    stop.cancel();
    while workers.join_next().await.is_some() {}
    local::settle_images(runtime.as_ref(), &args.engine).await;
    match ended? {
        Some(ended) => Ok(watch::code(&ended)),
        None => {
            interrupted(&client, &keys, &mut display).await;
            for idle in idles {
                local::halt(runtime.as_ref(), &idle.containers()).await;
            }
            Ok(exit::INTERRUPTED)
        }
    }
}

/// Applies hardware and templates, and creates the workflows that an earlier run of this state directory has not.
async fn create(client: &Client, manifests: &[Manifest]) -> Result<Vec<Key>, Failure> {
    let mut keys = Vec::new();
    for manifest in manifests.iter().filter(|manifest| apply::object_kind(manifest).is_some()) {
        apply::one(client, manifest).await?;
    }
    for manifest in manifests.iter().filter(|manifest| apply::object_kind(manifest).is_none()) {
        let key = apply::key_of(manifest);
        match get(client, &key).await? {
            None => drop(apply::one(client, manifest).await?),
            Some(workflow) => {
                eprintln!("workflow {} is there from an earlier run, {}", key_title(&key), workflow.state);
            }
        }
        keys.push(key);
    }
    Ok(keys)
}

async fn get(client: &Client, key: &Key) -> Result<Option<Workflow>, Failure> {
    match client.clone().workflows.get(key.clone()).await {
        Ok(workflow) => Ok(Some(workflow.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(refused(format!("get workflow {}", key_title(key)))(status)),
    }
}

fn worker_ids(workflows: &[Workflow]) -> Result<BTreeSet<WorkerId>, Failure> {
    let ids = workflows.iter().flat_map(|workflow| &workflow.tasks).map(|task| WorkerId::parse(task.worker_id.clone()));
    Ok(ids.collect::<Result<_, _>>().context("failed to read the workflow's workers")?)
}

/// A worker id as one path component.
fn directory_name(id: &WorkerId) -> String {
    id.as_str().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// Shows everything until all workflows have ended; `None` = interrupted.
async fn watch_all(
    client: &Client,
    keys: &[Key],
    mut events: EventStream,
    display: &mut Display,
) -> Result<Option<Ended>, Failure> {
    let mut interrupt = Interrupt::new()?;
    let (updates, mut news) = mpsc::channel(UPDATES_MAX);
    let following = watch::follow(client, keys, updates);
    tokio::pin!(following);
    let ended = loop {
        tokio::select! {
            biased;
            () = interrupt.wait() => return Ok(None),
            Some(event) = events.next() => local::show(display, &event),
            Some(update) = news.recv() => display.update(&update),
            ended = &mut following => break ended?,
        }
    };
    while let Ok(update) = news.try_recv() {
        display.update(&update);
    }
    Ok(Some(ended))
}

/// Cancels the workflows.
async fn interrupted(client: &Client, keys: &[Key], display: &mut Display) {
    display.note("interrupted; stopping what runs");
    for key in keys {
        let request = CancelWorkflowRequest { key: Some(key.clone()), reason: "interrupted".to_owned() };
        // One that ended meanwhile cannot be cancelled, and need not be.
        let _ = client.clone().workflows.cancel(request).await;
    }
}
