//! Sprig: `semver` and `semverCompare`.

use std::cmp::Ordering;
use std::rc::Rc;

use super::args::text;
use super::constraint::Constraints;
use super::{Function, Param, Returned, fixed};
use crate::exec::Fault;
use crate::value::{Object, UintType, Value};

use Param::Str;

pub(super) const TABLE: &[Function] = &[
    fixed("semver", &[Str], |_, args| Ok(Value::Object(Rc::new(Version::parse(&text(args, 0)?)?)))),
    fixed("semverCompare", &[Str, Str], |_, args| {
        let constraints = Constraints::parse(&text(args, 0)?)?;
        Ok(Value::Bool(constraints.check(&Version::parse(&text(args, 1)?)?)))
    }),
];

/// A version; minor and patch may be missing in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    pub(super) pre: String,
    pub(super) metadata: String,
    original: String,
}

impl Version {
    pub(super) fn parse(original: &str) -> Result<Self, Fault> {
        let bad = || Fault::new(format!("{original:?} is not a semantic version; write one like 1.2.3"));
        let rest = original.strip_prefix('v').unwrap_or(original);
        let (rest, metadata) = match rest.split_once('+') {
            Some((rest, metadata)) => (rest, Some(metadata)),
            None => (rest, None),
        };
        let (core, pre) = match rest.split_once('-') {
            Some((core, pre)) => (core, Some(pre)),
            None => (rest, None),
        };
        let mut numbers = [0; 3];
        let parts: Vec<&str> = core.split('.').collect();
        if parts.len() > 3 {
            return Err(bad());
        }
        for (slot, part) in numbers.iter_mut().zip(&parts) {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(bad());
            }
            *slot = part.parse().map_err(|_| bad())?;
        }
        let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let zero_led = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if pre.is_some_and(|pre| pre.split('.').any(|part| !word(part) || zero_led(part))) {
            return Err(bad());
        }
        if metadata.is_some_and(|metadata| !metadata.split('.').all(word)) {
            return Err(bad());
        }
        let [major, minor, patch] = numbers;
        Ok(Self {
            major,
            minor,
            patch,
            pre: pre.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
            original: original.to_owned(),
        })
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let numbers = |v: &Self| (v.major, v.minor, v.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Value {
        let mut next = self.clone();
        change(&mut next);
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        next.original = format!("{prefix}{}", next.text());
        Value::Object(Rc::new(next))
    }
}

/// Pre-releases part by part: numbers by value and before words.
pub(super) fn compare_pre(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl Object for Version {
    fn type_name(&self) -> &'static str {
        "*semver.Version"
    }

    fn kind_name(&self) -> &'static str {
        "ptr"
    }

    fn text(&self) -> String {
        let mut out = format!("{}.{}.{}", self.major, self.minor, self.patch);
        if !self.pre.is_empty() {
            out.push('-');
            out.push_str(&self.pre);
        }
        if !self.metadata.is_empty() {
            out.push('+');
            out.push_str(&self.metadata);
        }
        out
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        Some(match name {
            "Major" | "Minor" | "Patch" | "Prerelease" | "Metadata" | "Original" | "String" | "IncMajor"
            | "IncMinor" | "IncPatch" => &[],
            "SetPrerelease" | "SetMetadata" => &[Param::Str],
            "Compare" | "Equal" | "LessThan" | "LessThanEqual" | "GreaterThan" | "GreaterThanEqual" => {
                &[Param::Version]
            }
            _ => return None,
        })
    }

    fn call(&self, name: &str, args: &[Value]) -> Returned {
        let number = |n: u64| Ok(Value::Uint(UintType::Uint64, n));
        match name {
            "Major" => number(self.major),
            "Minor" => number(self.minor),
            "Patch" => number(self.patch),
            "Prerelease" => Ok(Value::str(self.pre.as_str())),
            "Metadata" => Ok(Value::str(self.metadata.as_str())),
            "Original" => Ok(Value::str(self.original.as_str())),
            "String" => Ok(Value::str(self.text())),
            "IncMajor" => Ok(self.with(|v| {
                (v.major, v.minor, v.patch) = (v.major.wrapping_add(1), 0, 0);
                (v.pre, v.metadata) = Default::default();
            })),
            "IncMinor" => Ok(self.with(|v| {
                (v.minor, v.patch) = (v.minor.wrapping_add(1), 0);
                (v.pre, v.metadata) = Default::default();
            })),
            "IncPatch" => Ok(self.with(|v| {
                v.patch = if v.pre.is_empty() { v.patch.wrapping_add(1) } else { v.patch };
                (v.pre, v.metadata) = Default::default();
            })),
            "SetPrerelease" => self.checked(text(args, 0)?.as_ref(), true),
            "SetMetadata" => self.checked(text(args, 0)?.as_ref(), false),
            _ => self.ordered(name, args),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        self.text().into()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Version {
    fn checked(&self, word: &str, pre: bool) -> Returned {
        let sample = match (word.is_empty(), pre) {
            (true, _) => "1.0.0".to_owned(),
            (false, true) => format!("1.0.0-{word}"),
            (false, false) => format!("1.0.0+{word}"),
        };
        Self::parse(&sample)?;
        Ok(self.with(|v| if pre { v.pre = word.to_owned() } else { v.metadata = word.to_owned() }))
    }

    fn ordered(&self, name: &str, args: &[Value]) -> Returned {
        let other = match args.first() {
            Some(Value::Object(object)) => object.as_any().downcast_ref::<Self>(),
            _ => None,
        };
        let order = self.compare(other.ok_or_else(|| Fault::new("there is no version to compare with"))?);
        Ok(match name {
            "Compare" => Value::Int(
                crate::value::IntType::Int,
                match order {
                    Ordering::Less => -1,
                    Ordering::Equal => 0,
                    Ordering::Greater => 1,
                },
            ),
            "Equal" => Value::Bool(order.is_eq()),
            "LessThan" => Value::Bool(order.is_lt()),
            "LessThanEqual" => Value::Bool(order.is_le()),
            "GreaterThan" => Value::Bool(order.is_gt()),
            _ => Value::Bool(order.is_ge()),
        })
    }
}
