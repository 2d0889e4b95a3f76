//! The parser: tokens to a tree for the template itself and one for each `define` and `block`.

use std::collections::BTreeMap;

use super::SyntaxFault;
use super::lexer::Lexer;
use super::literal;
use super::node::{Branch, Command, Expr, List, Node, Number, Pipe};
use super::token::{Kind, Token};
use crate::value::GoStr;

/// The trees by name.
pub(crate) type Templates = BTreeMap<String, List>;

/// Nesting of parentheses and of control actions. Go has no such bound for actions; real templates nest below ten.
const DEPTH_MAX: usize = 100;

type Parsed<T> = Result<T, SyntaxFault>;

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

struct Parser<'s, 'f> {
    lexer: Lexer<'s>,
    /// Tokens put back, the next one last.
    ahead: Vec<Token<'s>>,
    /// Where the last token started.
    last_at: usize,
    is_function: &'f dyn Fn(&str) -> bool,
    variables: Vec<String>,
    range_depth: usize,
    depth: usize,
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

    fn next(&mut self) -> Parsed<Token<'s>> {
        let token = match self.ahead.pop() {
            Some(token) => token,
            None => self.lexer.token()?,
        };
        self.last_at = token.at;
        Ok(token)
    }

    fn put_back(&mut self, token: Token<'s>) {
        self.ahead.push(token);
    }

    fn peek(&mut self) -> Parsed<Token<'s>> {
        let token = self.next()?;
        self.put_back(token);
        Ok(token)
    }

    fn next_non_space(&mut self) -> Parsed<Token<'s>> {
        loop {
            let token = self.next()?;
            if token.kind != Kind::Space {
                return Ok(token);
            }
        }
    }

    fn peek_non_space(&mut self) -> Parsed<Token<'s>> {
        let token = self.next_non_space()?;
        self.put_back(token);
        Ok(token)
    }

    fn fault<T>(&self, problem: impl Into<String>) -> Parsed<T> {
        Err(SyntaxFault::new(self.last_at, problem))
    }

    fn unexpected<T>(token: &Token<'_>, context: &str) -> Parsed<T> {
        Err(SyntaxFault::new(token.at, format!("unexpected {} in {context}", token.shown())))
    }

    fn deeper(&mut self) -> Parsed<()> {
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

    // Pipelines.

    fn pipeline(&mut self, context: &'static str, end: Kind) -> Parsed<Pipe> {
        let mut pipe =
            Pipe { at: self.peek_non_space()?.at, end: 0, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(context, &mut pipe)?;
        loop {
            let token = self.next_non_space()?;
            if token.kind == end {
                pipe.end = token.at;
                check(&pipe, context)?;
                return Ok(pipe);
            }
            if !starts_operand(token.kind) {
                return Self::unexpected(&token, context);
            }
            self.put_back(token);
            let command = self.command()?;
            pipe.commands.push(command);
        }
    }

    fn declarations(&mut self, context: &'static str, pipe: &mut Pipe) -> Parsed<()> {
        loop {
            if self.peek_non_space()?.kind != Kind::Variable {
                return Ok(());
            }
            let variable = self.next_non_space()?;
            let after = self.peek()?;
            let next = self.peek_non_space()?;
            let comma = next.kind == Kind::Char && next.text == ",";
            if !comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                if after.kind == Kind::Space {
                    self.put_back(after);
                }
                self.put_back(variable);
                return Ok(());
            }
            self.next_non_space()?;
            pipe.variables.push(variable.text.to_owned());
            self.variables.push(variable.text.to_owned());
            if !comma {
                pipe.assigns = next.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.variables.len() >= 2 {
                return self.fault(format!("too many variables declared in {context}"));
            }
            if !matches!(self.peek_non_space()?.kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                return self.fault("`range` can only declare variables, such as `range $i, $x := .list`");
            }
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        let at = self.peek_non_space()?.at;
        let mut args = Vec::new();
        loop {
            self.peek_non_space()?;
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let token = self.next()?;
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.put_back(token);
                    break;
                }
                Kind::Pipe => break,
                _ => return Self::unexpected(&token, "an operand; separate operands with a space"),
            }
        }
        if args.is_empty() {
            return self.fault("an empty command; write a value or a function between the pipes");
        }
        Ok(Command { at, args })
    }

    fn operand(&mut self) -> Parsed<Option<Expr>> {
        let Some(mut term) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        while self.peek()?.kind == Kind::Field {
            fields.push(self.next()?.text.trim_start_matches('.').to_owned());
        }
        if fields.is_empty() {
            return Ok(Some(term));
        }
        match &mut term {
            Expr::Field(_, own) | Expr::Variable(_, _, own) => {
                own.append(&mut fields);
                Ok(Some(term))
            }
            Expr::Bool(..) | Expr::Text(..) | Expr::Number(..) | Expr::Nil(_) | Expr::Dot(_) => {
                self.fault("a field of a literal; only variables, fields and parentheses have fields")
            }
            _ => Ok(Some(Expr::Chain(term.at(), Box::new(term), fields))),
        }
    }

    fn term(&mut self) -> Parsed<Option<Expr>> {
        let token = self.next_non_space()?;
        let at = token.at;
        Ok(Some(match token.kind {
            Kind::Identifier => {
                if !(self.is_function)(token.text) {
                    return Err(SyntaxFault::new(at, crate::advice::unknown_function(token.text)));
                }
                Expr::Function(at, token.text.to_owned())
            }
            Kind::Dot => Expr::Dot(at),
            Kind::Nil => Expr::Nil(at),
            Kind::Bool => Expr::Bool(at, token.text == "true"),
            Kind::Field => Expr::Field(at, vec![token.text.trim_start_matches('.').to_owned()]),
            Kind::Variable => {
                if !self.variables.iter().any(|known| known == token.text) {
                    return self.fault(format!("the variable {} is not declared here", token.text));
                }
                Expr::Variable(at, token.text.to_owned(), Vec::new())
            }
            Kind::Number | Kind::CharConstant | Kind::Complex => Expr::Number(at, Self::number(&token)?),
            Kind::String | Kind::RawString => match literal::unquote(token.text) {
                Some(bytes) => Expr::Text(at, GoStr::from(bytes)),
                None => return self.fault(format!("{} has an escape that Go does not know", token.shown())),
            },
            Kind::LeftParen => {
                self.deeper()?;
                let pipe = self.pipeline("parentheses", Kind::RightParen)?;
                self.depth -= 1;
                Expr::Pipe(pipe)
            }
            _ => {
                self.put_back(token);
                return Ok(None);
            }
        }))
    }

    fn number(token: &Token<'_>) -> Parsed<Number> {
        if token.kind == Kind::CharConstant {
            return literal::character(token.text)
                .ok_or_else(|| SyntaxFault::new(token.at, format!("{} is not one character", token.shown())));
        }
        literal::number(token.text).map_err(|problem| SyntaxFault::new(token.at, problem))
    }
}

fn starts_operand(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Bool
            | Kind::CharConstant
            | Kind::Complex
            | Kind::Dot
            | Kind::Field
            | Kind::Identifier
            | Kind::Number
            | Kind::Nil
            | Kind::RawString
            | Kind::String
            | Kind::Variable
            | Kind::LeftParen
    )
}

fn check(pipe: &Pipe, context: &str) -> Parsed<()> {
    if pipe.commands.is_empty() {
        return Err(SyntaxFault::new(pipe.at, format!("{context} has no value")));
    }
    for command in pipe.commands.iter().skip(1) {
        if let Some(Expr::Bool(..) | Expr::Dot(_) | Expr::Nil(_) | Expr::Number(..) | Expr::Text(..)) =
            command.args.first()
        {
            return Err(SyntaxFault::new(command.at, "only a function, method or field can follow a `|`"));
        }
    }
    Ok(())
}

fn is_empty(list: &List) -> bool {
    list.iter().all(|node| match node {
        Node::Text { text, .. } => text.to_str_lossy().trim().is_empty(),
        _ => false,
    })
}
