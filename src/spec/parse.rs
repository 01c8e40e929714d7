//! From texts to a [`Spec`], without the disk.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::node::{self, Node};
use super::tree::{File, Files};
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Sources};

/// A spec as written: trees of YAML and the other files.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The texts that were parsed.
    pub sources: Sources,
    /// The tree of `specs.yml`; `None` if it is not YAML or empty.
    pub root: Option<Node>,
    /// The trees of `images/<name>/image.yml`, by name; `None` for an invalid one, which is reported.
    pub images: BTreeMap<String, Option<Node>>,
    /// Everything else under `images/`.
    pub files: Files,
    /// Faults of the YAML itself.
    pub problems: Vec<Diagnostic>,
}

/// The name of a file that declares an image.
pub const DECLARATION: &str = "image.yml";

/// Parses the text of a spec called `name`, with the files under `images/` beside it.
pub fn parse(name: &str, text: &str, files: Files) -> Spec {
    with_files(parse_text(name, text), files)
}

/// Parses the text of a spec called `name` alone.
pub(super) fn parse_text(name: &str, text: &str) -> Spec {
    let mut spec = Spec::default();
    let source = spec.sources.add(name, text);
    spec.root = parse_document(&mut spec, source, "add at least `stack` and `images`");
    spec
}

/// Adds the files under `images/` to a spec whose text is parsed, and parses those that declare images.
pub fn with_files(mut spec: Spec, files: Files) -> Spec {
    spec.files = files;
    let declarations = declarations(&spec.files);
    // All texts before the first file is removed: one can be a link to another.
    let texts: Vec<_> = (declarations.into_iter())
        .map(|(path, names)| (text_of(&spec.files, &path), path, names))
        .collect();
    for (text, path, names) in texts {
        spec.files.remove(&path);
        let node = match text {
            Ok(text) => {
                let source = spec.sources.add(path.as_str(), text);
                parse_document(&mut spec, source, "add `base`, or remove the file")
            }
            Err(problem) => {
                spec.problems.push(problem);
                None
            }
        };
        for name in names {
            spec.images.insert(name, node.clone());
        }
    }
    spec
}

/// Returns the files that declare images, `images/<name>/image.yml`, with these names: a folder has
/// several if links lead to it.
fn declarations(files: &Files) -> BTreeMap<Utf8PathBuf, Vec<String>> {
    let mut found: BTreeMap<Utf8PathBuf, Vec<String>> = BTreeMap::new();
    let images = Utf8Path::new("images");
    let names = files.iter().filter_map(|(path, file)| {
        let inner = path.as_str().strip_prefix("images/")?;
        match inner.split_once('/') {
            Some((name, inner)) => (inner == DECLARATION).then_some(name),
            None => matches!(file, File::Link { .. }).then_some(inner),
        }
    });
    for name in names {
        let folder = files.follow(images, name).map(Utf8Path::to_owned);
        let folder = folder.unwrap_or_else(|_| images.join(name));
        let file = files.follow(&folder, DECLARATION);
        if let Some(File::Regular { .. }) = file.ok().and_then(|file| files.get(file)) {
            let path = folder.join(DECLARATION);
            found.entry(path).or_default().push(name.to_owned());
        }
    }
    found
}

/// Returns the text of a file; links are followed.
fn text_of(files: &Files, path: &Utf8Path) -> Result<String, Diagnostic> {
    let found = files.follow(path.parent().unwrap_or(path), DECLARATION);
    let file = found.ok().and_then(|found| files.get(found));
    let Some(File::Regular { content, .. }) = file else {
        unreachable!("it was just found");
    };
    let unreadable = |error| Diagnostic::error(format!("cannot read `{path}`: {error}"));
    let bytes = content.text().map_err(unreadable)?.to_vec();
    String::from_utf8(bytes).map_err(|_| Diagnostic::error(format!("`{path}` is not valid UTF-8")))
}

/// Parses one file. A file without a document is an error too, with this help.
fn parse_document(spec: &mut Spec, source: SourceId, help: &str) -> Option<Node> {
    let before = spec.problems.len();
    let root = node::parse(&spec.sources, source, &mut spec.problems);
    if root.is_none() && spec.problems.len() == before {
        let path = &spec.sources.file(source).path;
        let problem = Diagnostic::error(format!("`{path}` is empty")).help(help);
        spec.problems.push(problem);
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &[u8])]) -> Files {
        let mut files = Files::default();
        for (path, content) in list {
            let file = File::Regular {
                content: (*content).into(),
                executable: false,
            };
            files.insert(Utf8PathBuf::from(path), file);
        }
        files
    }

    #[test]
    fn declarations_of_images_are_trees_and_not_files() {
        let files = files(&[
            ("images/a/image.yml", b"base: debian:12"),
            ("images/a/x", b"x"),
            ("images/a/deep/image.yml", b"kept"),
        ]);
        let spec = parse("specs.yml", "stack: x", files);
        assert!(spec.problems.is_empty() && spec.root.is_some());
        assert_eq!(spec.images.keys().collect::<Vec<_>>(), ["a"]);
        let kept: Vec<&str> = spec.files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(kept, ["images/a/deep/image.yml", "images/a/x"]);
    }

    #[test]
    fn empty_files_are_faults() {
        for empty in ["", "# a comment\n"] {
            let files = files(&[("images/a/image.yml", empty.as_bytes())]);
            let spec = parse("specs.yml", empty, files);
            let messages: Vec<&str> = spec.problems.iter().map(|p| p.message.as_str()).collect();
            let expected = ["`specs.yml` is empty", "`images/a/image.yml` is empty"];
            assert_eq!(messages, expected, "{empty:?}");
        }
    }

    #[test]
    fn faults_of_all_files_are_collected() {
        let files = files(&[
            ("images/a/image.yml", b"[1"),
            ("images/b/image.yml", b"\xff"),
        ]);
        let spec = parse("specs.yml", "a: 1\na: 2", files);
        let messages: Vec<&str> = spec.problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "duplicate key `a`",
                "invalid YAML",
                "`images/b/image.yml` is not valid UTF-8"
            ]
        );
    }
}
