//! What can be wrong with a file.

use std::fmt;

use crate::Manifest;

/// One problem and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestError {
    /// The file, as the caller named it.
    pub file: String,
    /// Which document of the file, from 1.
    pub document: usize,
    /// Line of the file, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field, as `spec.hardwareMap.device_1`; empty for the document as a whole.
    pub field: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file is too long.
    #[error("the file has {bytes} bytes; at most {max} are allowed, so split it")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The file is not text.
    #[error("the byte 0x{found:02x} is no UTF-8; save the file as UTF-8 text")]
    NotUtf8 {
        /// The first bad byte.
        found: u8,
    },
    /// The file is not YAML.
    #[error("not YAML: {0}")]
    Yaml(tink_yaml::Problem),
    /// The file holds nothing.
    #[error("the file holds no object; allowed: Hardware, Template or Workflow documents, or a template's data")]
    Empty,
    /// A kind or API group that tink does not use. The rest of the file may be fine.
    #[error(
        "{kind} of {api_version} is not supported and was skipped; supported are Hardware, Template and Workflow of tinkerbell.org/v1alpha1"
    )]
    Unsupported {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
    /// A field that must be there.
    #[error("missing; allowed: {allowed}")]
    Missing {
        /// What may stand there.
        allowed: String,
    },
    /// A value that must not be there.
    #[error("found {found}; allowed: {allowed}")]
    Wrong {
        /// What stands there.
        found: String,
        /// What may stand there.
        allowed: String,
    },
    /// The same object a second time.
    #[error("{kind} {name:?} was already given on line {first_line}; each object may stand in a file once")]
    Twice {
        /// Its kind.
        kind: &'static str,
        /// Namespace and name.
        name: String,
        /// Where it stood first.
        first_line: usize,
    },
}

impl ManifestError {
    /// Whether the document is sound, but of a kind that tink does not use: a caller may skip it.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self.problem, Problem::Unsupported { .. })
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: document {}: ", self.file, self.line, self.column, self.document)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}", self.problem)
    }
}

impl std::error::Error for ManifestError {}

/// Every problem of a file. Displays one a line.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestErrors {
    /// The problems in file order; never empty.
    pub errors: Vec<ManifestError>,
    /// The objects of the file that are fine.
    pub sound: Vec<Manifest>,
}

impl ManifestErrors {
    /// The sound objects, if all that is wrong are kinds that tink does not use.
    ///
    /// # Errors
    /// Itself, if something else is wrong.
    pub fn skip_unsupported(self) -> Result<(Vec<Manifest>, Vec<ManifestError>), Self> {
        if self.errors.iter().all(ManifestError::is_unsupported) {
            return Ok((self.sound, self.errors));
        }
        Err(self)
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, error) in self.errors.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestErrors {}
