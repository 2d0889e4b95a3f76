//! `tink-worker`: the program. Everything is in the library; here it is put together.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tink_runtime::{Options, Progress, RegistryCredentials, Runtime, RuntimeChoice};
use tink_worker::config::{self, Config, EXIT_CONFIG, Invocation, Sources};
use tink_worker::transport::grpc::{GrpcSettings, GrpcTransport, Hardware, PollingSettings};
use tink_worker::{
    Backoff, CancellationToken, RealDisk, Redactor, Settings, Syslog, Worker, error_chain, install, instance, logging,
    reboot, state_dir,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

fn main() -> ExitCode {
    // Before any thread exists: this program, started again, is the shim that owns a container, or serves one; and process 1
    // keeps the worker, which is a child of it.
    if let Some(code) = tink_runtime::helper_main_if_asked().or_else(tink_runtime::keep_if_first_process) {
        return code;
    }
    let args: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(outcome) = install::run_if_asked(&args) {
        return match outcome {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("tink-worker: {}", error_chain(&error));
                ExitCode::from(EXIT_CONFIG)
            }
        };
    }
    let environment = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let config_dirs = ["/etc/tinkerbell", "."].map(PathBuf::from);
    let sources = Sources { env: &environment, config_dirs: &config_dirs, kernel_cmdline: Path::new("/proc/cmdline") };
    let config = match config::parse_with(args, &sources) {
        Ok(Invocation::Run(config)) => config,
        Ok(Invocation::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("tink-worker: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if let Some(error) = start_again_with_proxies(&config) {
        eprintln!(
            "tink-worker: the proxies cannot be put into the environment, and images are pulled without: {error}"
        );
    }
    // Still one thread: what becomes the shims of containers quickly.
    if config.runtime.may_be_embedded()
        && let Some(code) = tink_runtime::start_forker()
    {
        return code;
    }
    let syslog = config.syslog_host.as_deref().map(|host| Syslog::start(host, config.syslog_port, &config.id));
    let (syslog, no_syslog) = match syslog.transpose() {
        Ok(syslog) => (syslog, None),
        Err(error) => (None, Some(error)),
    };
    logging::start(config.log_format, config.log_level, syslog.clone());
    if let Some(error) = no_syslog {
        warn!(%error, "nothing is sent to syslog: its thread cannot be started");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(tink_runtime::BLOCKING_THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tink-worker: failed to start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(work(&config, syslog));
    // A name lookup or a write that hangs must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(500));
    code
}

/// Whoever pulls images reads the proxies from the environment; where they stand elsewhere, on the kernel command line,
/// the program starts again with them in it. Does not return when that works.
fn start_again_with_proxies(config: &Config) -> Option<std::io::Error> {
    const STARTED_AGAIN: &str = "TINK_WORKER_STARTED_AGAIN";
    if config.proxy_environment.is_empty() || std::env::var_os(STARTED_AGAIN).is_some() {
        return None;
    }
    let mut args = std::env::args_os();
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0(args.next().unwrap_or_default()).args(args).env(STARTED_AGAIN, "1");
    command.envs(config.proxy_environment.iter().map(|(name, value)| (*name, value.expose())));
    Some(command.exec())
}

async fn work(config: &Config, syslog: Option<Syslog>) -> ExitCode {
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            error!(%error, "signals cannot be received");
            return ExitCode::FAILURE;
        }
    };
    info!(
        version = env!("CARGO_PKG_VERSION"), worker = %config.id, server = config.grpc_server,
        container_uuid = config.container_uuid, "tink-worker"
    );
    for note in &config.notes {
        warn!("{note}");
    }
    let state_dir = state_dir::usable(&config.state_dir);
    let _lock = tokio::select! {
        lock = only_worker(&state_dir) => lock,
        () = stop.cancelled() => return ExitCode::SUCCESS,
    };
    let settings = worker_settings(config, &state_dir, syslog);
    let journal = tokio::select! {
        journal = state_dir::journal(&settings) => journal,
        () = stop.cancelled() => return ExitCode::SUCCESS,
    };
    let transport = match GrpcTransport::new(&grpc_settings(config, &state_dir), &config.id, config.protocol) {
        Ok(transport) => Arc::new(transport),
        Err(error) => {
            error!(error = error_chain(&error), "the connection to the server cannot be set up");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let in_use = state_dir::engine_in_use(&journal).and_then(|name| name.parse().ok());
    let engine = engine(config.clone(), engine_options(config, &state_dir), in_use);
    let worker = Worker::waiting(settings, transport, journal, engine);
    let rebooter = config.reboot_file.clone().map(|file| {
        let (command, idle) = (config.reboot_command.clone(), worker.idle());
        tokio::spawn(async move { reboot::watch(&file, &command, || idle.open()).await })
    });
    worker.run(stop).await;
    if let Some(rebooter) = rebooter {
        rebooter.abort();
    }
    ExitCode::SUCCESS
}

fn worker_settings(config: &Config, state_dir: &Path, syslog: Option<Syslog>) -> Settings {
    let mut settings = Settings::new(config.id.clone(), state_dir);
    settings.backoff_max = config.backoff_max_interval;
    settings.executor.stop_grace = config.stop_grace;
    if let Some(syslog) = syslog {
        settings.events = settings.events.with(Arc::new(syslog));
    }
    settings.executor.echo_output = config.capture_action_logs;
    settings.executor.redactor = Redactor::new([config.registry_pass.expose().as_str()]);
    settings
}

/// Waits until no other worker uses the state directory: two would take each other's actions up.
async fn only_worker(state_dir: &Path) -> Option<state_dir::Lock> {
    let mut said = false;
    loop {
        match state_dir::lock(state_dir) {
            Ok(Some(lock)) => return Some(lock),
            Ok(None) if said => {}
            Ok(None) => {
                said = true;
                warn!(path = %state_dir.display(), "another worker uses the state directory; waiting for its end");
            }
            Err(error) => {
                warn!(path = %state_dir.display(), %error, "the state directory cannot be locked and is used all the same");
                return None;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// For an engine that has an open action and does not answer, before `auto` may choose another one.
const ENGINE_PATIENCE: Duration = Duration::from_secs(120);

/// The engine, with the images of `--images`. One that does not answer yet is waited for: a worker often starts before it.
///
/// `in_use` is the one that has an open action: only that one knows how it ends, so `auto` waits for it first.
async fn engine(config: Config, options: Options, in_use: Option<RuntimeChoice>) -> Arc<dyn Runtime> {
    let mut backoff = Backoff::new(config.backoff_max_interval);
    let mut said = false;
    let in_use = in_use.filter(|_| config.runtime == RuntimeChoice::Auto);
    let begun = Instant::now();
    let runtime = loop {
        let choice = in_use.filter(|_| begun.elapsed() < ENGINE_PATIENCE).unwrap_or(config.runtime);
        match tink_runtime::select(choice, &options).await {
            Ok(selected) => break selected.runtime,
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    warn!(%error, "the container engine does not answer; the worker waits for it");
                }
            }
        }
        tokio::time::sleep(backoff.pause()).await;
    };
    if let Some(directory) = &config.images {
        import_images(directory, runtime.as_ref()).await;
    }
    runtime
}

/// Imports every archive and OCI layout of a directory. One that cannot be imported is named in the log; its image is pulled then.
async fn import_images(directory: &Path, runtime: &dyn Runtime) {
    let archives = match tink_runtime::image_archives(directory) {
        Ok(archives) => archives,
        Err(error) => {
            warn!(directory = %directory.display(), %error, "the directory of images cannot be read");
            return;
        }
    };
    for archive in archives {
        match runtime.import_archive(&archive, &Progress::new()).await {
            Ok(images) => info!(archive = %archive.display(), ?images, "images imported"),
            Err(error) => warn!(archive = %archive.display(), %error, "an image archive could not be imported"),
        }
    }
}

fn engine_options(config: &Config, state_dir: &Path) -> Options {
    let mut options = Options::new(state_dir);
    options.docker_socket = config.docker_socket.clone();
    options.containerd_socket = config.containerd_socket.clone();
    options.containerd_namespace = config.containerd_namespace.clone();
    options.containerd_data_root = config.containerd_data_root.clone();
    options.credentials = credentials(config);
    options.insecure_registries = config.insecure_registries.clone();
    options.extra_ca_files = config.ca_file.iter().cloned().collect();
    options.image_bytes_max = Some(config.image_bytes_max).filter(|bytes| *bytes > 0);
    if !options.certs_d.contains(&config.registry_config_path) {
        options.certs_d.insert(0, config.registry_config_path.clone());
    }
    options
}

fn grpc_settings(config: &Config, state_dir: &Path) -> GrpcSettings {
    GrpcSettings {
        tls: config.grpc_tls,
        insecure_tls: config.grpc_insecure_tls,
        cert_url: config.cert_url.clone(),
        ca_file: config.ca_file.clone(),
        proxy: config.proxy.clone(),
        polling: PollingSettings {
            registry: config.registry_name.clone(),
            data_dir: config.workflow_data_dir.clone(),
            data_bytes_max: config.workflow_data_bytes_max,
            tty: config.capture_action_logs,
        },
        instance: instance::of(state_dir, instance::machine(Path::new("/")).as_deref(), &RealDisk),
        hardware: config.attribute_detection.then(Hardware::collect),
        ..GrpcSettings::plaintext(config.grpc_server.clone())
    }
}

fn credentials(config: &Config) -> Vec<RegistryCredentials> {
    if config.registry_name.is_empty() || config.registry_user.is_empty() {
        return Vec::new();
    }
    vec![RegistryCredentials {
        registry: config.registry_name.clone(),
        username: config.registry_user.clone(),
        password: tink_runtime::Secret::new(config.registry_pass.expose().clone()),
    }]
}

/// The first SIGTERM, SIGINT or SIGHUP asks the worker to stop; the second one ends the process at once.
fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let asked = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hangup.recv() => "SIGHUP",
            }
        };
        let first = next().await;
        info!(signal = first, "stopping");
        asked.cancel();
        let second = next().await;
        warn!(signal = second, "second signal: ending at once");
        #[expect(clippy::disallowed_methods, reason = "the user asked twice; the journal is whole at every moment")]
        std::process::exit(0);
    });
    Ok(stop)
}
