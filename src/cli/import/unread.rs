//! Dockerfiles that an import does not read because it reads `images/`.

use std::collections::BTreeSet;

use crate::import::tree;
use crate::import::{Note, Sources, Target};

/// Returns a note of each Dockerfile outside `images/`, if the targets are those of `images/`.
pub fn notes(targets: &[Target], sources: &Sources) -> Vec<Note> {
    let read: BTreeSet<&str> = targets.iter().map(|it| it.name.as_str()).collect();
    let all = tree("", sources).targets.into_iter();
    let outside = all.filter(|it| !it.dockerfile.starts_with("images/"));
    let note = |target: Target| {
        let became = if read.contains(target.name.as_str()) {
            "not read, because images/ has an image of this name: make your edits there; or, if images/ has nothing but copies, run `rm -r images` and `laminate import --force`"
        } else {
            "not read, because images/ exists: to import it, move its folder below images/"
        };
        Note::open(target.dockerfile, format!("image {}", target.name), became)
    };
    outside.map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockerfiles_beside_images_are_listed() {
        let files = [
            "images/lab-geo/Dockerfile",
            "lab-geo/Dockerfile",
            "other/Dockerfile",
            "ignored/Dockerfile",
        ];
        let sources = Sources {
            files: files
                .map(|path| (path.to_owned(), Some(String::new())))
                .into(),
            ignored: BTreeSet::from(["ignored".to_owned()]),
            ..Sources::default()
        };
        let notes = notes(&tree("images", &sources).targets, &sources);
        let places: Vec<&str> = notes.iter().map(|it| it.place.as_str()).collect();
        assert_eq!(places, ["lab-geo/Dockerfile", "other/Dockerfile"]);
        assert!(notes.iter().all(|it| it.is_open));
        assert!(notes[0].became.contains("an image of this name"));
    }
}
