//! The parser: tokens to a tree for the template itself and one for each `define` and `block`.

use std::collections::BTreeMap;

use super::SyntaxFault;
use super::lexer::Lexer;
use super::literal;
use super::node::{Branch, List, Node};
use super::token::{Kind, Token};
use crate::value::GoStr;

/// The trees by name.
pub(crate) type Templates = BTreeMap<String, List>;

/// Nesting of parentheses and of control actions. Go has no such bound for actions; real templates nest below ten.
const DEPTH_MAX: usize = 100;

pub(super) type Parsed<T> = Result<T, SyntaxFault>;

/// Parses `source` as the template `name`; `is_function` says which function names exist.
pub(crate) fn parse(name: &str, source: &str, is_function: &dyn Fn(&str) -> bool) -> Parsed<Templates> {
    let mut parser = Parser {
        lexer: Lexer::new(source),
        ahead: Vec::new(),
        last_at: 0,
        is_function,
        variables: vec!["$".to_owned()],
        range_depth: 0,
        depth: 0,
        templates: Templates::new(),
    };
    parser.whole(name)?;
    Ok(parser.templates)
}

pub(super) struct Parser<'s, 'f> {
    lexer: Lexer<'s>,
    /// Tokens put back, the next one last.
    ahead: Vec<Token<'s>>,
    /// Where the last token started.
    last_at: usize,
    pub(super) is_function: &'f dyn Fn(&str) -> bool,
    pub(super) variables: Vec<String>,
    range_depth: usize,
    pub(super) depth: usize,
    templates: Templates,
}

/// What ended a list.
enum Ended {
    End,
    /// The token after `else`, left in the stream.
    Else(usize),
}

/// What an action turned out to be.
enum Action {
    Node(Node),
    Ended(Ended),
}

impl<'s> Parser<'s, '_> {
    // Tokens.

    pub(super) fn next(&mut self) -> Parsed<Token<'s>> {
        let token = match self.ahead.pop() {
            Some(token) => token,
            None => self.lexer.token()?,
        };
        self.last_at = token.at;
        Ok(token)
    }

    pub(super) fn put_back(&mut self, token: Token<'s>) {
        self.ahead.push(token);
    }

    pub(super) fn peek(&mut self) -> Parsed<Token<'s>> {
        let token = self.next()?;
        self.put_back(token);
        Ok(token)
    }

    pub(super) fn next_non_space(&mut self) -> Parsed<Token<'s>> {
        loop {
            let token = self.next()?;
            if token.kind != Kind::Space {
                return Ok(token);
            }
        }
    }

    pub(super) fn peek_non_space(&mut self) -> Parsed<Token<'s>> {
        let token = self.next_non_space()?;
        self.put_back(token);
        Ok(token)
    }

    pub(super) fn fault<T>(&self, problem: impl Into<String>) -> Parsed<T> {
        Err(SyntaxFault::new(self.last_at, problem))
    }

    pub(super) fn unexpected<T>(token: &Token<'_>, context: &str) -> Parsed<T> {
        Err(SyntaxFault::new(token.at, format!("unexpected {} in {context}", token.shown())))
    }

    pub(super) fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fault(format!("nested deeper than {DEPTH_MAX} levels; flatten the template"));
        }
        Ok(())
    }

    // Templates.

    fn whole(&mut self, name: &str) -> Parsed<()> {
        let mut root = List::new();
        loop {
            let token = self.peek()?;
            if token.kind == Kind::Eof {
                break;
            }
            if token.kind == Kind::LeftDelim {
                let delim = self.next()?;
                if self.peek_non_space()?.kind == Kind::Define {
                    self.next_non_space()?;
                    self.definition()?;
                    continue;
                }
                self.put_back(delim);
            }
            match self.text_or_action()? {
                Action::Node(node) => root.push(node),
                Action::Ended(Ended::End) => return self.fault("an `end` with nothing to end"),
                Action::Ended(Ended::Else(at)) => {
                    return Err(SyntaxFault::new(at, "an `else` outside of `if`, `with` and `range`"));
                }
            }
        }
        self.add(name, root)
    }

    /// An empty definition never replaces one with content; two with content are a mistake.
    fn add(&mut self, name: &str, list: List) -> Parsed<()> {
        match self.templates.get(name) {
            Some(old) if !is_empty(old) => {
                if is_empty(&list) {
                    return Ok(());
                }
                self.fault(format!("the template {name:?} is defined twice; rename one"))
            }
            _ => {
                self.templates.insert(name.to_owned(), list);
                Ok(())
            }
        }
    }

    fn name(&mut self, context: &str) -> Parsed<String> {
        let token = self.next_non_space()?;
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return Self::unexpected(&token, &format!("{context}; a template's name is a quoted string"));
        }
        match literal::unquote(token.text).map(String::from_utf8) {
            Some(Ok(name)) => Ok(name),
            _ => self.fault(format!("{} is not a valid template name", token.shown())),
        }
    }

    fn definition(&mut self) -> Parsed<()> {
        let name = self.name("`define`")?;
        let token = self.next_non_space()?;
        if token.kind != Kind::RightDelim {
            return Self::unexpected(&token, "`define`");
        }
        let list = self.own_body("`define`")?;
        self.add(&name, list)
    }

    /// The body of a `define` or `block`: its variables are its own.
    fn own_body(&mut self, context: &str) -> Parsed<List> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        self.deeper()?;
        let (list, ended) = self.list(context)?;
        self.depth -= 1;
        self.variables = outer;
        self.range_depth = range_depth;
        match ended {
            Ended::End => Ok(list),
            Ended::Else(at) => Err(SyntaxFault::new(at, format!("an `else` in {context}"))),
        }
    }

    /// Nodes up to `end` or `else`.
    fn list(&mut self, context: &str) -> Parsed<(List, Ended)> {
        let opened_at = self.last_at;
        let mut list = List::new();
        while self.peek_non_space()?.kind != Kind::Eof {
            match self.text_or_action()? {
                Action::Node(node) => list.push(node),
                Action::Ended(ended) => return Ok((list, ended)),
            }
        }
        Err(SyntaxFault::new(opened_at, format!("{context} is never ended; add `{{{{end}}}}`")))
    }

    fn text_or_action(&mut self) -> Parsed<Action> {
        let token = self.next_non_space()?;
        match token.kind {
            Kind::Text => Ok(Action::Node(Node::Text { at: token.at, text: GoStr::from(token.text) })),
            Kind::LeftDelim => self.action(),
            _ => Self::unexpected(&token, "the template"),
        }
    }

    fn action(&mut self) -> Parsed<Action> {
        let token = self.next_non_space()?;
        let node = match token.kind {
            Kind::Block => self.block(token.at)?,
            Kind::Break => self.loop_control(Node::Break, "break")?,
            Kind::Continue => self.loop_control(Node::Continue, "continue")?,
            Kind::Else => return self.else_control(token.at),
            Kind::End => {
                let closing = self.next_non_space()?;
                if closing.kind != Kind::RightDelim {
                    return Self::unexpected(&closing, "`end`");
                }
                return Ok(Action::Ended(Ended::End));
            }
            Kind::If => Node::If(self.control("if")?),
            Kind::Range => Node::Range(self.control("range")?),
            Kind::With => Node::With(self.control("with")?),
            Kind::Template => self.template(token.at)?,
            _ => {
                self.put_back(token);
                Node::Action(self.pipeline("an action", Kind::RightDelim)?)
            }
        };
        Ok(Action::Node(node))
    }

    fn loop_control(&mut self, node: Node, word: &str) -> Parsed<Node> {
        let token = self.next_non_space()?;
        if token.kind != Kind::RightDelim {
            return Self::unexpected(&token, &format!("`{word}`"));
        }
        if self.range_depth == 0 {
            return self.fault(format!("`{word}` outside of `range`"));
        }
        Ok(node)
    }

    fn else_control(&mut self, at: usize) -> Parsed<Action> {
        let token = self.peek_non_space()?;
        if !matches!(token.kind, Kind::If | Kind::With) {
            self.next_non_space()?;
            if token.kind != Kind::RightDelim {
                return Self::unexpected(&token, "`else`");
            }
        }
        Ok(Action::Ended(Ended::Else(at)))
    }

    fn control(&mut self, word: &'static str) -> Parsed<Branch> {
        self.deeper()?;
        let variables = self.variables.len();
        let pipe = self.pipeline(word, Kind::RightDelim)?;
        self.range_depth += usize::from(word == "range");
        let (body, ended) = self.list(&format!("`{word}`"))?;
        self.range_depth -= usize::from(word == "range");
        let otherwise = match ended {
            Ended::End => None,
            Ended::Else(_) => Some(self.otherwise(word)?),
        };
        self.variables.truncate(variables);
        self.depth -= 1;
        Ok(Branch { pipe, body, otherwise })
    }

    fn otherwise(&mut self, word: &'static str) -> Parsed<List> {
        // `{{else if}}` and `{{else with}}` share the end of their outer action.
        match (word, self.peek()?.kind) {
            ("if", Kind::If) => {
                self.next()?;
                Ok(vec![Node::If(self.control("if")?)])
            }
            ("with", Kind::With) => {
                self.next()?;
                Ok(vec![Node::With(self.control("with")?)])
            }
            _ => match self.list(&format!("the `else` of `{word}`"))? {
                (list, Ended::End) => Ok(list),
                (_, Ended::Else(at)) => Err(SyntaxFault::new(at, format!("a second `else` in one `{word}`"))),
            },
        }
    }

    fn template(&mut self, at: usize) -> Parsed<Node> {
        let name = self.name("`template`")?;
        let token = self.next_non_space()?;
        let pipe = if token.kind == Kind::RightDelim {
            None
        } else {
            self.put_back(token);
            Some(self.pipeline("`template`", Kind::RightDelim)?)
        };
        Ok(Node::Template { at, name, pipe })
    }

    fn block(&mut self, at: usize) -> Parsed<Node> {
        let name = self.name("`block`")?;
        let pipe = self.pipeline("`block`", Kind::RightDelim)?;
        let list = self.own_body("`block`")?;
        self.add(&name, list)?;
        Ok(Node::Template { at, name, pipe: Some(pipe) })
    }
}

fn is_empty(list: &List) -> bool {
    list.iter().all(|node| match node {
        Node::Text { text, .. } => text.to_str_lossy().trim().is_empty(),
        _ => false,
    })
}
