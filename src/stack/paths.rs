//! Paths of the spec that name files under `images/`.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::decode::Reader;
use super::{CopyEntry, File, Files};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::tree::{Lost, clean};

/// Finds files for one who declares paths in `folder` (`images/<name>`, or `images` for the stack).
pub struct Paths<'a> {
    pub files: &'a Files,
    pub folder: Utf8PathBuf,
}

impl Paths<'_> {
    /// A regular file; links are followed.
    pub fn file(&self, reader: &Reader, text: &str, span: Span) -> Option<Utf8PathBuf> {
        let path = self.any(reader, text, span)?;
        match self.files.0.get(&path) {
            Some(File::Regular { .. }) => Some(path),
            _ => {
                reader.say(
                    Diagnostic::error(format!("{path} is a folder")).at(span, "a file is wanted"),
                );
                None
            }
        }
    }

    /// A folder; links are followed.
    pub fn folder(&self, reader: &Reader, text: &str, span: Span) -> Option<Utf8PathBuf> {
        let path = self.any(reader, text, span)?;
        match self.files.0.get(&path) {
            Some(File::Folder) => Some(path),
            _ => {
                reader.say(
                    Diagnostic::error(format!("{path} is a file")).at(span, "a folder is wanted"),
                );
                None
            }
        }
    }

    fn any(&self, reader: &Reader, text: &str, span: Span) -> Option<Utf8PathBuf> {
        match self.files.follow(&self.folder, text) {
            Ok(path) => Some(path.to_owned()),
            Err(lost) => {
                self.lost(reader, text, span, &lost);
                None
            }
        }
    }

    fn lost(&self, reader: &Reader, text: &str, span: Span, lost: &Lost) {
        let problem = match lost {
            Lost::Outside => Diagnostic::error(format!("`{text}` leaves images/"))
                .at(span, format!("paths are relative to {}/", self.folder))
                .help("put the file below images/; `../shared/x` is a file several images use"),
            Lost::Loop => Diagnostic::error(format!("`{text}` is a link that leads to itself"))
                .at(span, "links name each other"),
            Lost::Missing => {
                let wanted = clean(&self.folder, text).unwrap_or_default();
                let beside: Vec<&str> = self
                    .files
                    .0
                    .keys()
                    .filter(|path| path.parent() == wanted.parent())
                    .filter_map(|path| path.file_name())
                    .collect();
                let name = wanted.file_name().unwrap_or_default();
                Diagnostic::error(format!("there is no file {wanted}"))
                    .at(span, "it is named here")
                    .did_you_mean(name, beside)
            }
        };
        reader.say(problem);
    }

    /// What a `copy` from here takes: a file, a folder, `folder/` (its contents), or a pattern.
    /// `into`: the target is a folder that what is named goes into.
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
        // A link is copied as the link it is, so the last part is not followed.
        let Some(path) = clean(&self.folder, pattern) else {
            self.lost(reader, pattern, span, &Lost::Outside);
            return None;
        };
        let Some(file) = self.files.0.get(&path) else {
            self.lost(reader, pattern, span, &Lost::Missing);
            return None;
        };
        let name = path.file_name().unwrap_or_default();
        let mut list = Vec::new();
        match file {
            File::Folder if contents => self.tree(&path, "", &mut list),
            File::Folder => {
                let to = if into { name } else { "" };
                list.push(CopyEntry {
                    file: path.clone(),
                    to: to.to_owned(),
                });
                self.tree(&path, to, &mut list);
            }
            _ if contents => {
                reader.say(
                    Diagnostic::error(format!("{path} is a file"))
                        .at(span, "the `/` at its end means the contents of a folder"),
                );
                return None;
            }
            _ => {
                let to = if into { name } else { "" };
                list.push(CopyEntry {
                    file: path.clone(),
                    to: to.to_owned(),
                });
            }
        }
        if list.is_empty() {
            reader.say(Diagnostic::error(format!("{path} is empty")).at(span, "nothing is copied"));
            return None;
        }
        Some(list)
    }

    fn tree(&self, folder: &Utf8Path, to: &str, list: &mut Vec<CopyEntry>) {
        for (path, _) in self.files.below(folder) {
            let rest = path.strip_prefix(folder).expect("it lies below");
            let to = match to {
                "" => rest.to_string(),
                to => format!("{to}/{rest}"),
            };
            list.push(CopyEntry {
                file: path.clone(),
                to,
            });
        }
    }

    /// What matches goes into the target, under its own name.
    fn matching(&self, reader: &Reader, pattern: &str, span: Span) -> Option<Vec<CopyEntry>> {
        let Some(whole) = clean(&self.folder, pattern) else {
            self.lost(reader, pattern, span, &Lost::Outside);
            return None;
        };
        let glob = globset::GlobBuilder::new(whole.as_str())
            .literal_separator(true)
            .build();
        let glob = match glob {
            Ok(glob) => glob.compile_matcher(),
            Err(error) => {
                reader.say(
                    Diagnostic::error("this is no pattern").at(span, error.kind().to_string()),
                );
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
            reader.say(
                Diagnostic::error(format!("nothing matches {whole}")).at(span, "this pattern"),
            );
            return None;
        }
        Some(list)
    }
}
