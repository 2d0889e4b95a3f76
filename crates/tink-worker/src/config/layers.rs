//! What each source says, before it is decided which of them wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::durations::retry_interval;
use super::flags::{Flags, go_bool};
use super::resolve::Sources;
use super::settings::{Kind, SETTINGS, Setting};
use super::{ConfigError, cmdline, file};

/// One source's values, by setting: text, and the name it was found under.
pub(super) type Layer = BTreeMap<&'static str, (String, String)>;

/// All sources, the strongest first, and what to say about them.
pub(super) struct Layers {
    pub(super) layers: Vec<Layer>,
    pub(super) notes: Vec<String>,
}

pub(super) fn read(flags: Flags, sources: &Sources<'_>) -> Result<Layers, ConfigError> {
    let mut notes = Vec::new();
    let set = |name: &str| (sources.env)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (mut legacy, mut own, mut common, mut default) = (Layer::new(), Layer::new(), Layer::new(), Layer::new());
    for setting in SETTINGS {
        for name in setting.old_env {
            let Some(text) = set(name) else { continue };
            if let Err(wanted) = readable(setting, &text) {
                notes.push(format!("{name} is {text:?}, which is not {wanted}, and is ignored"));
                continue;
            }
            legacy.insert(setting.name, (text, format!("legacy environment {name}")));
        }
        let found = setting.env_names().into_iter().find_map(|name| set(&name).map(|text| (text, name)));
        if let Some((text, name)) = found {
            own.insert(setting.name, (text, format!("environment {name}")));
        }
        let found = setting.common_env.iter().find_map(|name| set(name).map(|text| (text, name)));
        if let Some((text, name)) = found {
            match common_value(setting, &text) {
                Ok(text) => drop(common.insert(setting.name, (text, format!("environment {name}")))),
                Err(reason) => notes.push(format!("{name} is ignored: {reason}")),
            }
        }
        default.insert(setting.name, (setting.default.to_owned(), "default".to_owned()));
    }
    let strong = [legacy, flags.values, own];
    let asked = |name: &str| strong.iter().find_map(|layer| layer.get(name)).map(|(text, _)| text.clone());
    let kernel = kernel(asked("from-cmdline"), sources.kernel_cmdline)?;
    let file = config_file(asked("config-file"), sources.config_dirs, &mut notes)?;
    let layers = strong.into_iter().chain([common, kernel, file, default]).collect();
    Ok(Layers { layers, notes })
}

/// Whether a value of the legacy environment can be read. One that cannot is ignored as upstream ignores it: a worker
/// that does not start helps nobody.
fn readable(setting: &Setting, text: &str) -> Result<(), &'static str> {
    let (good, wanted) = match setting.kind {
        Kind::Bool => (go_bool(text).is_some(), "true or false"),
        Kind::RetryInterval => (retry_interval(text).is_some(), "a duration"),
        Kind::Count => (text.parse::<u64>().is_ok(), "a number"),
        _ => (true, ""),
    };
    if good { Ok(()) } else { Err(wanted) }
}

fn common_value(setting: &Setting, text: &str) -> Result<String, String> {
    if setting.name != "docker-socket" {
        return Ok(text.to_owned());
    }
    match text.strip_prefix("unix://") {
        Some(path) => Ok(path.to_owned()),
        None => Err("the worker reaches Docker by a socket in the file system only, unix:///path".to_owned()),
    }
}

fn kernel(asked: Option<String>, standard: &Path) -> Result<Layer, ConfigError> {
    let path = match asked {
        None => return Ok(Layer::new()),
        Some(text) => match go_bool(&text) {
            Some(false) => return Ok(Layer::new()),
            Some(true) => standard.to_owned(),
            None => PathBuf::from(text),
        },
    };
    let unreadable = |reason: String| ConfigError::File { what: "the kernel command line", path: path.clone(), reason };
    let mut bytes = Vec::new();
    std::fs::File::open(&path)
        .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, cmdline::BYTES_MAX), &mut bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    let mut layer = Layer::new();
    for (setting, value, origin) in cmdline::values(&String::from_utf8_lossy(&bytes)) {
        // An empty value is none, as in the environment: boot servers write `facility=` and the like.
        if !value.trim().is_empty() {
            layer.insert(setting, (value, origin));
        }
    }
    Ok(layer)
}

fn config_file(asked: Option<String>, directories: &[PathBuf], notes: &mut Vec<String>) -> Result<Layer, ConfigError> {
    let Some(path) = asked.map(PathBuf::from).or_else(|| file::find(directories)) else { return Ok(Layer::new()) };
    let read = file::read(&path).map_err(|reason| ConfigError::File { what: "the config file", path, reason })?;
    for key in read.unknown {
        notes.push(format!("{} in {} is no setting and is ignored", key, read.path.display()));
    }
    let origin = format!("config file {}", read.path.display());
    Ok(read.values.into_iter().map(|(setting, value)| (setting.name, (value, origin.clone()))).collect())
}
