//! What a mapping needs once it is complete: no key twice, `<<` replaced by what it names.

use std::collections::{HashMap, HashSet};

use crate::{Bounds, Kind, Node, Problem, Style, YamlError};

/// Checks for duplicate keys and expands merge keys: a written key wins over a merged one, an earlier merged mapping over
/// a later one.
///
/// yaml.v3 compares keys by kind and text, so `1` and `"1"` are the same key; collections as keys are not compared.
pub(crate) fn finish_mapping(entries: &mut Vec<(Node, Node)>, bounds: &Bounds) -> Result<(), YamlError> {
    if !bounds.duplicate_keys_allowed {
        let mut seen = HashMap::with_capacity(entries.len());
        for (key, _) in entries.iter() {
            if let Some(text) = key.text()
                && let Some(first_line) = seen.insert(text, key.line)
            {
                return Err(key.error(Problem::DuplicateKey { key: text.to_owned(), first_line }));
            }
        }
    }
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return Ok(());
    }
    let mut merges = Vec::new();
    let mut kept = Vec::with_capacity(entries.len());
    for (key, value) in entries.drain(..) {
        if is_merge(&key) { merges.push(value) } else { kept.push((key, value)) }
    }
    let mut present: HashSet<String> = kept.iter().filter_map(|(key, _)| key.text().map(str::to_owned)).collect();
    for merge in merges {
        let sources = match merge {
            Node { kind: Kind::Mapping(pairs), .. } => vec![pairs],
            Node { kind: Kind::Sequence(items), .. } => items.into_iter().map(pairs).collect::<Result<_, _>>()?,
            other => return Err(other.error(Problem::Merge { found: other.kind_name() })),
        };
        for (key, value) in sources.into_iter().flatten() {
            if key.text().is_none_or(|text| present.insert(text.to_owned())) {
                kept.push((key, value));
            }
        }
    }
    *entries = kept;
    Ok(())
}

fn pairs(item: Node) -> Result<Vec<(Node, Node)>, YamlError> {
    match item.kind {
        Kind::Mapping(pairs) => Ok(pairs),
        _ => Err(item.error(Problem::Merge { found: item.kind_name() })),
    }
}

fn is_merge(key: &Node) -> bool {
    let plain = matches!(&key.kind, Kind::Scalar { text, style: Style::Plain } if text == "<<");
    let tagged = key.tag.as_deref() == Some("!!merge") && key.text() == Some("<<");
    (plain && key.tag.is_none()) || tagged
}
