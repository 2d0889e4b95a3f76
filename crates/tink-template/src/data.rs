//! The data a template is rendered with, as Tinkerbell's controller puts it together.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value as Json};

use crate::legacy;
use crate::value::{GoStr, Map, Value, from_json};

/// What a template sees as `.`: the entries of the hardware map, and over them
///
/// - `hardware`: the whole Hardware object as a map with the names of its JSON form,
/// - `Hardware`: the older form with Go's field names (`.Hardware.Disks`, `.Hardware.Interfaces`,
///   `.Hardware.Metadata.Instance.ID`, `.Hardware.UserData`, `.Hardware.VendorData`),
/// - `references`: the objects that the Hardware refers to, by the name of the reference.
///
/// Without hardware, these hold what an empty Hardware object would give.
///
/// Numbers of `hardware`, `references` and [`Data::value`] are float64, as Go decodes JSON: 1000000 prints as `1e+06`, and
/// `eq .n 1` is an error. `{{ int64 .n }}` prints it in full. Numbers below `Hardware` are integers.
///
/// ```
/// use tink_template::Data;
/// let data = Data::new()
///     .hardware_map([("device_1", "08:00:27:00:00:01")])
///     .hardware(serde_json::json!({"metadata": {"name": "sm01"}, "spec": {"disks": [{"device": "/dev/sda"}]}}));
/// let text = tink_template::render(
///     "{{ .device_1 }} {{ .hardware.metadata.name }} {{ index .Hardware.Disks 0 }}",
///     &data,
///     &tink_workflow::Limits::default(),
/// );
/// assert_eq!(text.unwrap().text, "08:00:27:00:00:01 sm01 /dev/sda");
/// ```
#[derive(Clone, Default)]
pub struct Data {
    map: JsonMap<String, Json>,
    hardware: Option<Json>,
    references: JsonMap<String, Json>,
    bare: Option<Json>,
    now_unix_s: Option<i64>,
}

impl std::fmt::Debug for Data {
    /// Names keys only: hardware data holds passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data")
            .field("keys", &self.map.keys().collect::<Vec<_>>())
            .field("hardware", &self.hardware.is_some())
            .field("references", &self.references.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Data {
    /// No hardware, no entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Data that is exactly this JSON value, without the keys of Tinkerbell: for trying templates out.
    pub fn bare(value: Json) -> Self {
        Self { bare: Some(value), ..Self::default() }
    }

    /// Adds the entries of a workflow's hardware map, each at the top.
    #[must_use]
    pub fn hardware_map<K: Into<String>, V: Into<String>>(mut self, entries: impl IntoIterator<Item = (K, V)>) -> Self {
        for (key, value) in entries {
            self.map.insert(key.into(), Json::String(value.into()));
        }
        self
    }

    /// Adds one entry at the top, of any shape.
    #[must_use]
    pub fn value(mut self, key: impl Into<String>, value: Json) -> Self {
        self.map.insert(key.into(), value);
        self
    }

    /// Sets the Hardware object, in its JSON form (`metadata`, `spec`, `status`).
    #[must_use]
    pub fn hardware(mut self, hardware: Json) -> Self {
        self.hardware = Some(hardware);
        self
    }

    /// Adds an object that the Hardware refers to.
    #[must_use]
    pub fn reference(mut self, name: impl Into<String>, object: Json) -> Self {
        self.references.insert(name.into(), object);
        self
    }

    /// Says what time it is, in seconds since 1970, for `ago` and for the certificates of `genCA` and its like, which are
    /// errors without it.
    #[must_use]
    pub fn at(mut self, unix_s: i64) -> Self {
        self.now_unix_s = Some(unix_s);
        self
    }

    pub(crate) fn now_unix_s(&self) -> Option<i64> {
        self.now_unix_s
    }

    /// The value of `.`, made anew for each rendering, since `set` can change it.
    pub(crate) fn root(&self) -> Value {
        if let Some(bare) = &self.bare {
            return from_json(bare);
        }
        let mut root: BTreeMap<GoStr, Value> =
            self.map.iter().map(|(key, value)| (GoStr::from(key.as_str()), from_json(value))).collect();
        let hardware = self.hardware.clone().unwrap_or_else(empty_hardware);
        root.insert(GoStr::from("Hardware"), legacy::hardware(hardware.get("spec").unwrap_or(&Json::Null)));
        root.insert(GoStr::from("hardware"), from_json(&hardware));
        root.insert(GoStr::from("references"), from_json(&Json::Object(self.references.clone())));
        Value::Map(Map::new(root))
    }
}

/// An empty Hardware object as Go encodes it: parts that are structs are there, the rest is left out.
fn empty_hardware() -> Json {
    serde_json::json!({
        "metadata": {},
        "spec": {"auto": {}},
        "status": {},
    })
}
