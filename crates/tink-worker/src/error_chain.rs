//! Errors in words, with their causes.

use std::error::Error;

/// An error and everything that caused it, `failed to write x: no space left on device`.
///
/// Log formats differ in whether they show the causes; a text shows them everywhere.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_named() {
        let error = crate::JournalError::Write { path: "/x".into(), source: std::io::Error::other(std::fmt::Error) };
        assert!(error_chain(&error).starts_with("failed to write /x: an error occurred"));
    }
}
