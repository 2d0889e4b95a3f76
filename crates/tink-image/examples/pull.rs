//! Pulls an image into a store and tells how long it took: `cargo run --release --example pull -- STORE IMAGE [HOST USER PASSWORD]`.

use std::path::PathBuf;
use std::time::Instant;

use tink_image::{
    Budget, Credential, ImageError, ImageRef, Progress, ProxyConfig, Registries, RegistryConfig, Secret, Store,
};

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (directory, image, credentials) = match words.as_slice() {
        [directory, image] => (directory, image, Vec::new()),
        [directory, image, registry, username, password] => {
            let (registry, username, password) = (registry.clone(), username.clone(), Secret::new(password.clone()));
            (directory, image, vec![Credential { registry, username, password }])
        }
        _ => {
            eprintln!("usage: pull STORE IMAGE [HOST USER PASSWORD]");
            return 64.into();
        }
    };
    match pull(PathBuf::from(directory), image, credentials).await {
        Ok(()) => 0.into(),
        Err(error) => {
            eprintln!("{error}");
            1.into()
        }
    }
}

async fn pull(directory: PathBuf, image: &str, credentials: Vec<Credential>) -> Result<(), String> {
    let image = ImageRef::parse(image).map_err(|error| format!("{image:?}: {error}"))?;
    let chain = |error: ImageError| error.chain();
    let config = RegistryConfig { credentials, proxy: ProxyConfig::from_env(), ..RegistryConfig::default() };
    let registries = Registries::new(config).map_err(chain)?;
    let store = Store::open(&directory, Budget::unlimited()).map_err(chain)?;
    let (progress, watcher) = Progress::new();
    let begun = Instant::now();
    let pulled = store.pull(&registries, &image, &progress).await.map_err(chain)?;
    let (_, bytes) = watcher.borrow().bytes();
    println!("{} in {:?}: {bytes} bytes in blobs, from {:?}", pulled.image.id, begun.elapsed(), pulled.source);
    for layer in &pulled.image.layers {
        println!("{}", layer.display());
    }
    Ok(())
}
