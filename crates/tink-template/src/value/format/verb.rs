//! One value under one verb.

use super::integer::Integer;
use super::quote::{can_back_quote, quote};
use crate::exec::{Context, Fault};
use crate::value::{DEPTH_MAX, GoStr, Value, format_float};

/// The flags, width and precision of a directive.
#[derive(Clone, Default)]
pub(super) struct Flags {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// Collects printed values.
pub(super) struct Printer<'c> {
    context: &'c Context,
    out: Vec<u8>,
}

impl<'c> Printer<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        Self { context, out: Vec::new() }
    }

    pub(super) fn finish(self) -> GoStr {
        GoStr::from(self.out)
    }

    pub(super) fn push(&mut self, text: &str) -> Result<(), Fault> {
        self.push_bytes(text.as_bytes())
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.context.produce(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// The text, padded with `filler` to the width.
    fn padded(&mut self, bytes: &[u8], flags: &Flags, filler: char) -> Result<(), Fault> {
        let length = String::from_utf8_lossy(bytes).chars().count();
        let missing = flags.width.unwrap_or_default().saturating_sub(length);
        self.context.produce(missing)?;
        let padding = filler.to_string().repeat(missing);
        if flags.minus {
            self.push_bytes(bytes)?;
            return self.push(&padding);
        }
        self.push(&padding)?;
        self.push_bytes(bytes)
    }

    /// Prints a value; a verb that does not fit it is reported in the text, as in Go.
    pub(super) fn value(&mut self, value: &Value, verb: char, flags: &Flags, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::too_deep("print"));
        }
        self.context.work(1)?;
        match value {
            Value::Nil if verb == 'v' => self.padded(b"<nil>", flags, ' '),
            Value::Bool(b) if matches!(verb, 'v' | 't') => self.padded(if *b { b"true" } else { b"false" }, flags, ' '),
            Value::Int(_, n) => self.integer(value, Integer::from(*n), verb, flags),
            // A byte prints in hexadecimal under %#v.
            Value::Uint(_, n) if verb == 'v' && flags.sharp => self.integer(value, Integer::from(*n), 'x', flags),
            Value::Uint(_, n) => self.integer(value, Integer::from(*n), verb, flags),
            Value::Float(f) => self.float(value, *f, verb, flags),
            Value::Str(text) => self.string(value, text.as_bytes(), verb, flags),
            Value::List(list) => self.list(list, verb, flags, depth),
            Value::Map(map) => self.map(map, verb, flags, depth),
            Value::Struct(body) => self.fields(body, verb, flags, depth),
            Value::Pointer(pointer) => self.pointer(pointer, verb, flags, depth),
            Value::Object(object) if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') => {
                let text = object.text();
                self.string(value, text.as_bytes(), verb, &Flags { sharp: false, ..flags.clone() })
            }
            _ => self.bad_verb(value, verb, flags, depth),
        }
    }

    /// `%!d(string=text)`
    fn bad_verb(&mut self, value: &Value, verb: char, flags: &Flags, depth: usize) -> Result<(), Fault> {
        self.push(&format!("%!{verb}("))?;
        if matches!(value, Value::Nil) {
            self.push("<nil>")?;
        } else {
            self.push(&value.type_name())?;
            self.push("=")?;
            self.value(value, 'v', flags, depth + 1)?;
        }
        self.push(")")
    }

    fn integer(&mut self, value: &Value, integer: Integer, verb: char, flags: &Flags) -> Result<(), Fault> {
        for size in [flags.width, flags.precision].into_iter().flatten() {
            self.context.produce(size)?;
        }
        match integer.under(verb, flags) {
            Some(text) => self.padded(text.as_bytes(), flags, ' '),
            None => self.bad_verb(value, verb, flags, 0),
        }
    }

    fn float(&mut self, value: &Value, float: f64, verb: char, flags: &Flags) -> Result<(), Fault> {
        self.context.produce(flags.precision.unwrap_or_default())?;
        let default = |precision: Option<usize>, otherwise| precision.or(otherwise);
        let mut text = match verb {
            'v' => format_float(float, 'g', flags.precision),
            'g' | 'G' => format_float(float, verb, flags.precision),
            'e' | 'E' | 'f' | 'F' => format_float(float, verb, default(flags.precision, Some(6))),
            _ => return self.bad_verb(value, verb, flags, 0),
        };
        if float.is_infinite() {
            return self.padded(text.as_bytes(), flags, ' ');
        }
        if text.starts_with('-') {
            // The sign is there.
        } else if flags.plus {
            text.insert(0, '+');
        } else if flags.space {
            text.insert(0, ' ');
        }
        if !flags.zero || flags.minus || !float.is_finite() {
            return self.padded(text.as_bytes(), flags, ' ');
        }
        // Zeros go between the sign and the digits.
        let signed = usize::from(text.starts_with(['+', '-', ' ']));
        let (sign, digits) = text.split_at(signed);
        self.push(sign)?;
        let width = flags.width.map(|width| width.saturating_sub(signed));
        self.padded(digits.as_bytes(), &Flags { width, ..flags.clone() }, '0')
    }

    fn string(&mut self, value: &Value, bytes: &[u8], verb: char, flags: &Flags) -> Result<(), Fault> {
        let filler = if flags.zero && !flags.minus { '0' } else { ' ' };
        match verb {
            'v' if flags.sharp => self.padded(quote(bytes, false).as_bytes(), flags, filler),
            'v' | 's' => {
                let cut = cut_runes(bytes, flags.precision);
                self.padded(cut, flags, filler)
            }
            'q' => {
                let cut = cut_runes(bytes, flags.precision);
                if flags.sharp && can_back_quote(cut) {
                    let text = format!("`{}`", String::from_utf8_lossy(cut));
                    return self.padded(text.as_bytes(), flags, filler);
                }
                self.padded(quote(cut, flags.plus).as_bytes(), flags, filler)
            }
            'x' | 'X' => {
                let cut = bytes.get(..flags.precision.unwrap_or(bytes.len())).unwrap_or(bytes);
                self.padded(hex(cut, verb, flags).as_bytes(), flags, filler)
            }
            _ => self.bad_verb(value, verb, flags, 0),
        }
    }

    fn list(&mut self, list: &crate::value::List, verb: char, flags: &Flags, depth: usize) -> Result<(), Fault> {
        let go_syntax = verb == 'v' && flags.sharp;
        if go_syntax {
            self.push(&format!("[]{}", list.element()))?;
            if list.is_nil() {
                return self.push("(nil)");
            }
        }
        self.push(if go_syntax { "{" } else { "[" })?;
        for (i, item) in list.items().iter().enumerate() {
            if i > 0 {
                self.push(if go_syntax { ", " } else { " " })?;
            }
            self.inner(item, list.element(), verb, flags, depth)?;
        }
        self.push(if go_syntax { "}" } else { "]" })
    }

    fn map(&mut self, map: &crate::value::Map, verb: char, flags: &Flags, depth: usize) -> Result<(), Fault> {
        let go_syntax = verb == 'v' && flags.sharp;
        self.push(&if go_syntax { format!("map[string]{}{{", map.element()) } else { "map[".to_owned() })?;
        for (i, (key, value)) in map.snapshot().into_iter().enumerate() {
            if i > 0 {
                self.push(if go_syntax { ", " } else { " " })?;
            }
            self.value(&Value::Str(key), verb, flags, depth + 1)?;
            self.push(":")?;
            self.inner(&value, map.element(), verb, flags, depth)?;
        }
        self.push(if go_syntax { "}" } else { "]" })
    }

    /// An item of a composite: a nil in it is an interface.
    fn inner(&mut self, value: &Value, element: &str, verb: char, flags: &Flags, depth: usize) -> Result<(), Fault> {
        if matches!(value, Value::Nil) {
            if verb == 'v' && flags.sharp {
                return self.push(&format!("{element}(nil)"));
            }
            return self.padded(b"<nil>", &Flags { width: None, ..flags.clone() }, ' ');
        }
        self.value(value, verb, flags, depth + 1)
    }

    fn fields(&mut self, body: &crate::value::Struct, verb: char, flags: &Flags, depth: usize) -> Result<(), Fault> {
        let go_syntax = verb == 'v' && flags.sharp;
        if go_syntax {
            self.push(body.kind.name)?;
        }
        self.push("{")?;
        for (i, (field, value)) in body.kind.fields.iter().zip(&body.values).enumerate() {
            if i > 0 {
                self.push(if go_syntax { ", " } else { " " })?;
            }
            if verb == 'v' && (flags.plus || flags.sharp) {
                self.push(field.name)?;
                self.push(":")?;
            }
            self.value(value, verb, flags, depth + 1)?;
        }
        self.push("}")
    }

    /// A pointer to something composite prints as `&` and that at the top; elsewhere Go prints the address, which here
    /// is always the same one.
    fn pointer(
        &mut self,
        pointer: &crate::value::Pointer,
        verb: char,
        flags: &Flags,
        depth: usize,
    ) -> Result<(), Fault> {
        match pointer.target.as_deref() {
            None => self.padded(b"<nil>", flags, ' '),
            Some(target @ (Value::Struct(_) | Value::List(_) | Value::Map(_))) if depth == 0 => {
                self.push("&")?;
                self.value(target, verb, flags, depth + 1)
            }
            Some(_) => self.padded(b"0xc000000000", flags, ' '),
        }
    }
}

/// The first `count` characters.
fn cut_runes(bytes: &[u8], count: Option<usize>) -> &[u8] {
    let Some(count) = count else { return bytes };
    let mut at = 0;
    for _ in 0..count {
        let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { return bytes };
        at += rune_len(rest);
    }
    bytes.get(..at).unwrap_or(bytes)
}

/// The length of the character at the start; a byte that is not UTF-8 counts as one.
pub(crate) fn rune_len(bytes: &[u8]) -> usize {
    (1..=4.min(bytes.len()))
        .find(|n| bytes.get(..*n).is_some_and(|head| std::str::from_utf8(head).is_ok()))
        .unwrap_or(1)
}

fn hex(bytes: &[u8], verb: char, flags: &Flags) -> String {
    let mut out = String::new();
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 && flags.space {
            out.push(' ');
        }
        if flags.sharp && (i == 0 || flags.space) {
            out.push_str(if verb == 'x' { "0x" } else { "0X" });
        }
        out.push_str(&if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
    }
    out
}
