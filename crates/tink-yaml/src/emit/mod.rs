//! JSON values written as `sigs.k8s.io/yaml` writes them.

mod analyze;
mod float;
mod scalar;
mod sort;

use serde_json::Value;

pub(crate) use float::float_text;

/// Writes `value` as `sigs.k8s.io/yaml.Marshal` does: keys in natural order, lists not indented below their key, strings
/// quoted where a YAML 1.1 reader would take them for something else, several lines as `|`, long lines folded.
///
/// Recursive: the depth of `value` must be bounded, as it is for values from [`Node::to_json`](crate::Node::to_json).
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    let mut emitter = Emitter::default();
    emitter.node(value, Context::Root);
    emitter.indent = 0;
    emitter.write_indent();
    emitter.out
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Root,
    Item,
    Key,
    Value,
}

/// The text so far and what the next token must know about it. The state follows libyaml's emitter, because its
/// corner cases (where a blank goes, when a sequence is indented) follow from this state.
struct Emitter {
    out: String,
    /// Characters since the last line break.
    column: usize,
    /// Indentation of the open collection; `None` before the first.
    depth: Option<usize>,
    /// Column that `write_indent` goes to.
    indent: usize,
    /// The last character is white space, or nothing was written.
    whitespace: bool,
    /// Only indentation and indicators stand on this line so far.
    indention: bool,
}

impl Default for Emitter {
    fn default() -> Self {
        Self { out: String::new(), column: 0, depth: None, indent: 0, whitespace: true, indention: true }
    }
}

impl Emitter {
    fn node(&mut self, value: &Value, context: Context) {
        match value {
            Value::Array(items) if items.is_empty() => self.indicator("[]", true, false),
            Value::Object(map) if map.is_empty() => self.indicator("{}", true, false),
            Value::Array(items) => self.sequence(items, context),
            Value::Object(map) => self.mapping(map),
            Value::Null => self.plain_word("null"),
            Value::Bool(value) => self.plain_word(if *value { "true" } else { "false" }),
            Value::Number(number) => self.plain_word(&float::number_text(number)),
            Value::String(text) => self.string(text, context == Context::Key),
        }
    }

    /// Runs `inside` one level deeper (or at the same level), then comes back.
    fn nested(&mut self, indentless: bool, inside: impl FnOnce(&mut Self)) {
        let (depth, indent) = (self.depth, self.indent);
        let deeper = match depth {
            None => 0,
            Some(at) if indentless => at,
            Some(at) => at + 2,
        };
        self.depth = Some(deeper);
        self.indent = deeper;
        inside(self);
        (self.depth, self.indent) = (depth, indent);
    }

    fn sequence(&mut self, items: &[Value], context: Context) {
        let indentless = matches!(context, Context::Key | Context::Value) && !self.indention;
        self.nested(indentless, |emitter| {
            for item in items {
                emitter.write_indent();
                emitter.indicator("-", true, true);
                emitter.node(item, Context::Item);
            }
        });
    }

    fn mapping(&mut self, map: &serde_json::Map<String, Value>) {
        self.nested(false, |emitter| {
            for (key, value) in sort::sorted(map) {
                emitter.write_indent();
                if analyze::fits_simple_key(key) {
                    emitter.string(key, true);
                    emitter.indicator(":", false, false);
                } else {
                    emitter.indicator("?", true, true);
                    emitter.string(key, false);
                    emitter.write_indent();
                    emitter.indicator(":", true, true);
                }
                emitter.node(value, Context::Value);
            }
        });
    }

    fn plain_word(&mut self, word: &str) {
        self.space();
        self.text(word);
        self.whitespace = false;
        self.indention = false;
    }

    fn space(&mut self) {
        if !self.whitespace {
            self.put(' ');
        }
    }

    fn indicator(&mut self, mark: &str, needs_space: bool, is_indention: bool) {
        if needs_space {
            self.space();
        }
        self.text(mark);
        self.whitespace = false;
        self.indention = self.indention && is_indention;
    }

    fn write_indent(&mut self) {
        if !self.indention || self.column > self.indent || (self.column == self.indent && !self.whitespace) {
            self.line_break('\n');
        }
        while self.column < self.indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn line_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }
}
