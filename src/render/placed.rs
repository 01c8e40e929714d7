//! Steps that only place files, as `COPY`.

use super::files::File;
use super::step::Folder;
use super::words::{here_document, is_plain_path, paths, value};
use crate::compile::{Content, Entry, Placement, What, apply};
use crate::stack::{Mode, Writable};

/// Returns whether `COPY` gives the files the same owners and modes. It does not at, below or above a writable path,
/// where they are given to the group. A folder that git does not keep, as it is empty, cannot be copied.
pub fn is_copy(list: &[Placement], writable: Option<&Writable>) -> bool {
    let is_near = |writable: &Writable, target: &str| {
        writable.root_of(target).is_some() || writable.roots_below(target).next().is_some()
    };
    list.iter().all(|placement| {
        let is_plain = matches!(placement.mode, None | Some(Mode::Octal(0o755)));
        let has_equal = match &placement.what {
            What::Link { replace, .. } => !replace,
            // `COPY` has patterns, and no file has a name that is one.
            What::Image { path, .. } => is_plain && !path.contains(['*', '?', '[', '\\']),
            What::Contents(entries) => is_plain && !entries.is_empty(),
            What::File(_) => true,
        };
        has_equal && !writable.is_some_and(|writable| is_near(writable, &placement.target))
    })
}

impl Folder<'_, '_> {
    /// Adds placements for which [`is_copy`] holds.
    pub fn place(&mut self, list: &[Placement]) {
        for (index, placement) in list.iter().enumerate() {
            self.copy(placement, index);
        }
    }

    fn copy(&mut self, placement: &Placement, index: usize) {
        let target = match placement.target.as_str() {
            "" => "/",
            path => path,
        };
        let mut options = options(placement);
        match &placement.what {
            What::File(entry) => {
                let mode = mode_of(entry, placement);
                // Another step may use the same file, with its own mode.
                let kept = match entry {
                    Entry::File { mode, .. } => *mode,
                    Entry::Link(_) | Entry::Folder(_) => mode,
                };
                let is_natural = (mode, kept) == (0o644, 0o644) || matches!(entry, Entry::Link(_));
                if is_natural || mode == 0o755 {
                    if !is_natural {
                        options.push_str(" --chmod=755");
                    }
                    let text = self.copy_file(entry, target, &options, index);
                    self.line(&text);
                    return;
                }
                // `--chmod` also sets the mode of new folders above the file, so a stage does it where there are none.
                let staged = format!("/{:02}-{index}", self.number);
                let chmod = format!(" --chmod={mode:03o}");
                let text = self.copy_file(entry, &staged, &chmod, index);
                self.written.staged.push_str(&text);
                let stage = &self.inputs.names.files;
                let text = format!("COPY --from={stage}{options} {}", paths(&staged, target));
                self.line(&text);
            }
            What::Contents(entries) => {
                let natural = self.natural_folder(entries);
                let folder = natural.unwrap_or_else(|| self.own_path(&index.to_string()));
                self.put(&folder, File::Folder(0o755));
                for (path, entry) in entries {
                    if let Some(file) = File::of_entry(entry, self.files()) {
                        self.put(&format!("{folder}/{path}"), file);
                    }
                }
                let target = format!("{}/", target.trim_end_matches('/'));
                let source = format!("{folder}/");
                self.line(&format!("COPY{options} {}", paths(&source, &target)));
            }
            What::Link { text, .. } => {
                // A link is copied as such only with the folder it is in.
                let (above, name) = target.rsplit_once('/').unwrap_or(("", target));
                let folder = self.own_path(&index.to_string());
                self.put(&format!("{folder}/{name}"), File::Link(text.clone()));
                let source = format!("{folder}/");
                self.line(&format!(
                    "COPY{options} {}",
                    paths(&source, &format!("{above}/"))
                ));
            }
            What::Image { source, path } => {
                let from = self.inputs.written_name(source);
                self.line(&format!(
                    "COPY --from={from}{options} {}",
                    paths(path, target)
                ));
            }
        }
    }

    /// Returns the instruction that copies a single file, which is added to the folder unless it is a here-document.
    fn copy_file(&mut self, entry: &Entry, target: &str, options: &str, index: usize) -> String {
        // The target of a here-document cannot have blanks.
        let text = text_of(entry).filter(|_| is_plain_path(target));
        if let Some((word, rest)) = text {
            return format!("COPY{options} {word} {target}\n{rest}");
        }
        let source = self.source(entry, target, index);
        format!("COPY{options} {}\n", paths(&source, target))
    }

    /// Returns the path of a single file in the folder, to which it is added.
    fn source(&mut self, entry: &Entry, target: &str, index: usize) -> String {
        let natural = match entry {
            Entry::File {
                content: Content::Stack(path),
                ..
            } => self.natural_path(path.as_str()),
            _ => None,
        };
        let name = target.rsplit('/').next().unwrap_or_default();
        let path = natural
            .filter(|path| is_plain_path(path))
            .unwrap_or_else(|| {
                let name = if is_plain_path(name) { name } else { "file" };
                self.own_path(&format!("{index}/{name}"))
            });
        if let Some(file) = File::of_entry(entry, self.files()) {
            self.put(&path, file);
        }
        path
    }

    /// Returns the folder of the stack that has exactly these entries, of all files that are used.
    fn natural_folder(
        &self,
        entries: &std::collections::BTreeMap<String, Entry>,
    ) -> Option<String> {
        let root = |(path, entry): (&String, &Entry)| match entry {
            Entry::File {
                content: Content::Stack(file),
                ..
            } => {
                let file = file.as_str().strip_suffix(path)?;
                Some(file.strip_suffix('/')?.to_owned())
            }
            _ => None,
        };
        let root = entries.iter().find_map(root)?;
        let is_own_folder = root == format!("images/{}", self.image.name.value) || root == "images";
        let prefix = format!("{root}/");
        let used = self
            .used
            .iter()
            .filter_map(|path| path.as_str().strip_prefix(&prefix));
        let used: std::collections::BTreeSet<&str> = used.collect();
        let same = used.iter().copied().eq(entries.keys().map(String::as_str));
        let path = self.natural_path(&root)?;
        (same && !is_own_folder && is_plain_path(&path)).then_some(path)
    }

    fn files(&self) -> &crate::stack::Files {
        self.compiler.stack_files()
    }
}

/// Returns `--chown` and `--chmod`.
fn options(placement: &Placement) -> String {
    let mut text = String::new();
    if let Some(owner) = &placement.owner {
        // As `COPY` has it, a group alone needs the user.
        let owner = match owner.strip_prefix(':') {
            Some(group) => format!("0:{group}"),
            None => owner.clone(),
        };
        text.push_str(&format!(" --chown={}", value(&owner)));
    }
    if placement.mode.is_some() && !matches!(placement.what, What::File(_)) {
        text.push_str(" --chmod=755");
    }
    text
}

/// Returns the mode that a file gets.
fn mode_of(entry: &Entry, placement: &Placement) -> u32 {
    match (entry, &placement.mode) {
        (_, Some(Mode::Octal(bits))) => *bits,
        (Entry::File { mode: bits, .. }, Some(mode)) => apply(mode, *bits, false),
        (Entry::File { mode, .. }, None) => *mode,
        // A link has none.
        (Entry::Link(_) | Entry::Folder(_), _) => 0o644,
    }
}

/// Returns a text of the spec as a here-document.
fn text_of(entry: &Entry) -> Option<(String, String)> {
    match entry {
        Entry::File {
            content: Content::Text(text),
            ..
        } => here_document(text),
        _ => None,
    }
}
