//! Go-style flags: `-x`, `--x`, `-x value`, `-x=value`; a bool needs no value.

use std::collections::BTreeMap;

use super::settings::{self, Kind, SETTINGS};
use super::{ConfigError, nearest};

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// By setting: the value and the flag as it was written. The last one wins.
    pub(super) values: BTreeMap<&'static str, (String, String)>,
    pub(super) help: bool,
    pub(super) version: bool,
    pub(super) print_config: bool,
}

pub(super) fn parse(args: impl IntoIterator<Item = String>) -> Result<Flags, ConfigError> {
    let mut flags = Flags::default();
    let mut args = args.into_iter().peekable();
    while let Some(word) = args.next() {
        let Some(body) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|body| !body.is_empty())
        else {
            return Err(ConfigError::Positional { word });
        };
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let switch = match name {
            "help" | "h" => Some(&mut flags.help),
            "version" => Some(&mut flags.version),
            "print-config" => Some(&mut flags.print_config),
            _ => None,
        };
        if let Some(switch) = switch {
            *switch = match inline {
                None => true,
                Some(text) => go_bool(&text).ok_or_else(|| ConfigError::Invalid {
                    setting: name.to_owned(),
                    found: text,
                    origin: format!("flag -{name}"),
                    allowed: "true or false".to_owned(),
                })?,
            };
            continue;
        }
        let Some(setting) = settings::by_flag(name) else {
            return Err(ConfigError::UnknownFlag { flag: format!("-{name}"), nearest: guess(name) });
        };
        let value = match (inline, setting.kind) {
            (Some(value), _) => value,
            // Go leaves a separate "true" as an argument; people write it, and no other argument exists.
            (None, Kind::Bool | Kind::Switch) => {
                args.next_if(|next| go_bool(next).is_some()).unwrap_or_else(|| "true".to_owned())
            }
            (None, _) => args.next().ok_or_else(|| ConfigError::MissingValue { flag: name.to_owned() })?,
        };
        flags.values.insert(setting.name, (value, format!("flag -{name}")));
    }
    Ok(flags)
}

fn guess(name: &str) -> Option<String> {
    let known = SETTINGS.iter().flat_map(|setting| std::iter::once(&setting.name).chain(setting.old_flags));
    nearest(name, known.copied().chain(["help", "version", "print-config"])).map(str::to_owned)
}

/// Go's `strconv.ParseBool`.
pub(super) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
