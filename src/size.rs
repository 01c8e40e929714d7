//! Sizes for people. Functions, called by `checks`, `report` and `docs`.

/// Returns a size as `152 MB` or `1.5 GB`: decimal units, two digits at least.
pub fn human(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    for unit in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        value /= 1000.0;
        // A value that is rounded to four digits has the next unit.
        if value < 9.95 {
            return format!("{value:.1} {unit}");
        }
        if value < 999.5 {
            return format!("{value:.0} {unit}");
        }
    }
    unreachable!("u64::MAX is 18 EB")
}

/// Returns two sizes that differ, in bytes where their short forms are the same.
pub fn human_pair(first: u64, second: u64) -> (String, String) {
    let pair = (human(first), human(second));
    if pair.0 == pair.1 {
        (format!("{first} bytes"), format!("{second} bytes"))
    } else {
        pair
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_two_or_three_digits_and_a_unit() {
        let shown = [
            0,
            999,
            1000,
            1540,
            9_949,
            9_950,
            999_499,
            999_500,
            152_000_000,
            u64::MAX,
        ];
        assert_eq!(
            shown.map(human),
            [
                "0 B", "999 B", "1.0 kB", "1.5 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB",
                "152 MB", "18 EB"
            ]
        );
    }

    #[test]
    fn sizes_that_differ_are_shown_differently() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(human_pair(2_000_000, 1_000_000), pair("2.0 MB", "1.0 MB"));
        assert_eq!(
            human_pair(1_000_001, 1_000_000),
            pair("1000001 bytes", "1000000 bytes")
        );
    }
}
