//! Features of network interfaces in the words of `ethtool -k`: the kernel's names, and older ones for some and for groups.

/// An older name: of a group, whose members are listed after it, or of one feature, which it replaces.
struct Older {
    name: &'static str,
    /// The beginning and the end of the kernel's names.
    members: (&'static str, &'static str),
    is_group: bool,
}

const fn group(name: &'static str, beginning: &'static str, end: &'static str) -> Older {
    Older { name, members: (beginning, end), is_group: true }
}

const fn one(name: &'static str, kernels: &'static str) -> Older {
    Older { name, members: (kernels, ""), is_group: false }
}

/// In `ethtool`'s order.
const OLDER: [Older; 12] = [
    one("rx-checksumming", "rx-checksum"),
    group("tx-checksumming", "tx-checksum-", ""),
    group("scatter-gather", "tx-scatter-gather", ""),
    group("tcp-segmentation-offload", "tx-tcp", "-segmentation"),
    one("udp-fragmentation-offload", "tx-udp-fragmentation"),
    one("generic-segmentation-offload", "tx-generic-segmentation"),
    one("generic-receive-offload", "rx-gro"),
    one("large-receive-offload", "rx-lro"),
    one("rx-vlan-offload", "rx-vlan-hw-parse"),
    one("tx-vlan-offload", "tx-vlan-hw-insert"),
    one("ntuple-filters", "rx-ntuple-filter"),
    one("receive-hashing", "rx-hashing"),
];

impl Older {
    fn has(&self, feature: &str) -> bool {
        if self.is_group {
            feature.starts_with(self.members.0) && feature.ends_with(self.members.1)
        } else {
            feature == self.members.0
        }
    }
}

/// The features that are on: the older names and their groups first, then the rest as the kernel has them.
pub(crate) fn in_ethtools_words(active: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    for older in &OLDER {
        let members: Vec<_> = active.iter().filter(|feature| older.has(feature)).cloned().collect();
        if members.is_empty() {
            continue;
        }
        words.push(older.name.to_owned());
        if older.is_group {
            words.extend(members);
        }
    }
    let rest = active.iter().filter(|feature| !OLDER.iter().any(|older| older.has(feature)));
    words.extend(rest.cloned());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_with_their_members_and_the_rest_last() {
        let active = ["tx-scatter-gather", "highdma", "tx-tcp-segmentation", "rx-gro", "tx-tcp6-segmentation"];
        let words = in_ethtools_words(&active.map(str::to_owned));
        let expected = [
            "scatter-gather",
            "tx-scatter-gather",
            "tcp-segmentation-offload",
            "tx-tcp-segmentation",
            "tx-tcp6-segmentation",
            "generic-receive-offload",
            "highdma",
        ];
        assert_eq!(words, expected);
        assert!(in_ethtools_words(&[]).is_empty());
    }
}
