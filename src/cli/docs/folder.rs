//! A folder with pages: pages that differ are written, and stale ones removed. A list in the folder has
//! the files that laminate wrote; all others stay.
//!
//! Main types: [`Folder`] and the [`Changes`] to it. Called by `laminate docs`.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::super::{Exit, Failure};
use crate::disk::write_atomically;
use crate::docs::{self, Links, Made, is_page};
use crate::list;

/// The file with the list.
const LIST: &str = ".laminate-docs.json";
/// The version of its format.
const VERSION: u32 = 1;

/// The pages that laminate wrote into a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct List {
    version: u32,
    /// The form of the links between pages.
    links: String,
    pages: BTreeSet<String>,
}

/// A folder and the list of what was written into it before.
pub struct Folder {
    path: Utf8PathBuf,
    list: Option<List>,
}

/// A page of the folder after the changes.
pub struct Page {
    text: String,
    /// The file is missing or has another text.
    pub is_changed: bool,
}

/// The changes to a folder.
pub struct Changes {
    /// All pages, by file.
    pub pages: BTreeMap<String, Page>,
    /// The files that are removed.
    pub removed: Vec<String>,
    list: List,
    is_list_changed: bool,
}

impl Changes {
    /// Returns the files that are written.
    pub fn changed(&self) -> Vec<&String> {
        let changed = self.pages.iter().filter(|(_, page)| page.is_changed);
        changed.map(|(file, _)| file).collect()
    }

    /// Returns all files that are written or removed, the list among them.
    pub fn files(&self) -> Vec<&str> {
        let pages = self.changed().into_iter().chain(&self.removed);
        let mut files: Vec<&str> = pages.map(String::as_str).collect();
        if self.is_list_changed {
            files.push(LIST);
        }
        files
    }
}

fn failure(error: std::io::Error) -> Failure {
    Failure::new(Exit::Environment, error.to_string())
}

/// Reads a file; `None` if there is none.
fn read(path: &Utf8Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

/// Reads the list; fails with the reason why it is invalid.
fn parse_list(bytes: &[u8]) -> Result<List, String> {
    let list: List = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if list.version != VERSION {
        return Err(format!("unsupported version {}", list.version));
    }
    Ok(list)
}

impl Folder {
    /// Reads the list of a folder, which need not exist. Fails if the list is invalid.
    pub fn open(path: Utf8PathBuf) -> Result<Self, Failure> {
        let file = path.join(LIST);
        let list = read(&file)?.map(|bytes| parse_list(&bytes)).transpose();
        let list = list.map_err(|reason| {
            Failure::new(Exit::Environment, format!("invalid list `{file}`: {reason}"))
                .help("remove it, and use --overwrite once: without it, laminate does not know which pages it wrote")
        })?;
        Ok(Self { path, list })
    }

    /// Returns the pages that laminate wrote and that are still there.
    pub fn written(&self) -> BTreeSet<String> {
        let pages = self.list.iter().flat_map(|list| &list.pages);
        pages
            .filter(|file| is_page(file) && self.path.join(file).is_file())
            .cloned()
            .collect()
    }

    /// Returns the form of the links between the pages that are there.
    pub fn links(&self) -> Option<&str> {
        self.list.as_ref().map(|list| list.links.as_str())
    }

    /// Compares pages with the folder. Fails if a file would be replaced that laminate did not write,
    /// unless `overwrite` is set.
    pub fn changes(&self, made: Made, links: Links, overwrite: bool) -> Result<Changes, Failure> {
        let written = self.written();
        let removed = made.stale(&written).cloned().collect();
        let list = List {
            version: VERSION,
            links: links.as_str().to_owned(),
            pages: made.pages.keys().chain(&made.kept).cloned().collect(),
        };
        let mut foreign = Vec::new();
        let mut pages = BTreeMap::new();
        for (file, text) in made.pages {
            let there = read(&self.path.join(&file))?;
            let before = there.as_deref().filter(|_| written.contains(&file));
            let before = before.and_then(|bytes| std::str::from_utf8(bytes).ok());
            let kept = before.and_then(|before| docs::keep_dockerfile(&text, before));
            let text = kept.unwrap_or(text);
            let is_changed = there.as_deref() != Some(text.as_bytes());
            if is_changed && there.is_some() && !written.contains(&file) {
                foreign.push(file.clone());
            }
            pages.insert(file, Page { text, is_changed });
        }
        if !foreign.is_empty() && !overwrite {
            return Err(Failure::new(
                Exit::Environment,
                format!(
                    "cannot replace files that laminate did not write: {}",
                    list::of(&foreign)
                ),
            )
            .help("move them away, or use --overwrite"));
        }
        Ok(Changes {
            is_list_changed: self.list.as_ref() != Some(&list),
            pages,
            removed,
            list,
        })
    }

    /// Carries out the changes. Files are listed before they are written, so that a run that was
    /// stopped can be repeated.
    pub fn write(&self, changes: &Changes) -> Result<(), Failure> {
        fs_err::create_dir_all(&self.path).map_err(failure)?;
        if changes.is_list_changed {
            let mut list = changes.list.clone();
            list.pages.extend(changes.removed.iter().cloned());
            self.put_list(&list)?;
        }
        let changed = changes.pages.iter().filter(|(_, page)| page.is_changed);
        for (file, page) in changed {
            self.put(file, page.text.as_bytes())?;
        }
        for file in &changes.removed {
            fs_err::remove_file(self.path.join(file)).map_err(failure)?;
        }
        if changes.is_list_changed && !changes.removed.is_empty() {
            self.put_list(&changes.list)?;
        }
        Ok(())
    }

    fn put_list(&self, list: &List) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(list).expect("a list is plain data");
        text.push('\n');
        self.put(LIST, text.as_bytes())
    }

    /// Writes a file, never through a link: anyone who can write to a wiki can put one there.
    fn put(&self, file: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path.join(file);
        write_atomically(&path, bytes).map_err(|error| {
            let text = format!("cannot write `{path}`: {error}");
            Failure::new(Exit::Environment, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pages: &[(&str, &str)], kept: &[&str]) -> Made {
        let pages = pages.iter();
        Made {
            pages: pages
                .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()))
                .collect(),
            kept: kept.iter().map(|file| (*file).to_owned()).collect(),
        }
    }

    /// Writes pages; returns the files that were changed and those that were removed.
    fn write(
        path: &Utf8Path,
        made: Made,
        overwrite: bool,
    ) -> Result<(Vec<String>, Vec<String>), Failure> {
        let folder = Folder::open(path.to_owned())?;
        let changes = folder.changes(made, Links::Wiki, overwrite)?;
        folder.write(&changes)?;
        let changed = changes.changed().into_iter().cloned().collect();
        Ok((changed, changes.removed.clone()))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn pages_that_changed_are_written_and_stale_ones_removed() {
        let scratch = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(scratch.path())
            .expect("a readable name")
            .join("wiki");
        let first = || made(&[("Home.md", "1"), ("a.md", "1"), ("a--1.md", "1")], &[]);
        let done = write(&path, first(), false).expect("written");
        assert_eq!(done, (names(&["Home.md", "a--1.md", "a.md"]), names(&[])));
        assert_eq!(
            write(&path, first(), false).expect("again"),
            (names(&[]), names(&[]))
        );

        fs_err::write(path.join("notes.md"), "mine").expect("written");
        let second = made(&[("Home.md", "2"), ("b.md", "1")], &["a--1.md"]);
        let done = write(&path, second, false).expect("written");
        assert_eq!(done, (names(&["Home.md", "b.md"]), names(&["a.md"])));
        let mut there: Vec<String> = fs_err::read_dir(&path)
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        there.sort();
        assert_eq!(there, [LIST, "Home.md", "a--1.md", "b.md", "notes.md"]);
    }

    #[test]
    fn another_file_is_replaced_with_overwrite_only() {
        let scratch = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(scratch.path()).expect("a readable name");
        fs_err::write(path.join("Home.md"), "Welcome").expect("written");
        let outside = path.join("outside");
        fs_err::write(&outside, "kept").expect("written");
        let pages = || made(&[("Home.md", "1"), ("a.md", "1")], &[]);
        let refused = write(path, pages(), false).expect_err("refused");
        assert_eq!(
            refused.shown(false),
            "error: cannot replace files that laminate did not write: Home.md\n\
             help: move them away, or use --overwrite\n"
        );
        assert!(!path.join("a.md").exists());
        std::os::unix::fs::symlink("outside", path.join("a.md")).expect("a link");
        write(path, pages(), true).expect("written");
        assert_eq!(
            fs_err::read_to_string(path.join("a.md")).expect("a page"),
            "1"
        );
        assert_eq!(fs_err::read_to_string(outside).expect("a file"), "kept");
    }

    #[test]
    fn a_file_that_is_not_a_page_stays_although_it_is_listed() {
        let scratch = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(scratch.path())
            .expect("a readable name")
            .join("wiki");
        fs_err::create_dir(&path).expect("a folder");
        let outside = scratch.path().join("x.md");
        fs_err::write(&outside, "kept").expect("written");
        let list = r#"{"version":1,"links":"wiki","pages":["../x.md","mine.txt"]}"#;
        fs_err::write(path.join(LIST), list).expect("written");
        fs_err::write(path.join("mine.txt"), "kept").expect("written");
        let done = write(&path, made(&[("Home.md", "1")], &[]), false).expect("written");
        assert_eq!(done.1, names(&[]));
        assert!(outside.exists() && path.join("mine.txt").exists());
    }

    #[test]
    fn a_list_of_another_version_is_refused() {
        let list = |version: u32| format!(r#"{{"version":{version},"links":"wiki","pages":[]}}"#);
        assert!(parse_list(list(1).as_bytes()).is_ok());
        assert_eq!(
            parse_list(list(2).as_bytes()).err().as_deref(),
            Some("unsupported version 2")
        );
        assert!(parse_list(b"{}").is_err());
    }
}
