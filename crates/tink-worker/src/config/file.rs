//! The config file that older workers read: `tink-worker.yaml` and its like in `/etc/tinkerbell`, then in the working
//! directory. Its keys are the names of flags.

use std::path::{Path, PathBuf};

use tink_yaml::Bounds;

use super::settings::{self, Setting};

/// Endings in the order in which they are looked for.
const ENDINGS: [&str; 12] =
    ["json", "toml", "yaml", "yml", "properties", "props", "prop", "hcl", "tfvars", "dotenv", "env", "ini"];

/// A config file that is larger is none.
const BYTES_MAX: u64 = 1024 * 1024;

/// The values of a file, by setting, and the keys that mean nothing here.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) values: Vec<(&'static Setting, String)>,
    pub(super) unknown: Vec<String>,
}

/// The first file of these directories.
pub(super) fn find(directories: &[PathBuf]) -> Option<PathBuf> {
    let candidates =
        directories.iter().flat_map(|directory| ENDINGS.map(|ending| directory.join(format!("tink-worker.{ending}"))));
    candidates.into_iter().find(|path| path.is_file())
}

/// Reads a file; how, its ending says.
pub(super) fn read(path: &Path) -> Result<File, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > BYTES_MAX {
        return Err(format!("it has {bytes} bytes, more than {BYTES_MAX}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let pairs = match ending.as_str() {
        "json" => json(&text),
        "toml" => toml(&text),
        "yaml" | "yml" => yaml(&text),
        ending if ENDINGS.contains(&ending) => lines(&text),
        _ => Err(format!("its ending is none of {}", ENDINGS.join(", "))),
    }?;
    let mut file = File { path: path.to_owned(), ..File::default() };
    for (key, value) in pairs {
        match settings::by_key(&key) {
            // An empty value is none, as in the environment.
            Some(_) if value.trim().is_empty() => {}
            Some(setting) => file.values.push((setting, value.trim().to_owned())),
            None => file.unknown.push(key),
        }
    }
    Ok(file)
}

type Pairs = Result<Vec<(String, String)>, String>;

fn json(text: &str) -> Pairs {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    object
        .into_iter()
        .map(|(key, value)| match value {
            serde_json::Value::String(text) => Ok((key, text)),
            serde_json::Value::Null => Ok((key, String::new())),
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Ok((key, value.to_string())),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => Err(not_a_value(&key)),
        })
        .collect()
}

fn toml(text: &str) -> Pairs {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    table
        .into_iter()
        .map(|(key, value)| match value {
            toml::Value::String(text) => Ok((key, text)),
            toml::Value::Array(_) | toml::Value::Table(_) => Err(not_a_value(&key)),
            toml::Value::Integer(number) => Ok((key, number.to_string())),
            toml::Value::Float(number) => Ok((key, number.to_string())),
            toml::Value::Boolean(flag) => Ok((key, flag.to_string())),
            toml::Value::Datetime(time) => Ok((key, time.to_string())),
        })
        .collect()
}

fn yaml(text: &str) -> Pairs {
    let documents = tink_yaml::parse_documents(text, &Bounds::default()).map_err(|error| error.to_string())?;
    let Some(document) = documents.first() else { return Ok(Vec::new()) };
    let mut pairs = Vec::new();
    for (key, value) in document.entries() {
        let key = key.text().unwrap_or_default().to_owned();
        let text = value.go_string().map_err(|_| not_a_value(&key))?;
        pairs.push((key, text.unwrap_or_default()));
    }
    Ok(pairs)
}

/// Everything that is a `key = value` or `key: value` a line.
fn lines(text: &str) -> Pairs {
    let mut pairs = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || ["#", ";", "!", "//", "["].iter().any(|mark| line.starts_with(mark)) {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, value)) = line.split_once(['=', ':']) else {
            return Err(format!("line {} is not key = value", nth + 1));
        };
        let value = value.trim();
        let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        pairs.push((key.trim().trim_matches('"').to_owned(), unquoted.unwrap_or(value).to_owned()));
    }
    Ok(pairs)
}

fn not_a_value(key: &str) -> String {
    format!("{key} is not one value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(name: &str, text: &str) -> Result<Vec<(&'static str, String)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let file = read(&path)?;
        Ok(file.values.into_iter().map(|(setting, value)| (setting.name, value)).collect())
    }

    #[test]
    fn every_format_says_the_same() {
        let wanted = [
            ("id", "02:00:00:00:00:01"),
            ("registry-name", "reg:5000"),
            ("retry-interval", "3s"),
            ("capture-action-logs", "false"),
            ("max-file-size", "1024"),
        ];
        let wanted: Vec<_> = wanted.map(|(name, value)| (name, value.to_owned())).into();
        for (name, text) in [
            (
                "w.json",
                r#"{"id":"02:00:00:00:00:01","docker-registry":"reg:5000","retry-interval":"3s","capture-action-logs":false,"max-file-size":1024,"timeout":null}"#,
            ),
            (
                "w.toml",
                "id = '02:00:00:00:00:01'\nDocker-Registry = \"reg:5000\"\nretry-interval = \"3s\"\ncapture-action-logs = false\nmax-file-size = 1024\n",
            ),
            (
                "w.yaml",
                "id: 02:00:00:00:00:01\ndocker-registry: reg:5000\nretry-interval: 3s\ncapture-action-logs: false\nmax-file-size: 1024\ntimeout:\n",
            ),
            (
                "w.env",
                "# x\nexport ID=02:00:00:00:00:01\nDOCKER_REGISTRY='reg:5000'\nRETRY_INTERVAL=3s\nCAPTURE_ACTION_LOGS=false\nMAX_FILE_SIZE=1024\nTIMEOUT=\n",
            ),
            (
                "w.properties",
                "! x\nid = 02:00:00:00:00:01\ndocker-registry: reg:5000\nretry-interval=3s\ncapture-action-logs=false\nmax-file-size=1024\n",
            ),
            (
                "w.hcl",
                "// x\nid = \"02:00:00:00:00:01\"\ndocker-registry = \"reg:5000\"\nretry-interval = \"3s\"\ncapture-action-logs = false\nmax-file-size = 1024\n",
            ),
        ] {
            assert_eq!(pairs(name, text).unwrap_or_else(|error| panic!("{name}: {error}")), wanted, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (name, text, why) in [
            ("w.json", "{", "EOF"),
            ("w.json", r#"{"id":["a"]}"#, "id is not one value"),
            ("w.toml", "id =", "string"),
            ("w.yaml", "id: [a]", "id is not one value"),
            ("w.env", "id", "line 1"),
            ("w.txt", "", "its ending"),
        ] {
            let error = pairs(name, text).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
    }

    #[test]
    fn the_first_directory_and_the_first_ending_win() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths: Vec<_> = dirs.iter().map(|dir| dir.path().to_owned()).collect();
        assert_eq!(find(&paths), None);
        for (dir, name, wanted) in
            [(1, "tink-worker.toml", "toml"), (0, "tink-worker.yaml", "yaml"), (0, "tink-worker.json", "json")]
        {
            std::fs::write(paths[dir].join(name), "").unwrap();
            assert_eq!(find(&paths), Some(paths[dir].join(format!("tink-worker.{wanted}"))));
        }
    }
}
