//! Version constraints: `>= 1.2, < 2 || ^3.1`.

use super::versions::{Version, compare_pre};
use crate::exec::Fault;

/// Alternatives, each a list of conditions that must all hold.
pub(super) struct Constraints(Vec<Vec<Condition>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    TildeOrEqual,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    Tilde,
    Caret,
}

struct Condition {
    operator: Operator,
    version: Version,
    /// Minor, or both minor and patch, are open (`1.x`, `1`).
    minor_open: bool,
    patch_open: bool,
    open: bool,
}

impl Constraints {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let bad = |part: &str| {
            Fault::new(format!("{:?} is not a version constraint; write one like \">= 1.2, < 2\"", part.trim()))
        };
        let text = hyphens_as_bounds(text);
        text.split("||").map(|part| conditions(part).ok_or_else(|| bad(part))).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn check(&self, version: &Version) -> bool {
        self.0.iter().any(|all| all.iter().all(|condition| condition.holds(version)))
    }
}

/// `1.2 - 2.3` as `>= 1.2, <= 2.3`.
fn hyphens_as_bounds(text: &str) -> String {
    let mut out = text.to_owned();
    while let Some((before, after)) = split_hyphen(&out) {
        let low = before.trim_end().rsplit([' ', ',', '|']).next().unwrap_or_default().to_owned();
        let head = before.trim_end().strip_suffix(low.as_str()).unwrap_or_default();
        let after = after.trim_start();
        let end = after.find([' ', ',', '|']).unwrap_or(after.len());
        let (high, tail) = after.split_at(end);
        if low.is_empty() || high.is_empty() || scan_version(&low).is_none_or(|(_, rest)| !rest.is_empty()) {
            return text.to_owned();
        }
        out = format!("{head}>= {low}, <= {high} {}", tail.trim_start());
    }
    out
}

/// Splits at the first hyphen between spaces.
fn split_hyphen(text: &str) -> Option<(&str, &str)> {
    let at = text.char_indices().find(|(at, c)| {
        *c == '-'
            && text.get(..*at).is_some_and(|before| before.ends_with(char::is_whitespace))
            && text.get(at + 1..).is_some_and(|after| after.starts_with(char::is_whitespace))
    })?;
    Some((text.get(..at.0)?, text.get(at.0 + 1..)?))
}

fn conditions(text: &str) -> Option<Vec<Condition>> {
    let mut rest = text.trim_start();
    let mut found = Vec::new();
    loop {
        let (operator, after) = scan_operator(rest)?;
        let (condition, after) = scan_version(after.trim_start())?;
        found.push(Condition { operator, ..condition });
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(found);
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if after.starts_with(char::is_whitespace) => {}
            None => return None,
        }
    }
}

fn scan_operator(text: &str) -> Option<(Operator, &str)> {
    let end = text.find(|c| !"=!<>~^".contains(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let operator = match word {
        "" | "=" => Operator::TildeOrEqual,
        "!=" => Operator::NotEqual,
        ">" => Operator::Greater,
        "<" => Operator::Less,
        ">=" | "=>" => Operator::GreaterEqual,
        "<=" | "=<" => Operator::LessEqual,
        "~" | "~>" => Operator::Tilde,
        "^" => Operator::Caret,
        _ => return None,
    };
    Some((operator, rest))
}

/// A version in which numbers can be missing or be `x`, `X` or `*`.
fn scan_version(text: &str) -> Option<(Condition, &str)> {
    let mut rest = text.strip_prefix('v').unwrap_or(text);
    let mut numbers: Vec<&str> = Vec::new();
    for i in 0..3 {
        let body = if i == 0 { Some(rest) } else { rest.strip_prefix('.') };
        let Some(body) = body else { break };
        let end = body.find(|c: char| !(c.is_ascii_digit() || matches!(c, 'x' | 'X' | '*'))).unwrap_or(body.len());
        if end == 0 {
            break;
        }
        let (number, after) = body.split_at(end);
        numbers.push(number);
        rest = after;
    }
    let tail_end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-+.".contains(c))).unwrap_or(rest.len());
    let (tail, after) = rest.split_at(tail_end);
    if !(tail.is_empty() || tail.starts_with(['-', '+'])) {
        return None;
    }
    let (pre, _metadata) = tail.split_once('+').unwrap_or((tail, ""));
    let open_at = |i: usize| numbers.get(i).is_none_or(|number| matches!(*number, "x" | "X" | "*"));
    numbers.first()?;
    let (text, minor_open, patch_open) = match (open_at(0), open_at(1), open_at(2)) {
        (true, ..) => (format!("0.0.0{pre}"), false, false),
        (_, true, _) => (format!("{}.0.0{pre}", numbers.first()?), true, false),
        (_, _, true) => (format!("{}.{}.0{pre}", numbers.first()?, numbers.get(1)?), false, true),
        _ => (format!("{}{tail}", numbers.join(".")), false, false),
    };
    let version = Version::parse(&text).ok()?;
    let open = open_at(0) || open_at(1) || open_at(2);
    Some((Condition { operator: Operator::TildeOrEqual, version, minor_open, patch_open, open }, after))
}

impl Condition {
    fn holds(&self, v: &Version) -> bool {
        let c = &self.version;
        // Pre-releases are wanted only where the constraint names one.
        let unwanted = !v.pre.is_empty() && c.pre.is_empty();
        match self.operator {
            Operator::NotEqual => self.not_equal(v, unwanted),
            _ if unwanted => false,
            Operator::TildeOrEqual if self.open => self.tilde(v),
            Operator::TildeOrEqual => v.compare(c).is_eq(),
            Operator::Tilde => self.tilde(v),
            Operator::Greater => self.greater(v),
            Operator::Less => v.compare(c).is_lt(),
            Operator::GreaterEqual => v.compare(c).is_ge(),
            Operator::LessEqual if self.open => {
                v.major < c.major || v.major == c.major && (v.minor <= c.minor || self.minor_open)
            }
            Operator::LessEqual => v.compare(c).is_le(),
            Operator::Caret => self.caret(v),
        }
    }

    fn not_equal(&self, v: &Version, unwanted: bool) -> bool {
        let c = &self.version;
        if !self.open {
            return v.compare(c).is_ne();
        }
        if unwanted {
            return false;
        }
        if c.major != v.major {
            return true;
        }
        if self.minor_open {
            return false;
        }
        if c.minor != v.minor {
            return true;
        }
        if !self.patch_open {
            return c.patch != v.patch || v.compare(c).is_ne();
        }
        (!v.pre.is_empty() || !c.pre.is_empty()) && compare_pre(&v.pre, &c.pre).is_ne()
    }

    fn greater(&self, v: &Version) -> bool {
        let c = &self.version;
        if !self.open {
            return v.compare(c).is_gt();
        }
        if v.major != c.major {
            return v.major > c.major;
        }
        if self.minor_open {
            return false;
        }
        if self.patch_open { v.minor > c.minor } else { v.compare(c).is_gt() }
    }

    fn tilde(&self, v: &Version) -> bool {
        let c = &self.version;
        if v.compare(c).is_lt() {
            return false;
        }
        if (c.major, c.minor, c.patch) == (0, 0, 0) && !self.minor_open && !self.patch_open {
            return true;
        }
        v.major == c.major && (v.minor == c.minor || self.minor_open)
    }

    fn caret(&self, v: &Version) -> bool {
        let c = &self.version;
        if v.compare(c).is_lt() || v.major != c.major {
            return false;
        }
        if c.major > 0 || self.minor_open {
            return true;
        }
        if v.minor != c.minor {
            return false;
        }
        c.minor > 0 || self.patch_open || v.patch == c.patch
    }
}
