//! Paths in a spec that refer to files under `images/`.

use camino::{Utf8Path, Utf8PathBuf};

use super::pattern::Pattern;
use super::reader::Reader;
use crate::diagnostic::Diagnostic;
use crate::path::is_below;
use crate::source::Span;
use crate::spec::tree::{File, Files, LeftOut, Lost, clean};

/// How a pointer of Git LFS begins, and its largest size, bytes (git-lfs, "Git LFS Specification").
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
const LARGEST_POINTER: u64 = 1024;

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
        let (path, file) = self.any(reader, text, span)?;
        if let File::Regular { .. } = file {
            return self
                .is_whole(reader, path, file, span)
                .then(|| path.to_owned());
        }
        let what = format!("`{path}`");
        let found = file.describe();
        reader.report(Diagnostic::expected(&what, "a file", span, found));
        None
    }

    /// Returns a folder; links are followed.
    pub fn folder(&self, reader: &Reader, text: &str, span: Span) -> Option<Utf8PathBuf> {
        let (path, file) = self.any(reader, text, span)?;
        if file.is_folder() {
            for (inner, file) in self.files.below(path) {
                self.is_copied(reader, inner, file, span);
            }
            return Some(path.to_owned());
        }
        let what = format!("`{path}`");
        let found = file.describe();
        reader.report(Diagnostic::expected(&what, "a folder", span, found));
        None
    }

    /// Returns the bytes of a regular file whose text counts. A fault is reported.
    pub fn content(&self, reader: &Reader, path: &Utf8Path, span: Span) -> Option<&[u8]> {
        let Some(File::Regular { content, .. }) = self.files.get(path) else {
            return None;
        };
        readable(reader, path, span, content.text())
    }

    /// Returns the first bytes of a regular file, at most `count`. A fault is reported.
    pub fn start(
        &self,
        reader: &Reader,
        path: &Utf8Path,
        span: Span,
        count: usize,
    ) -> Option<Vec<u8>> {
        let Some(File::Regular { content, .. }) = self.files.get(path) else {
            return None;
        };
        readable(reader, path, span, content.start(count))
    }

    fn any(&self, reader: &Reader, text: &str, span: Span) -> Option<(&Utf8Path, &File)> {
        match self.files.follow(&self.folder, text) {
            Ok(path) => {
                let file = self.files.get(path).expect("it was just found");
                Some((path, file))
            }
            Err(lost) => {
                reader.report(self.lost(text, span, &lost));
                None
            }
        }
    }

    /// Returns the fault of a path that leads to no file.
    pub fn lost(&self, text: &str, span: Span, lost: &Lost) -> Diagnostic {
        let folder = &self.folder;
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
                .at(span, format!("paths are relative to `{folder}/`"))
                .help("move the file below `images/`; several images can use `../shared/x`"),
            Lost::LinkOutside { link, target } => {
                Diagnostic::error(format!("path `{text}` leaves `images/` by a link"))
                    .at(span, format!("`{link}` leads to `{target}`"))
                    .help("copy what the link leads to below `images/`")
            }
            Lost::Dangling { link, target } => {
                Diagnostic::error(format!("link `{link}` leads to no file"))
                    .at(span, format!("`{target}` does not exist below `images/`"))
                    .help("change the link, or add the file it leads to")
            }
            Lost::LeftOut { path, reason } => left_out(path, *reason, span),
            Lost::Loop => Diagnostic::error(format!("link `{text}` leads to itself"))
                .at(span, "its links form a loop"),
            Lost::Missing => {
                let path = clean(folder, text).unwrap_or_default();
                let all = self.files.iter().map(|(path, _)| path);
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
    /// matches. A name that exists is not a pattern. Links are followed; those in a folder stay links.
    /// `into`: the target is a folder in which they keep their names.
    pub fn copy(
        &self,
        reader: &Reader,
        pattern: &str,
        span: Span,
        into: bool,
    ) -> Option<Vec<CopyEntry>> {
        match self.files.follow(&self.folder, pattern) {
            Ok(path) => self.named(reader, pattern, path, span, into),
            Err(Lost::Missing) if pattern.contains(['*', '?', '[', '{']) => {
                self.matching(reader, pattern, span)
            }
            Err(lost) => {
                reader.report(self.lost(pattern, span, &lost));
                None
            }
        }
    }

    /// Returns what a mount has: a file, or a folder with what is in it. Links are followed; those in a
    /// folder stay links.
    pub fn source(&self, reader: &Reader, text: &str, span: Span) -> Option<Vec<CopyEntry>> {
        match self.files.follow(&self.folder, text) {
            Ok(path) => self.named(reader, text, path, span, false),
            Err(lost) => {
                reader.report(self.lost(text, span, &lost));
                None
            }
        }
    }

    fn named(
        &self,
        reader: &Reader,
        name: &str,
        path: &Utf8Path,
        span: Span,
        into: bool,
    ) -> Option<Vec<CopyEntry>> {
        let contents = name.ends_with('/') || name == ".";
        let file = self.files.get(path).expect("it was just found");
        let what = format!("`{path}`");
        if contents && !file.is_folder() {
            let found = file.describe();
            reader.report(
                Diagnostic::expected(&what, "a folder", span, found)
                    .help("remove the `/` at the end: it copies the contents of a folder"),
            );
            return None;
        }
        if let File::Special(special) = file {
            let expected = "a file or a folder";
            let found = special.describe();
            reader.report(Diagnostic::expected(&what, expected, span, found));
            return None;
        }
        if !self.is_whole(reader, path, file, span) {
            return None;
        }
        // The name of a link, not of what it leads to.
        let written = clean(&self.folder, name);
        let written = written.as_deref().and_then(Utf8Path::file_name);
        let to = match written.or(path.file_name()) {
            Some(name) if into && !contents => name,
            _ => "",
        };
        let mut list = Vec::new();
        if !contents {
            list.push(CopyEntry {
                file: path.to_owned(),
                to: to.to_owned(),
            });
        }
        if file.is_folder() {
            self.tree(reader, path, to, span, &mut list);
        }
        if list.is_empty() {
            let problem = Diagnostic::error(format!("folder `{path}` is empty"));
            reader.report(problem.at(span, "nothing to copy"));
            return None;
        }
        Some(list)
    }

    fn tree(
        &self,
        reader: &Reader,
        folder: &Utf8Path,
        to: &str,
        span: Span,
        list: &mut Vec<CopyEntry>,
    ) {
        for (path, file) in self.files.below(folder) {
            if !self.is_copied(reader, path, file, span) {
                continue;
            }
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

    /// Whether a file of a folder can be copied; warns if not.
    pub fn is_copied(&self, reader: &Reader, path: &Utf8Path, file: &File, span: Span) -> bool {
        let File::Special(special) = file else {
            return self.is_whole(reader, path, file, span);
        };
        let what = special.describe();
        let problem = Diagnostic::warning(format!("`{path}` is {what} and is not copied"));
        reader.report(problem.at(span, "it is in this folder"));
        false
    }

    /// Whether a file has its content; reports one that Git LFS has not fetched.
    fn is_whole(&self, reader: &Reader, path: &Utf8Path, file: &File, span: Span) -> bool {
        let File::Regular { content, .. } = file else {
            return true;
        };
        if !(POINTER.len() as u64..=LARGEST_POINTER).contains(&content.size()) {
            return true;
        }
        let start = content.start(POINTER.len());
        let Some(start) = readable(reader, path, span, start) else {
            return false;
        };
        if start != POINTER {
            return true;
        }
        reader.report(
            Diagnostic::error(format!(
                "content of `{path}` is missing: Git LFS has not fetched it"
            ))
            .at(span, "this file is a pointer to its content")
            .help("run `git lfs pull`; with actions/checkout, set `lfs: true`"),
        );
        false
    }

    /// Files that match keep their names in the target.
    fn matching(&self, reader: &Reader, pattern: &str, span: Span) -> Option<Vec<CopyEntry>> {
        let (glob, whole) = self.glob(reader, pattern, span)?;
        let mut list = Vec::new();
        let mut last: Option<&Utf8Path> = None;
        for (path, file) in self.files.iter() {
            // What is in a folder follows it directly.
            let inside = last.is_some_and(|last| is_below(path.as_str(), last.as_str()));
            if inside || !glob.is_match(path) {
                continue;
            }
            if !self.is_copied(reader, path, file, span) {
                continue;
            }
            last = Some(path);
            let name = path.file_name().unwrap_or_default();
            let folder = path.parent().unwrap_or(Utf8Path::new("images"));
            let found = match self.files.follow(folder, name) {
                Ok(found) => found,
                Err(lost) => {
                    reader.report(self.lost(pattern, span, &lost));
                    return None;
                }
            };
            list.push(CopyEntry {
                file: found.to_owned(),
                to: name.to_owned(),
            });
            if self.files.get(found).is_some_and(File::is_folder) {
                self.tree(reader, found, name, span, &mut list);
            }
        }
        if list.is_empty() {
            let mut left = self.files.left_out();
            reader.report(match left.find(|(path, _)| glob.is_match(path)) {
                Some((path, reason)) => left_out(path, reason, span),
                None => {
                    Diagnostic::error(format!("no file matches `{whole}`")).at(span, "this pattern")
                }
            });
            return None;
        }
        Some(list)
    }

    /// Returns a pattern over whole paths, and its text. Links in the folders before its first special
    /// character are followed.
    fn glob(&self, reader: &Reader, pattern: &str, span: Span) -> Option<(Pattern, String)> {
        let special = pattern.find(['*', '?', '[', '{', '\\']).unwrap_or(0);
        let (folder, rest) = match pattern[..special].rfind('/') {
            Some(slash) => pattern.split_at(slash + 1),
            None => ("", pattern),
        };
        let cleaned = clean(&self.folder, folder).unwrap_or_default();
        let folder = match self.files.follow(&self.folder, folder) {
            Ok(folder) => folder.to_owned(),
            // The image has no folder, or the stack's own is meant.
            Err(Lost::Missing) => cleaned,
            // Of all its files, the pattern may match another one.
            Err(Lost::LeftOut { path, .. }) if path != cleaned && path.starts_with(&cleaned) => {
                cleaned
            }
            Err(lost) => {
                reader.report(self.lost(pattern, span, &lost));
                return None;
            }
        };
        let Some(whole) = clean(&folder, rest) else {
            reader.report(self.lost(pattern, span, &Lost::Outside));
            return None;
        };
        let start = globset::escape(folder.as_str());
        let rest = whole.strip_prefix(&folder).map(Utf8Path::as_str);
        let text = match rest {
            Ok(rest) => format!("{start}/{rest}"),
            Err(_) => whole.to_string(),
        };
        match Pattern::parse(&text) {
            Ok(pattern) => Some((pattern, whole.to_string())),
            Err(reason) => {
                reader.report(Diagnostic::invalid("pattern", pattern, span, reason));
                None
            }
        }
    }
}

/// Returns the fault of a path to a file that is left out.
fn left_out(path: &Utf8Path, reason: LeftOut, span: Span) -> Diagnostic {
    match reason {
        LeftOut::Ignored => Diagnostic::error(format!("`{path}` is ignored by git"))
            .at(span, "ignored files are never part of an image")
            .help(format!(
                "`git check-ignore -v {path}` shows the rule: change it, or run `git add --force {path}`"
            )),
        LeftOut::LeftBehind => Diagnostic::error(format!("`{path}` is left out"))
            .at(span, "tools leave files with this name behind")
            .help(format!("rename it, or run `git add --force {path}`")),
        LeftOut::Empty => Diagnostic::error(format!("folder `{path}` is empty"))
            .at(span, "git does not track empty folders")
            .help("add a file to it; for a submodule, run `git submodule update --init`"),
    }
}

/// Returns what was read of a file; reports why it could not be.
fn readable<T>(
    reader: &Reader,
    path: &Utf8Path,
    span: Span,
    read: std::io::Result<T>,
) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) => {
            let problem = Diagnostic::error(format!("cannot read `{path}`"));
            reader.report(problem.at(span, error.to_string()));
            None
        }
    }
}
