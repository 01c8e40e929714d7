//! Numbers with a unit: sizes and durations.

use super::reader::Reader;
use crate::diagnostic::Diagnostic;
use crate::spec::node::Node;

/// Reads `0`, `500 MB`, `64m` or `2GiB`; returns bytes.
pub fn size(reader: &Reader, node: &Node, what: &str) -> Option<u64> {
    let text = reader.text(node, what)?;
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let factor = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" => Some(1000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "kib" | "k" => Some(1 << 10),
        "mib" | "m" => Some(1 << 20),
        "gib" | "g" => Some(1 << 30),
        _ => None,
    };
    let value = text[..digits].parse::<u64>().ok();
    let bytes = value
        .zip(factor)
        .and_then(|(value, factor)| value.checked_mul(factor));
    if bytes.is_none() {
        let expected = "a number of bytes with a unit";
        let found = format!("`{text}`");
        reader.report(
            Diagnostic::expected(what, expected, node.span, &found)
                .help("write it as `500MB`, `2GB` or `1GiB`"),
        );
    }
    bytes
}

/// Units of durations, the largest first, and their nanoseconds.
const DURATIONS: [(&str, u64); 4] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Reads `30s`, `5m`, `1h` or `500ms`; returns nanoseconds.
pub fn duration(reader: &Reader, node: &Node, name: &str) -> Option<u64> {
    let text = reader.text(node, &format!("`{name}`"))?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let mut units = DURATIONS.iter();
    let unit = units.find(|(name, _)| *name == &text[digits.len()..]);
    let value = digits.parse::<u64>().ok();
    let nanos = value
        .zip(unit)
        .and_then(|(value, (_, unit))| value.checked_mul(*unit));
    if nanos.is_none() {
        let what = format!("`{name}`");
        let found = format!("`{text}`");
        reader.report(
            Diagnostic::expected(&what, "a duration", node.span, &found)
                .help("write it with a unit: `30s`, `5m`, `1h` or `500ms`"),
        );
    }
    nanos
}

/// Writes nanoseconds in the largest unit without a fraction, as [`duration`] reads them. What is less than a millisecond is
/// left out.
pub fn duration_text(nanos: u64) -> String {
    let [larger @ .., smallest] = &DURATIONS;
    let is_whole = |unit: u64| nanos > 0 && nanos.is_multiple_of(unit);
    let whole = larger.iter().find(|(_, unit)| is_whole(*unit));
    let (name, unit) = whole.unwrap_or(smallest);
    format!("{}{name}", nanos / unit)
}

#[cfg(test)]
mod tests {
    use super::duration_text;

    #[test]
    fn a_duration_has_the_largest_unit_without_a_fraction() {
        let texts = [0, 1_500, 30_000, 90_000, 600_000, 7_200_000]
            .map(|millis: u64| duration_text(millis * 1_000_000));
        assert_eq!(texts, ["0ms", "1500ms", "30s", "90s", "10m", "2h"]);
    }
}
