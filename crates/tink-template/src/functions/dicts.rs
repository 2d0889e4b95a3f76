//! Sprig: maps. `set`, `unset` and the merging functions change the map they are given, as in Go.

use std::collections::BTreeMap;

use super::args::{any, key, map};
use super::merge::merge_into;
use super::{Function, Param, Returned, fixed, variadic};
use crate::exec::{Context, Fault};
use crate::value::{GoStr, Map, Value, deep_copy, to_text};

use Param::{Any, Map as AMap, Str};

pub(super) const TABLE: &[Function] = &[
    variadic("dict", &[Any], dict),
    fixed("get", &[AMap, Str], |_, args| Ok(map(args, 0)?.get(key(args, 1)?).unwrap_or_else(|| Value::str("")))),
    fixed("set", &[AMap, Str, Any], |context, args| {
        map(args, 0)?.change(context)?.insert(key(args, 1)?.clone(), any(args, 2)?.clone());
        Ok(any(args, 0)?.clone())
    }),
    fixed("unset", &[AMap, Str], |context, args| {
        let map = map(args, 0)?;
        if !map.is_nil() {
            map.change(context)?.remove(key(args, 1)?);
        }
        Ok(any(args, 0)?.clone())
    }),
    fixed("hasKey", &[AMap, Str], |_, args| Ok(Value::Bool(map(args, 0)?.get(key(args, 1)?).is_some()))),
    variadic("pluck", &[Str, AMap], |_, args| {
        let wanted = key(args, 0)?;
        let found = (1..args.len()).filter_map(|i| map(args, i).ok()?.get(wanted));
        Ok(Value::list(found.collect()))
    }),
    variadic("keys", &[AMap], |_, args| {
        let mut keys = Vec::new();
        for i in 0..args.len() {
            keys.extend(map(args, i)?.entries().keys().cloned());
        }
        Ok(Value::strings(keys))
    }),
    fixed("values", &[AMap], |_, args| Ok(Value::list(map(args, 0)?.entries().values().cloned().collect()))),
    variadic("pick", &[AMap, Str], |_, args| chosen(args, true)),
    variadic("omit", &[AMap, Str], |_, args| chosen(args, false)),
    variadic("merge", &[AMap, AMap], |context, args| merge(context, args, false)),
    variadic("mustMerge", &[AMap, AMap], |context, args| merge(context, args, false)),
    variadic("mergeOverwrite", &[AMap, AMap], |context, args| merge(context, args, true)),
    variadic("mustMergeOverwrite", &[AMap, AMap], |context, args| merge(context, args, true)),
    fixed("deepCopy", &[Any], copied),
    fixed("mustDeepCopy", &[Any], copied),
    variadic("dig", &[Any], dig),
];

fn dict(context: &Context, args: &[Value]) -> Returned {
    let mut entries = BTreeMap::new();
    for pair in args.chunks(2) {
        let name = to_text(context, pair.first().unwrap_or(&Value::Nil))?;
        entries.insert(name, pair.get(1).cloned().unwrap_or_else(|| Value::str("")));
    }
    Ok(Value::Map(Map::new(entries)))
}

fn copied(context: &Context, args: &[Value]) -> Returned {
    match any(args, 0)? {
        Value::Nil => Err(Fault::new("nil cannot be copied")),
        value => deep_copy(context, value, 0),
    }
}

/// The entries whose keys are among the further arguments, or those whose keys are not.
fn chosen(args: &[Value], among: bool) -> Returned {
    let names: Vec<&GoStr> = (1..args.len()).filter_map(|i| key(args, i).ok()).collect();
    let entries = map(args, 0)?.snapshot();
    Ok(Value::Map(Map::new(entries.into_iter().filter(|(key, _)| names.contains(&key) == among).collect())))
}

fn merge(context: &Context, args: &[Value], overwrite: bool) -> Returned {
    let mut into = map(args, 0)?.clone();
    for i in 1..args.len() {
        let from = map(args, i)?;
        if into.is_nil() && !from.is_nil() {
            into = Map::new(BTreeMap::new());
        }
        merge_into(context, &into, from, overwrite, 0)?;
    }
    Ok(Value::Map(into))
}

/// `dig "a" "b" default map`
fn dig(_: &Context, args: &[Value]) -> Returned {
    let [path @ .., default, last] = args else {
        return Err(Fault::new("it takes at least three arguments: keys, a default and a map"));
    };
    if path.is_empty() {
        return Err(Fault::new("it takes at least three arguments: keys, a default and a map"));
    }
    let mut value = last.clone();
    for step in path {
        let Value::Str(key) = step else {
            return Err(Fault::new(format!("a key must be a string, but is of type {}", step.type_name())));
        };
        let Value::Map(map) = &value else {
            return Err(Fault::new(format!(
                "there is a {} where {:?} should be looked up",
                value.type_name(),
                key.to_str_lossy()
            )));
        };
        match map.get(key) {
            Some(next) => value = next,
            None => return Ok(default.clone()),
        }
    }
    Ok(value)
}
