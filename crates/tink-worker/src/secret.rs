//! Values that must not be seen.

use std::fmt;

use crate::Assignment;

/// A value that never appears in a log, an error or a file: it has no Display, its Debug is `***`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Shorter values are not masked: they would blank out half of every text.
const SECRET_BYTES_MIN: usize = 4;

/// Replaces known secrets in text that leaves the worker.
#[derive(Clone, Debug, Default)]
pub struct Redactor(Vec<Secret<String>>);

impl Redactor {
    /// Masks these values; those below 4 bytes are left out.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all: Vec<_> = secrets
            .into_iter()
            .map(str::trim)
            .filter(|text| text.len() >= SECRET_BYTES_MIN)
            .map(|text| Secret::new(text.to_owned()))
            .collect();
        // Longest first: a secret that contains another one must not be left half masked.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        all.dedup();
        Self(all)
    }

    /// Masks also what the action's environment holds under a name that says it is secret.
    #[must_use]
    pub fn with_environment_of(&self, assignment: &Assignment) -> Self {
        let secret_values = assignment.environment.iter().filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = key.to_ascii_uppercase();
            ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE_KEY"]
                .iter()
                .any(|word| key.contains(word))
                .then_some(value)
        });
        Self::new(self.0.iter().map(|secret| secret.expose().as_str()).chain(secret_values))
    }

    /// The text with every secret replaced by `***`.
    #[must_use]
    pub fn mask(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| {
            if text.contains(secret.expose().as_str()) { text.replace(secret.expose().as_str(), "***") } else { text }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_no_readable_debug() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "***");
        assert!(!format!("{:?}", Redactor::new(["hunter2"])).contains("hunter2"));
    }

    #[test]
    fn secrets_are_masked_longest_first() {
        let redactor = Redactor::new(["pass", "password", "abc"]);
        assert_eq!(redactor.mask("my password, my pass, abc".to_owned()), "my ***, my ***, abc");
    }

    #[test]
    fn secrets_of_the_actions_environment_are_masked() {
        let assignment = crate::journal::tests::assignment("default/w", "a1");
        let assignment = Assignment {
            environment: vec!["REGISTRY_PASSWORD=s3cr3t".to_owned(), "DEST_DISK=/dev/sda".to_owned()],
            ..assignment
        };
        let redactor = Redactor::default().with_environment_of(&assignment);
        assert_eq!(redactor.mask("login s3cr3t to /dev/sda".to_owned()), "login *** to /dev/sda");
    }
}
