//! Sizes as people write and read them.

/// `152 MB`, `1.5 GB`: decimal units, two digits at least.
pub fn human(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    for unit in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        value /= 1000.0;
        // What would be rounded to four digits goes to the next unit.
        if value < 9.95 {
            return format!("{value:.1} {unit}");
        }
        if value < 999.5 {
            return format!("{value:.0} {unit}");
        }
    }
    unreachable!("u64::MAX is 18 EB")
}

/// Two sizes that differ: in bytes, where people would read the same.
pub fn both(one: u64, other: u64) -> (String, String) {
    let shown = (human(one), human(other));
    match shown.0 == shown.1 {
        true => (format!("{one} bytes"), format!("{other} bytes")),
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
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
    fn two_sizes_are_told_apart() {
        let text = |one, other| both(one, other);
        assert_eq!(text(2_000_000, 1_000_000).0, "2.0 MB");
        assert_eq!(text(1_000_001, 1_000_000).0, "1000001 bytes");
    }
}
