//! Paths in a spec that refer to files under `images/`.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::reader::Reader;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::tree::{File, Files, Lost, clean};

/// Finds files for paths that are relative to one folder. Faults are reported.
pub struct Paths<'a> {
    /// All files under `images/`.
    pub files: &'a Files,
    /// `images/<name>` for an image, `images` for the stack.
    pub folder: Utf8PathBuf,
}

/// One file that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyEntry {
    /// Where it is, under `images/`.
    pub file: Utf8PathBuf,
    /// Its path relative to the target; empty if the target itself is the file.
    pub to: String,
}

impl Paths<'_> {
    /// Returns a regular file; links are followed.
    pub fn file(&self, reader: &Reader, text: &str, span: Span) -> Option<Utf8PathBuf> {
        let path = self.any(reader, text, span)?;
        if let Some(File::Regular { .. }) = self.files.0.get(&path) {
            return Some(path);
        }
        let what = format!("`{path}`");
        reader.report(Diagnostic::expected(&what, "a file", span, "a folder"));
        None
    }

    /// Returns a folder; links are followed.
    pub fn folder(&self, reader: &Reader, text: &str, span: Span) -> Option<Utf8PathBuf> {
        let path = self.any(reader, text, span)?;
        if let Some(File::Folder) = self.files.0.get(&path) {
            return Some(path);
        }
        let what = format!("`{path}`");
        reader.report(Diagnostic::expected(&what, "a folder", span, "a file"));
        None
    }

    /// Returns the bytes of a regular file.
    pub fn content(&self, path: &Utf8Path) -> Option<&[u8]> {
        match self.files.0.get(path) {
            Some(File::Regular { content, .. }) => Some(content),
            Some(File::Link { .. } | File::Folder) | None => None,
        }
    }

    fn any(&self, reader: &Reader, text: &str, span: Span) -> Option<Utf8PathBuf> {
        match self.files.follow(&self.folder, text) {
            Ok(path) => Some(path.to_owned()),
            Err(lost) => {
                reader.report(self.lost(text, span, &lost));
                None
            }
        }
    }

    fn lost(&self, text: &str, span: Span, lost: &Lost) -> Diagnostic {
        match lost {
            Lost::Outside if text.starts_with('/') => {
                let what = format!("path `{text}`");
                let expected = format!("relative to `{}/`", self.folder);
                Diagnostic::expected(&what, &expected, span, "an absolute path").help(format!(
                    "put the file into `{}/`, and write its path from there",
                    self.folder
                ))
            }
            Lost::Outside => Diagnostic::error(format!("path `{text}` leaves `images/`"))
                .at(span, format!("paths are relative to `{}/`", self.folder))
                .help("move the file below `images/`; several images can use `../shared/x`"),
            Lost::Loop => Diagnostic::error(format!("link `{text}` leads to itself"))
                .at(span, "its links form a loop"),
            Lost::Missing => {
                let path = clean(&self.folder, text).unwrap_or_default();
                let all = self.files.0.keys();
                let siblings = all.filter(|other| other.parent() == path.parent());
                let siblings = siblings.filter_map(|path| path.file_name());
                let name = path.file_name().unwrap_or_default();
                Diagnostic::error(format!("missing file `{path}`"))
                    .at(span, "no such file")
                    .did_you_mean(name, siblings)
            }
        }
    }

    /// Returns what a `copy` takes: a file, a folder, `folder/` (its contents), or a pattern's
    /// matches. `into`: the target is a folder in which they keep their names.
    pub fn copy(
        &self,
        reader: &Reader,
        pattern: &str,
        span: Span,
        into: bool,
    ) -> Option<Vec<CopyEntry>> {
        if pattern.contains(['*', '?', '[', '{']) {
            return self.matching(reader, pattern, span);
        }
        let contents = pattern.ends_with('/') || pattern == ".";
        // A link is copied as a link, so the last part is not followed.
        let Some(path) = clean(&self.folder, pattern) else {
            reader.report(self.lost(pattern, span, &Lost::Outside));
            return None;
        };
        let Some(file) = self.files.0.get(&path) else {
            reader.report(self.lost(pattern, span, &Lost::Missing));
            return None;
        };
        let is_folder = *file == File::Folder;
        if contents && !is_folder {
            let what = format!("`{path}`");
            reader.report(
                Diagnostic::expected(&what, "a folder", span, "a file")
                    .help("remove the `/` at the end: it copies the contents of a folder"),
            );
            return None;
        }
        let mut list = Vec::new();
        let to = match path.file_name() {
            Some(name) if into && !contents => name,
            _ => "",
        };
        if !contents {
            list.push(CopyEntry {
                file: path.clone(),
                to: to.to_owned(),
            });
        }
        if is_folder {
            self.tree(&path, to, &mut list);
        }
        if list.is_empty() {
            let problem = Diagnostic::error(format!("folder `{path}` is empty"));
            reader.report(problem.at(span, "nothing to copy"));
            return None;
        }
        Some(list)
    }

    fn tree(&self, folder: &Utf8Path, to: &str, list: &mut Vec<CopyEntry>) {
        for (path, _) in self.files.below(folder) {
            let rest = path.strip_prefix(folder).expect("it is below the folder");
            let to = if to.is_empty() {
                rest.to_string()
            } else {
                format!("{to}/{rest}")
            };
            list.push(CopyEntry {
                file: path.clone(),
                to,
            });
        }
    }

    /// Files that match keep their names in the target.
    fn matching(&self, reader: &Reader, pattern: &str, span: Span) -> Option<Vec<CopyEntry>> {
        let Some(whole) = clean(&self.folder, pattern) else {
            reader.report(self.lost(pattern, span, &Lost::Outside));
            return None;
        };
        let glob = globset::GlobBuilder::new(whole.as_str())
            .literal_separator(true)
            .build();
        let glob = match glob {
            Ok(glob) => glob.compile_matcher(),
            Err(error) => {
                let reason = error.kind().to_string();
                reader.report(Diagnostic::invalid("pattern", pattern, span, reason));
                return None;
            }
        };
        let mut list = Vec::new();
        let mut taken = BTreeSet::new();
        for (path, file) in &self.files.0 {
            let inside = path.ancestors().skip(1).any(|above| taken.contains(above));
            if inside || !glob.is_match(path) {
                continue;
            }
            taken.insert(path.as_path());
            let name = path.file_name().unwrap_or_default();
            list.push(CopyEntry {
                file: path.clone(),
                to: name.to_owned(),
            });
            if *file == File::Folder {
                self.tree(path, name, &mut list);
            }
        }
        if list.is_empty() {
            let problem = Diagnostic::error(format!("no file matches `{whole}`"));
            reader.report(problem.at(span, "this pattern"));
            return None;
        }
        Some(list)
    }
}
