//! Tokens, as the lexer hands them to the parser.

/// What a token is. Keywords stand last, as they are shown in angle brackets in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// A printable ASCII character without a meaning of its own: the comma, mostly.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Kind {
    /// The keyword that `word` is, if any.
    pub(super) fn keyword(word: &str) -> Option<Self> {
        Some(match word {
            "block" => Self::Block,
            "break" => Self::Break,
            "continue" => Self::Continue,
            "define" => Self::Define,
            "else" => Self::Else,
            "end" => Self::End,
            "if" => Self::If,
            "nil" => Self::Nil,
            "range" => Self::Range,
            "template" => Self::Template,
            "with" => Self::With,
            _ => return None,
        })
    }

    fn is_keyword(self) -> bool {
        matches!(
            self,
            Self::Block
                | Self::Break
                | Self::Continue
                | Self::Dot
                | Self::Define
                | Self::Else
                | Self::End
                | Self::If
                | Self::Nil
                | Self::Range
                | Self::Template
                | Self::With
        )
    }
}

/// One token: its kind, where it starts and the source it covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) text: &'s str,
}

impl Token<'_> {
    /// How the token is named in a message.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::Eof => "the end of the template".to_owned(),
            Kind::RightDelim => "the end of the action".to_owned(),
            kind if kind.is_keyword() => format!("`{}`", self.text),
            _ => {
                let mut short: String = self.text.chars().take(24).collect();
                if short.len() < self.text.len() {
                    short.push('…');
                }
                format!("{short:?}")
            }
        }
    }
}
