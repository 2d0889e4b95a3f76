//! The log: text on a terminal, JSON lines elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, LogFormat};

/// Sends the log of this process to standard error, as the configuration says. To be called once, by programs.
///
/// # Errors
/// A level that does not parse, or a log that was set up before.
pub fn init_logging(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log_level)
        .map_err(|error| ConfigError::LogLevel { found: config.log_level.clone(), why: error.to_string() })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let on_terminal = std::io::stderr().is_terminal();
    let json = match config.log_format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let done = if json {
        builder.json().flatten_event(true).with_target(false).try_init()
    } else {
        builder.with_ansi(on_terminal).with_target(false).try_init()
    };
    done.map_err(|error| ConfigError::LogLevel { found: config.log_level.clone(), why: error.to_string() })
}
