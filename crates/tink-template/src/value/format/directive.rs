//! `fmt.Sprintf`: the format string.

use super::verb::{Flags, Printer};
use crate::exec::{Context, Fault};
use crate::value::{GoStr, Value};

/// `fmt.Sprintf`. Mistakes in the format are reported in the text, as in Go.
pub(crate) fn sprintf(context: &Context, format: &str, args: &[Value]) -> Result<GoStr, Fault> {
    let mut state =
        State { out: Printer::new(context), rest: format, args, next: 0, reordered: false, good_index: true };
    while let Some(at) = state.rest.find('%') {
        let (text, rest) = state.rest.split_at(at);
        state.out.push(text)?;
        state.rest = rest.get(1..).unwrap_or_default();
        state.directive()?;
    }
    state.out.push(state.rest)?;
    if !state.reordered && state.next < args.len() {
        state.extra()?;
    }
    Ok(state.out.finish())
}

struct State<'a> {
    out: Printer<'a>,
    rest: &'a str,
    args: &'a [Value],
    next: usize,
    reordered: bool,
    good_index: bool,
}

impl State<'_> {
    fn eat(&mut self, c: char) -> bool {
        let found = self.rest.strip_prefix(c);
        if let Some(rest) = found {
            self.rest = rest;
        }
        found.is_some()
    }

    fn directive(&mut self) -> Result<(), Fault> {
        self.good_index = true;
        let mut flags = Flags::default();
        loop {
            if self.eat('#') {
                flags.sharp = true;
            } else if self.eat('0') {
                flags.zero = true;
            } else if self.eat('+') {
                flags.plus = true;
            } else if self.eat('-') {
                flags.minus = true;
            } else if self.eat(' ') {
                flags.space = true;
            } else {
                break;
            }
        }
        let mut after_index = self.index();
        if self.eat('*') {
            match self.star() {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => self.out.push("%!(BADWIDTH)")?,
            }
            after_index = false;
        } else {
            flags.width = self.number();
            if after_index && flags.width.is_some() {
                self.good_index = false;
            }
        }
        if self.eat('.') {
            if after_index {
                self.good_index = false;
            }
            after_index = self.index();
            if self.eat('*') {
                match self.star() {
                    Some(precision) if precision >= 0 => flags.precision = usize::try_from(precision).ok(),
                    Some(_) => self.out.push("%!(BADPREC)")?,
                    None => self.out.push("%!(BADPREC)")?,
                }
                after_index = false;
            } else {
                flags.precision = Some(self.number().unwrap_or_default());
            }
        }
        if !after_index {
            self.index();
        }
        self.verb(&flags)
    }

    fn verb(&mut self, flags: &Flags) -> Result<(), Fault> {
        let Some(verb) = self.rest.chars().next() else {
            return self.out.push("%!(NOVERB)");
        };
        self.rest = self.rest.get(verb.len_utf8()..).unwrap_or_default();
        if verb == '%' {
            return self.out.push("%");
        }
        if !self.good_index {
            return self.out.push(&format!("%!{verb}(BADINDEX)"));
        }
        let Some(arg) = self.args.get(self.next) else {
            return self.out.push(&format!("%!{verb}(MISSING)"));
        };
        self.next += 1;
        match verb {
            'T' => {
                let text = Value::str(arg.type_name());
                self.out.value(&text, 's', flags, 0)
            }
            'p' => self.out.push(&format!("%!p({}={})", arg.type_name(), "value")),
            _ => self.out.value(arg, verb, flags, 0),
        }
    }

    /// A width or precision in the text, up to a million.
    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        if number.is_empty() {
            return None;
        }
        let number = number.parse().ok().filter(|number| *number <= 1_000_000);
        if number.is_none() {
            // compat: Go gives up on the rest of the format.
            self.rest = "";
        }
        number
    }

    /// A width or precision in an argument.
    fn star(&mut self) -> Option<i64> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        let value = match arg {
            Value::Int(_, n) => *n,
            Value::Uint(_, n) => i64::try_from(*n).ok()?,
            _ => return None,
        };
        (value.unsigned_abs() <= 1_000_000).then_some(value)
    }

    /// An explicit argument index, `[n]`.
    fn index(&mut self) -> bool {
        if !self.rest.starts_with('[') {
            return false;
        }
        self.reordered = true;
        let Some(end) = self.rest.find(']') else {
            self.good_index = false;
            self.rest = self.rest.get(1..).unwrap_or_default();
            return false;
        };
        let number = self.rest.get(1..end).and_then(|digits| digits.parse::<usize>().ok());
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        match number {
            Some(n) if n >= 1 && n <= self.args.len() => {
                self.next = n - 1;
                true
            }
            _ => {
                self.good_index = false;
                true
            }
        }
    }

    /// `%!(EXTRA int=1)`
    fn extra(&mut self) -> Result<(), Fault> {
        self.out.push("%!(EXTRA ")?;
        for (i, arg) in self.args.iter().skip(self.next).enumerate() {
            if i > 0 {
                self.out.push(", ")?;
            }
            if matches!(arg, Value::Nil) {
                self.out.push("<nil>")?;
                continue;
            }
            self.out.push(&arg.type_name())?;
            self.out.push("=")?;
            self.out.value(arg, 'v', &Flags::default(), 0)?;
        }
        self.out.push(")")
    }
}
