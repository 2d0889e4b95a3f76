//! Which machine an image is for, and the choice among an index's manifests.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::spec::{Descriptor, ImageConfig};

/// Operating system, architecture and variant in Go's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Such as `linux`.
    #[serde(default)]
    pub os: String,
    /// Such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Such as `v8`; empty where there is only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// The machine this program was built for.
    #[must_use]
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "x86" => ("386", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "powerpc64" => ("ppc64le", ""),
            "loongarch64" => ("loong64", ""),
            other => (other, ""),
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    /// A Linux machine of an architecture in Go's words, such as `amd64` or `arm64`.
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        let variant = if architecture == "arm64" { "v8" } else { "" };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    /// How well `offered` runs here: smaller is better, `None` = not at all.
    fn distance(&self, offered: &Self) -> Option<u32> {
        if offered.os != self.os || offered.architecture != self.architecture {
            return None;
        }
        match (self.architecture.as_str(), level(&self.variant), level(&offered.variant)) {
            // `v8` is the only variant in use, and most indexes leave it out.
            ("arm64", ..) => Some(0),
            // A lower level runs on a higher one; a higher one does not run on a lower one.
            (_, Some(ours), Some(theirs)) => ours.checked_sub(theirs),
            (_, _, None) => Some(if offered.variant == self.variant { 0 } else { 100 }),
            // amd64/v2 and above need what we did not look for.
            (_, None, Some(theirs)) => (theirs <= 1).then_some(0),
        }
    }

    /// Whether an image runs here that is made for what its configuration says.
    pub(crate) fn runs(&self, config: &ImageConfig) -> bool {
        let ImageConfig { os, architecture, variant, .. } = config;
        let offered = Self { os: os.clone(), architecture: architecture.clone(), variant: variant.clone() };
        self.distance(&offered).is_some()
    }

    /// The index's manifest that suits this platform best, the first of equals.
    #[must_use]
    pub fn choose<'a>(&self, offered: &'a [Descriptor]) -> Option<&'a Descriptor> {
        offered
            .iter()
            .filter_map(|one| Some((self.distance(one.platform.as_ref()?)?, one)))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, one)| one)
    }
}

/// `v7` -> 7.
fn level(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.parse().ok()
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Platform { os: next(), architecture: next(), variant: next() }
    }

    fn choice(machine: &str, offered: &[&str]) -> Option<String> {
        let list: Vec<Descriptor> = offered
            .iter()
            .map(|one| Descriptor {
                media_type: String::new(),
                digest: Digest::sha256(one.as_bytes()),
                size: 1,
                platform: Some(platform(one)),
                annotations: std::collections::BTreeMap::default(),
            })
            .collect();
        platform(machine).choose(&list).map(|one| one.platform.as_ref().unwrap().to_string())
    }

    #[test]
    fn an_arm_machine_takes_the_highest_variant_it_runs() {
        let offered = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"];
        assert_eq!(choice("linux/arm/v7", &offered).unwrap(), "linux/arm/v7");
        assert_eq!(choice("linux/arm/v6", &offered).unwrap(), "linux/arm/v6");
        assert_eq!(choice("linux/arm64/v8", &offered).unwrap(), "linux/arm64/v8");
        assert_eq!(choice("linux/arm64/v8", &["linux/arm64"]).unwrap(), "linux/arm64");
    }

    #[test]
    fn attestations_and_other_machines_are_passed_over() {
        let offered = ["unknown/unknown", "windows/amd64", "linux/amd64/v3", "linux/amd64"];
        assert_eq!(choice("linux/amd64", &offered).unwrap(), "linux/amd64");
        assert_eq!(choice("linux/s390x", &offered), None);
    }
}
