//! The parser's half for pipelines: what stands inside of an action.

use super::SyntaxFault;
use super::literal;
use super::node::{Command, Expr, Number, Pipe};
use super::parser::{Parsed, Parser};
use super::token::{Kind, Token};
use crate::value::GoStr;

impl Parser<'_, '_> {
    pub(super) fn pipeline(&mut self, context: &'static str, end: Kind) -> Parsed<Pipe> {
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
