//! Who calls: which process of a worker, and over which connection.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Bytes of an instance id that are taken.
const INSTANCE_BYTES_MAX: usize = 64;

/// A connection, as a lease sees it: open, or closed since a moment.
#[derive(Clone, Debug)]
pub struct Line(Arc<LineState>);

#[derive(Debug)]
struct LineState {
    name: String,
    closed_at: Mutex<Option<Instant>>,
}

/// Keeps a [`Line`] open; to be owned by the connection.
#[derive(Debug)]
pub struct OpenLine(Line);

impl OpenLine {
    /// A connection of this name, which no other one has or had, also not with an earlier life of the server.
    pub fn new(name: String) -> Self {
        Self(Line(Arc::new(LineState { name, closed_at: Mutex::new(None) })))
    }

    /// The connection, for those who look at it.
    pub fn line(&self) -> Line {
        self.0.clone()
    }
}

impl Drop for OpenLine {
    fn drop(&mut self) {
        *self.0.0.closed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Line {
    /// When it was closed; none while it is open.
    pub fn closed_at(&self) -> Option<Instant> {
        *self.0.closed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is this very connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn name(&self) -> &str {
        &self.0.name
    }
}

/// The process that calls.
///
/// A worker that names its *instance* is known by it, whatever connections it makes. One that does not is its
/// connection: when that is closed, nobody can say whether the next one is the same process.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    holder: Arc<str>,
    line: Option<Line>,
    address: Arc<str>,
}

/// What the holder of an action is called that is known by its connection alone.
const CONNECTION: &str = "connection ";
/// What the holder of an action is called that names its instance.
const INSTANCE: &str = "instance ";

impl Caller {
    /// A call that names `instance`, which is ignored where it is none (1 to 64 letters, digits, `.`, `_`, `-`), over a
    /// connection from `address`.
    pub fn new(instance: Option<&str>, line: Option<Line>, address: &str) -> Self {
        let instance = instance.filter(|text| is_instance(text));
        let holder: Arc<str> = match (instance, &line) {
            (Some(instance), _) => format!("{INSTANCE}{instance}").into(),
            (None, Some(line)) => format!("{CONNECTION}{}", line.name()).into(),
            (None, None) => "".into(),
        };
        Self { holder, line, address: address.into() }
    }

    /// How the caller is written down as an action's holder; empty when nothing is known of it.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Whether it is known by more than its connection.
    pub fn names_instance(&self) -> bool {
        names_instance(&self.holder)
    }

    pub(super) fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    /// Where it calls from.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Whether a holder that is written down named its instance.
pub(super) fn names_instance(holder: &str) -> bool {
    holder.starts_with(INSTANCE)
}

fn is_instance(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=INSTANCE_BYTES_MAX).contains(&text.len()) && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_is_none_leaves_the_connection() {
        let open = OpenLine::new("7".to_owned());
        for bad in ["", "a b", "ü", &"x".repeat(65)] {
            let caller = Caller::new(Some(bad), Some(open.line()), "");
            assert_eq!(caller.holder(), "connection 7", "{bad:?}");
        }
        let named = Caller::new(Some("0a.b_c-d"), Some(open.line()), "");
        assert_eq!(named.holder(), "instance 0a.b_c-d");
        assert_eq!(Caller::default().holder(), "");
    }

    #[test]
    fn a_dropped_connection_is_closed() {
        let open = OpenLine::new("7".to_owned());
        let line = open.line();
        assert_eq!(line.closed_at(), None);
        drop(open);
        assert!(line.closed_at().is_some());
    }
}
