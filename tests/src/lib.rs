//! The parts end-to-end tests are made of: real daemons, a real registry, the real binaries.
//!
//! Every part is a guard. It starts on a free loopback port or on a socket of its own, keeps its files in a directory
//! of its own, writes its output to `target/e2e/<test>/`, and is ended by process id when it is dropped.
//!
//! ```no_run
//! use std::time::Duration;
//! use tink_e2e::{Dockerd, Process, Registry, TestImage, scenario};
//!
//! # fn main() -> anyhow::Result<()> {
//! scenario("hello_is_run_by_docker", |run| {
//!     let registry = Registry::launch(run).auth("tink", "secret").start()?;
//!     let image = registry.push("hello", "v1", &TestImage::busybox()?.cmd(["echo", "hello"]).build()?)?;
//!     let docker = Dockerd::shared()?;
//!     docker.login(run, &registry)?;
//!     assert_eq!(docker.run(run, ["run", "--rm", &image.reference])?.stdout, "hello\n");
//!
//!     let server = Process::binary("tink-server")?.args(["--listen", "127.0.0.1:0"]).start(run)?;
//!     server.wait_for_line("listening on", Duration::from_secs(10))?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! `cargo xtask test` prepares the machine, builds the binaries and starts what tests share; it hands both on in the
//! environment ([`BIN_DIR_VARIABLE`], [`DOCKER_SOCKET_VARIABLE`]). Without these, as under `cargo test -p tink-e2e`,
//! the binaries are taken from the directory of the test program and an engine is started for that program alone.
//!
//! Limits: Linux, root, and the programs that `cargo xtask setup` installs. Nothing here talks to anything but loopback
//! and network namespaces made here.

mod binaries;
mod bridge;
mod cable;
pub mod cable_relay;
mod capability_set;
mod capture;
mod census;
mod certificate;
mod containerd;
mod crash;
mod dockerd;
mod engine;
mod eventually;
pub mod guest;
mod http;
mod image;
mod image_push;
mod initramfs;
mod name_server;
mod netns;
pub mod power;
mod process;
mod product_image;
mod proxy;
mod registry;
mod run;
mod services;
pub mod site;
pub mod stack;
mod state_disk;
mod stopwatch;
mod sweep;

pub use binaries::{BIN_DIR_VARIABLE, binary_path, system_program};
pub use cable::{Cable, Faults};
pub use capability_set::{CapabilitySet, bound_spec};
pub use capture::Capture;
pub use census::{Census, Scope};
pub use containerd::Containerd;
pub use crash::{CrashOptions, Runtime, Tally};
pub use dockerd::Dockerd;
pub use engine::{Engine, Finished};
pub use eventually::eventually;
pub use image::{BuiltImage, Compression, Flavour, TestImage};
pub use image_push::PushedImage;
pub use initramfs::Initramfs;
pub use name_server::{Answers, NameServer};
pub use netns::NetNs;
pub use process::{Launch, Process};
pub use product_image::ProductImage;
pub use proxy::Proxy;
pub use registry::{Registry, RegistryLaunch, Request};
pub use run::{TestRun, scenario};
pub use services::{DOCKER_SOCKET_VARIABLE, keep_services};
pub use state_disk::{StateDisk, end_processes_below};
pub use stopwatch::Stopwatch;
pub use sweep::sweep_when_input_ends;
