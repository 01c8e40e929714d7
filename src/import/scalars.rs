//! Values of a compose file without quotes, which compose reads with the types of YAML and writes as Go does.

use std::collections::BTreeSet;

use super::Note;
use crate::source::Sources;
use crate::spec::node::{Node, Value};

/// Keys of `build:` with values by name.
const PAIRS: [&str; 3] = ["args", "labels", "additional_contexts"];

/// What compose makes of a value without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Read {
    /// A text.
    Text(String),
    /// No value.
    Null,
    /// A value that is not read here.
    Unclear,
}

/// Writes the values of `args`, `labels` and `additional_contexts` of each `build:` as compose does. Returns a note for each that
/// is another one in the file.
pub fn compose_values(file: &str, node: &mut Node, sources: &Sources) -> Vec<Note> {
    let mut found = BTreeSet::new();
    let root = entries(node);
    for services in root.filter(|(key, _)| *key == "services").map(|(_, it)| it) {
        for (_, service) in entries(services) {
            for (_, build) in entries(service).filter(|(key, _)| *key == "build") {
                of_build(build, sources, &mut found);
            }
        }
    }
    let note = |(line, what, became): (u32, String, String)| {
        Note::open(format!("{file}:{line}"), what, became)
    };
    found.into_iter().map(note).collect()
}

type Found = BTreeSet<(u32, String, String)>;

fn entries(node: &mut Node) -> impl Iterator<Item = (&str, &mut Node)> {
    let entries = match &mut node.value {
        Value::Map(entries) => entries.as_mut_slice(),
        _ => &mut [],
    };
    entries
        .iter_mut()
        .map(|it| (it.key.text.as_str(), &mut it.value))
}

fn of_build(build: &mut Node, sources: &Sources, found: &mut Found) {
    if let Value::List(items) = &mut build.value {
        items.iter_mut().for_each(|it| of_build(it, sources, found));
        return;
    }
    for (key, value) in entries(build) {
        if key == "<<" {
            of_build(value, sources, found);
        } else if PAIRS.contains(&key) {
            of_pairs(value, sources, found);
        }
    }
}

fn of_pairs(pairs: &mut Node, sources: &Sources, found: &mut Found) {
    if let Value::List(items) = &mut pairs.value {
        // Several mappings after `<<`; those of `NAME=VALUE` are texts.
        items.iter_mut().for_each(|it| of_pairs(it, sources, found));
        return;
    }
    for (name, node) in entries(pairs) {
        if name == "<<" {
            of_pairs(node, sources, found);
            continue;
        }
        let line = sources.start(node.span).line;
        let Value::Scalar { text, plain: true } = &mut node.value else {
            continue;
        };
        let what = format!("{name}: {text}");
        let became = match read(text) {
            Read::Text(value) if value == *text => continue,
            Read::Text(value) => {
                let became = format!("`{value}`, as compose reads `{text}` without quotes: check this");
                *text = value;
                became
            }
            Read::Null => {
                text.clear();
                continue;
            }
            Read::Unclear => {
                "written as it is: compose reads a value without quotes with the types of YAML, and gives another text".to_owned()
            }
        };
        found.insert((line, what, became));
    }
}

/// Returns what compose makes of a value (`resolve` of go-yaml v3, then `fmt.Sprint`).
fn read(text: &str) -> Read {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Read::Null,
        "true" | "True" | "TRUE" => return Read::Text("true".to_owned()),
        "false" | "False" | "FALSE" => return Read::Text("false".to_owned()),
        _ => {}
    }
    let special = text.trim_start_matches(['+', '-']).to_lowercase();
    if matches!(special.as_str(), ".inf" | ".nan") {
        return Read::Unclear;
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Read::Text(text.to_owned());
    }
    if let Some(date) = date(text) {
        return date;
    }
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    if let Some(number) = integer(digits) {
        return Read::Text(format!("{sign}{number}"));
    }
    match float(&plain) {
        Some(number) => Read::Text(number),
        None => Read::Text(text.to_owned()),
    }
}

/// Returns an integer with the base that its prefix says.
fn integer(digits: &str) -> Option<u64> {
    let lower = digits.to_lowercase();
    let (base, rest) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(start) if start.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let is_digit = |c: char| c.is_ascii_alphanumeric();
    rest.chars()
        .all(is_digit)
        .then(|| u64::from_str_radix(rest, base).ok())?
}

/// Returns a number as Go writes it: with an exponent from a million on, and below a ten-thousandth.
fn float(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    let number: f64 = text.chars().all(is_part).then(|| text.parse().ok())??;
    let shown = format!("{number:e}");
    let (digits, exponent) = shown.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if number.is_infinite() {
        return None;
    }
    Some(if (-4..6).contains(&exponent) {
        number.to_string()
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    })
}

/// Returns a date, which compose writes with its time; that of one with a time is not read here.
fn date(text: &str) -> Option<Read> {
    let (day, rest) = match text.find([' ', 't', 'T']) {
        Some(at) => (&text[..at], &text[at..]),
        None => (text, ""),
    };
    let parts: Vec<&str> = day.split('-').collect();
    let [year, month, day] = parts.as_slice() else {
        return None;
    };
    let is_number = |it: &&str| it.chars().all(|c| c.is_ascii_digit());
    let is_short = |it: &str| matches!(it.len(), 1 | 2);
    let is_date =
        parts.iter().all(is_number) && year.len() == 4 && is_short(month) && is_short(day);
    if !is_date {
        return None;
    }
    let (month, day): (u32, u32) = (month.parse().ok()?, day.parse().ok()?);
    let is_certain = (1..=12).contains(&month) && (1..=28).contains(&day) && rest.is_empty();
    Some(if is_certain {
        Read::Text(format!("{year}-{month:02}-{day:02} 00:00:00 +0000 UTC"))
    } else {
        Read::Unclear
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_quotes_are_those_of_compose() {
        for (text, expected) in [
            ("1.10", "1.1"),
            ("0755", "493"),
            ("0o755", "493"),
            ("1e3", "1000"),
            ("0x1F", "31"),
            ("-0x1F", "-31"),
            ("0b11", "3"),
            ("1_000", "1000"),
            ("09", "9"),
            ("+5", "5"),
            ("-0", "-0"),
            ("1.0", "1"),
            ("1.", "1"),
            (".5", "0.5"),
            ("1_0.5", "10.5"),
            ("1e6", "1e+06"),
            ("21000000.0", "2.1e+07"),
            ("123456789.5", "1.234567895e+08"),
            ("0.00001", "1e-05"),
            ("1234567890123456789012", "1.2345678901234568e+21"),
            ("18446744073709551615", "18446744073709551615"),
            ("1e400", "1e400"),
            ("2024-1-1", "2024-01-01 00:00:00 +0000 UTC"),
            ("TRUE", "true"),
            ("False", "false"),
            ("yes", "yes"),
            ("on", "on"),
            ("3.11.2", "3.11.2"),
            ("12:30:45", "12:30:45"),
            ("-x", "-x"),
        ] {
            assert_eq!(read(text), Read::Text(expected.to_owned()), "{text}");
        }
        for text in [".inf", "-.Inf", ".NaN", "2024-01-01T10:00:00Z"] {
            assert_eq!(read(text), Read::Unclear, "{text}");
        }
        assert_eq!(read("NULL"), Read::Null);
    }
}
