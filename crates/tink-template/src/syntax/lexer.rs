//! The lexer: text outside `{{ }}`, tokens inside.
//!
//! A space after an action's opening or before its closing `-` trims the neighbouring text; the parser never sees it.

use super::SyntaxFault;
use super::token::{Kind, Token};

const LEFT: &str = "{{";
const RIGHT: &str = "}}";

pub(super) struct Lexer<'s> {
    source: &'s str,
    at: usize,
    start: usize,
    inside_action: bool,
    open_parens: usize,
    action_at: usize,
    trim_next_text: bool,
}

type Scanned<'s> = Result<Token<'s>, SyntaxFault>;

pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    // Go asks for the Unicode category Nd; `is_numeric` also takes letters-as-numbers, which no template uses.
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

impl<'s> Lexer<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, at: 0, start: 0, inside_action: false, open_parens: 0, action_at: 0, trim_next_text: false }
    }

    /// The next token. After `Eof` it is `Eof` for ever.
    pub(super) fn token(&mut self) -> Scanned<'s> {
        if self.inside_action { self.inside() } else { self.text() }
    }

    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn emit(&mut self, kind: Kind) -> Token<'s> {
        let text = self.source.get(self.start..self.at).unwrap_or_default();
        let token = Token { kind, at: self.start, text };
        self.start = self.at;
        token
    }

    fn fault<T>(&self, problem: impl Into<String>) -> Result<T, SyntaxFault> {
        Err(SyntaxFault::new(self.start, problem))
    }

    fn text(&mut self) -> Scanned<'s> {
        loop {
            if std::mem::take(&mut self.trim_next_text) {
                self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
            }
            self.start = self.at;
            let Some(ahead) = self.rest().find(LEFT) else {
                self.at = self.source.len();
                return Ok(if self.at > self.start { self.emit(Kind::Text) } else { self.emit(Kind::Eof) });
            };
            if ahead > 0 {
                let text = self.rest().get(..ahead).unwrap_or_default();
                let trims = has_left_marker(self.rest().get(ahead + LEFT.len()..).unwrap_or_default());
                let kept = if trims { text.trim_end_matches(is_space) } else { text };
                let token = Token { kind: Kind::Text, at: self.start, text: kept };
                self.at += ahead;
                self.start = self.at;
                if !kept.is_empty() {
                    return Ok(token);
                }
            }
            if let Some(token) = self.left_delim()? {
                return Ok(token);
            }
        }
    }

    /// The opening of an action; `None` when it was a comment, which is skipped.
    fn left_delim(&mut self) -> Result<Option<Token<'s>>, SyntaxFault> {
        self.action_at = self.at;
        self.at += LEFT.len();
        let marker = if has_left_marker(self.rest()) { 2 } else { 0 };
        if self.rest().get(marker..).is_some_and(|rest| rest.starts_with("/*")) {
            self.at += marker + 2;
            let Some(end) = self.rest().find("*/") else {
                return self.fault("this comment is never closed; end it with `*/}}`");
            };
            self.at += end + 2;
            let Some(trims) = self.right_delim_ahead() else {
                return self.fault("a comment must be alone in its action: `{{/* ... */}}`");
            };
            self.at += RIGHT.len() + if trims { 2 } else { 0 };
            self.trim_next_text = trims;
            return Ok(None);
        }
        let token = self.emit(Kind::LeftDelim);
        self.at += marker;
        self.start = self.at;
        self.inside_action = true;
        self.open_parens = 0;
        Ok(Some(token))
    }

    /// Whether the closing delimiter is next, and if so, whether it trims.
    fn right_delim_ahead(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_marker(rest) && rest.get(2..).is_some_and(|rest| rest.starts_with(RIGHT)) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn right_delim(&mut self, trims: bool) -> Token<'s> {
        if trims {
            self.at += 2;
            self.start = self.at;
        }
        self.at += RIGHT.len();
        let token = self.emit(Kind::RightDelim);
        self.trim_next_text = trims;
        self.inside_action = false;
        token
    }

    fn inside(&mut self) -> Scanned<'s> {
        if let Some(trims) = self.right_delim_ahead() {
            if self.open_parens > 0 {
                return self.fault("a parenthesis is still open here; add `)`");
            }
            return Ok(self.right_delim(trims));
        }
        let Some(c) = self.bump() else {
            return Err(SyntaxFault::new(self.action_at, "this action is never closed; end it with `}}`"));
        };
        match c {
            c if is_space(c) => Ok(self.space()),
            '=' => Ok(self.emit(Kind::Assign)),
            ':' if self.bump() == Some('=') => Ok(self.emit(Kind::Declare)),
            ':' => self.fault("a lone `:`; a variable is declared with `:=`"),
            '|' => Ok(self.emit(Kind::Pipe)),
            '"' => self.quoted('"', Kind::String, "string"),
            '\'' => self.quoted('\'', Kind::CharConstant, "character constant"),
            '`' => self.raw_quoted(),
            '$' => self.field_or_variable(Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) && !self.rest().is_empty() => {
                self.field_or_variable(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at = self.start;
                self.number()
            }
            c if is_word(c) => self.word(),
            '(' => {
                self.open_parens += 1;
                Ok(self.emit(Kind::LeftParen))
            }
            ')' if self.open_parens == 0 => self.fault("a `)` without its `(`"),
            ')' => {
                self.open_parens -= 1;
                Ok(self.emit(Kind::RightParen))
            }
            c if c.is_ascii_graphic() => Ok(self.emit(Kind::Char)),
            c => self.fault(format!("the character {c:?} has no meaning inside an action")),
        }
    }

    fn space(&mut self) -> Token<'s> {
        let mut count = 1;
        while self.peek().is_some_and(is_space) {
            self.bump();
            count += 1;
        }
        // The last space may belong to a trimming ` -}}`.
        let last = self.at - 1;
        let ahead = self.source.get(last..).unwrap_or_default();
        if has_right_marker(ahead) && ahead.get(2..).is_some_and(|rest| rest.starts_with(RIGHT)) {
            self.at = last;
            if count == 1 {
                return self.right_delim(true);
            }
        }
        self.emit(Kind::Space)
    }

    fn quoted(&mut self, quote: char, kind: Kind, noun: &str) -> Scanned<'s> {
        loop {
            match self.bump() {
                Some('\\') if !matches!(self.bump(), None | Some('\n')) => {}
                None | Some('\n' | '\\') => {
                    return self.fault(format!("this {noun} is not closed on its line; add {quote}"));
                }
                Some(c) if c == quote => return Ok(self.emit(kind)),
                Some(_) => {}
            }
        }
    }

    fn raw_quoted(&mut self) -> Scanned<'s> {
        match self.rest().find('`') {
            Some(end) => {
                self.at += end + 1;
                Ok(self.emit(Kind::RawString))
            }
            None => self.fault("this raw string is never closed; add a back quote"),
        }
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with(RIGHT),
        }
    }

    fn check_terminator(&self) -> Result<(), SyntaxFault> {
        if self.at_terminator() {
            return Ok(());
        }
        let found = self.peek().unwrap_or(' ');
        Err(SyntaxFault::new(self.at, format!("unexpected {found:?} after a name; separate them with a space")))
    }

    fn field_or_variable(&mut self, kind: Kind) -> Scanned<'s> {
        if self.at_terminator() {
            return Ok(self.emit(if kind == Kind::Field { Kind::Dot } else { kind }));
        }
        while self.peek().is_some_and(is_word) {
            self.bump();
        }
        self.check_terminator()?;
        Ok(self.emit(kind))
    }

    fn word(&mut self) -> Scanned<'s> {
        while self.peek().is_some_and(is_word) {
            self.bump();
        }
        self.check_terminator()?;
        let word = self.source.get(self.start..self.at).unwrap_or_default();
        let kind = match word {
            "true" | "false" => Kind::Bool,
            _ => Kind::keyword(word).unwrap_or(Kind::Identifier),
        };
        Ok(self.emit(kind))
    }

    fn number(&mut self) -> Scanned<'s> {
        let ok = self.scan_number();
        if ok && matches!(self.peek(), Some('+' | '-')) {
            let ok = self.scan_number() && self.source.get(..self.at).is_some_and(|s| s.ends_with('i'));
            if ok {
                return Ok(self.emit(Kind::Complex));
            }
        } else if ok {
            return Ok(self.emit(Kind::Number));
        }
        let text = self.source.get(self.start..self.at).unwrap_or_default();
        self.fault(format!("{text:?} is not a number"))
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        if found {
            self.bump();
        }
        found
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        while self.accept(digits) {}
        if self.accept(".") {
            while self.accept(digits) {}
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            while self.accept("0123456789_") {}
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.bump();
            return false;
        }
        true
    }
}

fn has_left_marker(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn has_right_marker(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next().is_some_and(is_space) && chars.next() == Some('-')
}
