//! Names of objects, as Kubernetes checks them.

const LABEL_BYTES_MAX: usize = 63;
const SUBDOMAIN_BYTES_MAX: usize = 253;

/// What an object's name may be, for messages.
pub(crate) const SUBDOMAIN_RULE: &str =
    "1 to 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends and around each '.'";

/// What a namespace may be, for messages.
pub(crate) const LABEL_RULE: &str = "1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends";

/// Whether `text` is a DNS-1123 label: a namespace.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= LABEL_BYTES_MAX && is_part(text)
}

/// Whether `text` is a DNS-1123 subdomain: the name of an object. Kubernetes bounds only the whole, not its parts.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_BYTES_MAX && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.chars().all(|c| alphanumeric(c) || c == '-') && text.starts_with(alphanumeric) && text.ends_with(alphanumeric)
}

/// A name made of free text: lower case, everything else a dash. `None` if nothing is left.
pub(crate) fn name_of(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        if c != '-' || !(name.is_empty() || name.ends_with('-')) {
            name.push(c);
        }
        if name.len() == SUBDOMAIN_BYTES_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_kubernetes_checks_them() {
        for good in ["a", "0", "a-b", "machine1.lab-2", "00-00-5e"] {
            assert!(is_dns_subdomain(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", ".a", "a.", "A", "a_b", "a b", "ä", "a.-b"] {
            assert!(!is_dns_subdomain(bad), "{bad}");
        }
        assert!(is_dns_label("a-b") && !is_dns_label("a.b"));
        assert!(is_dns_label(&"a".repeat(63)) && !is_dns_label(&"a".repeat(64)));
        assert!(is_dns_subdomain(&"a".repeat(253)) && !is_dns_subdomain(&"a".repeat(254)));
    }

    #[test]
    fn free_text_becomes_a_name() {
        assert_eq!(name_of("hello_world_workflow").as_deref(), Some("hello-world-workflow"));
        assert_eq!(name_of("  Ubuntu 24.04! ").as_deref(), Some("ubuntu-24-04"));
        assert_eq!(name_of("{{ }}"), None);
    }
}
