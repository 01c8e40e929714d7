//! The spec that an import replaces: its keys beside `images:` are kept.

use std::collections::BTreeSet;

use super::texts::line;
use super::{Note, yaml};
use crate::source::{Sources, Span};
use crate::spec::node::{self, Entry, Node, Value as NodeValue};

/// Keys at the start of a spec.
const HEAD: [&str; 4] = ["stack", "registry", "series", "tags"];

/// How the comments begin that an import writes above a spec.
const HEADER: [&str; 2] = ["# Imported from ", "# To publish images, add "];

/// The longest text of a key in a note, characters.
const LONGEST: usize = 60;

/// A spec with the places of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingSpec {
    text: String,
    entries: Vec<Entry>,
}

impl ExistingSpec {
    /// Reads a spec; `None` if it is not a valid mapping.
    pub fn read(text: &str) -> Option<Self> {
        let mut sources = Sources::default();
        let source = sources.add("specs.yml", text);
        let mut problems = Vec::new();
        let node = node::parse(&sources, source, &mut problems)?;
        let NodeValue::Map(entries) = node.value else {
            return None;
        };
        problems.is_empty().then(|| Self {
            text: text.to_owned(),
            entries,
        })
    }

    /// Returns the text that is the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let node = find(&self.entries, key).filter(|node| !node.is_null())?;
        match &node.value {
            NodeValue::Scalar { text, .. } => Some(text),
            NodeValue::List(_) | NodeValue::Map(_) => None,
        }
    }

    /// Returns a new spec with the keys of this one that it does not set, as they are written here, and notes of what is
    /// lost. `set`: keys that the new one sets although this one has them, beside `images` and `vars`.
    pub fn kept_in(&self, new: &str, set: &[&str], notes: &mut Vec<Note>) -> String {
        let Some(made) = Self::read(new) else {
            return new.to_owned();
        };
        let is_set =
            |key: &str| key == "images" || set.contains(&key) || key == "vars" && made.has("vars");
        let kept = self.entries.iter().map(|entry| entry.key.text.as_str());
        let kept: BTreeSet<&str> = kept.filter(|key| !is_set(key)).collect();
        let merged = self.merged(&made, &kept);
        if merged.is_none() {
            for entry in self
                .entries
                .iter()
                .filter(|it| kept.contains(&*it.key.text))
            {
                let became = "left out: its lines cannot be kept as they are; add it again";
                notes.push(self.note(entry, "", became));
            }
        }
        for (key, what) in [("images", "image"), ("vars", "variable")] {
            if is_set(key) && made.has(key) {
                self.note_lost(&made, key, what, notes);
            }
        }
        merged.unwrap_or_else(|| new.to_owned())
    }

    fn has(&self, key: &str) -> bool {
        find(&self.entries, key).is_some()
    }

    /// Returns the text of both specs; `None` if their lines do not make a valid one.
    fn merged(&self, new: &Self, kept: &BTreeSet<&str>) -> Option<String> {
        let own = self.parts()?.into_iter();
        let own = own.filter(|(key, _)| kept.contains(key)).map(|it| it.1);
        let made = new.parts()?.into_iter();
        let made = made.filter(|(key, _)| !kept.contains(key));
        let (head, rest): (Vec<_>, Vec<_>) = made.partition(|(key, _)| HEAD.contains(key));
        let head = head.into_iter().map(|it| it.1);
        let text: String = head
            .chain(own)
            .chain(rest.into_iter().map(|it| it.1))
            .collect();
        let merged = Self::read(&text)?;
        let is_whole = |spec: &Self, is_from: &dyn Fn(&str) -> bool| {
            let mut entries = spec.entries.iter().filter(|it| is_from(&it.key.text));
            entries.all(|it| {
                let found = find(&merged.entries, &it.key.text);
                found.is_some_and(|found| yaml::value(found) == yaml::value(&it.value))
            })
        };
        let is_kept = |key: &str| kept.contains(key);
        let is_whole = is_whole(self, &is_kept) && is_whole(new, &|key| !is_kept(key));
        is_whole.then_some(text)
    }

    /// Returns the lines of each key, with the comments above it; `None` if keys share lines.
    fn parts(&self) -> Option<Vec<(&str, String)>> {
        let mut starts = Vec::new();
        let mut before = 0;
        for entry in &self.entries {
            let at = entry.key.span.start as usize;
            if at > 0 && !self.text[..at].ends_with('\n') {
                return None;
            }
            let above = self.text[before..at].split_inclusive('\n').rev();
            let comments = above.take_while(|line| line.starts_with('#'));
            starts.push(at - comments.map(str::len).sum::<usize>());
            before = at;
        }
        let ends = starts.iter().skip(1).copied().chain([self.text.len()]);
        let parts = self.entries.iter().zip(starts.iter().zip(ends));
        let parts = parts.map(|(entry, (start, end))| {
            let lines = self.text[*start..end].split_inclusive('\n');
            let is_own = |line: &&str| !HEADER.iter().any(|begin| line.starts_with(begin));
            let mut text: String = lines.filter(is_own).collect();
            if !text.ends_with('\n') {
                text.push('\n');
            }
            (entry.key.text.as_str(), text)
        });
        Some(parts.collect())
    }

    /// Notes the entries of a mapping, and the keys of these, that another spec has not, or has otherwise.
    fn note_lost(&self, new: &Self, key: &str, what: &str, notes: &mut Vec<Note>) {
        let (Some(own), Some(made)) = (map(&self.entries, key), map(&new.entries, key)) else {
            return;
        };
        for entry in own {
            let name = &entry.key.text;
            let Some(other) = find(made, name) else {
                let became = format!("left out: the import has no {what} of this name");
                notes.push(self.note(entry, "", &became));
                continue;
            };
            let (NodeValue::Map(own), NodeValue::Map(made)) = (&entry.value.value, &other.value)
            else {
                if yaml::value(&entry.value) != yaml::value(other) {
                    notes.push(self.note(entry, "", "replaced"));
                }
                continue;
            };
            let of = format!(" of {what} {name}");
            for entry in own {
                match find(made, &entry.key.text) {
                    // Its steps take its place.
                    None if entry.key.text == "dockerfile" => {}
                    None => notes.push(self.note(entry, &of, "left out: add it again")),
                    Some(other) if yaml::value(other) == yaml::value(&entry.value) => {}
                    Some(_) => {
                        notes.push(self.note(entry, &of, "replaced: compare it with the new one"))
                    }
                }
            }
        }
    }

    fn note(&self, entry: &Entry, of: &str, became: &str) -> Note {
        let Span { start, .. } = entry.key.span;
        let line = line(&self.text, start as usize);
        let written = &self.text[start as usize..];
        let end = (entry.value.span.end.max(entry.key.span.end) - start) as usize;
        let written = written.get(..end).unwrap_or(written);
        let first = written.lines().next().unwrap_or_default().trim_end();
        let shown: String = first.chars().take(LONGEST).collect();
        let more = if shown.len() < written.trim_end().len() {
            " …"
        } else {
            ""
        };
        let found = format!("`{shown}{more}`{of}");
        Note::open(format!("replaced specs.yml:{line}"), found, became)
    }
}

fn find<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Node> {
    let mut entries = entries.iter();
    entries
        .find(|entry| entry.key.text == key)
        .map(|entry| &entry.value)
}

/// Returns the entries of the mapping that a key has.
fn map<'a>(entries: &'a [Entry], key: &str) -> Option<&'a [Entry]> {
    match &find(entries, key)?.value {
        NodeValue::Map(entries) => Some(entries),
        NodeValue::Scalar { .. } | NodeValue::List(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "stack: folder\nregistry: ghcr.io/new\ntags: [\"${commit7}\"]\nimages:\n  a:\n    base: debian:12\n    steps:\n      - run: make\n";

    fn kept(old: &str, set: &[&str]) -> (String, Vec<String>) {
        let mut notes = Vec::new();
        let old = ExistingSpec::read(old).expect("valid");
        let text = old.kept_in(NEW, set, &mut notes);
        let notes = notes.iter();
        let notes = notes.map(|it| format!("{}: {} → {}", it.place, it.found, it.became));
        (text, notes.collect())
    }

    #[test]
    fn keys_beside_the_images_are_kept_as_they_are_written() {
        let old = "# Imported from Dockerfiles. docs/spec.md of laminate describes the keys.\n# Ours.\nstack: campus\nregistry: ghcr.io/campus # the old one\n\n# Each term.\nseries: \"2026.1\"\ntags: [\"${series}-${commit7}\"]\ntests:\n  # On every image.\n  common: { pytest: tests }\nimages:\n  a: { dockerfile: Dockerfile }\n# To the world.\nchannels: { stable: { tag: stable } }";
        let (text, notes) = kept(old, &[]);
        let expected = "# Ours.\nstack: campus\nregistry: ghcr.io/campus # the old one\n\n# Each term.\nseries: \"2026.1\"\ntags: [\"${series}-${commit7}\"]\ntests:\n  # On every image.\n  common: { pytest: tests }\n# To the world.\nchannels: { stable: { tag: stable } }\nimages:\n  a:\n    base: debian:12\n    steps:\n      - run: make\n";
        assert_eq!(text, expected);
        assert_eq!(notes, [""; 0]);
        let (text, _) = kept(old, &["registry"]);
        assert!(
            text.starts_with("registry: ghcr.io/new\n# Ours.\nstack: campus\n# Each"),
            "{text}"
        );
    }

    #[test]
    fn what_is_lost_below_images_is_listed_with_its_line() {
        let old = "stack: campus\nimages:\n  a:\n    dockerfile: Dockerfile\n    tests: { server: { serve: 8888 } }\n    steps:\n      - run: true\n      - run: false\n  b: { base: a }\n";
        let (_, notes) = kept(old, &[]);
        let expected = [
            "replaced specs.yml:5: `tests: { server: { serve: 8888 } }` of image a → left out: add it again",
            "replaced specs.yml:6: `steps: …` of image a → replaced: compare it with the new one",
            "replaced specs.yml:9: `b: { base: a }` → left out: the import has no image of this name",
        ];
        assert_eq!(notes, expected);
    }

    #[test]
    fn a_key_whose_lines_cannot_be_kept_is_listed() {
        let (text, notes) = kept("{ stack: campus, tests: { a: { run: x } } }", &[]);
        assert_eq!(text, NEW);
        assert_eq!(notes.len(), 2);
        let aliases = "stack: campus\nimages:\n  b: &b { base: debian:12 }\nclusters: *b\n";
        let (text, notes) = kept(aliases, &[]);
        assert_eq!(text, NEW);
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert_eq!(ExistingSpec::read("[a]"), None);
        assert_eq!(ExistingSpec::read("a: ["), None);
    }
}
