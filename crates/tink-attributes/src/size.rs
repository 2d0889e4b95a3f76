//! Sizes for people, as the Go agent writes them.

const UNITS: [&str; 7] = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];

/// In the largest unit of 1024 that is not larger than the size, rounded up, without a space: `32GB`. Empty for nothing.
pub(crate) fn human(bytes: u64) -> String {
    if bytes == 0 {
        return String::new();
    }
    let power = (bytes.ilog2() / 10).min(6);
    let unit = 1_u64 << (power * 10);
    format!("{}{}", bytes.div_ceil(unit), UNITS.get(power as usize).copied().unwrap_or("EB"))
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn sizes_are_rounded_up_in_units_of_1024() {
        for (bytes, text) in [
            (0, ""),
            (1, "1B"),
            (512, "512B"),
            (1023, "1023B"),
            (1024, "1KB"),
            (4096, "4KB"),
            (32 << 30, "32GB"),
            (256_060_514_304, "239GB"),
            (1 << 40, "1TB"),
            ((1 << 40) - 1, "1024GB"),
            (u64::MAX, "16EB"),
        ] {
            assert_eq!(human(bytes), text, "{bytes}");
        }
    }
}
