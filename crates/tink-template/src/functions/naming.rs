//! Sprig: `snakecase`, `kebabcase` and `camelcase`.

use super::args::{made, text};
use super::case::{lower, upper};
use super::{Function, Param, fixed};

use Param::Str;

pub(super) const TABLE: &[Function] = &[
    fixed("snakecase", &[Str], |context, args| made(context, separated(&text(args, 0)?, '_'))),
    fixed("kebabcase", &[Str], |context, args| made(context, separated(&text(args, 0)?, '-'))),
    fixed("camelcase", &[Str], |context, args| made(context, pascal(&text(args, 0)?))),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Number,
    Upper,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c);
    }
    matches!(c, '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}'
        | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}')
}

/// A letter, but no Han character.
fn is_letter(c: char) -> bool {
    c.is_alphabetic() && !matches!(c, '\u{3400}'..='\u{4d85}' | '\u{4e00}'..='\u{9fcc}' | '\u{20000}'..='\u{2b81d}')
}

/// Takes the next word off the front.
fn next_word<'t>(rest: &mut &'t [char]) -> Option<(Word, &'t [char])> {
    let all = *rest;
    let first = *all.first()?;
    let run = |from: usize, fits: &dyn Fn(char) -> bool| from + all.iter().skip(from).take_while(|c| fits(**c)).count();
    let small = |c: char| is_letter(c) && !c.is_uppercase();
    let (word, end) = if is_connector(first) {
        (Word::Connector, run(1, &is_connector))
    } else if is_punctuation(first) {
        (Word::Punctuation, run(1, &is_punctuation))
    } else if first.is_uppercase() {
        let capitals = run(1, &char::is_uppercase);
        let end = match all.get(capitals) {
            // In "HTTPServer" the S belongs to the next word.
            Some(next) if capitals > 1 && is_letter(*next) => capitals - 1,
            Some(_) if capitals == 1 => run(1, &small),
            _ => capitals,
        };
        (Word::Upper, end)
    } else if is_letter(first) {
        (Word::Alphabet, run(1, &small))
    } else if first.is_numeric() {
        (Word::Number, run(1, &char::is_numeric))
    } else {
        let other = |c: char| !(is_connector(c) || is_letter(c) || c.is_numeric() || is_punctuation(c));
        (Word::Other, run(1, &other))
    };
    *rest = all.get(end..).unwrap_or_default();
    Some((word, all.get(..end).unwrap_or_default()))
}

/// A word with its turn in the output: small letters, connectors replaced.
fn push(out: &mut String, word: Option<(Word, &[char])>, connector: char) {
    let Some((kind, chars)) = word else { return };
    if !matches!(kind, Word::Upper | Word::Connector) {
        out.extend(chars);
        return;
    }
    out.extend(chars.iter().map(|c| if is_connector(*c) { connector } else { lower(*c) }));
}

fn kind(word: Option<(Word, &[char])>) -> Option<Word> {
    word.map(|(kind, _)| kind)
}

/// Words in small letters with `connector` between them; a number belongs to the word before it, unless letters follow.
fn separated(all: &str, connector: char) -> String {
    let chars: Vec<char> = all.chars().collect();
    let mut rest = chars.as_slice();
    let mut out = String::with_capacity(all.len() + 8);
    let mut word = next_word(&mut rest);
    while !rest.is_empty() {
        if kind(word) != Some(Word::Connector) {
            push(&mut out, word, connector);
        }
        let previous = word;
        word = next_word(&mut rest);
        match kind(previous) {
            Some(Word::Number) => {
                word = letters_and_numbers(&mut out, word, &mut rest, connector);
                if !matches!(kind(word), None | Some(Word::Punctuation | Word::Connector)) {
                    out.push(connector);
                }
            }
            Some(Word::Connector) => push(&mut out, previous, connector),
            Some(Word::Punctuation) => {}
            _ => word = after_word(&mut out, word, &mut rest, connector),
        }
    }
    push(&mut out, word, connector);
    out
}

fn letters_and_numbers<'t>(
    out: &mut String,
    mut word: Option<(Word, &'t [char])>,
    rest: &mut &'t [char],
    connector: char,
) -> Option<(Word, &'t [char])> {
    while matches!(kind(word), Some(Word::Alphabet | Word::Number)) {
        push(out, word, connector);
        word = next_word(rest);
    }
    word
}

fn after_word<'t>(
    out: &mut String,
    word: Option<(Word, &'t [char])>,
    rest: &mut &'t [char],
    connector: char,
) -> Option<(Word, &'t [char])> {
    if kind(word) != Some(Word::Number) {
        if !matches!(kind(word), Some(Word::Connector | Word::Punctuation)) {
            out.push(connector);
        }
        return word;
    }
    if rest.is_empty() {
        return word;
    }
    let number = word;
    let word = next_word(rest);
    if kind(word) != Some(Word::Alphabet) {
        push(out, number, connector);
        if !matches!(kind(word), Some(Word::Connector | Word::Punctuation)) {
            out.push(connector);
        }
        return word;
    }
    out.push(connector);
    push(out, number, connector);
    let word = letters_and_numbers(out, word, rest, connector);
    if !matches!(kind(word), None | Some(Word::Connector | Word::Punctuation)) {
        out.push(connector);
    }
    word
}

/// Words with a capital each and nothing between them; connectors in front stay.
fn pascal(all: &str) -> String {
    let mut chars = all.chars().peekable();
    let mut out = String::with_capacity(all.len());
    while let Some(c) = chars.next_if(|c| is_connector(*c)) {
        out.push(c);
    }
    let Some(first) = chars.next() else { return out };
    let mut first_is_upper = first.is_uppercase();
    let mut current = upper(first);
    for next in chars {
        let previous = std::mem::replace(&mut current, next);
        match (is_connector(next), is_connector(previous)) {
            (true, true) => out.push(previous),
            (_, true) => {
                first_is_upper = next.is_uppercase();
                current = upper(next);
            }
            _ => {
                if first_is_upper {
                    if next.is_uppercase() {
                        current = lower(next);
                    } else {
                        first_is_upper = false;
                    }
                }
                out.push(previous);
            }
        }
    }
    out.push(current);
    out
}
