//! Dockerfiles in folders.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Note, Sources, Target};

/// What follows the last dot in names of templates and copies of Dockerfiles, and of texts about them.
const OTHERS: [&str; 7] = ["md", "txt", "j2", "tmpl", "template", "bak", "orig"];

/// Returns a target for each Dockerfile: the folder is its context, and has its name.
pub fn tree(below: &str, sources: &Sources) -> Found {
    let mut found = Found::default();
    let inside = sources.below(below).map(|(_, path)| path);
    for path in inside.filter(|path| sources.text(path).is_some()) {
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
        if sources.is_ignored(path) {
            let note = Note::open(path, "file", "left out: git ignores it");
            found.notes.push(note);
            continue;
        }
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
    tell_apart(&mut found);
    found
}

/// Gives targets of folders with the same name the names of their paths.
fn tell_apart(found: &mut Found) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for target in &found.targets {
        *counts.entry(target.name.clone()).or_default() += 1;
    }
    let mut taken: BTreeSet<String> = counts.keys().cloned().collect();
    for target in &mut found.targets {
        let name = &target.name;
        if counts[name] == 1 {
            continue;
        }
        let folders = target.context.replace('/', "-");
        let mut new = match folders.as_str() {
            "" => name.clone(),
            folders if folders.ends_with(name) => folders.to_owned(),
            folders => format!("{folders}-{name}"),
        };
        while new != *name && !taken.insert(new.clone()) {
            new.push_str("-2");
        }
        let became = format!("image `{new}`: another Dockerfile has this name too");
        let note = Note::open(&target.dockerfile, format!("name {name}"), became);
        found.notes.push(note);
        target.name = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_the_same_name_are_different_images() {
        let files = [
            "a/x/Dockerfile",
            "b/x/Dockerfile",
            "x/Dockerfile",
            "b/x.Dockerfile",
            "y/Dockerfile",
        ];
        let sources = Sources {
            files: files
                .map(|path| (path.to_owned(), Some(String::new())))
                .into(),
            ..Sources::default()
        };
        let found = tree("", &sources);
        let names: Vec<&str> = found.targets.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["a-x", "b-x", "b-x-2", "x", "y"]);
        assert_eq!(found.notes.len(), 4);
    }

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
            ..Sources::default()
        };
        let found = tree("", &sources);
        let names: Vec<&str> = found.targets.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["a", "cmd"]);
        let left_out: Vec<&str> = found.notes.iter().map(|it| &*it.place).collect();
        assert_eq!(left_out, ["a/Dockerfile.j2", "a/b.Dockerfile"]);
    }
}
