//! Texts that libyaml takes and our parser, strict as YAML 1.2 is, does not.
//!
//! Go's YAML libraries are libyaml's: they take `key:<tab>value`, and lines inside quotes or brackets that are indented
//! less than what they belong to, which happens when a template puts a text of several lines into quotes. White space
//! means nothing in these places, so it is changed there and the text read again.

use std::collections::{HashMap, HashSet};

use crate::{Problem, YamlError};

/// How often a text is repaired, and how many bytes may be read again for it.
const REPAIRS_MAX: usize = 2000;
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Blanks put before the lines of a text.
#[derive(Default)]
pub(crate) struct Repairs {
    blanks: HashMap<usize, usize>,
    /// Lines that were indented, each with the complaint it was done for: what did not help once never will.
    tried: HashSet<(usize, String)>,
    count: usize,
    bytes: usize,
}

impl Repairs {
    /// The column that was `column` before blanks were put before `line`.
    pub(crate) fn column(&self, line: usize, column: usize) -> usize {
        column.saturating_sub(self.shift(line)).max(1)
    }

    /// Repairs that were asked for.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn shift(&self, line: usize) -> usize {
        self.blanks.get(&line).copied().unwrap_or(0)
    }

    /// `text` without what `error` complains about, if libyaml does not complain.
    pub(crate) fn repair(&mut self, text: &str, error: &YamlError) -> Option<String> {
        let Problem::Syntax { message, .. } = &error.problem else { return None };
        self.count += 1;
        self.bytes += text.len();
        if self.count > REPAIRS_MAX || self.bytes > BYTES_MAX {
            return None;
        }
        let column = error.column + self.shift(error.line);
        let (start, line) = line_at(text, error.line)?;
        let at = start + line.char_indices().nth(column - 1).map_or(line.len(), |(at, _)| at);
        match message.as_str() {
            "':' must be followed by a valid YAML whitespace" | "tab cannot be used as indentation" => {
                // The scanner stands on the tab or behind it.
                let end = at + (text[at..].len() - text[at..].trim_start_matches('\t').len());
                let tab = text[..end].trim_end_matches('\t').len();
                if tab == end {
                    return None;
                }
                let tabs = end - tab;
                Some(format!("{}{}{}", &text[..tab], " ".repeat(tabs), &text[tab + tabs..]))
            }
            "invalid indentation" | "invalid indentation in flow construct" => {
                self.first_try(error.line, message)?;
                let wide = widest(&text[..start]);
                Some(self.indented(text, error.line..=error.line, wide))
            }
            "invalid indentation in quoted scalar" => {
                self.first_try(error.line, message)?;
                let lines = lines_of_quoted(&text[at..])?;
                let wide = widest(&text[..at]);
                Some(self.indented(text, error.line + 1..=error.line + lines, wide))
            }
            _ => None,
        }
    }

    /// None when the line was indented for this complaint already.
    fn first_try(&mut self, line: usize, message: &str) -> Option<()> {
        self.tried.insert((line, message.to_owned())).then_some(())
    }

    /// Puts `blanks` before some lines of `text`.
    fn indented(&mut self, text: &str, lines: std::ops::RangeInclusive<usize>, blanks: usize) -> String {
        let mut out = String::with_capacity(text.len() + blanks * lines.clone().count());
        for (nth, line) in text.split_inclusive('\n').enumerate() {
            if lines.contains(&(nth + 1)) {
                out.push_str(&" ".repeat(blanks));
                *self.blanks.entry(nth + 1).or_default() += blanks;
            }
            out.push_str(line);
        }
        out
    }
}

fn line_at(text: &str, number: usize) -> Option<(usize, &str)> {
    let mut start = 0;
    for (nth, line) in text.split_inclusive('\n').enumerate() {
        if nth + 1 == number {
            return Some((start, line));
        }
        start += line.len();
    }
    None
}

/// A column that no block open at the end of `before` reaches: blanks, dashes and keys of a line open blocks.
fn widest(before: &str) -> usize {
    let opened = |line: &str| line.len() - line.trim_start_matches([' ', '-', '?', '\t']).len();
    before.lines().map(opened).max().unwrap_or(0) + 1
}

/// Line breaks up to the closing quote of the scalar that `text` starts with.
fn lines_of_quoted(text: &str) -> Option<usize> {
    let mut chars = text.chars().peekable();
    let quote = chars.next().filter(|c| matches!(c, '"' | '\''))?;
    let mut lines = 0;
    while let Some(c) = chars.next() {
        match c {
            '\n' => lines += 1,
            '\\' if quote == '"' => {
                lines += usize::from(chars.next() == Some('\n'));
            }
            '\'' if quote == '\'' && chars.peek() == Some(&'\'') => {
                chars.next();
            }
            c if c == quote => return Some(lines),
            _ => {}
        }
    }
    None
}
