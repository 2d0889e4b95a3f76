//! Scalars as `yaml.v3` puts them into Go fields.

use base64::Engine as _;

use crate::resolve::{Resolved, Table, resolve};
use crate::{Kind, Node, Problem, Style, YamlError};

impl Node {
    /// Whether this is null: nothing, `~`, `null`, unquoted.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { .. }) && matches!(self.resolved(Table::V3), Ok(Resolved::Null))
    }

    /// The value as `yaml.v3` puts it into a `string` field: the text as written, whatever its type (`0644`, `true`,
    /// `1e3`). `None` for null, which leaves the field as it was.
    ///
    /// # Errors
    /// A list, a mapping, or a tag that contradicts the value.
    pub fn go_string(&self) -> Result<Option<String>, YamlError> {
        let Kind::Scalar { text, .. } = &self.kind else {
            return Err(self.error(Problem::Type { found: self.kind_name().to_owned(), wanted: "a single value" }));
        };
        if self.tag.as_deref() == Some("!!binary") {
            return self.binary(text).map(Some);
        }
        Ok(match self.resolved(Table::V3)? {
            Resolved::Null => None,
            _ => Some(text.clone()),
        })
    }

    /// The value as `yaml.v3` puts it into an `int64` field: `3600`, `0x10`, `0o17`, `017`, `1_000`, and floats cut to
    /// whole numbers (`1e3`, `2.5`). `None` for null, which leaves the field as it was.
    ///
    /// # Errors
    /// Anything else, a quoted number too.
    pub fn go_int64(&self) -> Result<Option<i64>, YamlError> {
        let wrong = || Err(self.error(Problem::Type { found: self.describe(), wanted: "a whole number" }));
        if self.text().is_none() {
            return wrong();
        }
        match self.resolved(Table::V3)? {
            Resolved::Null => Ok(None),
            Resolved::Int(value) => Ok(Some(value)),
            Resolved::Float(value) => whole(value).map_or_else(wrong, |value| Ok(Some(value))),
            _ => wrong(),
        }
    }

    /// The type and value of a scalar, its quotes and its tag regarded.
    pub(crate) fn resolved(&self, table: Table) -> Result<Resolved, YamlError> {
        let Kind::Scalar { text, style } = &self.kind else { return Ok(Resolved::Text) };
        let tag = self.tag.as_deref();
        match tag {
            None if *style != Style::Plain => return Ok(Resolved::Text),
            None => return Ok(resolve(text, table)),
            // The non-specific tag makes text of everything in yaml.v2; yaml.v3 does as if it were not there.
            Some("!") if table == Table::V2 || *style != Style::Plain => return Ok(Resolved::Text),
            Some("!") => return Ok(resolve(text, table)),
            Some("!!str" | "!!binary") => return Ok(Resolved::Text),
            Some("!!bool" | "!!int" | "!!float" | "!!null" | "!!timestamp") => {}
            // Tags the libraries do not know leave the text as it is.
            Some(_) => return Ok(Resolved::Text),
        }
        match (tag, resolve(text, table)) {
            (Some("!!float"), Resolved::Int(value)) => Ok(Resolved::Float(as_float(value))),
            (Some(tag), found) if found.tag() == tag => Ok(found),
            (tag, _) => {
                let tag = tag.unwrap_or_default().trim_start_matches('!').to_owned();
                Err(self.error(Problem::Tag { tag, text: text.chars().take(40).collect() }))
            }
        }
    }

    pub(crate) fn binary(&self, text: &str) -> Result<String, YamlError> {
        let compact: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(compact).ok();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
            let what = "a !!binary value".to_owned();
            self.error(Problem::NotJson { what, why: "it is not base64 of UTF-8 text" })
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "Go's float64(int64) rounds in the same way")]
fn as_float(value: i64) -> f64 {
    value as f64
}

/// Go's `int64(float)` where it is defined.
#[expect(clippy::cast_possible_truncation, reason = "cutting is what Go does; the range is checked first")]
fn whole(value: f64) -> Option<i64> {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    ((-EDGE..EDGE).contains(&value)).then_some(value as i64)
}
