//! Nodes as JSON values.

use serde_json::{Map, Number, Value};

use crate::emit::float_text;
use crate::resolve::{Resolved, Table};
use crate::{Kind, Node, Problem, YamlError};

/// Whose rules turn a scalar into a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `sigs.k8s.io/yaml`: YAML 1.1 booleans (`yes`, `on`, `n`), timestamps stay text, keys become text.
    Kubernetes,
    /// `yaml.v3`: only `true` and `false` are booleans, timestamps stay text, keys become text.
    Core,
}

impl Node {
    /// The node as a JSON value. Whole floats become integers, as they are the same in JSON as Go writes it.
    ///
    /// # Errors
    /// What JSON cannot hold: `.nan`, `.inf`, keys that are null or collections; and tags that contradict their value.
    pub fn to_json(&self, dialect: Dialect) -> Result<Value, YamlError> {
        match &self.kind {
            Kind::Scalar { text, .. } => self.scalar_to_json(text, dialect),
            Kind::Sequence(items) => {
                items.iter().map(|item| item.to_json(dialect)).collect::<Result<_, _>>().map(Value::Array)
            }
            Kind::Mapping(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    map.insert(key.key_to_json(dialect)?, value.to_json(dialect)?);
                }
                Ok(Value::Object(map))
            }
        }
    }

    fn scalar_to_json(&self, text: &str, dialect: Dialect) -> Result<Value, YamlError> {
        if self.tag.as_deref() == Some("!!binary") {
            return self.binary(text).map(Value::String);
        }
        Ok(match self.resolved(table(dialect))? {
            Resolved::Null => Value::Null,
            Resolved::Bool(value) => Value::Bool(value),
            Resolved::Int(value) => Value::Number(value.into()),
            Resolved::Uint(value) => Value::Number(value.into()),
            Resolved::Float(value) => Value::Number(self.number(value)?),
            Resolved::Timestamp | Resolved::Text => Value::String(text.to_owned()),
        })
    }

    fn number(&self, value: f64) -> Result<Number, YamlError> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() <= EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53")]
            return Ok(Number::from(value as i64));
        }
        Number::from_f64(value).ok_or_else(|| {
            let what = self.text().unwrap_or_default().to_owned();
            self.error(Problem::NotJson { what, why: "JSON has no such number" })
        })
    }

    fn key_to_json(&self, dialect: Dialect) -> Result<String, YamlError> {
        let wrong = |what: &str| {
            Err(self.error(Problem::NotJson { what: what.to_owned(), why: "a key must be a single value" }))
        };
        let Kind::Scalar { text, .. } = &self.kind else { return wrong(&format!("{} as a key", self.kind_name())) };
        Ok(match self.resolved(table(dialect))? {
            Resolved::Null => return wrong("null as a key"),
            Resolved::Bool(value) => value.to_string(),
            Resolved::Int(value) => value.to_string(),
            Resolved::Uint(value) => value.to_string(),
            #[expect(clippy::cast_possible_truncation, reason = "sigs.k8s.io/yaml writes keys with 32 bits, too")]
            Resolved::Float(value) => float_text(f64::from(value as f32), true),
            Resolved::Timestamp | Resolved::Text => text.clone(),
        })
    }
}

fn table(dialect: Dialect) -> Table {
    match dialect {
        Dialect::Kubernetes => Table::V2,
        Dialect::Core => Table::V3,
    }
}
