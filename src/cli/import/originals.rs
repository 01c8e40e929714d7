//! The originals of copies and steps: no build reads them any more.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use crate::cli::paths::normalized;
use crate::import::{Imported, Sources};

/// Originals that a report lists.
const SHOWN: usize = 12;

/// The originals of what was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Originals {
    /// All files.
    pub files: Vec<String>,
    /// The same, with a folder in place of its files if they are all originals; folders end with `/`.
    short: Vec<String>,
    /// What people edit in place of the files.
    edited: String,
    /// The folder that the files are in, if it is not that of the spec.
    folder: Option<String>,
}

impl Originals {
    /// Returns the files that no build reads any more: copies or steps took their place.
    /// `other`: the folder of the spec, if it is not the current one. `elsewhere`: that of the originals, if the spec is in another.
    pub fn of(
        imported: &Imported,
        sources: &Sources,
        other: Option<&Utf8Path>,
        elsewhere: Option<&Utf8Path>,
    ) -> Self {
        let dockerfiles = imported.images.iter().filter(|it| !it.is_read);
        let dockerfiles = dockerfiles.map(|it| it.dockerfile.as_str());
        let copied: BTreeSet<&str> = imported.copies.iter().map(|it| it.from.as_str()).collect();
        let mut seen = BTreeSet::new();
        let all = dockerfiles.chain(imported.copies.iter().map(|it| it.from.as_str()));
        let files: Vec<String> = all
            .filter(|path| seen.insert(*path))
            .map(str::to_owned)
            .collect();
        let has_steps = files.iter().any(|path| !copied.contains(path.as_str()));
        let other = other.map_or_else(String::new, |folder| format!("{folder}/"));
        let (spec, copies) = (
            format!("{other}specs.yml"),
            format!("the copies in {other}images/"),
        );
        let edited = match (has_steps, copied.is_empty()) {
            (false, _) => copies,
            (true, true) => spec,
            (true, false) => format!("{spec} and {copies}"),
        };
        Self {
            short: with_folders(&files, imported, sources),
            files,
            edited,
            folder: elsewhere.map(|folder| match normalized(folder.as_std_path()).to_str() {
                None | Some("") => ".".to_owned(),
                Some(folder) => folder.to_owned(),
            }),
        }
    }

    /// Returns what to edit from now on, and the originals that are no longer read. `removal`: the folder that they are in,
    /// if git can remove them.
    pub fn text(&self, is_written: bool, removal: Option<&Utf8Path>) -> String {
        if self.files.is_empty() {
            return String::new();
        }
        let edited = &self.edited;
        let originals = match &self.folder {
            Some(folder) => format!("the originals in `{folder}`"),
            None => "the originals".to_owned(),
        };
        let mut text = if is_written {
            format!(
                "From now on, edit {edited}: this is what laminate builds. It no longer reads {originals}:\n"
            )
        } else {
            format!(
                "After an import, edit {edited}: this is what laminate builds. It does not read {originals}:\n"
            )
        };
        text.push_str(&listed(&self.short));
        if let Some(folder) = removal.filter(|_| self.short.len() <= SHOWN) {
            let folder = match folder.as_str() {
                "." => String::new(),
                folder => format!(" -C {}", quoted(folder)),
            };
            let paths: Vec<String> = self.short.iter().map(|path| quoted(path)).collect();
            text.push_str(&format!(
                "Once the build works, delete those that nothing else uses:\n  git{folder} rm -r {}\n",
                paths.join(" ")
            ));
        }
        text
    }
}

/// Returns files on lines of their own: the first ones, and how many there are beside them.
pub fn listed(files: &[impl AsRef<str>]) -> String {
    let shown = files.iter().take(SHOWN);
    let mut text: String = shown.map(|file| format!("  {}\n", file.as_ref())).collect();
    match files.len().saturating_sub(SHOWN) {
        0 => {}
        rest => text.push_str(&format!("  … and {rest} more (`--json` has all)\n")),
    }
    text
}

/// Returns files with a folder in place of its files if all that git does not ignore are among them.
fn with_folders(files: &[String], imported: &Imported, sources: &Sources) -> Vec<String> {
    let count = |paths: &mut dyn Iterator<Item = &str>| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for folder in paths.flat_map(folders) {
            *counts.entry(folder.to_owned()).or_default() += 1;
        }
        counts
    };
    let tracked = sources.files.keys().chain(&sources.unnamed);
    let tracked = tracked.map(String::as_str);
    let all = count(&mut tracked.filter(|path| !sources.is_ignored(path)));
    let own = count(&mut files.iter().map(String::as_str));
    let written = imported.copies.iter().map(|it| it.to.as_str());
    let written = count(&mut written.chain(imported.written.keys().map(String::as_str)));
    let is_whole =
        |folder: &&str| own.get(*folder) == all.get(*folder) && !written.contains_key(*folder);
    let mut seen = BTreeSet::new();
    let mut short = Vec::new();
    for file in files {
        let whole = folders(file).filter(is_whole).last();
        let path = whole.map_or_else(|| file.clone(), |folder| format!("{folder}/"));
        if seen.insert(path.clone()) {
            short.push(path);
        }
    }
    short
}

/// Returns the folders that a file is in, the innermost first.
fn folders(file: &str) -> impl Iterator<Item = &str> {
    let above = Utf8Path::new(file).ancestors().skip(1);
    above.map(Utf8Path::as_str).filter(|path| !path.is_empty())
}

/// Returns a path as a word of a shell.
pub fn quoted(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if !path.starts_with('-') && path.chars().all(is_plain) {
        return path.to_owned();
    }
    let path = if path.starts_with('-') {
        format!("./{path}")
    } else {
        path.to_owned()
    };
    format!("'{}'", path.replace('\'', "'\\''"))
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;
    use crate::import::{Copied, ImportedImage};

    /// Returns an import without anything.
    pub fn nothing() -> Imported {
        Imported {
            spec: json!({}),
            text: String::new(),
            tags: Vec::new(),
            copies: Vec::new(),
            written: BTreeMap::new(),
            missing: BTreeSet::new(),
            images: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn copied(from: &str) -> Copied {
        Copied {
            from: from.to_owned(),
            to: format!("images/{from}"),
        }
    }

    fn sources(paths: &[&str]) -> Sources {
        Sources {
            files: paths
                .iter()
                .map(|path| ((*path).to_owned(), None))
                .collect(),
            ignored: BTreeSet::from(["base/dist".to_owned()]),
            ..Sources::default()
        }
    }

    #[test]
    fn a_folder_whose_files_are_all_originals_is_one_line() {
        let imported = Imported {
            copies: ["base/Dockerfile", "base/x/y", "web/Dockerfile", "a b"]
                .map(copied)
                .to_vec(),
            ..nothing()
        };
        let sources = sources(&[
            "a b",
            "base/Dockerfile",
            "base/dist/x.whl",
            "base/x/y",
            "web/Dockerfile",
            "web/README.md",
        ]);
        let originals = Originals::of(&imported, &sources, None, None);
        let expected = "\
From now on, edit the copies in images/: this is what laminate builds. It no longer reads the originals:
  base/
  web/Dockerfile
  a b
Once the build works, delete those that nothing else uses:
  git -C x rm -r base web/Dockerfile 'a b'
";
        assert_eq!(originals.text(true, Some(Utf8Path::new("x"))), expected);
        let dry = originals.text(false, None);
        assert!(dry.starts_with("After an import, edit the copies"), "{dry}");
        assert!(dry.ends_with("  a b\n"), "{dry}");
    }

    #[test]
    fn a_folder_that_copies_are_in_is_not_one_of_originals() {
        let imported = Imported {
            copies: vec![Copied {
                from: "images/x/Dockerfile".to_owned(),
                to: "images/web/Dockerfile".to_owned(),
            }],
            ..nothing()
        };
        let mut sources = sources(&["images/x/Dockerfile"]);
        assert_eq!(
            Originals::of(&imported, &sources, None, None).short,
            ["images/x/"]
        );
        sources.unnamed = vec!["images/x/caf\u{fffd}".to_owned()];
        let short = Originals::of(&imported, &sources, None, None).short;
        assert_eq!(short, ["images/x/Dockerfile"]);
    }

    #[test]
    fn what_to_edit_is_what_took_the_place_of_the_originals() {
        let unread = |name: &str| ImportedImage {
            name: name.to_owned(),
            target: name.to_owned(),
            dockerfile: format!("{name}/Dockerfile"),
            based_on: None,
            is_read: false,
        };
        let of = |imported: &Imported| Originals::of(imported, &Sources::default(), None, None);
        let mut imported = nothing();
        assert_eq!(of(&imported).text(true, None), "");
        imported.images = vec![unread("steps")];
        assert!(of(&imported).text(true, None).contains("edit specs.yml:"));
        imported.copies = vec![copied("base/x")];
        let both = "edit specs.yml and the copies in images/:";
        assert!(of(&imported).text(true, None).contains(both));
        imported.images = (0..20).map(|number| unread(&number.to_string())).collect();
        let text = of(&imported).text(true, Some(Utf8Path::new(".")));
        assert!(
            text.ends_with("  … and 9 more (`--json` has all)\n"),
            "{text}"
        );
    }
}
