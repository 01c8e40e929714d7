//! What is imported: a file that lists images, or Dockerfiles.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::cli::workflow::repository_above;
use crate::cli::{Exit, Failure};

/// Names of files that list images, in the order in which they are looked for.
const LISTS: [(&str, Form); 12] = [
    ("images/spec.yml", Form::Datahub),
    ("spec.yml", Form::Datahub),
    ("docker-bake.json", Form::BakeJson),
    ("docker-bake.override.json", Form::BakeJson),
    ("docker-bake.hcl", Form::BakeHcl),
    ("docker-bake.override.hcl", Form::BakeHcl),
    ("compose.yaml", Form::Compose),
    ("compose.yml", Form::Compose),
    ("docker-compose.yml", Form::Compose),
    ("docker-compose.yaml", Form::Compose),
    ("images", Form::Tree),
    (".", Form::Tree),
];

/// What is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Datahub,
    BakeJson,
    BakeHcl,
    Compose,
    Tree,
}

/// Something that can be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder of the import.
    pub folder: Utf8PathBuf,
    /// The file or folder, relative to that.
    pub list: String,
    /// What it is.
    pub form: Form,
    /// The folder that paths in the file are relative to, relative to that of the import.
    pub paths: String,
}

/// Finds what is imported: a path, relative to a folder unless it is absolute. These are the places where it can be, best first.
pub(super) fn find(base: &Utf8Path, given: &Utf8Path) -> Result<Vec<Place>, Failure> {
    let from = &match below(given) {
        Some(path) if base == "." => not_empty(Utf8Path::new(&path)),
        _ => base.join(given),
    };
    if from.is_file() {
        return of_file(base, from);
    }
    if !from.is_dir() {
        return Err(Failure::new(
            Exit::Usage,
            format!("no such file or folder: `{from}`"),
        ));
    }
    let found = LISTS.iter().find(|(name, form)| {
        let path = from.join(name);
        match form {
            Form::Tree => path.is_dir(),
            // Other tools have a spec.yml as well.
            Form::Datahub => fs_err::read_to_string(&path).is_ok_and(|text| {
                text.contains("images:")
                    && (text.contains("image_name") || text.contains("depend_on"))
            }),
            _ => path.is_file(),
        }
    });
    let (name, form) = found.expect("`.` is a folder");
    let own = Place::in_folder(from, name, *form);
    Ok(match form {
        Form::Datahub | Form::Tree => vec![own],
        Form::BakeJson | Form::BakeHcl | Form::Compose => places(&own, (from, name), &[from, base]),
    })
}

/// Returns the places where a file can be.
fn of_file(base: &Utf8Path, from: &Utf8Path) -> Result<Vec<Place>, Failure> {
    let name = from.file_name().unwrap_or_default();
    let form = match from.extension() {
        Some("json") => Form::BakeJson,
        Some("hcl") => Form::BakeHcl,
        Some("yml" | "yaml") if name.contains("compose") => Form::Compose,
        Some("yml" | "yaml") => Form::Datahub,
        _ => {
            let text = format!("`{from}` is neither a bake file, a compose file nor a spec.yml");
            return Err(Failure::new(Exit::Usage, text)
                .help("pass the folder of the Dockerfiles, or one of these files"));
        }
    };
    let folder = not_empty(from.parent().unwrap_or(Utf8Path::new("")));
    if form == Form::Datahub {
        // The folder of the images is below that of the spec.
        let is_below = folder.file_name() == Some("images");
        return Ok(vec![match folder.parent() {
            Some(above) if is_below => {
                Place::in_folder(&not_empty(above), &format!("images/{name}"), form)
            }
            _ => Place::in_folder(&folder, name, form),
        }]);
    }
    let own = Place::in_folder(&folder, name, form);
    Ok(places(&own, (&folder, name), &[base, &folder]))
}

impl Place {
    /// Returns the place of a list whose paths are relative to its own folder.
    fn in_folder(folder: &Utf8Path, list: &str, form: Form) -> Self {
        let paths = Utf8Path::new(list).parent().unwrap_or(Utf8Path::new(""));
        Self {
            folder: folder.to_owned(),
            list: list.to_owned(),
            form,
            paths: paths.to_string(),
        }
    }
}

/// Returns the places of a file: the folder of the import is one of these that has it, or the root of the git repository, for
/// paths that lead up. Paths in a bake file are relative to the folder where bake runs: to the current one, or to that of the file;
/// those in a compose file are relative to that of the file.
fn places(own: &Place, (folder, name): (&Utf8Path, &str), folders: &[&Utf8Path]) -> Vec<Place> {
    let root = repository_above(folder).map(|(_, inner)| {
        let up: Vec<&str> = inner.components().map(|_| "..").collect();
        match folder.as_str() {
            "." => Utf8PathBuf::from(up.join("/")),
            _ => folder.join(up.join("/")),
        }
    });
    let starts: &[&Utf8Path] = match own.form {
        Form::Compose => &[folder],
        _ => folders,
    };
    let all = folders.iter().copied().chain(root.as_deref());
    let mut found: Vec<(Utf8PathBuf, Place)> = Vec::new();
    for of_import in all {
        for start in starts {
            let (Some(list), Some(paths)) = (within(of_import, folder), within(of_import, start))
            else {
                continue;
            };
            let place = Place {
                folder: of_import.to_owned(),
                list: Utf8Path::new(&list).join(name).to_string(),
                form: own.form,
                paths,
            };
            let real = of_import.canonicalize_utf8().unwrap_or_default();
            let is_known =
                |(other, it): &(Utf8PathBuf, Place)| *other == real && it.paths == place.paths;
            if !found.iter().any(is_known) {
                found.push((real, place));
            }
        }
    }
    if found.is_empty() {
        return vec![own.clone()];
    }
    found.into_iter().map(|(_, place)| place).collect()
}

/// Returns a folder relative to another one that has it.
fn within(folder: &Utf8Path, inner: &Utf8Path) -> Option<String> {
    let (folder, inner) = (
        folder.canonicalize_utf8().ok()?,
        inner.canonicalize_utf8().ok()?,
    );
    Some(inner.strip_prefix(folder).ok()?.to_string())
}

/// Returns a path without `.`, unless it leads out of the folder that it is relative to.
fn below(path: &Utf8Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Utf8Component::CurDir => {}
            Utf8Component::Normal(part) => parts.push(part),
            _ => return None,
        }
    }
    Some(parts.join("/"))
}

fn not_empty(folder: &Utf8Path) -> Utf8PathBuf {
    if folder == "" {
        Utf8PathBuf::from(".")
    } else {
        folder.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_can_be_read_from_the_folders_above_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        fs_err::create_dir_all(root.join("g/h")).expect("a folder");
        fs_err::create_dir(root.join(".git")).expect("a folder");
        for name in ["docker-bake.json", "compose.yml"] {
            fs_err::write(root.join("g/h").join(name), "").expect("written");
        }
        let found = |base: &str, given: &str| -> Vec<String> {
            let places = find(&root.join(base), Utf8Path::new(given)).expect("found");
            let real = root.canonicalize_utf8().expect("there");
            let shown = places.iter().map(|it| {
                let folder = it.folder.canonicalize_utf8().expect("there");
                let folder = folder.strip_prefix(&real).expect("below");
                format!("{folder}: {}, {}", it.list, it.paths)
            });
            shown.collect()
        };
        assert_eq!(
            found("g", "h/docker-bake.json"),
            [
                "g: h/docker-bake.json, ",
                "g: h/docker-bake.json, h",
                "g/h: docker-bake.json, ",
                ": g/h/docker-bake.json, g",
                ": g/h/docker-bake.json, g/h"
            ]
        );
        assert_eq!(
            found("g/h", "."),
            ["g/h: docker-bake.json, ", ": g/h/docker-bake.json, g/h"]
        );
        assert_eq!(
            found("", "g/h/compose.yml"),
            [": g/h/compose.yml, g/h", "g/h: compose.yml, "]
        );
    }
}
