//! What is imported: a file that lists images, or Dockerfiles.

use camino::{Utf8Path, Utf8PathBuf};

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

/// Finds what is imported: its folder, the file, and its form.
pub(super) fn find(from: &Utf8Path) -> Result<(Utf8PathBuf, String, Form), Failure> {
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
        return Ok((not_empty(folder), list, form));
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
    Ok((from.to_owned(), (*name).to_owned(), *form))
}

fn not_empty(folder: &Utf8Path) -> Utf8PathBuf {
    if folder == "" {
        Utf8PathBuf::from(".")
    } else {
        folder.to_owned()
    }
}
