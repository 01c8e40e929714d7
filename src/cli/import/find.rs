//! What is imported: a file that lists images, or Dockerfiles.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

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
}

/// Finds what is imported: a path, relative to a folder unless it is absolute. Paths in a bake file are relative to the folder
/// where bake runs: to this one, or to that of the file, the second place.
pub(super) fn find(base: &Utf8Path, given: &Utf8Path) -> Result<Vec<Place>, Failure> {
    let from = &match below(given) {
        Some(path) if base == "." => not_empty(Utf8Path::new(&path)),
        _ => base.join(given),
    };
    if from.is_file() {
        let name = from.file_name().unwrap_or_default();
        let form = match from.extension() {
            Some("json") => Form::BakeJson,
            Some("hcl") => Form::BakeHcl,
            Some("yml" | "yaml") if name.contains("compose") => Form::Compose,
            Some("yml" | "yaml") => Form::Datahub,
            _ => {
                let text =
                    format!("`{from}` is neither a bake file, a compose file nor a spec.yml");
                return Err(Failure::new(Exit::Usage, text)
                    .help("pass the folder of the Dockerfiles, or one of these files"));
            }
        };
        // The folder of the images is below that of the spec.
        let folder = from.parent().unwrap_or(Utf8Path::new(""));
        let is_below = folder.file_name() == Some("images");
        let (folder, list) = match folder.parent() {
            Some(above) if is_below => (above, format!("images/{name}")),
            _ => (folder, name.to_owned()),
        };
        let of_file = Place {
            folder: not_empty(folder),
            list,
            form,
        };
        let below = below(given).map(|list| Place {
            folder: not_empty(base),
            list,
            form,
        });
        return Ok(match (form, below) {
            (Form::Compose, Some(below)) => vec![below],
            (Form::BakeJson | Form::BakeHcl, Some(below)) if below != of_file => {
                vec![below, of_file]
            }
            _ => vec![of_file],
        });
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
    Ok(vec![Place {
        folder: from.to_owned(),
        list: (*name).to_owned(),
        form: *form,
    }])
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
