//! `hosts.toml`, as containerd reads it, and Docker's `ca.crt`, `*.cert`, `*.key` in the same directories.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::tls::{ClientPair, Trust};
use crate::error::ImageError;

/// One place to ask, as a file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostConfig {
    /// `http` or `https` where the file says; else the registry's default.
    pub(super) scheme: Option<&'static str>,
    /// Host and port; `None` = the registry itself.
    pub(super) authority: Option<String>,
    /// The path before `/<repository>/…`, usually `/v2`.
    pub(super) path: String,
    pub(super) resolve: bool,
    pub(super) pull: bool,
    pub(super) push: bool,
    pub(super) trust: Trust,
    pub(super) headers: Vec<(String, String)>,
    pub(super) dial_timeout: Option<Duration>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            scheme: None,
            authority: None,
            path: "/v2".to_owned(),
            resolve: true,
            pull: true,
            push: true,
            trust: Trust::default(),
            headers: Vec::new(),
            dial_timeout: None,
        }
    }
}

/// The places to ask for `registry`, in order; the registry itself is always the last.
pub(super) fn find(certs_d: &[PathBuf], registry: &str) -> Result<Vec<HostConfig>, ImageError> {
    let named = certs_d.iter().flat_map(|root| candidates(root, registry));
    // Whatever is said of this very registry, in any directory, says more than what is said of all.
    for directory in named.chain(certs_d.iter().map(|root| root.join("_default"))) {
        let file = directory.join("hosts.toml");
        match std::fs::read_to_string(&file) {
            Ok(text) => return parse(&text, &directory),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ImageError::File { operation: "read", path: file, source }),
        }
        if let Some(trust) = docker_trust(&directory)? {
            return Ok(vec![HostConfig { trust, ..HostConfig::default() }]);
        }
    }
    Ok(vec![HostConfig::default()])
}

/// containerd looks for `host_port_` before `host:port`.
fn candidates(root: &Path, registry: &str) -> Vec<PathBuf> {
    let mut names = Vec::new();
    if let Some((host, port)) = registry.rsplit_once(':') {
        names.push(format!("{host}_{port}_"));
    }
    names.push(registry.to_owned());
    names.into_iter().map(|name| root.join(name)).collect()
}

fn docker_trust(directory: &Path) -> Result<Option<Trust>, ImageError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(source) => return Err(ImageError::File { operation: "list", path: directory.to_owned(), source }),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut trust = Trust::default();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => trust.ca_files.push(path),
            Some("cert") => {
                let key = path.with_extension("key");
                if key.is_file() {
                    trust.client = Some(ClientPair { cert: path, key });
                }
            }
            _ => {}
        }
    }
    Ok((trust != Trust::default()).then_some(trust))
}

fn parse(text: &str, directory: &Path) -> Result<Vec<HostConfig>, ImageError> {
    let file = directory.join("hosts.toml");
    let refused = |detail: String| ImageError::Settings { setting: file.display().to_string(), detail };
    let table: Table = text.parse().map_err(|error: toml::de::Error| refused(error.to_string().trim().to_owned()))?;
    let mut hosts = Vec::new();
    if let Some(listed) = table.get("host") {
        let Value::Table(listed) = listed else { return Err(refused("[host] is no table".to_owned())) };
        for (url, settings) in listed {
            let Value::Table(settings) = settings else {
                return Err(refused(format!("[host.{url:?}] is no table")));
            };
            hosts.push(host(url, settings, directory).map_err(|detail| refused(format!("[host.{url:?}]: {detail}")))?);
        }
    }
    let server = table.get("server").map(|server| string("server", server)).transpose().map_err(refused)?;
    hosts.push(host(&server.unwrap_or_default(), &table, directory).map_err(refused)?);
    Ok(hosts)
}

/// One host: its URL and the settings beside it.
fn host(url: &str, settings: &Table, directory: &Path) -> Result<HostConfig, String> {
    let mut config = HostConfig::default();
    let override_path = match settings.get("override_path") {
        None => false,
        Some(value) => value.as_bool().ok_or("override_path is neither true nor false")?,
    };
    if !url.is_empty() {
        let full = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
        let uri: http::Uri = full.parse().map_err(|_| format!("{url:?} is no address"))?;
        config.scheme = match uri.scheme_str() {
            Some("http") => Some("http"),
            Some("https") => Some("https"),
            _ => return Err(format!("{url:?} is neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| format!("{url:?} names no host"))?;
        config.authority = Some(authority.as_str().to_owned());
        let path = uri.path().trim_end_matches('/');
        config.path = match (override_path, path.ends_with("/v2")) {
            (true, _) | (false, true) => path.to_owned(),
            (false, false) => format!("{path}/v2"),
        };
    }
    if let Some(capabilities) = settings.get("capabilities") {
        let list = strings("capabilities", capabilities)?;
        let has = |name: &str| list.iter().any(|one| one == name);
        (config.pull, config.resolve, config.push) = (has("pull"), has("resolve"), has("push"));
        if let Some(unknown) =
            list.iter().find(|one| !matches!(one.as_str(), "pull" | "resolve" | "push" | "referrers"))
        {
            return Err(format!("the capability {unknown:?} is unknown; there are pull, resolve and push"));
        }
    }
    if let Some(ca) = settings.get("ca") {
        config.trust.ca_files = strings("ca", ca)?.iter().map(|path| directory.join(path)).collect();
    }
    if let Some(skip) = settings.get("skip_verify") {
        config.trust.skip_verify = skip.as_bool().ok_or("skip_verify is neither true nor false")?;
    }
    if let Some(client) = settings.get("client") {
        config.trust.client = client_pair(client, directory)?;
    }
    if let Some(headers) = settings.get("header") {
        let Value::Table(headers) = headers else { return Err("header is no table".to_owned()) };
        for (name, values) in headers {
            for value in strings(name, values)? {
                config.headers.push((name.clone(), value));
            }
        }
    }
    if let Some(timeout) = settings.get("dial_timeout") {
        let text = string("dial_timeout", timeout)?;
        config.dial_timeout =
            Some(duration(&text).ok_or_else(|| format!("dial_timeout {text:?} is no duration such as 5s"))?);
    }
    Ok(config)
}

/// A file with both, or a list of one pair; several pairs cannot be told apart by us and the first is taken.
fn client_pair(value: &Value, directory: &Path) -> Result<Option<ClientPair>, String> {
    let both = |path: &str| ClientPair { cert: directory.join(path), key: directory.join(path) };
    match value {
        Value::String(path) => Ok(Some(both(path))),
        Value::Array(list) => match list.first() {
            None => Ok(None),
            Some(Value::String(path)) => Ok(Some(both(path))),
            Some(pair) => match strings("client", pair)?.as_slice() {
                [cert] => Ok(Some(both(cert))),
                [cert, key] if key.is_empty() => Ok(Some(both(cert))),
                [cert, key] => Ok(Some(ClientPair { cert: directory.join(cert), key: directory.join(key) })),
                _ => Err("client is no list of pairs of certificate and key".to_owned()),
            },
        },
        _ => Err("client is neither a file nor a list".to_owned()),
    }
}

fn string(name: &str, value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{name} is no text"))
}

/// A text or a list of texts.
fn strings(name: &str, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(list) => list.iter().map(|one| string(name, one)).collect(),
        one => Ok(vec![string(name, one)?]),
    }
}

/// A Go duration: `500ms`, `1.5s`, `1m30s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, after) = rest.split_at(unit_at);
        let unit = &after[..after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len())];
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(amount.parse::<f64>().ok()? * seconds).ok()?;
        sum = sum.checked_add(part)?;
        rest = &after[unit.len()..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_in_the_order_of_the_file_and_the_server_last() {
        let text = r#"
            server = "https://registry-1.docker.io"
            ca = "top.crt"
            [host."https://z.example"]
              capabilities = ["pull", "resolve"]
              [host."https://z.example".header]
                x-one = ["a", "b"]
            [host."http://a.example:5000/prefix"]
              capabilities = "pull"
            [host."https://b.example/custom/path"]
              override_path = true
              skip_verify = true
              client = [["c.cert", "c.key"]]
              dial_timeout = "3s"
        "#;
        let hosts = parse(text, Path::new("/d")).unwrap();
        let names: Vec<_> = hosts.iter().map(|host| host.authority.as_deref().unwrap()).collect();
        assert_eq!(names, ["z.example", "a.example:5000", "b.example", "registry-1.docker.io"]);
        assert_eq!(hosts[0].headers, [("x-one".to_owned(), "a".to_owned()), ("x-one".to_owned(), "b".to_owned())]);
        assert!(hosts[0].resolve && !hosts[0].push);
        assert_eq!((hosts[1].scheme, hosts[1].path.as_str(), hosts[1].resolve), (Some("http"), "/prefix/v2", false));
        assert_eq!(hosts[2].path, "/custom/path");
        assert!(hosts[2].trust.skip_verify);
        assert_eq!(hosts[2].trust.client.as_ref().unwrap().key, Path::new("/d/c.key"));
        assert_eq!(hosts[2].dial_timeout, Some(Duration::from_secs(3)));
        assert_eq!(hosts[3].trust.ca_files, [Path::new("/d/top.crt")]);
    }

    #[test]
    fn a_mistake_names_the_file_and_the_line() {
        for bad in
            ["server = [", "[host.\"https://a\"]\ncapabilities = [\"fly\"]", "skip_verify = \"yes\"", "server = 3"]
        {
            let error = parse(bad, Path::new("/d")).unwrap_err();
            assert!(error.to_string().contains("/d/hosts.toml"), "{error}");
        }
    }

    #[test]
    fn dockers_ca_files_are_found_beside_a_registry_that_has_no_hosts_toml() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("registry.example:5000");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("ca.crt"), "x").unwrap();
        let found = find(&[root.path().to_owned()], "registry.example:5000").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].trust.ca_files, [directory.join("ca.crt")]);
        assert_eq!(find(&[root.path().to_owned()], "other.example").unwrap(), [HostConfig::default()]);
    }

    #[test]
    fn a_default_folder_serves_every_registry() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("_default")).unwrap();
        std::fs::write(root.path().join("_default/hosts.toml"), "[host.\"https://m.example\"]\n").unwrap();
        let found = find(&[root.path().to_owned()], "any.example").unwrap();
        assert_eq!(found[0].authority.as_deref(), Some("m.example"));
        assert_eq!(found[1].authority, None);
    }

    #[test]
    fn what_is_said_of_a_registry_comes_before_what_is_said_of_all() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (root, name, mirror) in
            [(&first, "_default", "all.example"), (&second, "one.example", "its.example"), (&second, "_default", "x")]
        {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join("hosts.toml"), format!("[host.\"https://{mirror}\"]\n"))
                .unwrap();
        }
        let roots = [first.path().to_owned(), second.path().to_owned()];
        let first_of = |registry: &str| find(&roots, registry).unwrap()[0].authority.clone();
        assert_eq!(first_of("one.example").as_deref(), Some("its.example"));
        assert_eq!(first_of("other.example").as_deref(), Some("all.example"));
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, ms) in
            [("500ms", 500), ("3s", 3000), ("1.5s", 1500), ("1m30s", 90_000), ("1h0m1s", 3_601_000), (".5m", 30_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "5", "s", "5 s", "5x", "-5s", "1s2", "1..5s", "99999999999999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
