//! Dockerfiles in folders.

use super::{Found, Note, Sources, Target};

/// What follows the last dot in names of templates and copies of Dockerfiles, and of texts about them.
const OTHERS: [&str; 7] = ["md", "txt", "j2", "tmpl", "template", "bak", "orig"];

/// Returns a target for each Dockerfile: the folder is its context, and has its name.
pub fn tree(below: &str, sources: &Sources) -> Found {
    let mut found = Found::default();
    let inside = sources.below(below).map(|(_, path)| path);
    for path in inside.filter(|path| sources.text(path).is_some()) {
        if sources.is_ignored(path) {
            let note = Note::open(path, "file", "left out: git ignores it");
            found.notes.push(note);
            continue;
        }
        let (context, file) = path.rsplit_once('/').unwrap_or(("", path));
        let name = context.rsplit('/').next().unwrap_or_default();
        let name = match file {
            "Dockerfile" | "Containerfile" => name.to_owned(),
            other => match other
                .strip_suffix(".Dockerfile")
                .or(other.strip_prefix("Dockerfile."))
            {
                Some(part) => part.to_owned(),
                None => continue,
            },
        };
        match file.rsplit('.').next() {
            // What it ignores is read with its Dockerfile.
            Some("dockerignore") => continue,
            Some(end) if OTHERS.contains(&end) => {
                let became = format!("left out: it ends with `.{end}`");
                found.notes.push(Note::open(path, "file", became));
                continue;
            }
            _ => {}
        }
        found.targets.push(Target {
            name: if name.is_empty() {
                "image".to_owned()
            } else {
                name
            },
            context: context.to_owned(),
            dockerfile: path.to_owned(),
            ..Target::default()
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn templates_and_copies_are_not_dockerfiles() {
        let files = [
            "a/Dockerfile",
            "a/Dockerfile.cmd",
            "a/Dockerfile.dockerignore",
            "a/Dockerfile.j2",
            "a/b.Dockerfile",
        ];
        let sources = Sources {
            files: files
                .map(|path| (path.to_owned(), Some(String::new())))
                .into(),
            ignored: BTreeSet::from(["a/b.Dockerfile".to_owned()]),
        };
        let found = tree("", &sources);
        let names: Vec<&str> = found.targets.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["a", "cmd"]);
        let left_out: Vec<&str> = found.notes.iter().map(|it| &*it.place).collect();
        assert_eq!(left_out, ["a/Dockerfile.j2", "a/b.Dockerfile"]);
    }
}
