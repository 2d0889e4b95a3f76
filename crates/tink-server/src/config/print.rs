//! `--print-config`.

use std::fmt::Write;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};

use super::Config;

impl Config {
    /// Every setting with its value and where it came from, one a line. No setting holds a secret: keys are named by file.
    pub fn print(matches: &ArgMatches) -> String {
        let mut text = String::new();
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
            let value = if values.is_empty() { "-".to_owned() } else { values.join(",") };
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{flag:<20} {value:<28} {source}");
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
    }
}
