//! Ids, parsed at the border and never bare strings inside.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest id in bytes that the server takes from a client or a file.
const ID_BYTES_MAX: usize = 512;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("the {what} is empty")]
    Empty {
        /// Which id.
        what: &'static str,
    },
    /// The text is too long.
    #[error("the {what} has {bytes} bytes; at most {ID_BYTES_MAX} are allowed")]
    TooLong {
        /// Which id.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The text holds control characters, which would break logs and file names.
    #[error("the {what} holds the control character {found:?}")]
    Control {
        /// Which id.
        what: &'static str,
        /// The character.
        found: char,
    },
    /// A workflow id that is not `namespace/name`.
    #[error("the workflow id {found:?} is not of the form namespace/name")]
    NotNamespaced {
        /// What was given.
        found: String,
    },
}

fn check(what: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong { what, bytes: text.len() });
    }
    match text.chars().find(|c| c.is_control()) {
        Some(found) => Err(IdError::Control { what, found }),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses an id: 1 to 512 bytes without control characters.
            ///
            /// # Errors
            /// [`IdError`] says which rule the text breaks.
            pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check($what, &text)?;
                Ok(Self(text))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(
    /// A worker, as it names itself: a MAC address, a hardware id, any text.
    WorkerId,
    "worker id"
);
id!(
    /// A task of one workflow.
    TaskId,
    "task id"
);
id!(
    /// An action of one workflow. Fresh for every workflow: an id is never used for a second run.
    ActionId,
    "action id"
);

/// A workflow, `namespace/name` on today's wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkflowId {
    text: String,
    slash: usize,
}

impl WorkflowId {
    /// Parses `namespace/name`, split at the first slash as upstream does.
    ///
    /// # Errors
    /// [`IdError`] says which rule the text breaks.
    pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        check("workflow id", &text)?;
        match text.find('/') {
            Some(slash) if slash > 0 && slash + 1 < text.len() => Ok(Self { text, slash }),
            _ => Err(IdError::NotNamespaced { found: text }),
        }
    }

    /// Joins a namespace and a name.
    ///
    /// # Errors
    /// As [`WorkflowId::parse`].
    pub fn new(namespace: &str, name: &str) -> Result<Self, IdError> {
        Self::parse(format!("{namespace}/{name}"))
    }

    /// The part before the first slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The part after the first slash.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for WorkflowId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl From<WorkflowId> for String {
    fn from(id: WorkflowId) -> String {
        id.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_id_splits_at_the_first_slash() {
        let id = WorkflowId::parse("tink-system/a/b").unwrap();
        assert_eq!((id.namespace(), id.name()), ("tink-system", "a/b"));
    }

    #[test]
    fn ids_that_break_a_rule_name_it() {
        assert_eq!(WorkerId::parse(""), Err(IdError::Empty { what: "worker id" }));
        assert_eq!(WorkerId::parse("a\nb"), Err(IdError::Control { what: "worker id", found: '\n' }));
        assert!(matches!(WorkerId::parse("x".repeat(513)), Err(IdError::TooLong { bytes: 513, .. })));
        for bad in ["name", "/name", "namespace/"] {
            assert!(matches!(WorkflowId::parse(bad), Err(IdError::NotNamespaced { .. })), "{bad}");
        }
    }

    #[test]
    fn an_id_from_outside_is_checked_by_serde_too() {
        assert!(serde_json::from_str::<WorkerId>("\"\"").is_err());
        assert_eq!(serde_json::from_str::<WorkerId>("\"a\"").unwrap().as_str(), "a");
    }
}
