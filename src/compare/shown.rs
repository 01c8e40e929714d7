//! A [`Difference`] for people: plain text, and Markdown for a release's notes.

use serde_json::Value;

use super::{Difference, End, ImageDifference, PackageChange, PackageList, Setting, VerdictChange};
use crate::list;
use crate::plan::{Reason, ReasonKind};
use crate::record::{self, Ancestor, ReleaseVerdict};
use crate::table;

/// The whole as plain text.
pub fn text(difference: &Difference) -> String {
    let end = |end: &End| {
        let origin = record::origin(end.commit.as_ref());
        format!(
            "release {}, {origin}, {}",
            end.release.short(),
            table::time(end.time)
        )
    };
    let mut text = format!(
        "from {}\nto   {}\n",
        end(&difference.from),
        end(&difference.to)
    );
    let sides = [
        ("added", &difference.added),
        ("removed", &difference.removed),
    ];
    for (what, list) in sides.iter().filter(|(_, list)| !list.is_empty()) {
        text.push_str(&format!("\n{what}\n"));
        for image in *list {
            text.push_str(&format!("  {}@{}\n", image.label, image.digest.short()));
        }
    }
    for image in &difference.changed {
        text.push_str(&format!("\n{}  {}\n", image.label, moved(image)));
        let packages = image.packages.iter().flatten().map(|(name, list)| {
            let lines = own(list).map(package).chain(as_base(image, list));
            (heading(name, list), lines.collect::<Vec<_>>())
        });
        for (title, lines) in packages.chain(sections(image)) {
            text.push_str(&format!("  {title}\n"));
            for line in lines {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    text.push_str(&format!("\n{}\n", count(difference)));
    if let Some(unknown) = unknown(difference) {
        text.push_str(&format!("{unknown}\n"));
    }
    text
}

/// The whole as Markdown; packages are tables.
pub fn markdown(difference: &Difference) -> String {
    let end = |end: &End| {
        let origin = match &end.commit {
            Some(commit) => format!("commit `{}`", commit.short()),
            None => record::ADOPTED.to_owned(),
        };
        format!(
            "release `{}` ({origin}, {})",
            end.release.short(),
            table::time(end.time)
        )
    };
    let mut text = format!(
        "From {} to {}: {}.\n",
        end(&difference.from),
        end(&difference.to),
        count(difference)
    );
    let sides = [
        ("Added", &difference.added),
        ("Removed", &difference.removed),
    ];
    for (what, list) in sides.iter().filter(|(_, list)| !list.is_empty()) {
        let names = list.iter().map(|image| code(&image.label));
        let names: Vec<String> = names.collect();
        text.push_str(&format!("\n{what}: {}\n", names.join(", ")));
    }
    for image in &difference.changed {
        text.push_str(&format!(
            "\n### {}\n\n{}\n",
            literal(&image.label),
            moved(image)
        ));
        for (name, list) in image.packages.iter().flatten() {
            let own = own(list);
            let (heading, rest) = (heading(name, list), as_base(image, list));
            text.push_str(&format!("\n**{}**\n\n", literal(&heading)));
            let rows: Vec<Vec<String>> = own
                .map(|change| {
                    let side = |version: &Option<String>| version.clone().unwrap_or_default();
                    let (from, to) = (side(&change.from), side(&change.to));
                    [&change.name, &from, &to].map(|cell| quoted(cell)).to_vec()
                })
                .collect();
            if !rows.is_empty() {
                text.push_str(&table::markdown(&["package", "before", "after"], &rows));
            }
            if let Some(rest) = rest {
                let space = if rows.is_empty() { "" } else { "\n" };
                text.push_str(&format!("{space}{}\n", literal(&rest)));
            }
        }
        for (title, lines) in sections(image) {
            text.push_str(&format!("\n**{title}**\n\n"));
            for line in lines {
                text.push_str(&format!("- {}\n", code(&line)));
            }
        }
    }
    if let Some(unknown) = unknown(difference) {
        text.push_str(&format!("\n{}\n", literal(&unknown)));
    }
    text
}

/// A cell of a table, as code if Markdown would read something in it.
fn quoted(cell: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " -_.+:~!*()".contains(c);
    if cell.chars().all(is_plain) && !cell.contains("www.") {
        cell.to_owned()
    } else {
        code(&cell.replace('`', "\u{fffd}"))
    }
}

/// A line as Markdown shows it literally: between more backticks than are in it.
fn code(line: &str) -> String {
    let line = line.replace(['\n', '\r'], " ");
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// Text as Markdown shows it literally, in a heading or a paragraph: no markup, link or mention.
fn literal(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() && !" -_./()+,:".contains(c) {
            out.push_str(&format!("&#{};", u32::from(c)));
        } else if c == '\n' || c == '\r' {
            out.push(' ');
        } else {
            out.push(c);
        }
    }
    out.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// Returns `1 image changed, 1 with other results, 3 unchanged`. An image with the same digest did not change.
fn count(difference: &Difference) -> String {
    let is_same = |image: &&ImageDifference| image.digest.from == image.digest.to;
    let has_results =
        |image: &&ImageDifference| !image.verdicts.is_empty() || image.checks.is_some();
    let same = difference.changed.iter().filter(is_same);
    let (same, results) = (same.clone().count(), same.filter(has_results).count());
    let changed = match difference.changed.len() - same {
        1 => "1 image changed".to_owned(),
        n => format!("{n} images changed"),
    };
    let more = [
        (results, "with other results"),
        (same - results, "with another cache key"),
        (difference.added.len(), "added"),
        (difference.removed.len(), "removed"),
        (difference.unchanged, "unchanged"),
    ];
    let more = more.iter().filter(|(number, _)| *number > 0);
    let more = more.map(|(number, what)| format!(", {number} {what}"));
    changed + &more.collect::<String>()
}

/// The digests and sizes of an image.
fn moved(image: &ImageDifference) -> String {
    let digests = if image.digest.from == image.digest.to {
        format!("{}, the same", image.digest.to.short())
    } else {
        arrow(image.digest.from.short(), image.digest.to.short())
    };
    let size = |bytes: Option<u64>| bytes.map(crate::size::human);
    match (size(image.size.from), size(image.size.to)) {
        (Some(from), Some(to)) if from != to => format!("{digests} ({})", arrow(&from, &to)),
        _ => digests,
    }
}

fn arrow(from: &str, to: &str) -> String {
    format!("{from} \u{2192} {to}")
}

/// Returns the changes of an image beside its lists of packages, under headings.
fn sections(image: &ImageDifference) -> Vec<(String, Vec<String>)> {
    let mut list: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            list.push((title.to_owned(), lines));
        }
    };
    add("packages", compared(image));
    let info = |change: &super::InfoChange| match (one_line(&change.from), one_line(&change.to)) {
        (Some(from), Some(to)) => format!("{}: {}", change.title, arrow(from, to)),
        _ => format!("{} changed", change.title),
    };
    add("info", image.info.iter().map(info).collect());
    add("base", base(image));
    add("config", image.config.iter().map(setting).collect());
    add("cache key", key_changes(image));
    let mut proven: Vec<String> = image.verdicts.iter().map(verdict).collect();
    if let Some(checks) = &image.checks {
        let shown = |passed: Option<bool>| match passed {
            None => "none",
            Some(true) => "passed",
            Some(false) => "failed",
        };
        proven.insert(
            0,
            format!("checks: {}", arrow(shown(checks.from), shown(checks.to))),
        );
    }
    add("proven", proven);
    list
}

fn heading(name: &str, list: &PackageList) -> String {
    if list.title == name {
        name.to_owned()
    } else {
        format!("{} ({name})", list.title)
    }
}

fn own(list: &PackageList) -> impl Iterator<Item = &PackageChange> {
    list.changes.iter().filter(|change| !change.inherited)
}

fn package(change: &PackageChange) -> String {
    let name = &change.name;
    match (&change.from, &change.to) {
        (None, Some(to)) => format!("+ {name} {to}"),
        (Some(from), None) => format!("- {name} {from}"),
        (from, to) => {
            let side = |version: &Option<String>| version.clone().unwrap_or_default();
            format!("~ {name} {}", arrow(&side(from), &side(to)))
        }
    }
}

/// How many changes come from the base.
fn as_base(image: &ImageDifference, list: &PackageList) -> Option<String> {
    let base = image.base.as_ref()?.to.as_ref()?;
    match (list.changes.len() - own(list).count(), base) {
        (0, _) => None,
        (1, base) => Some(format!("1 change as in {}", base.name())),
        (n, base) => Some(format!("{n} changes as in {}", base.name())),
    }
}

/// The images whose packages are unknown, so that unknown is not taken for none.
fn unknown(difference: &Difference) -> Option<String> {
    let is_unknown =
        |image: &&ImageDifference| image.packages.is_none() && image.digest.from != image.digest.to;
    let images = difference.changed.iter().filter(is_unknown);
    let names: Vec<&str> = images.map(|image| image.label.as_str()).collect();
    let text = "packages are not known of both releases, for";
    let names = (!names.is_empty()).then(|| list::of(&names))?;
    Some(format!(
        "{text} {names}: set info in specs.yml to list them"
    ))
}

/// What cannot be compared, and that nothing changed where that is known.
fn compared(image: &ImageDifference) -> Vec<String> {
    let none = image
        .packages
        .as_ref()
        .is_some_and(|lists| lists.is_empty());
    let missing = image.not_compared.iter();
    let missing = missing.map(|name| format!("{name}: only one of the releases has this list"));
    let none = (none && image.digest.from != image.digest.to).then(|| "none changed".to_owned());
    none.into_iter().chain(missing).collect()
}

fn one_line(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.contains('\n') && text.chars().count() <= 60).then_some(text)
}

fn base(image: &ImageDifference) -> Vec<String> {
    let Some(change) = &image.base else {
        return Vec::new();
    };
    let full = |base: &Option<Ancestor>| match base {
        // Of the stack's own images the digest is at hand.
        Some(base @ Ancestor::Image { .. }) => base.short(),
        Some(base @ Ancestor::External { .. }) => base.to_string(),
        None => "unknown".to_owned(),
    };
    match (&change.from, &change.to) {
        (
            Some(Ancestor::Image {
                name: a,
                digest: from,
            }),
            Some(Ancestor::Image {
                name: b,
                digest: to,
            }),
        ) if a == b => {
            vec![format!("{a} {}", arrow(from.short(), to.short()))]
        }
        (from, to) => vec![format!("- {}", full(from)), format!("+ {}", full(to))],
    }
}

fn setting(setting: &Setting) -> String {
    let shown = |value: &Value| match value {
        Value::String(text) if !text.contains('\n') => text.clone(),
        other => other.to_string(),
    };
    let what = &setting.what;
    match (&setting.from, &setting.to) {
        (Some(from), Some(to)) => format!("~ {what}: {}", arrow(&shown(from), &shown(to))),
        (None, Some(to)) => format!("+ {what}: {}", shown(to)),
        (Some(from), None) => format!("- {what}: {}", shown(from)),
        (None, None) => what.clone(),
    }
}

/// Returns the reasons that are not shown under another heading.
fn key_changes(image: &ImageDifference) -> Vec<String> {
    let is_shown = |reason: &Reason| match reason.kind {
        ReasonKind::Base | ReasonKind::Parent | ReasonKind::Lock => image.base.is_some(),
        ReasonKind::Config => image.config.iter().any(|setting| {
            let rest = setting.what.strip_prefix(&reason.what);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        }),
        _ => false,
    };
    let rest = image.reasons.iter().filter(|reason| !is_shown(reason));
    rest.map(|reason| reason.text.clone()).collect()
}

fn verdict(change: &VerdictChange) -> String {
    let shown = |verdict: &Option<ReleaseVerdict>| match verdict {
        None => "not run".to_owned(),
        Some(verdict) => verdict.outcome(),
    };
    let from = shown(&change.from);
    let to = match &change.dropped {
        Some(reason) => format!("dropped ({reason})"),
        None => shown(&change.to),
    };
    format!("{}: {}", change.suite, arrow(&from, &to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_place_in_markdown() {
        assert_eq!(code("plain"), "`plain`");
        assert_eq!(code("a ``b`` c"), "``` a ``b`` c ```");
        assert_eq!(
            literal("@team #1 [x](https://y)"),
            "&#64;team &#35;1 &#91;x&#93;(https&#58;//y)"
        );
        assert_eq!(quoted("1.2-3+b1"), "1.2-3+b1");
        assert_eq!(quoted("@team"), "`@team`");
        assert_eq!(quoted("a`b|c"), "`a\u{fffd}b|c`");
    }
}
