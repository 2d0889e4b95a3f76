//! Errors in words, with their causes. A `Display` of ours never repeats its source, and log formats differ in whether they
//! show sources: a text shows them everywhere.
//!
//! ```
//! # use std::{fmt, io};
//! # #[derive(Debug)]
//! # struct Write(io::Error);
//! # impl fmt::Display for Write {
//! #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("failed to write x") }
//! # }
//! # impl std::error::Error for Write {
//! #     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> { Some(&self.0) }
//! # }
//! let error = Write(io::Error::other("no space left on device"));
//! assert_eq!(tink_error::chain(&error), "failed to write x: no space left on device");
//! ```
//!
//! Does not format backtraces, and keeps no secret: whoever makes an error keeps secrets out of its words.

use std::error::Error;

/// The error and everything that caused it, `failed to write x: no space left on device`.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    with_causes(error.to_string(), error)
}

/// The same with other words for the error itself.
#[must_use]
pub fn with_causes(mut text: String, error: &dyn Error) -> String {
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Words(&'static str, Option<Box<Words>>);

    impl fmt::Display for Words {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Words {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    fn caused(words: &'static str, cause: Words) -> Words {
        Words(words, Some(Box::new(cause)))
    }

    #[test]
    fn every_cause_is_named_in_order() {
        let error = caused("failed to connect", caused("tcp", Words("refused", None)));
        assert_eq!(chain(&error), "failed to connect: tcp: refused");
        assert_eq!(with_causes("other words".to_owned(), &error), "other words: tcp: refused");
    }

    #[test]
    fn what_was_said_already_is_not_said_again() {
        let error = caused("tcp: refused", caused("refused", Words("by the peer", None)));
        assert_eq!(chain(&error), "tcp: refused: by the peer");
    }
}
