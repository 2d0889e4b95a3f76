//! Chooses the container engine.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use tink_runtime::{Options, RegistryCredentials, RuntimeChoice, Selected};

use crate::args::{Engine, RuntimeName};
use crate::exit::Failure;

/// The engine that the flags ask for; the embedded one keeps its images under `state_dir`.
///
/// # Errors
/// When it is not there, or the credentials are incomplete.
pub async fn select(args: &Engine, state_dir: &Path) -> Result<Selected, Failure> {
    let choice = match args.runtime {
        RuntimeName::Auto => RuntimeChoice::Auto,
        RuntimeName::Docker => RuntimeChoice::Docker,
        RuntimeName::Containerd => RuntimeChoice::Containerd,
        RuntimeName::Embedded => RuntimeChoice::Embedded,
    };
    let options = Options {
        docker_socket: args.docker_socket.clone(),
        containerd_socket: args.containerd_socket.clone(),
        containerd_namespace: args.containerd_namespace.clone(),
        containerd_data_root: args.containerd_data_root.clone(),
        credentials: credentials(args)?,
        insecure_registries: args.insecure_registries.clone(),
        ..Options::new(state_dir)
    };
    tink_runtime::select(choice, &options).await.map_err(|error| Failure::from(anyhow::Error::from(error)))
}

fn credentials(args: &Engine) -> Result<Vec<RegistryCredentials>, Failure> {
    let Some(user) = &args.registry_user else { return Ok(Vec::new()) };
    let Some(registry) = &args.registry_name else {
        return Err(Failure::usage(anyhow!("--registry-user is given without --registry-name, the host it is for")));
    };
    let password = match &args.registry_password_file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("failed to read the password file {}", path.display()))
                .map_err(Failure::usage)?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => std::env::var("REGISTRY_PASSWORD").map_err(|_| {
            Failure::usage(anyhow!(
                "--registry-user is given without a password; set REGISTRY_PASSWORD or --registry-password-file"
            ))
        })?,
    };
    Ok(vec![RegistryCredentials::new(registry.clone(), user.clone(), password)])
}
