//! Integers under a verb.

use super::quote::{is_print, quote_rune};
use super::verb::Flags;

/// An integer's sign and magnitude.
#[derive(Clone, Copy)]
pub(super) struct Integer {
    pub(super) negative: bool,
    pub(super) magnitude: u64,
}

impl From<i64> for Integer {
    fn from(value: i64) -> Self {
        Self { negative: value < 0, magnitude: value.unsigned_abs() }
    }
}

impl From<u64> for Integer {
    fn from(magnitude: u64) -> Self {
        Self { negative: false, magnitude }
    }
}

impl Integer {
    /// The number under `verb` (before padding with spaces), or `None` when the verb is not for integers.
    pub(super) fn under(self, verb: char, flags: &Flags) -> Option<String> {
        Some(match verb {
            'v' | 'd' => self.digits(&self.magnitude.to_string(), "", flags),
            'b' => self.digits(&format!("{:b}", self.magnitude), if flags.sharp { "0b" } else { "" }, flags),
            'o' => {
                let digits = format!("{:o}", self.magnitude);
                self.digits(&digits, if flags.sharp && !digits.starts_with('0') { "0" } else { "" }, flags)
            }
            'O' => self.digits(&format!("{:o}", self.magnitude), "0o", flags),
            'x' => self.digits(&format!("{:x}", self.magnitude), if flags.sharp { "0x" } else { "" }, flags),
            'X' => self.digits(&format!("{:X}", self.magnitude), if flags.sharp { "0X" } else { "" }, flags),
            'c' => self.rune().to_string(),
            'q' => quote_rune(self.rune(), flags.plus),
            'U' => {
                let mut text = format!("U+{:04X}", self.magnitude);
                if flags.sharp && is_print(self.rune()) {
                    text.push_str(&format!(" '{}'", self.rune()));
                }
                text
            }
            _ => return None,
        })
    }

    fn rune(self) -> char {
        if self.negative {
            return char::REPLACEMENT_CHARACTER;
        }
        u32::try_from(self.magnitude).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn digits(self, digits: &str, prefix: &str, flags: &Flags) -> String {
        let sign = match (self.negative, flags.plus, flags.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        if flags.precision == Some(0) && self.magnitude == 0 {
            return String::new();
        }
        let wanted = match (flags.precision, flags.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if flags.zero && !flags.minus => width.saturating_sub(sign.len()),
            _ => 0,
        };
        let zeros = "0".repeat(wanted.saturating_sub(digits.len()));
        format!("{sign}{prefix}{zeros}{digits}")
    }
}
