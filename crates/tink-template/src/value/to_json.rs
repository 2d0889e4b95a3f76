//! JSON text as Go's `encoding/json` writes and reads it.

use serde_json::Value as Json;

use super::{DEPTH_MAX, Value, from_json, is_true};
use crate::exec::{Context, Fault};

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonStyle {
    /// One line, with `<`, `>` and `&` escaped.
    Compact,
    /// Two spaces a level, escaped.
    Pretty,
    /// One line, not escaped.
    Raw,
}

/// The value as JSON. Bytes that are not UTF-8 become U+FFFD, map keys are sorted.
pub(crate) fn to_json(context: &Context, value: &Value, style: JsonStyle) -> Result<String, Fault> {
    let mut writer = Writer { context, style, out: String::new() };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Writer<'c> {
    context: &'c Context,
    style: JsonStyle,
    out: String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::too_deep("convert to JSON"));
        }
        self.context.work(1)?;
        match value {
            Value::Nil => self.out.push_str("null"),
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Int(_, n) => self.out.push_str(&n.to_string()),
            Value::Uint(_, n) => self.out.push_str(&n.to_string()),
            Value::Float(f) => self.out.push_str(&json_float(*f)?),
            Value::Str(text) => {
                self.context.produce(text.len())?;
                self.string(text.as_bytes());
            }
            Value::List(list) if list.is_nil() => self.out.push_str("null"),
            Value::List(list) => self.array(list.items(), depth)?,
            Value::Map(map) if map.is_nil() => self.out.push_str("null"),
            Value::Map(map) => {
                let entries = map.snapshot();
                let entries = entries.iter().map(|(key, value)| (key.as_bytes(), value));
                self.object(entries, depth)?;
            }
            Value::Struct(value) => {
                let fields = value.kind.fields.iter().zip(&value.values);
                let shown = fields.filter(|(field, value)| !field.omit_empty || json_keeps(value));
                self.object(shown.map(|(field, value)| (field.json.as_bytes(), value)), depth)?;
            }
            Value::Pointer(pointer) => match &pointer.target {
                Some(target) => self.value(target, depth + 1)?,
                None => self.out.push_str("null"),
            },
            Value::Object(object) => self.out.push_str(&object.to_json().to_string()),
        }
        Ok(())
    }

    fn array(&mut self, items: &[Value], depth: usize) -> Result<(), Fault> {
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            self.separate(i, depth + 1);
            self.value(item, depth + 1)?;
        }
        self.close(items.is_empty(), depth, ']');
        Ok(())
    }

    fn object<'v>(&mut self, entries: impl Iterator<Item = (&'v [u8], &'v Value)>, depth: usize) -> Result<(), Fault> {
        self.out.push('{');
        let mut count = 0;
        for (key, value) in entries {
            self.separate(count, depth + 1);
            count += 1;
            self.string(key);
            self.out.push_str(if self.style == JsonStyle::Pretty { ": " } else { ":" });
            self.value(value, depth + 1)?;
        }
        self.close(count == 0, depth, '}');
        Ok(())
    }

    fn separate(&mut self, index: usize, depth: usize) {
        if index > 0 {
            self.out.push(',');
        }
        self.line(depth);
    }

    fn close(&mut self, is_empty: bool, depth: usize, bracket: char) {
        if !is_empty {
            self.line(depth);
        }
        self.out.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        if self.style == JsonStyle::Pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", depth));
        }
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push('"');
        for chunk in text.utf8_chunks() {
            chunk.valid().chars().for_each(|c| self.char(c));
            chunk.invalid().iter().for_each(|_| self.out.push_str("\\ufffd"));
        }
        self.out.push('"');
    }

    fn char(&mut self, c: char) {
        match c {
            '"' => self.out.push_str("\\\""),
            '\\' => self.out.push_str("\\\\"),
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            '\u{8}' => self.out.push_str("\\b"),
            '\u{c}' => self.out.push_str("\\f"),
            '<' | '>' | '&' if self.style != JsonStyle::Raw => self.escape(c),
            '\u{2028}' | '\u{2029}' => self.escape(c),
            c if c < ' ' => self.escape(c),
            c => self.out.push(c),
        }
    }

    fn escape(&mut self, c: char) {
        self.out.push_str(&format!("\\u{:04x}", u32::from(c)));
    }
}

/// Whether `omitempty` leaves the field in: structs always stay.
fn json_keeps(value: &Value) -> bool {
    is_true(value)
}

fn json_float(value: f64) -> Result<String, Fault> {
    if !value.is_finite() {
        return Err(Fault::new(format!("json: unsupported value: {}", super::shortest(value))));
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = super::format_float(value, 'e', None);
        // Go writes e-9 where strconv writes e-09.
        return Ok(text.replace("e-0", "e-"));
    }
    Ok(super::format_float(value, 'f', None))
}

/// The value for other serializers. Integers stay integers, floats without fraction become integers, as sigs.k8s.io/yaml
/// makes of JSON numbers.
pub(crate) fn to_serde(context: &Context, value: &Value) -> Result<Json, Fault> {
    let text = to_json(context, value, JsonStyle::Raw)?;
    serde_json::from_str(&text).map_err(|fault| Fault::new(format!("cannot convert the value: {fault}")))
}

/// Reads JSON text.
pub(crate) fn from_json_text(text: &[u8]) -> Result<Value, Fault> {
    let refused = |fault: serde_json::Error| Fault::new(format!("not valid JSON: {fault}"));
    let json = match serde_json::from_slice::<Json>(text) {
        Ok(json) => json,
        // Rare enough to be looked for only after a failure.
        Err(fault) => match without_lone_surrogates(text) {
            Some(repaired) => serde_json::from_slice(&repaired).map_err(refused)?,
            None => return Err(refused(fault)),
        },
    };
    Ok(from_json(&json))
}

/// The text with `\ufffd` for each escaped half of a surrogate pair, as Go reads it; `None` when there is none.
fn without_lone_surrogates(text: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let is_low = |unit: Option<u16>| unit.is_some_and(|unit| (0xdc00..0xe000).contains(&unit));
    let (mut out, mut at, mut repaired) = (Vec::with_capacity(text.len()), 0, false);
    while let Some(byte) = text.get(at) {
        let step = match unit(at) {
            Some(0xd800..0xdc00) if is_low(unit(at + 6)) => 12,
            Some(0xd800..0xe000) => {
                out.extend_from_slice(b"\\ufffd");
                (at, repaired) = (at + 6, true);
                continue;
            }
            _ if *byte == b'\\' => 2,
            _ => 1,
        };
        out.extend_from_slice(text.get(at..at + step).or(text.get(at..)).unwrap_or_default());
        at += step;
    }
    repaired.then_some(out)
}
