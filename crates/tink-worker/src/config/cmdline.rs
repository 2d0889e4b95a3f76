//! The kernel command line, read as the kernel reads it.

use super::settings::{self, SETTINGS};

/// Keys of our own: `tink.runtime=embedded` sets what the flag `-runtime` sets.
const OWN: &str = "tink.";

/// The longest kernel command line there is, with room.
pub(super) const BYTES_MAX: u64 = 64 * 1024;

/// What of a command line concerns the worker, in its order: setting, value, key. A later one wins over an earlier one of
/// the same key. What nobody here knows is for others and is left out.
pub(super) fn values(text: &str) -> Vec<(&'static str, String, String)> {
    let words = words(text);
    let mut found = Vec::new();
    for setting in SETTINGS {
        for key in setting.kernel {
            let mut values = words.iter().filter(|(name, _)| name == key);
            if let Some((_, Some(value))) = values.next_back() {
                found.push((setting.name, value.clone(), format!("kernel command line {key}=")));
            }
        }
    }
    for (name, value) in &words {
        if let Some(setting) = name.strip_prefix(OWN).and_then(settings::by_key) {
            let value = value.clone().unwrap_or_else(|| "true".to_owned());
            found.push((setting.name, value, format!("kernel command line {name}=")));
        }
    }
    found
}

/// Words with their values. White space separates them; double quotes keep it, and are taken off where they stand around
/// the whole word or its value.
fn words(text: &str) -> Vec<(String, Option<String>)> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let (word, after) = rest.split_at(end_of_word(rest));
        words.push(pair(word));
        rest = after.trim_start_matches(is_space);
    }
    words
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}' || c == '\0'
}

fn end_of_word(text: &str) -> usize {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if is_space(c) && !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn pair(word: &str) -> (String, Option<String>) {
    let (word, whole) = match word.strip_prefix('"') {
        Some(inner) => (inner.strip_suffix('"').unwrap_or(inner), true),
        None => (word, false),
    };
    match word.split_once('=') {
        None => (word.to_owned(), None),
        Some((name, value)) => {
            let value = match value.strip_prefix('"') {
                Some(inner) if !whole => inner.strip_suffix('"').unwrap_or(inner),
                Some(inner) => inner,
                None => value,
            };
            (name.to_owned(), Some(value.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Option<String>)> {
        words(text)
    }

    fn word(name: &str, value: Option<&str>) -> (String, Option<String>) {
        (name.to_owned(), value.map(str::to_owned))
    }

    #[test]
    fn words_are_split_and_unquoted_as_the_kernel_does_it() {
        assert_eq!(read("a  b=c\n"), [word("a", None), word("b", Some("c"))]);
        assert_eq!(read("a=\"b c\" d"), [word("a", Some("b c")), word("d", None)]);
        assert_eq!(read("\"a=b c\" d"), [word("a", Some("b c")), word("d", None)]);
        assert_eq!(read("a=b\"c d\"e"), [word("a", Some("b\"c d\"e"))], "quotes inside stay");
        assert_eq!(read("a=b=c ="), [word("a", Some("b=c")), word("", Some(""))]);
        assert_eq!(read("a=\"b c"), [word("a", Some("b c"))], "a quote that is not closed");
        assert_eq!(read(" \t\n"), []);
    }

    #[test]
    fn the_last_occurrence_wins_and_what_is_unknown_is_left_out() {
        let found = values(
            "BOOT_IMAGE=/vmlinuz facility=onprem console=ttyS0 console=tty1 grpc_authority=1.2.3.4:1 ipam=a:b \
             worker_id=02:00 hw_addr=03:00 grpc_authority=tink.example.com:443 tink.runtime=embedded TINK.x=1 \
             tink.state_dir=/x tink.nonsense=1 docker_registry",
        );
        let get = |name: &str| found.iter().rfind(|(setting, ..)| *setting == name).map(|(_, value, _)| value.as_str());
        assert_eq!(get("grpc-server"), Some("tink.example.com:443"));
        assert_eq!(get("id"), Some("02:00"), "worker_id says more than hw_addr");
        assert_eq!((get("runtime"), get("state-dir")), (Some("embedded"), Some("/x")));
        assert_eq!(get("registry-name"), None);
        assert_eq!(found.len(), 5, "{found:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = values(&text);
        }

        #[test]
        fn a_value_in_quotes_comes_back(value in "[a-z =]{0,20}") {
            proptest::prop_assert_eq!(read(&format!("k=\"{value}\" z")), [word("k", Some(&value)), word("z", None)]);
        }
    }
}
