//! The last section of the page of an image in a release: a Dockerfile that builds the same files.
//!
//! Only the stack of a release can be rendered, so a page gets its Dockerfile when that is checked out. Later runs keep it
//! ([`keep_dockerfile`]).

use serde::Serialize;

use super::text::code;
use crate::name::Commit;

/// A Dockerfile that builds the files of an image without laminate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// Its text.
    pub text: String,
    /// What it does not have, or has otherwise.
    pub differences: Vec<String>,
}

/// The section.
#[derive(Serialize)]
pub struct DockerfileView {
    head: String,
    text: Option<String>,
    differences: Vec<String>,
}

const THERE: &str = "Builds the same files as ";
const LEFT_OUT: &str = "No Dockerfile of ";
/// Comes after the image, which is in both.
const AFTER: &str = ": run `laminate render";

impl DockerfileView {
    /// Makes the section for an image, `REPOSITORY@DIGEST`.
    pub fn new(file: Option<&Dockerfile>, pinned: &str, commit: &Commit) -> Self {
        let (image, commit) = (code(pinned), code(commit.abbreviated()));
        let head = match file {
            Some(_) => format!(
                "{THERE}{image}, without laminate. `laminate render --dockerfile DIR` at commit {commit} also writes the files that it uses."
            ),
            None => format!("{LEFT_OUT}{image}{AFTER} --dockerfile DIR` at commit {commit}."),
        };
        Self {
            head,
            text: file.map(|file| file.text.clone()),
            differences: file
                .map(|file| file.differences.clone())
                .unwrap_or_default(),
        }
    }
}

/// Returns a page with the Dockerfile that it had `before`, if it has none now.
pub fn keep_dockerfile(page: &str, before: &str) -> Option<String> {
    // The section is the last one, and the digest of the image cannot be in the image.
    let at = page.trim_end().rfind('\n')? + 1;
    let (image, _) = page[at..].strip_prefix(LEFT_OUT)?.split_once(AFTER)?;
    let from = before.rfind(&format!("\n{THERE}{image},"))? + 1;
    Some(format!("{}{}", &page[..at], &before[from..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(file: Option<&Dockerfile>, pinned: &str) -> String {
        let commit = Commit::parse("d0215700aa").expect("hex digits");
        let view = DockerfileView::new(file, pinned, &commit);
        let text = view.text.map(|text| format!("\n```\n{text}```\n"));
        format!("# Now\n\n{}\n{}", view.head, text.unwrap_or_default())
    }

    #[test]
    fn a_page_keeps_its_dockerfile() {
        let file = Dockerfile {
            text: "FROM x\n# No Dockerfile of\n".to_owned(),
            differences: Vec::new(),
        };
        let (image, other) = ("h/a@sha256:1", "h/a@sha256:2");
        let before = page(Some(&file), image).replace("# Now", "# Before\n\nmore");
        let kept = keep_dockerfile(&page(None, image), &before);
        assert_eq!(kept, Some(page(Some(&file), image)));
        assert_eq!(keep_dockerfile(&page(None, other), &before), None);
        assert_eq!(
            keep_dockerfile(&page(None, image), &page(None, image)),
            None
        );
        assert_eq!(keep_dockerfile(&page(Some(&file), image), &before), None);
    }
}
