//! Any text is parsed or refused; what is parsed and becomes JSON survives being written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tink_yaml::{Bounds, Dialect, Node, parse_documents, parse_first, to_yaml};

fuzz_target!(|text: &str| {
    let bounds = Bounds { nodes_max: 10_000, scalar_bytes_max: 1 << 20, ..Bounds::default() };
    let documents = match parse_documents(text, &bounds) {
        Ok(documents) => documents,
        Err(error) => {
            assert!(error.line >= 1, "{error:?}");
            assert!(!error.to_string().is_empty());
            // A later document may be what is wrong.
            drop(parse_first(text, &bounds));
            return;
        }
    };
    for node in &documents {
        visit(node);
        for dialect in [Dialect::Core, Dialect::Kubernetes] {
            let Ok(json) = node.to_json(dialect) else { continue };
            let written = to_yaml(&json);
            // Repeated, the text may be longer than the bounds allow: aliases were written out.
            let Ok(again) = parse_documents(&written, &Bounds::default()) else {
                panic!("what was written is not read:\n{written}\nfrom {json}")
            };
            assert_eq!(again.len(), 1, "{written}");
            let read = again[0].to_json(Dialect::Kubernetes).unwrap_or_else(|error| panic!("{error}:\n{written}"));
            assert!(same(&read, &json), "{read}\nis not\n{json}\nwritten as\n{written}");
        }
    }
});

fn visit(node: &Node) {
    assert!(node.line >= 1 && node.column >= 1);
    drop((node.go_string(), node.go_int64(), node.describe()));
    for (key, value) in node.entries() {
        visit(key);
        visit(value);
    }
    node.items().iter().for_each(visit);
}

/// Whether two values are the same to JSON, which has one kind of number: a large float is written without a point and read
/// as an integer.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}
