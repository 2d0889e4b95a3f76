//! The program's environment.

use crate::spec::Spec;

/// What Docker gives an image that says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `NAME=value` pairs, each name once.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Environment(Vec<String>);

impl Environment {
    /// The specification's environment with `PATH`, `HOSTNAME` and `HOME` where it has none, and `TERM` with a terminal.
    pub(crate) fn new(spec: &Spec, hostname: &str, home: &str) -> Self {
        let mut environment = Self(Vec::with_capacity(spec.env.len() + 3));
        for pair in &spec.env {
            environment.set(pair.clone());
        }
        let terminal = spec.tty.then_some(("TERM", "xterm"));
        for (name, value) in
            [("PATH", DEFAULT_PATH), ("HOSTNAME", hostname), ("HOME", home)].into_iter().chain(terminal)
        {
            if environment.get(name).is_none() {
                environment.set(format!("{name}={value}"));
            }
        }
        environment
    }

    /// Sets a pair in the place of an earlier one of its name.
    pub(crate) fn set(&mut self, pair: String) {
        let same = |other: &&mut String| name(other) == name(&pair);
        match self.0.iter_mut().find(same) {
            Some(earlier) => *earlier = pair,
            None => self.0.push(pair),
        }
    }

    /// A name's value.
    pub(crate) fn get(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find(|pair| name(pair) == wanted).map(|pair| pair.get(wanted.len() + 1..).unwrap_or_default())
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> &[String] {
        &self.0
    }
}

fn name(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_names_are_added_and_the_last_of_a_name_wins() {
        let mut spec = Spec::new("a", "/a", Vec::new());
        spec.env = ["A=1", "PATH=/x", "A=2=3", "EMPTY"].map(str::to_owned).to_vec();
        let environment = Environment::new(&spec, "box", "/root");
        assert_eq!(environment.pairs(), ["A=2=3", "PATH=/x", "EMPTY", "HOSTNAME=box", "HOME=/root"]);
        assert_eq!(environment.get("A"), Some("2=3"));
        assert_eq!(environment.get("EMPTY"), Some(""));
    }
}
