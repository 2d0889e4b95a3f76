//! `tink run`: a workflow on this machine, with no server.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tink_manifest::{Hardware, Manifest, Template, WorkflowManifest};
use tink_runtime::Selected;
use tink_template::{CompileError, Data, compile};
use tink_worker::transport::local::Local;
use tink_worker::{CancellationToken, Events, Settings, SystemClock, Worker, event_channel};
use tink_workflow::{Limits, WorkerId, Workflow, WorkflowId};

use crate::args::{Run, Values};
use crate::commands::{template, watch, workflow};
use crate::exit::{self, Failure};
use crate::load;
use crate::local::{self, Interrupt, OUTPUT_LINES_MAX, StateDir};
use crate::progress::{Display, view};

/// The id of the worker that `tink run` plays; every task runs here, whatever worker it is for.
const WORKER: &str = "tink-run";

/// Runs every workflow of a file, one after another, and returns how they ended.
pub async fn run(args: Run) -> Result<u8, Failure> {
    let workflows = workflows(&args.file, &args.values)?;
    let state = StateDir::open(args.engine.state_dir.as_deref())?;
    let result = run_in(&args, workflows, state.path()).await;
    state.close();
    result
}

async fn run_in(args: &Run, workflows: Vec<Workflow>, state_dir: &Path) -> Result<u8, Failure> {
    let Selected { runtime, why } = local::select(&args.engine, state_dir).await?;
    local::preload_images(runtime.as_ref(), args.engine.images.as_deref(), args.plain).await?;
    let images: Vec<String> =
        workflows.iter().flat_map(|w| w.actions().map(|(_, action)| action.spec.image.clone())).collect();
    local::provide_own_image(runtime.as_ref(), images.iter().map(String::as_str), state_dir).await?;
    let mut display = Display::fitting(args.plain);
    display.note(&why);

    let transport = Local::new(workflows, Arc::new(SystemClock));
    let (observer, mut events) = event_channel(OUTPUT_LINES_MAX);
    let id = WorkerId::parse(WORKER).context("failed to name the worker")?;
    let settings =
        Settings { events: Events::none().with(observer), ..Settings::new(id, state_dir.join("workers").join(WORKER)) };
    let worker = Worker::new(settings, Arc::new(transport.clone()), Arc::clone(&runtime))
        .context("failed to start the worker")?;
    let mut interrupt = Interrupt::new()?;
    let (stop, idle) = (CancellationToken::new(), worker.idle());
    let running = worker.run(stop.clone());
    tokio::pin!(running);
    let show_all = |display: &mut Display| transport.workflows().iter().for_each(|w| display.workflow(&view(w)));
    show_all(&mut display);
    let mut interrupted = false;
    loop {
        tokio::select! {
            biased;
            () = interrupt.wait(), if !interrupted => {
                interrupted = true;
                stop.cancel();
            }
            Some(event) = events.next() => {
                local::show(&mut display, &event);
                show_all(&mut display);
            }
            _ = &mut running => break,
        }
    }
    show_all(&mut display);
    local::settle_images(runtime.as_ref(), &args.engine).await;
    if interrupted {
        display.note("interrupted; stopping what runs");
        local::halt(runtime.as_ref(), &idle.containers()).await;
        return Ok(exit::INTERRUPTED);
    }
    let views = transport.workflows().iter().map(view).map(|w| (workflow::title(&w), Some(w))).collect();
    Ok(watch::code(&views))
}

/// The workflows of a file: of its Workflow manifests, or else one of each template in it.
fn workflows(path: &Path, values: &Values) -> Result<Vec<Workflow>, Failure> {
    let (bytes, name) = load::bytes(path)?;
    let manifests = tink_manifest::read_file(&bytes, &name).map_err(Failure::usage)?;
    let (mut templates, mut hardware, mut workflows) = (Vec::new(), Vec::new(), Vec::new());
    for manifest in manifests {
        match manifest {
            Manifest::Template(one) => templates.push(one),
            Manifest::Hardware(one) => hardware.push(one),
            Manifest::Workflow(one) => workflows.push(one),
        }
    }
    if workflows.is_empty() {
        let data = template::data(values)?;
        return templates.iter().map(|one| build(&one.metadata.name, one, &data, &name)).collect();
    }
    workflows.iter().map(|one| of_manifest(one, &templates, &hardware, values, &name)).collect()
}

fn of_manifest(
    manifest: &WorkflowManifest,
    templates: &[Template],
    hardware: &[Hardware],
    values: &Values,
    file: &str,
) -> Result<Workflow, Failure> {
    let missing = |kind: &str, name: &str| {
        Failure::usage(anyhow!("workflow {} refers to {kind} {name:?}, which is not in {file}", manifest.metadata.name))
    };
    let found = templates.iter().find(|template| template.metadata.name == manifest.template_ref);
    let found = found.ok_or_else(|| missing("template", &manifest.template_ref))?;
    let mut data = Data::new().hardware_map(manifest.hardware_map.clone()).hardware_map(values.set.iter().cloned());
    data = data.at(jiff::Timestamp::now().as_second());
    if let Some(path) = &values.hardware {
        let only = Values { set: Vec::new(), hardware: Some(path.clone()) };
        data =
            template::data(&only)?.hardware_map(manifest.hardware_map.clone()).hardware_map(values.set.iter().cloned());
    } else if !manifest.hardware_ref.is_empty() {
        let found = hardware.iter().find(|hardware| hardware.metadata.name == manifest.hardware_ref);
        data = data.hardware(found.ok_or_else(|| missing("hardware", &manifest.hardware_ref))?.object().clone());
    }
    build(&manifest.metadata.name, found, &data, file)
}

fn build(name: &str, template: &Template, data: &Data, file: &str) -> Result<Workflow, Failure> {
    let compiled = compile(&template.data, data, &Limits::default()).map_err(|error| {
        let text: Vec<String> = match &error {
            CompileError::Render(error) => vec![format!("{file}: template {name}:{error}")],
            error => error.to_string().lines().map(|line| format!("{file}: template {name}:{line}")).collect(),
        };
        Failure::usage(anyhow!("{}", text.join("\n")))
    })?;
    for warning in &compiled.warnings {
        eprintln!("warning: {file}: template {name}:{warning}");
    }
    let id = WorkflowId::new("default", name).context("failed to name the workflow")?;
    let fresh = || ulid::Ulid::new().to_string();
    Ok(Workflow::from_spec(id, &compiled.spec, jiff::Timestamp::now(), fresh).context("failed to make the workflow")?)
}
