//! MAC addresses as people write them.

/// `aa:bb:cc:dd:ee:ff` of a MAC address in any case, with colons, dashes or in groups of four (`aabb.ccdd.eeff`).
pub fn normalised(text: &str) -> Option<String> {
    let digits: String = match text.len() {
        17 if text.split(':').all(|pair| pair.len() == 2) => text.split(':').collect(),
        17 if text.split('-').all(|pair| pair.len() == 2) => text.split('-').collect(),
        14 if text.split('.').all(|group| group.len() == 4) => text.split('.').collect(),
        _ => return None,
    };
    if digits.len() != 12 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let pairs: Vec<&str> = (0..6).map(|nth| &lower[nth * 2..nth * 2 + 2]).collect();
    Some(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_known_in_every_spelling() {
        for text in ["aa:bb:cc:dd:ee:0f", "AA-BB-CC-DD-EE-0F", "aabb.ccdd.ee0f", "aA:bB:cc:dd:ee:0F"] {
            assert_eq!(normalised(text).as_deref(), Some("aa:bb:cc:dd:ee:0f"), "{text}");
        }
        for text in ["", "aa:bb:cc:dd:ee", "aa:bb:cc:dd:ee:0g", "aabbccddee0f", "aa:bb-cc:dd:ee:0f", "é:bb:cc:dd:ee:0f"]
        {
            assert_eq!(normalised(text), None, "{text}");
        }
    }
}
