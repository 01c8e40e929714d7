//! The differences of two images as text, Markdown and JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::groups::rows;
use super::images::Compared;
use crate::name::Reference;
use crate::parity::{self, Changed, Differences};

/// Returns the document of `laminate parity --json`.
pub fn document(found: &Differences, first: &Reference, second: &Reference) -> Value {
    let list = |changes: &[Changed]| -> Value {
        let value =
            |it: &Changed| json!({ "what": it.what, "first": it.first, "second": it.second });
        changes.iter().map(value).collect()
    };
    json!({
        "first": first.to_string(),
        "second": second.to_string(),
        "same": found.is_empty(),
        "config": list(&found.config),
        "packages": list(&found.packages),
        "files": list(&found.files),
        "ignored": found.ignored,
        "ignores": parity::IGNORED.iter().copied().collect::<BTreeMap<_, _>>(),
    })
}

fn parts(found: &Differences) -> [(&'static str, &Vec<Changed>); 3] {
    [
        ("config", &found.config),
        ("packages", &found.packages),
        ("files", &found.files),
    ]
}

/// Returns a word for each image, by which the lines of differences name it.
fn words(sides: &[Compared; 2]) -> [&'static str; 2] {
    match sides.each_ref().map(|side| side.is_of_stack) {
        [true, false] => ["stack", "reference"],
        [false, true] => ["reference", "stack"],
        [true, true] | [false, false] => ["first", "second"],
    }
}

/// Returns the number of differences, what was left out, and where each path is if some share a row. `shown`: how many rows
/// there are.
fn summary(found: &Differences, shown: usize) -> String {
    let count: usize = parts(found).iter().map(|(_, list)| list.len()).sum();
    let is_grouped = shown < count;
    let mut text = match count {
        0 => "no differences".to_owned(),
        1 => "1 difference".to_owned(),
        count => format!("{count} differences"),
    };
    if found.ignored > 0 {
        let count = found.ignored;
        text.push_str(&format!(
            "; {count} files that differ from build to build are left out"
        ));
    }
    if is_grouped {
        text.push_str("; `--json` lists each of them");
    }
    text
}

/// Returns a line for each image, and one for each difference or group of differences.
pub fn text(found: &Differences, sides: &[Compared; 2]) -> String {
    let words = words(sides);
    let width = words[0].len().max(words[1].len()) + 1;
    let mut text = String::new();
    for (word, side) in words.iter().zip(sides) {
        let word = format!("{word}:");
        text.push_str(&format!("{word:width$} {}\n", side.name));
    }
    text.push('\n');
    let mut shown = 0;
    for (title, list) in parts(found) {
        if list.is_empty() {
            continue;
        }
        text.push_str(&format!("{title}\n"));
        for row in rows(list) {
            shown += 1;
            text.push_str(&format!("  {}\n", line(&row, words)));
        }
    }
    text.push_str(&format!("{}\n", summary(found, shown)));
    text
}

/// Returns a row on one line.
fn line(row: &Changed, words: [&str; 2]) -> String {
    let Changed {
        what,
        first,
        second,
        alike: _,
    } = row;
    match (first, second) {
        (Some(first), Some(second)) if first == second => {
            format!("{what}: {first}")
        }
        (Some(first), Some(second)) => {
            format!("{what}: {} {first}; {} {second}", words[0], words[1])
        }
        (Some(only), None) => format!("{what}: only {} ({only})", words[0]),
        (None, Some(only)) => format!("{what}: only {} ({only})", words[1]),
        (None, None) => what.clone(),
    }
}

/// Returns a table for each kind of differences.
pub fn markdown(found: &Differences, sides: &[Compared; 2]) -> String {
    let mut text = String::new();
    let cell = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("–");
        text.replace('|', "\\|").replace('\n', " ")
    };
    let words = words(sides);
    let mut shown = 0;
    for (title, list) in parts(found) {
        if list.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "| {title} | {}: {} | {}: {} |\n|---|---|---|\n",
            words[0], sides[0].name, words[1], sides[1].name
        ));
        for it in rows(list) {
            shown += 1;
            let what = it.what.replace('|', "\\|");
            text.push_str(&format!(
                "| `{what}` | {} | {} |\n",
                cell(&it.first),
                cell(&it.second)
            ));
        }
        text.push('\n');
    }
    text.push_str(&format!("{}\n", summary(found, shown)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str, is_of_stack: bool) -> Compared {
        Compared {
            name: name.to_owned(),
            reference: Reference::parse("a:1").expect("valid"),
            is_of_stack,
        }
    }

    fn found() -> Differences {
        let changed = |what: &str, first: Option<&str>, second: Option<&str>| Changed {
            what: what.to_owned(),
            first: first.map(str::to_owned),
            second: second.map(str::to_owned),
            alike: Default::default(),
        };
        Differences {
            config: vec![changed("Env A", Some("4"), Some("8"))],
            packages: vec![changed("pip six", Some("1"), None)],
            files: vec![changed("/etc/x", None, Some("folder"))],
            ignored: 2,
        }
    }

    #[test]
    fn each_difference_names_the_sides() {
        let sides = [side("a", true), side("host/a:1", false)];
        insta::assert_snapshot!(text(&found(), &sides), @r"
        stack:     a
        reference: host/a:1

        config
          Env A: stack 4; reference 8
        packages
          pip six: only stack (1)
        files
          /etc/x: only reference (folder)
        3 differences; 2 files that differ from build to build are left out
        ");
        let table = markdown(&found(), &sides);
        let heading = "| config | stack: a | reference: host/a:1 |\n";
        assert!(table.starts_with(heading), "{table}");
    }

    #[test]
    fn two_images_of_one_kind_are_the_first_and_the_second() {
        for is_of_stack in [true, false] {
            let sides = [side("a", is_of_stack), side("b", is_of_stack)];
            assert_eq!(words(&sides), ["first", "second"]);
        }
        let sides = [side("a:1", false), side("a", true)];
        assert_eq!(words(&sides), ["reference", "stack"]);
    }
}
