//! `--print-config`.

use std::fmt::Write;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};

use super::Config;

impl Config {
    /// Every setting with its value and where it came from, one a line. Keys are named by file, the password is not shown.
    pub fn print(matches: &ArgMatches) -> String {
        let mut text = String::new();
        let password = std::env::var_os("TINK_AUTH_PASSWORD").filter(|password| !password.is_empty());
        let older = <Self as clap::FromArgMatches>::from_arg_matches(matches)
            .map(|mut config| config.take_older(matches, None))
            .unwrap_or_default();
        for argument in Self::command().get_arguments() {
            let id = argument.get_id().as_str();
            let Some(flag) = argument.get_long().filter(|_| !matches!(id, "help" | "version" | "print_config")) else {
                continue;
            };
            let values: Vec<String> = matches
                .get_raw(id)
                .map(|values| values.map(|value| value.to_string_lossy().into_owned()).collect())
                .unwrap_or_default();
            let source = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => "flag".to_owned(),
                Some(ValueSource::EnvVariable) => {
                    format!("environment {}", argument.get_env().unwrap_or_default().to_string_lossy())
                }
                _ => "default".to_owned(),
            };
            if let Some(older) = older.iter().find(|older| older.flag == flag) {
                let _ = writeln!(text, "{flag:<20} {:<28} {}", older.value, older.source);
                continue;
            }
            let value = if values.is_empty() { "-".to_owned() } else { values.join(",") };
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{flag:<20} {value:<28} {source}");
        }
        if password.is_some() {
            let _ = writeln!(text, "{:<20} {:<28} environment TINK_AUTH_PASSWORD", "http-password", "***");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_shown_with_its_source() {
        let matches = Config::command().get_matches_from(["tink-server", "--insecure", "--grpc-addr", "127.0.0.1:1"]);
        let text = Config::print(&matches);
        let line = |flag: &str| text.lines().find(|line| line.starts_with(flag)).unwrap().to_owned();
        assert!(line("grpc-addr").ends_with("flag") && line("grpc-addr").contains("127.0.0.1:1"));
        assert!(line("http-addr").ends_with("default"));
        assert!(line("insecure").contains("true"));
        assert!(line("tls-cert").contains(" - "));
        let args = ["tink-server", "--grpc-authority", ":7", "--cert-dir", "/c"];
        let text = Config::print(&Config::command().get_matches_from(args));
        let line = |flag: &str| text.lines().find(|line| line.starts_with(flag)).unwrap().to_owned();
        assert!(line("grpc-addr").contains("0.0.0.0:7") && line("grpc-addr").ends_with("grpc-authority"));
        assert!(line("tls-key").contains("/c/server-key.pem"));
    }
}
