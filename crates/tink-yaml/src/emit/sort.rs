//! The order of keys in Go's YAML output: numbers inside keys count as numbers, letters come after everything else.

use serde_json::{Map, Value};

/// The entries of `map` in that order.
pub(super) fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let entries: Vec<_> = map.iter().collect();
    merge_sort(entries)
}

/// Go's order is not a total one for odd keys, and the sorts of the standard library may panic on such an order.
fn merge_sort<'a>(mut entries: Vec<(&'a String, &'a Value)>) -> Vec<(&'a String, &'a Value)> {
    if entries.len() < 2 {
        return entries;
    }
    let right = merge_sort(entries.split_off(entries.len() / 2));
    let left = merge_sort(entries);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if less(b.0, a.0) { right.next() } else { left.next() };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

/// Whether `a` comes before `b`.
fn less(a: &str, b: &str) -> bool {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else { return a.len() < b.len() };
    let (ca, cb) = (a[at], b[at]);
    match (ca.is_alphabetic(), cb.is_alphabetic()) {
        (true, true) => return ca < cb,
        (true, false) => return false,
        (false, true) => return true,
        (false, false) => {}
    }
    // A zero after other digits is a digit of their number, not a leading zero.
    let inside_number =
        (ca == '0' || cb == '0') && a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let start = i64::from(inside_number);
    let ((na, la), (nb, lb)) = (number(&a[at..], start), number(&b[at..], start));
    if na != nb {
        na < nb
    } else if la != lb {
        la < lb
    } else {
        ca < cb
    }
}

/// The number that `chars` start with, after `start`, and how many digits it has.
fn number(chars: &[char], start: i64) -> (i64, usize) {
    let mut value = start;
    let mut digits = 0;
    for digit in chars.iter().map_while(|c| c.to_digit(10)) {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        digits += 1;
    }
    (value, digits)
}
