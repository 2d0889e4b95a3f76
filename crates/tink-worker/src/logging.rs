//! The worker's own log: structured lines on stdout.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::LogFormat;
use crate::syslog::Syslog;

/// Writes log lines to stdout from now on: JSON, one object a line, or text for people.
///
/// Level 0 shows what changes, 1 and more what is done, 5 and more also what the libraries do. Does nothing when the
/// process logs already. What is logged at info and above goes to `syslog`, too, if there is one.
pub fn start(format: LogFormat, level: u8, syslog: Option<Syslog>) {
    let filter = match level {
        0 => EnvFilter::default().add_directive(LevelFilter::INFO.into()),
        1..5 => EnvFilter::new("info,tink_worker=debug,tink_runtime=debug"),
        5.. => EnvFilter::new("trace"),
    };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(true).boxed(),
        LogFormat::Text => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
            tracing_subscriber::fmt::layer().with_target(false).with_ansi(terminal).boxed()
        }
    };
    let syslog = syslog.map(|syslog| syslog.with_filter(LevelFilter::INFO));
    let subscriber = Registry::default().with(layer.with_filter(filter)).with(syslog);
    // Whoever embeds the worker may have a log of its own, and then that one is used.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
