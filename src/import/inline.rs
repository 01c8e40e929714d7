//! Dockerfiles that are texts in a list of images: each becomes a file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::sources::Sources;
use super::{Note, Target};

/// Sets the paths of Dockerfiles that are texts, and returns the sources with these files. They are beside the folders of
/// images: in one of them, they could be copied into the image.
pub fn with_files<'a>(
    targets: &mut [Target],
    names: &BTreeMap<String, String>,
    sources: &'a Sources,
    notes: &mut Vec<Note>,
) -> Cow<'a, Sources> {
    let mut sources = Cow::Borrowed(sources);
    for target in targets {
        let Some(text) = &target.inline else {
            continue;
        };
        let mut name = names[&target.name].clone();
        let path = loop {
            let path = format!("images/{name}.Dockerfile");
            // One of an earlier import has the same text.
            if !sources.has(&path) || sources.text(&path) == Some(text) {
                break path;
            }
            name.push_str("-inline");
        };
        let files = &mut sources.to_mut().files;
        files.insert(path.clone(), Some(text.clone()));
        let found = format!("Dockerfile in the text of `{}`", target.name);
        notes.push(Note::done(&path, found, "written to this file"));
        target.dockerfile = path;
    }
    sources
}
