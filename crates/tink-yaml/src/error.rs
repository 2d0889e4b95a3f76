//! What can be wrong with a YAML text.

/// A problem and its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct YamlError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text is not YAML.
    #[error("{message}{hint}")]
    Syntax {
        /// The parser's words.
        message: String,
        /// What to do about it, starting with `; `, or empty.
        hint: String,
    },
    /// The text is too long.
    #[error("the text has {bytes} bytes; at most {max} are allowed")]
    TextTooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Too many documents.
    #[error("more than {max} documents in one text")]
    TooManyDocuments {
        /// The bound.
        max: usize,
    },
    /// Nested too deeply.
    #[error("nested more than {max} levels deep")]
    TooDeep {
        /// The bound.
        max: usize,
    },
    /// Too many nodes, or too much text once aliases are expanded.
    #[error("the text holds more than {max} {unit}, what its aliases stand for counted in")]
    TooBig {
        /// The bound.
        max: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// An alias inside the value it names.
    #[error("the alias stands inside the value it refers to")]
    AliasOfItself,
    /// A key twice in one mapping.
    #[error("the key {key:?} was already given on line {first_line}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it stood first.
        first_line: usize,
    },
    /// A merge key with a value that cannot be merged.
    #[error("a merge key `<<` needs a mapping or a list of mappings, found {found}")]
    Merge {
        /// Kind of the value found.
        found: &'static str,
    },
    /// A value of another type than its place asks for.
    #[error("found {found}, {wanted} is needed")]
    Type {
        /// What stands there.
        found: String,
        /// What may stand there.
        wanted: &'static str,
    },
    /// A tag that contradicts its value.
    #[error("the value {text:?} is no {tag}")]
    Tag {
        /// The tag.
        tag: String,
        /// The value.
        text: String,
    },
    /// A value that JSON cannot hold.
    #[error("{what} cannot be used here: {why}")]
    NotJson {
        /// The value.
        what: String,
        /// Why not.
        why: &'static str,
    },
}

impl YamlError {
    pub(crate) fn new(line: usize, column: usize, problem: Problem) -> Self {
        Self { line, column, problem }
    }
}
