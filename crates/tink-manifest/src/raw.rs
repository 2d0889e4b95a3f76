//! Files that are a Template's data themselves.

use tink_yaml::{Bounds, parse_first};

use crate::names::name_of;
use crate::{Metadata, Template};

/// The Template whose data `text` is, if it looks like one: no `apiVersion`, but `tasks`, `version` or `{{`.
pub(crate) fn template(text: &str, file: &str) -> Option<Template> {
    let starts = |key: &str| {
        text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
    };
    let json = text.trim_start().starts_with('{') && !text.trim_start().starts_with("{{");
    if json || starts("apiVersion") || starts("\"apiVersion\"") || starts("kind") {
        return None;
    }
    if !(starts("tasks") || starts("version") || text.contains("{{")) {
        return None;
    }
    let name = name_line(text).and_then(|name| name_of(&name)).or_else(|| name_of(stem(file)));
    Some(Template {
        metadata: Metadata::named("default", name.unwrap_or_else(|| "template".to_owned())),
        data: text.to_owned(),
    })
}

/// The value of the line `name: …`, unless it is rendered.
fn name_line(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("name:"))?;
    let line = parse_first(line, &Bounds::default()).ok()?.node?;
    let name = line.get("name")?.go_string().ok()??;
    (!name.contains("{{") && !name.is_empty()).then_some(name)
}

/// `ubuntu` of `templates/ubuntu.yaml.tmpl`.
fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let mut stem = name;
    for ending in [".tmpl", ".tpl", ".gotmpl", ".yaml", ".yml"] {
        stem = stem.strip_suffix(ending).unwrap_or(stem);
    }
    stem
}
