//! Sprig: upper and lower case, words, abbreviations and wrapping.

use super::args::{bytes, int, made, text};
use super::{Function, Param, Returned, fixed};
use crate::exec::{Context, Fault};
use crate::value::Value;

use Param::{Int, Str};

pub(super) const TABLE: &[Function] = &[
    fixed("upper", &[Str], |context, args| made(context, text(args, 0)?.chars().map(upper).collect::<String>())),
    fixed("lower", &[Str], |context, args| made(context, text(args, 0)?.chars().map(lower).collect::<String>())),
    fixed("title", &[Str], |context, args| made(context, title(&text(args, 0)?))),
    fixed("untitle", &[Str], |context, args| made(context, untitle(&text(args, 0)?))),
    fixed("swapcase", &[Str], |context, args| made(context, swap_case(&text(args, 0)?))),
    fixed("nospace", &[Str], |context, args| made(context, no_space(bytes(args, 0)?))),
    fixed("initials", &[Str], |context, args| made(context, initials(bytes(args, 0)?))),
    fixed("shuffle", &[Str], shuffle),
    fixed("abbrev", &[Int, Str], |context, args| {
        let all = bytes(args, 1)?;
        made(context, if int(args, 0)? < 4 { all.to_vec() } else { abbreviated(all, 0, int(args, 0)?) })
    }),
    fixed("abbrevboth", &[Int, Int, Str], |context, args| {
        let (left, right, all) = (int(args, 0)?, int(args, 1)?, bytes(args, 2)?);
        if right < 4 || left > 0 && right < 7 {
            return made(context, all);
        }
        made(context, abbreviated(all, left, right))
    }),
    fixed("wrap", &[Int, Str], |context, args| wrap(context, int(args, 0)?, b"\n", bytes(args, 1)?, false)),
    fixed("wrapWith", &[Int, Str, Str], |context, args| {
        let separator = bytes(args, 1)?;
        let separator = if separator.is_empty() { b"\n" } else { separator };
        wrap(context, int(args, 0)?, separator, bytes(args, 2)?, true)
    }),
];

/// Go maps one character to one character: ß stays ß.
pub(super) fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

pub(super) fn lower(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        // İ: Go maps it to i.
        (Some(one), Some(_)) => one,
        _ => c,
    }
}

fn title(all: &str) -> String {
    let mut previous = ' ';
    all.chars()
        .map(|c| {
            let starts = is_separator(previous);
            previous = c;
            if starts { title_case(c) } else { c }
        })
        .collect()
}

/// Like [`upper`], but for the letters that have a form of their own at the start of a word.
fn title_case(c: char) -> char {
    match c {
        'Ǆ'..='ǆ' => 'ǅ',
        'Ǉ'..='ǉ' => 'ǈ',
        'Ǌ'..='ǌ' => 'ǋ',
        'Ǳ'..='ǳ' => 'ǲ',
        c => upper(c),
    }
}

fn is_separator(c: char) -> bool {
    if c.is_ascii() {
        return !(c.is_ascii_alphanumeric() || c == '_');
    }
    !(c.is_alphabetic() || c.is_numeric()) && c.is_whitespace()
}

fn untitle(all: &str) -> String {
    let mut starts = true;
    all.chars()
        .map(|c| {
            if c.is_whitespace() {
                starts = true;
                c
            } else if std::mem::take(&mut starts) {
                lower(c)
            } else {
                c
            }
        })
        .collect()
}

fn swap_case(all: &str) -> String {
    let mut after_space = true;
    all.chars()
        .map(|c| {
            if c.is_uppercase() {
                after_space = false;
                lower(c)
            } else if c.is_lowercase() {
                if std::mem::take(&mut after_space) { title_case(c) } else { upper(c) }
            } else {
                after_space = c.is_whitespace();
                c
            }
        })
        .collect()
}

// compat: Sprig takes these two byte by byte, so that text beyond ASCII comes out garbled.
fn is_space_byte(byte: u8) -> bool {
    char::from(byte).is_whitespace()
}

fn no_space(all: &[u8]) -> Vec<u8> {
    if !all.iter().any(|byte| is_space_byte(*byte)) {
        return all.to_vec();
    }
    all.iter().filter(|byte| !is_space_byte(**byte)).map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}

fn initials(all: &[u8]) -> String {
    let mut after_gap = true;
    let mut out = String::new();
    for byte in all {
        if is_space_byte(*byte) {
            after_gap = true;
        } else if std::mem::take(&mut after_gap) {
            out.push(char::from(*byte));
        }
    }
    out
}

fn shuffle(context: &Context, args: &[Value]) -> Returned {
    let mut chars: Vec<char> = text(args, 0)?.chars().collect();
    for end in (1..chars.len()).rev() {
        let at = context.random() % (u64::try_from(end).unwrap_or(u64::MAX) + 1);
        chars.swap(end, usize::try_from(at).unwrap_or_default());
    }
    made(context, chars.into_iter().collect::<String>())
}

/// The text with `...` where it was cut, at most `width` bytes.
fn abbreviated(all: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let width = usize::try_from(width).unwrap_or_default();
    if all.is_empty() || width < 4 {
        return Vec::new();
    }
    if all.len() <= width {
        return all.to_vec();
    }
    let mut offset = usize::try_from(offset).unwrap_or_default().min(all.len());
    let kept = width - 3;
    if all.len() - offset < kept {
        offset = all.len() - kept;
    }
    let part = |from: usize, to: usize| all.get(from..to).unwrap_or_default();
    if offset <= 4 {
        return [part(0, kept), b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + kept < all.len() {
        let tail = abbreviated(part(offset, all.len()), 0, i64::try_from(kept).unwrap_or(i64::MAX));
        return [b"...".to_vec(), tail].concat();
    }
    [b"...", part(all.len() - kept, all.len())].concat()
}

fn wrap(context: &Context, width: i64, separator: &[u8], all: &[u8], cut_words: bool) -> Returned {
    let width = usize::try_from(width.max(1)).unwrap_or(usize::MAX);
    context.produce((all.len() / width + 1).saturating_mul(separator.len()).saturating_add(all.len()))?;
    let mut out = Vec::new();
    let mut at = 0;
    while all.len() - at > width {
        let rest = all.get(at..).unwrap_or_default();
        if rest.first() == Some(&b' ') {
            at += 1;
            continue;
        }
        let window = rest.get(..=width).unwrap_or(rest);
        let end = match window.iter().rposition(|byte| *byte == b' ') {
            Some(space) => (space, space + 1),
            None if cut_words => (width, width),
            None => match rest.iter().skip(width).position(|byte| *byte == b' ') {
                Some(more) => (width + more, width + more + 1),
                None => break,
            },
        };
        out.extend_from_slice(rest.get(..end.0).unwrap_or_default());
        out.extend_from_slice(separator);
        at += end.1;
    }
    out.extend_from_slice(all.get(at..).unwrap_or_default());
    if out.len() > all.len().saturating_mul(separator.len() + 2) + 8 {
        return Err(Fault::limit("wrapped text grew too large"));
    }
    made(context, out)
}
