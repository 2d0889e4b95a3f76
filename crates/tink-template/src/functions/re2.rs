//! Go's regular expressions, rewritten where Rust's crate reads them differently.
//!
//! In Go, classes such as `\d` are ASCII, a class holds no other class and no set operations, `\Q...\E` quotes, a brace
//! that begins no repetition is plain, and a repetition neither repeats another nor goes beyond 1000.

/// The most that a repetition can count to.
const REPEAT_MAX: usize = 1000;

/// The pattern for Rust's crate, or why Go would refuse it.
pub(super) fn as_rust(pattern: &str) -> Result<String, &'static str> {
    let mut translator = Translator { rest: pattern, out: String::with_capacity(pattern.len() + 16) };
    let mut repeats = false;
    while let Some(c) = translator.next() {
        let repeated = repeats;
        repeats = match c {
            '*' | '+' | '?' => true,
            '{' => repetition(translator.rest)?.is_some(),
            _ => false,
        };
        if repeats && repeated {
            return Err("a repetition cannot repeat another; use a group");
        }
        match c {
            '\\' => translator.escape(),
            '[' => translator.class(),
            '{' if repeats => translator.copy_repetition(),
            '{' => translator.out.push_str("\\{"),
            c => translator.out.push(c),
        }
        if repeats && let Some(rest) = translator.rest.strip_prefix('?') {
            translator.out.push('?');
            translator.rest = rest;
        }
        // The `?` of `(?i)` is no repetition.
        if c == '('
            && let Some(rest) = translator.rest.strip_prefix('?')
        {
            translator.out.push('?');
            translator.rest = rest;
        }
    }
    Ok(translator.out)
}

/// The length of the repetition after a brace, closing brace included; `None` when the brace is plain.
fn repetition(rest: &str) -> Result<Option<usize>, &'static str> {
    let Some((body, _)) = rest.split_once('}') else { return Ok(None) };
    let (low, high) = body.split_once(',').unwrap_or((body, ""));
    if low.is_empty() || !low.bytes().chain(high.bytes()).all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    let fits = |count: &str| count.is_empty() || count.parse::<usize>().is_ok_and(|count| count <= REPEAT_MAX);
    if fits(low) && fits(high) { Ok(Some(body.len() + 1)) } else { Err("a repetition counts to 1000 at most") }
}

struct Translator<'p> {
    rest: &'p str,
    out: String,
}

impl Translator<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        Some(c)
    }

    fn copy_repetition(&mut self) {
        let end = self.rest.find('}').map_or(0, |end| end + 1);
        self.out.push('{');
        self.out.push_str(self.rest.get(..end).unwrap_or_default());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    /// What follows a backslash, outside of a class.
    fn escape(&mut self) {
        match self.next() {
            None => self.out.push('\\'),
            Some('b') => self.out.push_str("(?-u:\\b)"),
            Some('B') => self.out.push_str("(?-u:\\B)"),
            Some(c @ ('<' | '>')) => self.out.push(c),
            Some('Q') => {
                let (quoted, after) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.out.push_str(&regex::escape(quoted));
                self.rest = after;
            }
            Some(c) => match ascii_class(c) {
                Some((chars, negated)) => {
                    let mark = if negated { "^" } else { "" };
                    self.out.push_str(&format!("[{mark}{chars}]"));
                }
                None => self.out.extend(['\\', c]),
            },
        }
    }

    fn class(&mut self) {
        self.out.push('[');
        if let Some(after) = self.rest.strip_prefix('^') {
            self.out.push('^');
            self.rest = after;
        }
        let mut first = true;
        while !self.rest.is_empty() {
            if !first && let Some(after) = self.rest.strip_prefix(']') {
                self.out.push(']');
                self.rest = after;
                return;
            }
            first = false;
            if self.posix_class() {
                continue;
            }
            if self.class_char() && self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.next();
                self.out.push('-');
                self.class_char();
            }
        }
    }

    /// `[:alpha:]`
    fn posix_class(&mut self) -> bool {
        let end = self.rest.strip_prefix("[:").and_then(|body| body.find(":]")).map(|end| end + 4);
        let Some(end) = end else { return false };
        self.out.push_str(self.rest.get(..end).unwrap_or_default());
        self.rest = self.rest.get(end..).unwrap_or_default();
        true
    }

    /// One member of a class; true when it is a character, which can begin a range.
    fn class_char(&mut self) -> bool {
        match self.next() {
            None => false,
            Some('\\') => {
                let Some(c) = self.next() else {
                    self.out.push('\\');
                    return false;
                };
                match ascii_class(c) {
                    Some((chars, false)) => self.out.push_str(chars),
                    Some((chars, true)) => self.out.push_str(&format!("[^{chars}]")),
                    None if matches!(c, '<' | '>') => self.out.push(c),
                    None => {
                        self.out.extend(['\\', c]);
                        if matches!(c, 'p' | 'P' | 'x') {
                            self.copy_braced();
                        }
                        return !matches!(c, 'p' | 'P');
                    }
                }
                false
            }
            Some(c) => {
                if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
                    self.out.push('\\');
                }
                self.out.push(c);
                true
            }
        }
    }

    /// The name or number of `\p{Greek}`, `\pN`, `\x{10FFFF}` and `\x41`.
    fn copy_braced(&mut self) {
        let end = match self.rest.find('}') {
            Some(end) if self.rest.starts_with('{') => end + 1,
            _ if self.out.ends_with('x') => 2,
            _ => 1,
        };
        self.out.push_str(self.rest.get(..end).unwrap_or_default());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }
}

/// The characters of a class such as `\d`, and whether it stands for all others.
fn ascii_class(c: char) -> Option<(&'static str, bool)> {
    Some(match c {
        'd' => ("0-9", false),
        'D' => ("0-9", true),
        'w' => ("0-9A-Za-z_", false),
        'W' => ("0-9A-Za-z_", true),
        's' => ("\\t\\n\\f\\r ", false),
        'S' => ("\\t\\n\\f\\r ", true),
        _ => return None,
    })
}
