//! Which ways of writing a string would read back as the same string.

/// What a string allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub multiline: bool,
    pub plain: bool,
    pub single_quoted: bool,
    pub block: bool,
}

/// Keys of up to 128 bytes on one line are written as `key:`, others as `? key`.
pub(super) fn fits_simple_key(key: &str) -> bool {
    key.len() <= 128 && !key.contains(is_break)
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters that Go's emitter writes as they are; the rest, emoji included, it escapes.
pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// libyaml's analysis of a scalar, with Go's rules for what is printable.
pub(super) fn analyze(text: &str) -> Allowed {
    if text.is_empty() {
        return Allowed { multiline: false, plain: true, single_quoted: true, block: false };
    }
    let multiline = text.contains(is_break);
    // Go writes the separators as line breaks, indented after them, which only YAML 1.1 reads back as they were.
    let special = text.chars().any(|c| !is_printable(c) || matches!(c, '\u{2028}' | '\u{2029}'));
    let pair = |first: fn(char) -> bool, second: fn(char) -> bool| {
        text.chars().zip(text.chars().skip(1)).any(|(a, b)| first(a) && second(b))
    };
    let is_space = |c: char| c == ' ';
    let space_break = pair(|c| c == ' ', is_break);
    let break_space = pair(is_break, |c| c == ' ');
    let edge = |c: char| is_space(c) || is_break(c);
    let blank_edge = text.starts_with(edge) || text.ends_with(edge);
    Allowed {
        multiline,
        plain: !blank_edge && !break_space && !space_break && !special && !multiline && !has_indicators(text),
        single_quoted: !break_space && !space_break && !special,
        block: !text.ends_with(' ') && !space_break && !special,
    }
}

/// Characters that would be taken for YAML's own in a block.
fn has_indicators(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let blank_next = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        let found = match (before, c) {
            (None, '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => {
                true
            }
            (None, '?' | ':' | '-') | (Some(_), ':') => blank_next,
            (Some(before), '#') => matches!(before, ' ' | '\t' | '\0') || is_break(before),
            _ => false,
        };
        if found {
            return true;
        }
        before = Some(c);
    }
    false
}
