//! The report of an import.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::next;
use crate::import::{Imported, ImportedImage, Note};
use crate::table;

/// Dockerfiles with more notes have them in lines of their own.
const MOST: usize = 2;

/// Originals that the report lists.
const SHOWN: usize = 12;

/// Returns the report for programs.
pub fn json(spec: &str, imported: &Imported, is_written: bool) -> Value {
    let copies = imported.copies.iter();
    let copies = copies.map(|copy| json!({ "from": copy.from, "to": copy.to }));
    let images = imported.images.iter().map(of_image);
    let notes = images.chain(imported.notes.iter().cloned()).map(|note| {
        json!({ "where": note.place, "found": note.found, "became": note.became, "open": note.is_open })
    });
    json!({
        "spec": spec,
        "written": is_written,
        "copied": copies.collect::<Vec<_>>(),
        "dockerfiles": imported.written,
        "not_read": not_read(imported),
        "missing": imported.missing,
        "report": notes.collect::<Vec<_>>(),
    })
}

fn of_image(image: &ImportedImage) -> Note {
    let name = &image.name;
    let became = match &image.based_on {
        Some(base) => format!("image `{name}`, based on `{base}`"),
        None => format!("image `{name}`"),
    };
    Note::done(&image.dockerfile, format!("image {}", image.target), became)
}

/// Returns the report for people, and with `dry_run` the spec. `folder_name`: the name of the stack, if it is that of the
/// folder.
pub fn text(spec: &str, imported: &Imported, folder_name: Option<&str>, dry_run: bool) -> String {
    let mut text = String::new();
    if dry_run {
        text.push_str(spec);
        text.push('\n');
    }
    let (open, done): (Vec<&Note>, Vec<&Note>) = imported.notes.iter().partition(|it| it.is_open);
    let mut rest = done;
    let rows: Vec<Vec<String>> = (imported.images.iter())
        .map(|image| {
            vec![
                format!("  {}", image.name),
                line(image, imported, &mut rest),
            ]
        })
        .collect();
    let plural = if rows.len() == 1 { "" } else { "s" };
    text.push_str(&format!("{} image{plural}", rows.len()));
    if let Some(name) = folder_name {
        let named = format!(
            " in stack `{name}`, named after the folder (`--stack NAME` sets another name)"
        );
        text.push_str(&named);
    }
    text.push_str(":\n");
    text.push_str(&table::lines(&rows));
    for (title, notes) in [("Imported", rest), ("Left out, or to be checked", open)] {
        if notes.is_empty() {
            continue;
        }
        text.push_str(&format!("{title}:\n"));
        for (places, found, became) in grouped(&notes) {
            let places = places.join(", ");
            text.push_str(&format!("  {places}: {found} → {became}\n"));
        }
    }
    match imported.copies.len() {
        0 => {}
        1 => text.push_str("1 file copied below images/\n"),
        count => text.push_str(&format!("{count} files copied below images/\n")),
    }
    if !dry_run {
        text.push_str("wrote specs.yml\n");
    }
    text.push_str(&originals(imported));
    text.push_str(&missing(imported));
    if !dry_run {
        text.push_str(next(imported.spec.get("registry").is_some()));
    }
    text
}

/// Returns the files that Dockerfiles name and the stack does not have.
fn missing(imported: &Imported) -> String {
    let files: Vec<&str> = imported.missing.iter().map(String::as_str).collect();
    if files.is_empty() {
        return String::new();
    }
    let shown = shortened(&files);
    format!(
        "Before you build, add these files to the contexts, or change the Dockerfiles that name them:\n  {shown}\n"
    )
}

/// Returns the first of some files, and how many there are beside them.
fn shortened(files: &[&str]) -> String {
    let mut shown = files[..files.len().min(SHOWN)].join(", ");
    match files.len().saturating_sub(SHOWN) {
        0 => {}
        rest => shown.push_str(&format!(" and {rest} more")),
    }
    shown
}

/// Returns the files that no build reads any more: copies or steps took their place.
fn not_read(imported: &Imported) -> Vec<&str> {
    let dockerfiles = imported.images.iter().filter(|it| !it.is_read);
    let dockerfiles = dockerfiles.map(|it| it.dockerfile.as_str());
    let copied = imported.copies.iter().map(|it| it.from.as_str());
    let mut seen = BTreeSet::new();
    let all = dockerfiles.chain(copied);
    all.filter(|path| seen.insert(*path)).collect()
}

/// Returns what to edit from now on, and the originals that are no longer read.
fn originals(imported: &Imported) -> String {
    let files = not_read(imported);
    if files.is_empty() {
        return String::new();
    }
    let is_copied = |path: &str| imported.copies.iter().any(|it| it.from == path);
    let has_steps = files.iter().any(|path| !is_copied(path));
    let edited = match (has_steps, imported.copies.is_empty()) {
        (false, _) => "the copies in images/",
        (true, true) => "specs.yml",
        (true, false) => "specs.yml and the copies in images/",
    };
    let shown = shortened(&files);
    format!(
        "From now on, edit {edited}: this is what laminate builds. It no longer reads the originals:\n  {shown}\n"
    )
}

/// Returns the line of an image. It has the notes about its Dockerfile if they are few, which are taken out of `notes`.
fn line(image: &ImportedImage, imported: &Imported, notes: &mut Vec<&Note>) -> String {
    let file = &image.dockerfile;
    let mut line = file.clone();
    if let Some(base) = &image.based_on {
        line.push_str(&format!(", based on {base}"));
    }
    let same = imported.images.iter().filter(|it| it.dockerfile == *file);
    let is_own = |note: &&Note| line_of(file, note).is_some();
    // Of a Dockerfile that two images have, it is not known whose they are.
    if same.count() > 1 || notes.iter().copied().filter(is_own).count() > MOST {
        return line;
    }
    let (own, others): (Vec<&Note>, Vec<&Note>) = notes.iter().copied().partition(is_own);
    *notes = others;
    for note in own {
        let at = match line_of(file, note) {
            Some(number) if !number.is_empty() => format!("line {number}: "),
            _ => String::new(),
        };
        line.push_str(&format!("; {at}{} → {}", note.found, note.became));
    }
    line
}

/// Returns the line of a note about a Dockerfile; empty if it has none.
fn line_of<'a>(file: &str, note: &'a Note) -> Option<&'a str> {
    let rest = note.place.strip_prefix(file)?;
    match rest.strip_prefix(':') {
        Some(number) => number.parse::<usize>().ok().map(|_| number),
        None => rest.is_empty().then_some(rest),
    }
}

/// Returns notes with the places that have the same one.
fn grouped<'a>(notes: &[&'a Note]) -> Vec<(Vec<&'a str>, &'a str, &'a str)> {
    let mut groups: Vec<(Vec<&str>, &str, &str)> = Vec::new();
    for note in notes {
        let (place, found, became) = (&*note.place, &*note.found, &*note.became);
        let same = groups.iter_mut().find(|it| (it.1, it.2) == (found, became));
        match same {
            Some((places, ..)) if places.contains(&place) => {}
            Some((places, ..)) => places.push(place),
            None => groups.push((vec![place], found, became)),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Copied;

    fn image(name: &str, based_on: Option<&str>) -> ImportedImage {
        ImportedImage {
            name: name.to_owned(),
            target: name.to_owned(),
            dockerfile: format!("{name}/Dockerfile"),
            based_on: based_on.map(str::to_owned),
            is_read: true,
        }
    }

    #[test]
    fn originals_that_are_no_longer_read_are_listed() {
        let copied = |from: &str| Copied {
            from: from.to_owned(),
            to: format!("images/{from}"),
        };
        let unread = |name: &str| ImportedImage {
            is_read: false,
            ..image(name, None)
        };
        let mut imported = Imported {
            spec: json!({}),
            text: None,
            copies: vec![copied("base/Dockerfile"), copied("base/x")],
            written: std::collections::BTreeMap::new(),
            missing: BTreeSet::new(),
            images: vec![unread("base"), image("web", None)],
            notes: Vec::new(),
        };
        let expected = "From now on, edit the copies in images/: this is what laminate builds. It no longer reads the originals:\n  base/Dockerfile, base/x\n";
        assert_eq!(originals(&imported), expected);
        assert!(text("", &imported, None, true).ends_with(expected));
        imported.images.push(unread("steps"));
        let edited = "edit specs.yml and the copies in images/:";
        assert!(originals(&imported).contains(edited));
        imported.copies.clear();
        assert!(originals(&imported).contains("edit specs.yml:"));
        let names = (0..20).map(|number| unread(&number.to_string()));
        imported.images = names.collect();
        assert!(originals(&imported).ends_with(" and 8 more\n"));
        imported.images = vec![image("web", None)];
        assert_eq!(originals(&imported), "");
    }

    #[test]
    fn an_image_is_one_line_and_no_note_is_lost() {
        let imported = Imported {
            spec: json!({ "registry": "ghcr.io/me" }),
            text: None,
            copies: Vec::new(),
            written: std::collections::BTreeMap::new(),
            missing: BTreeSet::new(),
            images: vec![image("base", None), image("web", Some("base"))],
            notes: vec![
                Note::done("web/Dockerfile:2", "$BASE", "`args: { BASE: base }`"),
                Note::done("list: target web", "secret x", "`secrets: [x]`"),
                Note::open("list: target base", "platforms", "left out"),
                Note::open("list: target web", "platforms", "left out"),
                Note::open("web/Dockerfile:3", "file y", "missing"),
            ],
        };
        let shown = text("", &imported, Some("campus"), false);
        let expected = "\
2 images in stack `campus`, named after the folder (`--stack NAME` sets another name):
  base  base/Dockerfile
  web   web/Dockerfile, based on base; line 2: $BASE → `args: { BASE: base }`
Imported:
  list: target web: secret x → `secrets: [x]`
Left out, or to be checked:
  list: target base, list: target web: platforms → left out
  web/Dockerfile:3: file y → missing
wrote specs.yml
";
        assert_eq!(shown.split("next: ").next(), Some(expected));
        let named = text("", &imported, None, false);
        assert!(named.starts_with("2 images:\n"), "{named}");
        let report = json("", &imported, true);
        let entries = report["report"].as_array().map(Vec::len);
        assert_eq!(entries, Some(7));
    }
}
