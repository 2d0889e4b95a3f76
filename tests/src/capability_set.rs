//! Capabilities, and a container's specification bounded to those this machine can give.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// By number, as in linux/capability.h.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// A set of capabilities, as the kernel's bit mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// From a mask as in /proc/self/status.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bounding set of this process.
    ///
    /// # Errors
    /// When /proc/self/status cannot be read.
    pub fn bounding() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status").context("failed to read /proc/self/status")?;
        let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).context("no CapBnd in the status")?;
        Ok(Self(u64::from_str_radix(mask.trim(), 16).context("CapBnd is no hexadecimal number")?))
    }

    /// Whether the capability of that name (`CAP_…`) is in the set. A name not known here is not.
    #[must_use]
    pub fn contains(self, name: &str) -> bool {
        NAMES.iter().position(|known| *known == name).is_some_and(|bit| self.0 & (1 << bit) != 0)
    }

    /// The capabilities known to the running kernel that are not in the set.
    #[must_use]
    pub fn missing(self) -> Vec<&'static str> {
        let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok().and_then(|text| text.trim().parse().ok());
        let known = last.map_or(NAMES.len(), |last: usize| last + 1).min(NAMES.len());
        NAMES[..known].iter().copied().filter(|name| !self.contains(name)).collect()
    }
}

/// Removes from an OCI `config.json`, or from the `process.json` of an exec, all capabilities outside of `bounds`.
/// Returns the names that were removed.
pub fn bound_spec(spec: &mut Value, bounds: CapabilitySet) -> Vec<String> {
    let process = if spec.get("process").is_some() { &mut spec["process"] } else { spec };
    let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) else { return Vec::new() };
    let mut removed = Vec::new();
    for names in sets.values_mut().filter_map(Value::as_array_mut) {
        names.retain(|name| {
            let name = name.as_str().unwrap_or_default();
            let keep = bounds.contains(name);
            if !keep && !removed.iter().any(|known| known == name) {
                removed.push(name.to_owned());
            }
            keep
        });
    }
    removed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WITHOUT_RESOURCE: CapabilitySet = CapabilitySet::from_bits(0x1ff_feff_ffff);

    #[test]
    fn a_bundle_loses_only_what_is_out_of_bounds() {
        let names = json!(["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_BPF"]);
        let mut spec = json!({"process": {"args": ["x"], "capabilities": {"bounding": names, "ambient": names}}});
        assert_eq!(bound_spec(&mut spec, WITHOUT_RESOURCE), ["CAP_SYS_RESOURCE"]);
        let left = json!(["CAP_CHOWN", "CAP_BPF"]);
        assert_eq!(spec, json!({"process": {"args": ["x"], "capabilities": {"bounding": left, "ambient": left}}}));
    }

    #[test]
    fn the_process_of_an_exec_is_bounded_too() {
        let mut spec = json!({"args": ["x"], "capabilities": {"effective": ["CAP_SYS_RESOURCE"]}});
        assert_eq!(bound_spec(&mut spec, WITHOUT_RESOURCE), ["CAP_SYS_RESOURCE"]);
        assert_eq!(spec, json!({"args": ["x"], "capabilities": {"effective": []}}));
    }

    #[test]
    fn a_spec_without_capabilities_stays_as_it_is() {
        let mut spec = json!({"process": {"args": ["x"]}});
        assert!(bound_spec(&mut spec, WITHOUT_RESOURCE).is_empty());
    }

    #[test]
    fn this_process_has_a_bounding_set() {
        let bounds = CapabilitySet::bounding().unwrap();
        assert!(bounds.contains("CAP_SYS_ADMIN"));
        assert!(!bounds.missing().contains(&"CAP_SYS_ADMIN"));
        assert!(!bounds.contains("CAP_OF_TOMORROW"));
    }
}
