//! Names of pages: valid as a file on every system, and as a link without `.md` in a wiki.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Digest, Tag};
use crate::record::{ReleaseImage, StoredRelease};

/// The first page.
pub const HOME: &str = "Home";
/// The page of all channels.
pub const STABLE: &str = "Stable";
/// The page of bases and children.
pub const LINEAGE: &str = "Lineage";
/// The sidebar of a wiki.
pub const SIDEBAR: &str = "_Sidebar";

/// Reserved names: our own pages, those of wikis, and those that Windows does not allow.
const TAKEN: [&str; 11] = [
    "home", "stable", "lineage", "_sidebar", "_footer", "_header", "con", "prn", "aux", "nul",
    "index",
];

/// The longest name, in bytes. File systems allow 255.
const LONGEST: usize = 200;

/// Names of all pages of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    images: BTreeMap<String, String>,
    /// By release and label of the image.
    releases: BTreeMap<(Digest, String), String>,
}

impl Names {
    /// Names the pages of releases, which are given newest first. If two pages would have the same name,
    /// the older one keeps it.
    pub fn new<'a>(releases: impl DoubleEndedIterator<Item = &'a StoredRelease> + Clone) -> Self {
        let mut taken: BTreeSet<String> = TAKEN.iter().map(|name| (*name).to_owned()).collect();
        let mut names = Self {
            images: BTreeMap::new(),
            releases: BTreeMap::new(),
        };
        let all = releases.rev();
        for StoredRelease { release, .. } in all.clone() {
            for image in &release.images {
                if !names.images.contains_key(&image.image) {
                    let name = free(&mut taken, &image.image, &image.image);
                    names.images.insert(image.image.clone(), name);
                }
            }
        }
        for StoredRelease { digest, release } in all {
            for image in &release.images {
                let of = (digest.clone(), image.label());
                let wanted = format!("{}--{}", image.image, tag(image));
                let seed = format!("{digest} {}", of.1);
                names
                    .releases
                    .entry(of)
                    .or_insert_with(|| free(&mut taken, &wanted, &seed));
            }
        }
        names
    }

    /// Returns the page of an image.
    pub fn image(&self, image: &str) -> Option<&str> {
        self.images.get(image).map(String::as_str)
    }

    /// Returns the page of an image in a release.
    pub fn release(&self, release: &Digest, image: &ReleaseImage) -> Option<&str> {
        let of = (release.clone(), image.label());
        self.releases.get(&of).map(String::as_str)
    }
}

/// Returns the tag in the name of an image's page.
pub fn tag(image: &ReleaseImage) -> &str {
    let first = image.tags.first().map(Tag::as_str);
    first.unwrap_or_else(|| image.digest.short())
}

/// Returns the file name of a page.
pub fn file(page: &str) -> String {
    format!("{page}.md")
}

/// Returns whether a file can be one of our pages. Other files are never removed.
pub fn is_page(file: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    file.strip_suffix(".md").is_some_and(|name| {
        name == SIDEBAR
            || name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(legal)
    })
}

/// Returns an unused name, also on systems where `A` and `a` are one file.
fn free(taken: &mut BTreeSet<String>, wanted: &str, seed: &str) -> String {
    let mut name = legal(wanted, seed);
    let mut number = 0;
    while !taken.insert(name.to_lowercase()) {
        name = format!(
            "{}--{}",
            legal(wanted, seed),
            hash(&format!("{seed} {number}"))
        );
        number += 1;
    }
    name
}

fn hash(seed: &str) -> String {
    Digest::of(seed.as_bytes()).short().to_owned()
}

/// Returns a valid name that is close to the wanted one.
fn legal(wanted: &str, seed: &str) -> String {
    let mut name: String = wanted
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        name.insert(0, 'x');
    }
    if name.len() > LONGEST {
        name = format!("{}--{}", &name[..LONGEST - 14], hash(seed));
    }
    // A wiki reads `x.org` as a file in Org format, not as a page.
    if let Some((stem, ending)) = name.rsplit_once('.')
        && ending.chars().all(|c| c.is_ascii_alphabetic())
    {
        name = format!("{stem}-{ending}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_and_unique() {
        let mut taken: BTreeSet<String> = TAKEN.iter().map(|name| (*name).to_owned()).collect();
        let mut name = |wanted: &str| free(&mut taken, wanted, wanted);
        assert_eq!(name("ml-notebook"), "ml-notebook");
        assert_eq!(
            name("ml-notebook--2021.2-d021570.2"),
            "ml-notebook--2021.2-d021570.2"
        );
        assert_eq!(name("../../etc/passwd"), "x..-..-etc-passwd");
        assert_eq!(name("_Sidebar"), "x_Sidebar");
        assert_eq!(name("a--v1.org"), "a--v1-org");
        assert_eq!(name(""), "x");
        for taken in ["stable", "Home", "ML-notebook"] {
            let given = name(taken);
            assert!(
                given.starts_with(&format!("{taken}--")) && given.len() == taken.len() + 14,
                "{given}"
            );
        }
        let long = name(&"y".repeat(400));
        assert_eq!(long.len(), LONGEST);
        assert!(is_page(&file(&long)) && is_page("_Sidebar.md"));
        for other in [
            "../x.md",
            "x",
            ".md",
            "a/b.md",
            ".laminate-docs.json",
            "_Footer.md",
        ] {
            assert!(!is_page(other), "{other}");
        }
    }
}
