//! What upstream lets pass, but its author hardly means: images, volumes and environment values.

use tink_workflow::{ActionSpec, ImageRef};
use tink_yaml::{Dialect, Kind, Node, Style};

use super::reader::Reader;

/// Options of a volume that the engines know.
const VOLUME_OPTIONS: &[&str] = &[
    "ro",
    "rw",
    "z",
    "Z",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "bind",
    "rbind",
    "nocopy",
    "cached",
    "delegated",
    "consistent",
    "noexec",
    "exec",
    "nosuid",
    "suid",
    "nodev",
    "dev",
];

/// Programs that only work from the host's PID namespace.
const NEED_HOST_PID: &[&str] = &["kexec", "reboot"];

pub(super) fn image(reader: &mut Reader<'_>, node: &Node, at: &str, action: &ActionSpec) {
    let Some(image_node) = node.get("image") else { return };
    let Ok(image) = ImageRef::parse(&action.image) else { return };
    let tail = action.image.rsplit('/').next().unwrap_or_default();
    // What is built on the machine has no registry that could change it.
    if !tail.contains('@') && image.registry() != "localhost" {
        let field = format!("{at}.image");
        match tail.split_once(':') {
            None => reader.warn(image_node, &field, "no tag, so `latest`: what runs may change from day to day"),
            Some((_, "latest")) => reader.warn(image_node, &field, "the tag `latest` may change from day to day"),
            Some(_) => {}
        }
    }
    // waitdaemon starts the image named in its environment with its own PID namespace.
    let starts = action.environment.get("IMAGE").map_or("", String::as_str);
    let program = |text: &str| {
        let tail = text.rsplit('/').next().unwrap_or_default().to_owned();
        NEED_HOST_PID.iter().copied().find(|name| tail.contains(name))
    };
    // A file in /worker asks the host to reboot, from wherever it is written.
    let asks_host = action.volumes.iter().any(|volume| volume.starts_with("/worker:"));
    let needs = program(image.repository()).or_else(|| program(starts)).filter(|_| !asks_host);
    let host_pid = action.namespaces.as_ref().map(|n| n.pid.as_str()).filter(|pid| !pid.is_empty());
    if let Some(program) = needs
        && host_pid.unwrap_or(&action.pid) != "host"
    {
        let message = format!("{program} does nothing outside the host's PID namespace; add `pid: host`");
        reader.warn(node.get("pid").unwrap_or(image_node), &format!("{at}.pid"), message);
    }
}

/// Checks the volumes of a task or an action.
pub(super) fn volumes(reader: &mut Reader<'_>, node: &Node, at: &str) {
    let items = node.get("volumes").map(Node::items).unwrap_or_default();
    for (nth, item) in items.iter().filter(|item| !item.is_null()).enumerate() {
        if let Ok(Some(text)) = item.go_string()
            && let Some(problem) = volume_problem(&text)
        {
            let message = format!("`{text}` {problem}; allowed: source:target[:options]");
            reader.warn(item, &format!("{at}.volumes[{nth}]"), message);
        }
    }
}

fn volume_problem(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        [_] => return Some("names no target, so the engine makes an empty volume there or drops it".to_owned()),
        _ => return Some("has more than three parts".to_owned()),
    };
    if source.is_empty() || target.is_empty() {
        return Some("has an empty part".to_owned());
    }
    if !target.starts_with('/') {
        return Some("has a target that is no absolute path".to_owned());
    }
    if let Some(unknown) = options.split(',').find(|option| !option.is_empty() && !VOLUME_OPTIONS.contains(option)) {
        return Some(format!("has the unknown option {unknown:?}"));
    }
    (!source.starts_with('/')).then(|| "names a volume, which only the Docker engine has".to_owned())
}

/// Warns of unquoted values that another reader of YAML would take for something else.
pub(super) fn environment(reader: &mut Reader<'_>, node: &Node, at: &str) {
    for (key, value) in node.get("environment").map(Node::entries).unwrap_or_default() {
        let (Some(name), Kind::Scalar { text, style: Style::Plain }) = (key.text(), &value.kind) else { continue };
        let Some(looks_like) = looks_like(text, value) else { continue };
        let message = format!("`{text}` looks like {looks_like}; quote it: \"{text}\"");
        reader.warn(value, &format!("{at}.environment.{name}"), message);
    }
}

fn looks_like(text: &str, value: &Node) -> Option<String> {
    if value.tag.is_some() || text.is_empty() {
        return None;
    }
    match value.to_json(Dialect::Kubernetes).ok()? {
        serde_json::Value::Bool(_) => Some("a boolean".to_owned()),
        serde_json::Value::Null => Some("null (and is passed on as empty text)".to_owned()),
        // What reads back as the same digits is safe.
        serde_json::Value::Number(number) if number.to_string() != text => Some(format!("the number {number}")),
        _ => None,
    }
}
