//! The images we ship, in the hands of those that take them: an engine, and CaptainOS's set-up script.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tink_e2e::{Dockerd, ProductImage, TestRun, binary_path, scenario};
use tink_images::Product;

#[test]
fn the_image_of_each_program_runs_it_in_an_engine() -> Result<()> {
    scenario("the_image_of_each_program_runs_it_in_an_engine", |run| {
        let engine = Dockerd::shared()?;
        for product in Product::ALL {
            let image = ProductImage::pack(run, product)?;
            image.load(run, &engine)?;
            let (argument, expected) = match product {
                Product::Actions => ("greet", "hello, world".to_owned()),
                Product::Worker | Product::Server | Product::Cli => {
                    ("--version", format!("{} {}", product.program(), env!("CARGO_PKG_VERSION")))
                }
            };
            let said = engine.run(run, ["run", "--rm", image.reference(), argument])?;
            ensure!(said.stdout.starts_with(&expected), "{product} printed {:?}", said.stdout);
            engine.run(run, ["rmi", image.reference()])?;
        }
        Ok(())
    })
}

/// The member names that CaptainOS's set-up script looks for, in its order; it compares them exactly.
const CAPTAIN_MEMBERS: [&str; 4] =
    ["usr/bin/tink-agent", "tink-agent", "usr/local/bin/tink-agent", "usr/bin/tink-worker"];

#[test]
fn captain_finds_the_program_of_the_worker_in_what_an_engine_saves() -> Result<()> {
    scenario("captain_finds_the_program_of_the_worker_in_what_an_engine_saves", |run| {
        let image = ProductImage::pack(run, Product::Worker)?;
        let engine = Dockerd::shared()?;
        image.load(run, &engine)?;
        let saved = run.scratch().join("saved.tar");
        let to = saved.to_str().context("the path is not UTF-8")?;
        engine.run(run, ["save", "--output", to, image.reference()])?;
        engine.run(run, ["rmi", image.reference()])?;
        // Both what an engine saves (a `layer.tar` each) and what we write (blobs by digest) are exports it may meet.
        for export in [saved.as_path(), image.archive()] {
            let program = captain_extract(run, export)?;
            ensure!(program == fs::read(binary_path("tink-worker")?)?, "{} holds another program", export.display());
            let path = run.scratch().join("tink-agent");
            fs::write(&path, program)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            // The arguments CaptainOS starts it with, single dashes and all.
            let output =
                Command::new(&path).args(["-runtime", "containerd", "-transport", "grpc", "--version"]).output()?;
            ensure!(output.status.success(), "it answered {output:?}");
            fs::remove_file(&path)?;
        }
        Ok(())
    })
}

/// Unpacks an export and takes the first member of any layer that has one of the names, with the system's tar.
fn captain_extract(run: &TestRun, export: &Path) -> Result<Vec<u8>> {
    let directory = run.scratch().join("export");
    fs::create_dir(&directory)?;
    ensure!(Command::new("tar").arg("-C").arg(&directory).arg("-xf").arg(export).status()?.success(), "tar failed");
    let mut files = Vec::new();
    collect(&directory, &mut files)?;
    let is_layer = |path: &Path| path.file_name().is_some_and(|name| name == "layer.tar");
    files.sort_by_key(|path| !is_layer(path));
    let mut found = None;
    'layers: for file in &files {
        let list = Command::new("tar").arg("-tf").arg(file).output()?;
        if !list.status.success() {
            continue;
        }
        let members = String::from_utf8_lossy(&list.stdout).into_owned();
        for member in CAPTAIN_MEMBERS {
            if members.lines().any(|line| line == member) {
                found = Some(Command::new("tar").arg("-xOf").arg(file).arg(member).output()?.stdout);
                break 'layers;
            }
        }
    }
    fs::remove_dir_all(&directory)?;
    found.with_context(|| format!("no layer of {} holds any of {CAPTAIN_MEMBERS:?}", export.display()))
}

fn collect(directory: &Path, into: &mut Vec<std::path::PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}
