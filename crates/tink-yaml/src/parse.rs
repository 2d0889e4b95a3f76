//! From the parser's events to nodes, without recursion and within [`Bounds`].

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::merge::finish_mapping;
use crate::repair::Repairs;
use crate::{Bounds, Kind, Node, Problem, Style, YamlError};

/// The first document of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// The document; `None` if the text holds none.
    pub node: Option<Node>,
    /// Line on which a second document starts, which [`parse_first`] does not read.
    pub second_line: Option<usize>,
}

/// Parses every document of `text`. Documents that are empty (two `---` in a row) come as null scalars.
///
/// # Errors
/// The first problem, with its place: bad syntax, a broken bound, a duplicate key, a bad alias or merge key.
pub fn parse_documents(text: &str, bounds: &Bounds) -> Result<Vec<Node>, YamlError> {
    read(text, bounds, &mut Repairs::default(), |loader| {
        let mut documents = Vec::new();
        while let Some((node, _)) = loader.document()? {
            if documents.len() == bounds.documents_max {
                return Err(node.error(Problem::TooManyDocuments { max: bounds.documents_max }));
            }
            documents.push(node);
        }
        Ok(documents)
    })
}

/// Parses only the first document of `text`, as Go's `yaml.Unmarshal` does: what follows it is not looked at.
///
/// # Errors
/// As [`parse_documents`], for that document.
pub fn parse_first(text: &str, bounds: &Bounds) -> Result<First, YamlError> {
    read(text, bounds, &mut Repairs::default(), |loader| {
        let Some((node, _)) = loader.document()? else {
            return Ok(First { node: None, second_line: None });
        };
        let second_line = match loader.next_document_line() {
            Ok(line) => line,
            // After a single value the rest of the line was not looked at: `a: b: c` begins like one.
            Err(error) if node.text().is_some() => return Err(error),
            Err(error) => Some(error.line),
        };
        Ok(First { node: Some(node), second_line })
    })
}

/// Loads `text`, again and again as long as a [repair](Repairs) helps.
fn read<T>(
    text: &str,
    bounds: &Bounds,
    repairs: &mut Repairs,
    load: impl Fn(&mut Loader<'_, '_>) -> Result<T, YamlError>,
) -> Result<T, YamlError> {
    if text.len() > bounds.text_bytes_max {
        let problem = Problem::TextTooLong { bytes: text.len(), max: bounds.text_bytes_max };
        return Err(YamlError::new(1, 1, problem));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((line, column)) = tab_before_all(text) {
        let message = "a tab cannot be used as indentation".to_owned();
        let hint = "; YAML allows only spaces there".to_owned();
        return Err(YamlError::new(line, column, Problem::Syntax { message, hint }));
    }
    // Blanks that no line break follows are nothing to libyaml, but an empty line of a block to our parser.
    let trimmed = text.trim_end_matches(' ');
    let mut text = Cow::Borrowed(if trimmed.ends_with('\n') { trimmed } else { text });
    loop {
        let error = match load(&mut Loader::new(&text, bounds, repairs)) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => error,
        };
        match repairs.repair(&text, &error) {
            Some(repaired) => text = Cow::Owned(repaired),
            None => return Err(error),
        }
    }
}

/// The line and column of a tab that indents the first line with anything else on it, where no bracket is open yet. Our
/// parser takes it; libyaml does not.
fn tab_before_all(text: &str) -> Option<(usize, usize)> {
    for (nth, line) in text.lines().enumerate() {
        let rest = line.trim_start_matches(' ');
        if rest.starts_with('\t') {
            return Some((nth + 1, line.len() - rest.len() + 1));
        }
        if !rest.is_empty() && !rest.starts_with('#') {
            return None;
        }
    }
    None
}

/// A collection that is still open.
struct Open {
    node: Node,
    /// A key whose value has not come yet.
    key: Option<Node>,
    anchor: usize,
    /// Levels below this one, for aliases.
    height: usize,
    /// Nodes and bytes so far, this one included.
    size: Size,
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

/// A finished value that an alias may name.
struct Anchored {
    node: Node,
    height: usize,
    size: Size,
}

struct Loader<'text, 'bounds> {
    text: &'text str,
    /// Characters of the text.
    chars: usize,
    parser: Parser<'text, StrInput<'text>>,
    bounds: &'bounds Bounds,
    repairs: &'bounds Repairs,
    used: Size,
    anchors: HashMap<usize, Anchored>,
    open: Vec<Open>,
}

impl<'text, 'bounds> Loader<'text, 'bounds> {
    fn new(text: &'text str, bounds: &'bounds Bounds, repairs: &'bounds Repairs) -> Self {
        Self {
            text,
            chars: text.chars().count(),
            parser: Parser::new_from_str(text),
            bounds,
            repairs,
            used: Size::default(),
            anchors: HashMap::new(),
            open: Vec::new(),
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'text>, Span)>, YamlError> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(self.syntax(&error)),
        }
    }

    fn syntax(&self, error: &ScanError) -> YamlError {
        let line = error.marker().line().max(1);
        let column = self.repairs.column(line, error.marker().col() + 1);
        // The scanner reads ahead of the events and has its own bound of 255 brackets.
        if error.info().contains("recursion limit") {
            return YamlError::new(line, column, Problem::TooDeep { max: self.bounds.depth_max.min(255) });
        }
        let at = self.text.lines().nth(line - 1).unwrap_or_default();
        let before = line.checked_sub(2).and_then(|nth| self.text.lines().nth(nth)).unwrap_or_default();
        let message = error.info().trim_end_matches('.').to_owned();
        YamlError::new(line, column, Problem::Syntax { hint: hint(at, before, &message), message })
    }

    /// Line of the next document's start, if there is one.
    fn next_document_line(&mut self) -> Result<Option<usize>, YamlError> {
        loop {
            match self.next()? {
                Some((Event::DocumentStart(_), span)) => return Ok(Some(span.start.line())),
                Some((Event::StreamEnd, _)) | None => return Ok(None),
                Some(_) => {}
            }
        }
    }

    /// The next document and its height.
    fn document(&mut self) -> Result<Option<(Node, usize)>, YamlError> {
        // An anchor lives as long as its document.
        self.anchors.clear();
        loop {
            let Some((event, span)) = self.next()? else { return Ok(None) };
            let line = span.start.line().max(1);
            let column = self.repairs.column(line, span.start.col() + 1);
            let finished = match event {
                Event::StreamEnd => return Ok(None),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => None,
                Event::Alias(anchor) => Some(self.alias(anchor, line, column)?),
                Event::Scalar(text, style, anchor, tag) => {
                    let style = style_of(style);
                    let text = self.as_libyaml_ends_it(text.into_owned(), style, span);
                    let kind = Kind::Scalar { text, style };
                    let node = Node { kind, tag: tag_of(tag.as_deref()), line, column };
                    Some(self.scalar(node, anchor)?)
                }
                Event::SequenceStart(anchor, tag) => {
                    let kind = Kind::Sequence(Vec::new());
                    self.start(Node { kind, tag: tag_of(tag.as_deref()), line, column }, anchor)?;
                    None
                }
                Event::MappingStart(anchor, tag) => {
                    let kind = Kind::Mapping(Vec::new());
                    self.start(Node { kind, tag: tag_of(tag.as_deref()), line, column }, anchor)?;
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => self.end()?,
            };
            if let Some(finished) = finished
                && let Some(document) = self.put(finished)
            {
                return Ok(Some((document.node, document.height)));
            }
        }
    }

    /// A block that ends with the text, without a line break there, gets none from libyaml, but one from our parser.
    fn as_libyaml_ends_it(&self, mut text: String, style: Style, span: Span) -> String {
        if matches!(style, Style::Literal | Style::Folded)
            && !self.text.ends_with(['\n', '\r'])
            && span.end.index() >= self.chars
            && text.ends_with('\n')
        {
            text.pop();
        }
        text
    }

    /// Counts `size` against the budget.
    fn spend(&mut self, size: Size, line: usize, column: usize) -> Result<(), YamlError> {
        self.used.nodes = self.used.nodes.saturating_add(size.nodes);
        self.used.bytes = self.used.bytes.saturating_add(size.bytes);
        let too_big = |max, unit| Err(YamlError::new(line, column, Problem::TooBig { max, unit }));
        if self.used.nodes > self.bounds.nodes_max {
            return too_big(self.bounds.nodes_max, "values");
        }
        if self.used.bytes > self.bounds.scalar_bytes_max {
            return too_big(self.bounds.scalar_bytes_max, "bytes");
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, line: usize, column: usize) -> Result<Anchored, YamlError> {
        let Some(named) = self.anchors.get(&anchor) else {
            // The parser refuses names it has not seen, so the value is one that is still open.
            return Err(YamlError::new(line, column, Problem::AliasOfItself));
        };
        let (height, size) = (named.height, named.size);
        if self.open.len() + height > self.bounds.depth_max {
            return Err(YamlError::new(line, column, Problem::TooDeep { max: self.bounds.depth_max }));
        }
        self.spend(size, line, column)?;
        match self.anchors.get(&anchor) {
            Some(named) => Ok(Anchored { node: named.node.clone(), height, size }),
            None => Err(YamlError::new(line, column, Problem::AliasOfItself)),
        }
    }

    fn scalar(&mut self, node: Node, anchor: usize) -> Result<Anchored, YamlError> {
        let size = Size { nodes: 1, bytes: node.text().map_or(0, str::len) };
        self.spend(size, node.line, node.column)?;
        self.keep(anchor, Anchored { node, height: 0, size })
    }

    fn start(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        if self.open.len() >= self.bounds.depth_max {
            return Err(node.error(Problem::TooDeep { max: self.bounds.depth_max }));
        }
        let size = Size { nodes: 1, bytes: 0 };
        self.spend(size, node.line, node.column)?;
        self.open.push(Open { node, key: None, anchor, height: 1, size });
        Ok(())
    }

    fn end(&mut self) -> Result<Option<Anchored>, YamlError> {
        let Some(Open { mut node, anchor, height, size, .. }) = self.open.pop() else { return Ok(None) };
        if let Kind::Mapping(entries) = &mut node.kind {
            finish_mapping(entries, self.bounds)?;
        }
        Ok(Some(self.keep(anchor, Anchored { node, height, size })?))
    }

    /// Remembers a finished value for aliases; the copy counts, too.
    fn keep(&mut self, anchor: usize, finished: Anchored) -> Result<Anchored, YamlError> {
        if anchor > 0 {
            self.spend(finished.size, finished.node.line, finished.node.column)?;
            let copy = Anchored { node: finished.node.clone(), height: finished.height, size: finished.size };
            self.anchors.insert(anchor, copy);
        }
        Ok(finished)
    }

    /// Puts a finished value into the collection that is open, or gives it back when it is the document.
    fn put(&mut self, finished: Anchored) -> Option<Anchored> {
        let Some(open) = self.open.last_mut() else { return Some(finished) };
        open.height = open.height.max(finished.height + 1);
        open.size.nodes += finished.size.nodes;
        open.size.bytes += finished.size.bytes;
        match &mut open.node.kind {
            Kind::Sequence(items) => items.push(finished.node),
            Kind::Mapping(entries) => match open.key.take() {
                None => {
                    // A block mapping starts where its first key does, whatever the parser says.
                    if entries.is_empty() && open.node.line != finished.node.line {
                        (open.node.line, open.node.column) = (finished.node.line, finished.node.column);
                    }
                    open.key = Some(finished.node);
                }
                Some(key) => {
                    let value = at_its_key(finished.node, &key);
                    entries.push((key, value));
                }
            },
            Kind::Scalar { .. } => {}
        }
        None
    }
}

/// An empty value has no place of its own: errors about it point to its key.
fn at_its_key(mut value: Node, key: &Node) -> Node {
    if value.tag.is_none() && matches!(&value.kind, Kind::Scalar { text, style: Style::Plain } if text.is_empty()) {
        (value.line, value.column) = (key.line, key.column);
    }
    value
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

/// `!!str` for YAML's own tags, `!name` for others, `!` for the non-specific tag.
fn tag_of(tag: Option<&Tag>) -> Option<String> {
    let tag = tag?;
    let whole = format!("{}{}", tag.handle, tag.suffix);
    if whole.is_empty() {
        return None;
    }
    Some(match whole.strip_prefix("tag:yaml.org,2002:") {
        Some(own) => format!("!!{own}"),
        None => whole,
    })
}

/// What commonly lies behind an error on this line.
fn hint(at: &str, before: &str, message: &str) -> String {
    let indented_by_tab = |line: &str| {
        let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
        line[..blank].contains('\t')
    };
    if indented_by_tab(at) || indented_by_tab(before) {
        return "; a tab indents this line or the one before it: YAML allows only spaces there".to_owned();
    }
    if at.contains("{{") || before.contains("{{") {
        return "; a value that starts with `{{` must be quoted, or the template was not rendered".to_owned();
    }
    if message.contains("mapping values are not allowed") {
        return "; a value that holds `: ` must be quoted, and keys of one mapping must start in the same column"
            .to_owned();
    }
    let value = at.split_once(": ").map_or(at, |(_, value)| value).trim_start_matches([' ', '-']);
    if value.starts_with(['@', '`', '%']) {
        return "; a value that starts with `@`, `%` or a backtick must be quoted".to_owned();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_that_does_not_help_is_not_repeated() {
        let mut repairs = Repairs::default();
        let text = "?/\u{6}:\t{\r:>M\n\0\0\0\0";
        read(text, &Bounds::default(), &mut repairs, |loader| loader.document().map(drop)).unwrap_err();
        assert!(repairs.count() <= 4, "{} repairs", repairs.count());
    }
}
