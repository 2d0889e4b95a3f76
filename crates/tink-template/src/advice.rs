//! What to say besides what went wrong: the nearest name, the names there are, and why a function is missing.

/// Sprig functions that Tinkerbell takes out, because what they give differs from one rendering to the next.
const NOT_HERMETIC: &[&str] = &[
    "date",
    "date_in_zone",
    "date_modify",
    "now",
    "htmlDate",
    "htmlDateInZone",
    "dateInZone",
    "dateModify",
    "randAlphaNum",
    "randAlpha",
    "randAscii",
    "randNumeric",
    "randBytes",
    "uuidv4",
    "env",
    "expandenv",
    "getHostByName",
];

/// The message for a function that does not exist.
pub(crate) fn unknown_function(name: &str) -> String {
    if NOT_HERMETIC.contains(&name) {
        return format!(
            "the function `{name}` is left out on purpose: its result would differ from one rendering to the next"
        );
    }
    let hint = match nearest(name, crate::functions::names()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    format!("there is no function `{name}`{hint}")
}

/// The candidate most like `name`, when one is like it at all.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close_enough = 1 + name.chars().count() / 4;
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= close_enough)
        .map(|candidate| (distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= close_enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements between two words; long words are cut, as only a hint hangs on it.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().take(64).enumerate() {
        let mut corner = i;
        let mut previous = i + 1;
        let mut next = vec![previous];
        for (b, above) in right.iter().zip(row.iter().skip(1)) {
            let cost = corner + usize::from(a != *b);
            corner = *above;
            previous = cost.min(above + 1).min(previous + 1);
            next.push(previous);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The names for a message: the first dozen or so, and how many more.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 16;
    if names.is_empty() {
        return "it has none".to_owned();
    }
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("disk", ["disks", "metadata"]), Some("disks"));
        assert_eq!(nearest("device1", ["device_1", "device_2"]), Some("device_1"));
        assert_eq!(nearest("foo", ["hardware"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
