//! Sprig: paths with slashes. The `os` forms are the same, as upstream runs on Linux.

use super::args::{made, text};
use super::{Function, Param, fixed};
use crate::value::Value;

use Param::Str;

pub(super) const TABLE: &[Function] = &[
    fixed("base", &[Str], |context, args| made(context, base(&text(args, 0)?))),
    fixed("osBase", &[Str], |context, args| made(context, base(&text(args, 0)?))),
    fixed("dir", &[Str], |context, args| made(context, dir(&text(args, 0)?))),
    fixed("osDir", &[Str], |context, args| made(context, dir(&text(args, 0)?))),
    fixed("clean", &[Str], |context, args| made(context, clean(&text(args, 0)?))),
    fixed("osClean", &[Str], |context, args| made(context, clean(&text(args, 0)?))),
    fixed("ext", &[Str], |context, args| made(context, ext(&text(args, 0)?))),
    fixed("osExt", &[Str], |context, args| made(context, ext(&text(args, 0)?))),
    fixed("isAbs", &[Str], |_, args| Ok(Value::Bool(text(args, 0)?.starts_with('/')))),
    fixed("osIsAbs", &[Str], |_, args| Ok(Value::Bool(text(args, 0)?.starts_with('/')))),
];

fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or_default())
}

fn ext(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').and_then(|dot| name.get(dot..)).unwrap_or_default()
}

/// The shortest path that means the same, without looking at a disk.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}
