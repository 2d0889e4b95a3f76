//! Which texts Go's YAML libraries take for timestamps: they must be quoted when written.

/// `2006-1-2`, `2006-1-2 15:4:5[.9]`, `2006-1-2T15:4:5[.9]Z` or with `±07:00`; months, days and hours must exist.
pub(crate) fn is_timestamp(text: &str) -> bool {
    date_and_rest(text).is_some_and(|rest| match rest.as_bytes().first() {
        None => true,
        Some(b' ') => clock(&rest[1..]).is_some_and(str::is_empty),
        Some(b'T' | b't') => clock(&rest[1..]).is_some_and(zone),
        _ => false,
    })
}

fn date_and_rest(text: &str) -> Option<&str> {
    let year: u32 = text.get(..4).filter(|year| year.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    let (month, rest) = one_or_two(text[4..].strip_prefix('-')?)?;
    let (day, rest) = one_or_two(rest.strip_prefix('-')?)?;
    let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    (1..=days).contains(&day).then_some(rest)
}

/// A number of one or two digits, two if there are two.
fn one_or_two(text: &str) -> Option<(u32, &str)> {
    let count = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    Some((text[..count].parse().ok()?, &text[count..]))
}

/// `15:4:5` with an optional fraction; gives what follows.
fn clock(text: &str) -> Option<&str> {
    let (hour, rest) = one_or_two(text)?;
    let (minute, rest) = one_or_two(rest.strip_prefix(':')?)?;
    let (second, rest) = one_or_two(rest.strip_prefix(':')?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let Some(fraction) = rest.strip_prefix(['.', ',']) else { return Some(rest) };
    let left = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    // Go's layouts have nine places; a longer fraction does not match them.
    (1..=9).contains(&(fraction.len() - left.len())).then_some(left)
}

fn zone(text: &str) -> bool {
    if text == "Z" {
        return true;
    }
    let bytes = text.as_bytes();
    let two = |at: usize| text.get(at..at + 2).and_then(|two| two.parse::<u32>().ok());
    bytes.len() == 6
        && matches!(bytes[0], b'+' | b'-')
        && bytes[3] == b':'
        && bytes[1..].iter().enumerate().all(|(at, b)| at == 2 || b.is_ascii_digit())
        && two(1).is_some_and(|hours| hours <= 24)
        && two(4).is_some_and(|minutes| minutes < 60)
}
