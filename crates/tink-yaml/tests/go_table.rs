//! What Go's libraries make of the same texts and values: `go_table.jsonl` holds their answers, one case a line.
//!
//! The answers were recorded from `sigs.k8s.io/yaml` v1.6.0 and `gopkg.in/yaml.v3` v3.0.1. Kinds of cases:
//! `scalar` (the value after `v: `), `document` (a whole text) and `emit` (a JSON value written).
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use tink_yaml::{Bounds, Dialect, Node, YamlError, parse_first, to_yaml};

/// Inputs (or, of `emit`, outputs) that we treat otherwise, on purpose: the column, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("1: a\n'1': b\n", "kubernetes", "the same key twice, whatever its type, is refused as yaml.v3 does"),
    ("x: &a {p: 1, q: 2}\ny:\n  <<: *a\n  q: 3\n", "kubernetes", "yaml.v2's strict mode refuses keys beside a merge"),
    ("x: &a {p: 1}\nz: &b {p: 2, r: 3}\ny:\n  <<: [*a, *b]\n", "kubernetes", "the same"),
    ("+9223372036854775808", "int", "Go's conversion overflows"),
    ("-.INF", "int", "Go's conversion overflows"),
    ("\"\\/\"", "string", "YAML 1.2 and JSON allow this escape"),
    ("\"\\/\"", "kubernetes", "YAML 1.2 and JSON allow this escape"),
    ("v: a b\n", "yaml", "Go loses U+0085, since it writes by way of reading its own JSON as YAML"),
    ("- a b\n", "yaml", "the same"),
    ("<<: 1\n", "yaml", "Go's output reads back as a merge"),
    ("v: 'a\u{2028}  b'\n", "yaml", "Go's output reads back with two blanks more in YAML 1.2"),
    ("? 'a\u{2028}  b'\n: 1\n", "yaml", "the same"),
    ("- 'a\u{2028}  b'\n", "yaml", "the same"),
];

fn table() -> Vec<Value> {
    let text = match std::env::var("GO_TABLE") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("go_table.jsonl").to_owned(),
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn error() -> Value {
    json!({ "error": true })
}

fn first(text: &str) -> Result<Option<Node>, YamlError> {
    parse_first(text, &Bounds::default()).map(|first| first.node)
}

/// Whole floats and integers are the same number in JSON.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn check(kind: &str, answer: impl Fn(&Value) -> Vec<(&'static str, Value)>) {
    let (mut count, mut wrong) = (0, Vec::new());
    for case in table().iter().filter(|case| case["kind"] == kind) {
        count += 1;
        let input = case["in"].as_str().or(case["yaml"].as_str()).unwrap();
        for (column, ours) in answer(case) {
            let different = DIFFERENT.iter().any(|(text, of, _)| *text == input && *of == column);
            // A difference that is gone must leave the list.
            if same(&ours, &case[column]) == different {
                wrong.push(format!("{case}\n    {column}: ours {ours}, Go {}", case[column]));
            }
        }
    }
    assert!(count >= 80, "only {count} cases");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn scalars_become_what_go_makes_of_them() {
    check("scalar", |case| {
        let parsed = first(&format!("v: {}\n", case["in"].as_str().unwrap()));
        let value = parsed.as_ref().ok().and_then(|root| root.as_ref()?.get("v"));
        let string = value.map_or(error(), |v| v.go_string().map_or(error(), |text| json!(text)));
        let int = value.map_or(error(), |v| v.go_int64().map_or(error(), |number| json!(number)));
        let json = parsed.ok().flatten().map_or(error(), |root| root.to_json(Dialect::Kubernetes).unwrap_or(error()));
        vec![("string", string), ("int", int), ("kubernetes", json)]
    });
}

#[test]
fn documents_become_the_json_go_makes_of_them() {
    check("document", |case| {
        let parsed = first(case["in"].as_str().unwrap());
        let json = |dialect| match &parsed {
            Err(_) => error(),
            Ok(None) => Value::Null,
            Ok(Some(root)) => root.to_json(dialect).unwrap_or(error()),
        };
        vec![("core", json(Dialect::Core)), ("kubernetes", json(Dialect::Kubernetes))]
    });
}

#[test]
fn values_are_written_as_go_writes_them() {
    check("emit", |case| vec![("yaml", to_yaml(&case["value"]).into())]);
}
