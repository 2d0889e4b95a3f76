//! What the integration tests share: a real registry on loopback, and images to put into it.
#![expect(dead_code, reason = "each test binary uses its own part of this module")]

pub mod server;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tink_image::{
    Budget, Credential, Image, ImageBuilder, ImageRef, Progress, PullOutcome, Registries, RegistryConfig, Secret, Store,
};

/// Debian's `docker-registry`, on a free port with a directory of its own; stopped when dropped.
pub struct Registry {
    child: Child,
    port: u16,
    pub directory: TempDir,
}

pub const USER: &str = "worker";
pub const PASSWORD: &str = "s3cret";
/// `htpasswd -nbB worker s3cret`, made once with a low cost.
const HTPASSWD: &str = "worker:$2y$05$79EfBMRfVmQER8rLaDTUOuxulOVqt2lWyhGXGGmz4GU8FtWlwWiPC\n";

impl Registry {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With users and passwords.
    pub fn start_with_passwords() -> Self {
        Self::start_with("auth:\n  htpasswd:\n    realm: test\n    path: HERE/htpasswd\n")
    }

    pub fn start_with(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
        // The port is free when asked for; another process may take it before the registry does.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let here = directory.path().display().to_string();
            let config = format!(
                "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: HERE/data\n  delete:\n    \
                 enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{extra}"
            );
            let file = directory.path().join("config.yml");
            std::fs::write(&file, config.replace("HERE", &here)).unwrap();
            let log = std::fs::File::create(directory.path().join("log")).unwrap();
            let started = Command::new("docker-registry")
                .arg("serve")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn();
            let mut child = match started {
                Ok(child) => child,
                Err(error) => panic!(
                    "cannot start docker-registry ({error}): these tests need Debian's package docker-registry; \
                     run them by `cargo xtask test`, which installs it"
                ),
            };
            if wait_until_open(&mut child, port) {
                return Self { child, port, directory };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!(
            "docker-registry does not start; its log:\n{}",
            std::fs::read_to_string(directory.path().join("log")).unwrap()
        );
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn image(&self, name: &str) -> ImageRef {
        ImageRef::parse(&format!("{}/{name}", self.host())).unwrap()
    }

    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Connects until somebody listens or the program has ended; each try ends by itself.
fn wait_until_open(child: &mut Child, port: u16) -> bool {
    loop {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
}

pub fn credential(host: &str, password: &str) -> Credential {
    Credential { registry: host.to_owned(), username: USER.to_owned(), password: Secret::new(password) }
}

pub fn registries() -> Registries {
    Registries::new(quick()).unwrap()
}

/// Settings with pauses that tests can afford.
pub fn quick() -> RegistryConfig {
    let mut config = RegistryConfig::default();
    config.retry.pause_first = std::time::Duration::from_millis(1);
    config.retry.attempts = 3;
    config
}

pub fn store(directory: &Path) -> Store {
    Store::open(directory, Budget::unlimited()).unwrap()
}

pub async fn pull(store: &Store, registries: &Registries, image: &ImageRef) -> PullOutcome {
    store.pull(registries, image, &Progress::none()).await.unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// A small image of two layers.
pub fn small_image() -> ImageBuilder {
    let mut image = ImageBuilder::new();
    image
        .bytes("/etc/motd", "hello\n", 0o644)
        .directory("/tmp", 0o1777)
        .symlink("/bin/sh", "busybox")
        .next_layer()
        .bytes("/bin/busybox", vec![7; 100_000], 0o755)
        .entrypoint(["/bin/busybox"])
        .cmd(["sh"])
        .env("PATH", "/bin")
        .working_dir("/tmp")
        .user("1000:1000")
        .label("org.example", "yes");
    image
}

/// Reads a file as the mounted image would show it: the topmost layer that has it.
pub fn read(image: &Image, path: &str) -> Vec<u8> {
    let found = image.layers.iter().rev().map(|layer| layer.join(path)).find(|path| path.exists());
    std::fs::read(found.unwrap_or_else(|| panic!("{path} is in no layer"))).unwrap()
}
