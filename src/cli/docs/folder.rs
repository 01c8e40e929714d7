//! A folder with pages: written where they differ, removed where they are of nothing any longer. A file
//! beside them lists what is ours; whatever else is in the folder stays.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::super::{Exit, Failure};
use crate::disk::write_atomically;
use crate::docs::{Links, Made, is_page};

/// The list of what was written.
const LIST: &str = ".laminate-docs.json";
const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct List {
    version: u32,
    /// How pages lead to each other.
    links: String,
    pages: BTreeSet<String>,
}

/// A folder and what was written into it before.
pub struct Folder {
    path: Utf8PathBuf,
    list: Option<List>,
}

/// A page that is to be there.
pub struct Page {
    text: String,
    pub is_changed: bool,
}

/// What becomes of a folder.
pub struct Changes {
    pub pages: BTreeMap<String, Page>,
    pub removed: Vec<String>,
    list: List,
    /// The list is another than before.
    lists: bool,
}

impl Changes {
    pub fn changed(&self) -> Vec<&String> {
        let changed = self.pages.iter().filter(|(_, page)| page.is_changed);
        changed.map(|(file, _)| file).collect()
    }

    /// All files that are written or removed.
    pub fn files(&self) -> Vec<&str> {
        let pages = self.changed().into_iter().chain(&self.removed);
        let mut files: Vec<&str> = pages.map(String::as_str).collect();
        if self.lists {
            files.push(LIST);
        }
        files
    }
}

fn failure(error: std::io::Error) -> Failure {
    Failure::new(Exit::Environment, error.to_string())
}

/// The bytes of a file; `None` if there is none.
fn read(path: &Utf8Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

impl Folder {
    /// Reads what was written into a folder, which need not exist.
    pub fn open(path: Utf8PathBuf) -> Result<Self, Failure> {
        let file = path.join(LIST);
        let list = match read(&file)? {
            None => None,
            Some(bytes) => {
                let strange = |reason: String| {
                    Failure::new(Exit::Environment, format!("{file} cannot be understood: {reason}"))
                        .help("remove it; pages there are then taken for somebody else's, so say --overwrite once")
                };
                let list: List =
                    serde_json::from_slice(&bytes).map_err(|error| strange(error.to_string()))?;
                if list.version != VERSION {
                    return Err(strange(format!("it is of version {}", list.version)));
                }
                Some(list)
            }
        };
        Ok(Self { path, list })
    }

    /// Pages of ours that are there.
    pub fn written(&self) -> BTreeSet<String> {
        let pages = self.list.iter().flat_map(|list| &list.pages);
        pages
            .filter(|file| is_page(file) && self.path.join(file).is_file())
            .cloned()
            .collect()
    }

    /// How the pages that are there lead to each other.
    pub fn links(&self) -> Option<&str> {
        self.list.as_ref().map(|list| list.links.as_str())
    }

    /// Compares pages with what is there. Somebody else's file is not written over, unless that is
    /// asked for.
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
                    "laminate has not written these, and would write over them: {}",
                    foreign.join(", ")
                ),
            )
            .help("move them away, or say --overwrite"));
        }
        Ok(Changes {
            lists: self.list.as_ref() != Some(&list),
            pages,
            removed,
            list,
        })
    }

    /// Does it. What is to be ours is listed before it is written, so that a run that was stopped can
    /// be run again.
    pub fn write(&self, changes: &Changes) -> Result<(), Failure> {
        fs_err::create_dir_all(&self.path).map_err(failure)?;
        if changes.lists {
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
        if changes.lists && !changes.removed.is_empty() {
            self.put_list(&changes.list)?;
        }
        Ok(())
    }

    fn put_list(&self, list: &List) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(list).expect("plain data");
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

    /// Writes pages; what was changed and what was removed.
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
    fn only_what_changed_is_written_and_only_what_is_ours_removed() {
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
    fn somebody_elses_file_is_not_written_over_unasked() {
        let scratch = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(scratch.path()).expect("a readable name");
        fs_err::write(path.join("Home.md"), "Welcome").expect("written");
        let outside = path.join("outside");
        fs_err::write(&outside, "kept").expect("written");
        let pages = || made(&[("Home.md", "1"), ("a.md", "1")], &[]);
        let refused = write(path, pages(), false).expect_err("refused");
        assert_eq!(
            refused.shown(false),
            "error: laminate has not written these, and would write over them: Home.md\n\
             help: move them away, or say --overwrite\n"
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
    fn a_list_cannot_name_files_that_are_no_pages() {
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
}
