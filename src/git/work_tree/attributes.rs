//! Where git's attributes are (gitattributes(5)), what they are of a file, and which of them change what a clone has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Entry, input_of, is_top};
use crate::git::{Error, Git};

/// The name of a file with attributes.
pub const NAME: &str = ".gitattributes";

/// What stands in a file with attributes if they can give a clone another content than the commit has. Line ends are
/// LF everywhere else if no setting of a machine changes them.
const CONVERTING: [&str; 3] = ["eol=crlf", "ident", "working-tree-encoding"];

/// Returns the files with attributes of all folders above `paths`, in the repository of `folder`. All paths are relative
/// to `folder`; the files need not be there.
pub fn attributes_above(folder: &Path, paths: &[PathBuf]) -> Vec<PathBuf> {
    if paths.is_empty() {
        return Vec::new();
    }
    let Ok(folder) = folder.canonicalize() else {
        return Vec::new();
    };
    let Some(levels) = folder.ancestors().position(is_top) else {
        return Vec::new();
    };
    let outside = (0..=levels).map(|level| PathBuf::from("../".repeat(level)));
    let inside = paths.iter().flat_map(|path| path.ancestors().skip(1));
    let folders: BTreeSet<PathBuf> = outside.chain(inside.map(Path::to_owned)).collect();
    folders.iter().map(|folder| folder.join(NAME)).collect()
}

/// Returns the values of attributes of each path, in the order of `names` (git-check-attr(1), "OUTPUT"). `options` say
/// where they are looked for; `task` is for errors.
pub async fn read(
    git: &Git,
    task: &str,
    options: &[&str],
    names: &[&str],
    paths: impl IntoIterator<Item = impl AsRef<Path>>,
) -> Result<Vec<Vec<String>>, Error> {
    let arguments = [&["check-attr", "-z", "--stdin"], options, names].concat();
    let output = git.read_bytes(task, &arguments, &input_of(paths)).await?;
    // Path, attribute, value: one that is set to nothing is empty.
    let fields: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
    let of_file = |fields: &[&[u8]]| {
        let values = fields.iter().skip(2).step_by(3);
        values
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    };
    let files = fields.chunks_exact(3 * names.len());
    Ok(files.map(of_file).collect())
}

/// Returns whether a path is one of `paths` or below one of them. No paths are all.
pub fn is_below(path: &Path, paths: &[PathBuf]) -> bool {
    let covers = |folder: &PathBuf| folder == Path::new(".") || path.starts_with(folder);
    paths.is_empty() || paths.iter().any(covers)
}

/// Returns whether one of the files can give a clone another content than the commit has. One that is not on the disk can.
pub fn can_convert(folder: &Path, files: &[Entry]) -> bool {
    files.iter().any(|file| {
        let content = read_regular(&folder.join(&file.path));
        content.is_none_or(|content| has_any_of(&content, &CONVERTING))
    })
}

/// Returns the content of a file or of what a link leads to; `None` if it cannot be read. Of what is something else, a FIFO
/// for example, nothing is read.
pub fn read_regular(path: &Path) -> Option<Vec<u8>> {
    let is_regular = fs_err::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_regular.then(|| fs_err::read(path).ok()).flatten()
}

/// Returns whether attributes can give a clone another content than the commit has, also one with filters.
pub fn converts_or_filters(content: &[u8]) -> bool {
    has_any_of(content, &CONVERTING) || has_any_of(content, &["filter"])
}

fn has_any_of(content: &[u8], attributes: &[&str]) -> bool {
    let text = String::from_utf8_lossy(content);
    attributes.iter().any(|attribute| text.contains(attribute))
}
