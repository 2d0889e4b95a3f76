//! The variables an action program is told what to do by.

use crate::ActionError;

/// Where variables come from.
pub trait Environment {
    /// The value of a variable; `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The variables of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// A variable that must be set and not empty.
pub(crate) fn required(
    env: &dyn Environment,
    name: &'static str,
    meaning: &'static str,
) -> Result<String, ActionError> {
    optional(env, name).ok_or(ActionError::Missing { name, meaning })
}

/// A variable that may be left out; empty is the same as not set.
pub(crate) fn optional(env: &dyn Environment, name: &str) -> Option<String> {
    env.get(name).filter(|value| !value.is_empty())
}

/// A switch, as Go's `ParseBool` reads it. compat: anything else is off, as in the programs whose variables these are.
pub(crate) fn switch(env: &dyn Environment, name: &str) -> bool {
    match optional(env, name).as_deref() {
        None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
        Some(found) => {
            eprintln!("the variable {name} is {found:?}, which is neither true nor false; it counts as false");
            false
        }
    }
}

/// A whole number. compat: anything else is the default, as in the programs whose variables these are.
pub(crate) fn number(env: &dyn Environment, name: &str, default: i64) -> i64 {
    let Some(found) = optional(env, name) else { return default };
    found.parse().unwrap_or_else(|_| {
        eprintln!("the variable {name} is {found:?}, which is no whole number; it counts as {default}");
        default
    })
}

/// File permissions in octal. compat: what is above them, as in the 0100644 that `stat` shows, is left out.
pub(crate) fn mode(env: &dyn Environment, name: &'static str, meaning: &'static str) -> Result<u32, ActionError> {
    let found = required(env, name, meaning)?;
    match u32::from_str_radix(&found, 8) {
        Ok(mode) => Ok(mode & 0o7777),
        Err(_) => Err(ActionError::Invalid { name, found, allowed: "permissions in octal, as 0644" }),
    }
}
