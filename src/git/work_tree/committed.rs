//! The files of the commit that is checked out, to compare them with what was read of the disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use camino::Utf8Path;

use super::attributes::{self, attributes_above};
use super::{entries, read_head, with_paths};
use crate::checkout::{BlobId, Committed, CommittedFile, CommittedKind, ObjectFormat};
use crate::git::{Error, Git};

/// Returns which of `files`, paths of files and folders relative to `folder`, the commit has that is checked out, if a new
/// clone has the contents of their blobs. `None` for files that it converts or filters, for submodules, names that are not
/// UTF-8, and attributes above `files` that differ from the commit; and as for [`read_head`].
pub async fn read_committed<T: AsRef<str>>(
    folder: &Utf8Path,
    files: &[T],
) -> Result<Option<Committed>, Error> {
    let Some((commit, time)) = read_head(folder).await? else {
        return Ok(None);
    };
    let paths: Vec<PathBuf> = files.iter().map(|f| PathBuf::from(f.as_ref())).collect();
    let above = attributes_above(folder.as_std_path(), &paths);
    let arguments = ["ls-tree", "-r", "-z", commit.as_str(), "--"];
    let paths = [paths, above.clone()].concat();
    let arguments = with_paths(&arguments, &paths);
    let task = "list the files of the commit";
    let output = Git::plain(folder).read_bytes(task, &arguments, &[]).await?;
    let mut files = HashMap::new();
    for entry in entries(&output) {
        let Some((path, file)) = std::str::from_utf8(entry).ok().and_then(parse) else {
            return Ok(None);
        };
        files.insert(path.to_owned(), file);
    }
    let is_plain = ensure_plain(folder.as_std_path(), &mut files, &above);
    Ok(is_plain.map(|()| Committed {
        commit,
        time,
        files,
    }))
}

/// Parses `100644 blob <hash>\t<path>` (git-ls-tree(1), "OUTPUT FORMAT"). `None` for a submodule.
fn parse(entry: &str) -> Option<(&str, CommittedFile)> {
    let (words, path) = entry.split_once('\t')?;
    let mut words = words.split(' ');
    let kind = match words.next()? {
        "100644" => CommittedKind::Regular { executable: false },
        "100755" => CommittedKind::Regular { executable: true },
        "120000" => CommittedKind::Link,
        _ => return None,
    };
    let blob = BlobId::from_hex(words.nth(1)?);
    Some((path, CommittedFile { kind, blob }))
}

/// Looks whether attributes change no content. Those of `above` are taken out of the files.
fn ensure_plain(
    folder: &Path,
    files: &mut HashMap<String, CommittedFile>,
    above: &[PathBuf],
) -> Option<()> {
    let inside = files.iter();
    let inside = inside.filter(|(path, _)| Path::new(path.as_str()).ends_with(attributes::NAME));
    let mut all: Vec<(PathBuf, Option<CommittedFile>)> = inside
        .map(|(path, file)| (PathBuf::from(path), Some(file.clone())))
        .collect();
    for path in above {
        let file = files.remove(path.to_str()?);
        all.retain(|(other, _)| other != path);
        all.push((path.clone(), file));
    }
    all.iter()
        .all(|(path, file)| is_plain(&folder.join(path), file.as_ref()))
        .then_some(())
}

/// Whether a file with attributes is that of the commit, and changes no content.
fn is_plain(path: &Path, committed: Option<&CommittedFile>) -> bool {
    let Some(file) = committed else {
        return path.symlink_metadata().is_err();
    };
    // git reads no attributes from a link.
    let is_regular = matches!(file.kind, CommittedKind::Regular { .. });
    let Some(content) = attributes::read_regular(path) else {
        return false;
    };
    let format = ObjectFormat::of_hash(file.blob.hex());
    is_regular
        && !path.is_symlink()
        && BlobId::of(format, &content) == file.blob
        && !attributes::converts_or_filters(&content)
}
