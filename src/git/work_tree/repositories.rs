//! Repositories in a repository: submodules, and those that git only sees.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{entries, is_below, path_of, read_path};
use crate::git::{Error, Git};

/// Returns whether a folder is the top of a repository. git takes no other folder for one.
pub fn is_top(folder: &Path) -> bool {
    // Of a worktree and of a submodule it is a file.
    let git = folder.join(".git");
    git.is_file() || git.join("HEAD").symlink_metadata().is_ok()
}

/// Returns the paths as the repository of `folder` has them: one in another repository is that repository. git finds nothing
/// at such a path.
pub fn seen_from_outside(folder: &Path, paths: &[PathBuf]) -> Vec<PathBuf> {
    let seen = |path: &PathBuf| {
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        let mut from_the_top = above.into_iter().rev();
        let is_repository = |above: &&Path| *above != Path::new("") && is_top(&folder.join(above));
        from_the_top.find(is_repository).unwrap_or(path).to_owned()
    };
    let seen: BTreeSet<PathBuf> = paths.iter().map(seen).collect();
    seen.into_iter().collect()
}

/// Returns which paths in a repository `paths` are, relative to it. None: all are.
pub fn seen_from_inside(repository: &Path, paths: &[PathBuf]) -> Vec<PathBuf> {
    if is_below(repository, paths) {
        return Vec::new();
    }
    let inside = paths.iter().map(|path| path.strip_prefix(repository));
    inside.flatten().map(Path::to_owned).collect()
}

/// Returns those of `repositories`, paths of the index, for which the commit has no entry in `.gitmodules` (gitmodules(5)): a
/// clone cannot have their files.
pub async fn without_entry(
    git: &Git,
    repositories: &BTreeSet<PathBuf>,
) -> Result<BTreeSet<PathBuf>, Error> {
    if repositories.is_empty() {
        return Ok(BTreeSet::new());
    }
    let pattern = r"^submodule\..*\.path$";
    let arguments = [
        "config",
        "-z",
        "--blob=HEAD:.gitmodules",
        "--get-regexp",
        pattern,
    ];
    // It fails if the file is missing, or has no entry.
    let output = git.run(&arguments).await?;
    let prefix = read_path(git, "find the submodules", &["--show-prefix"]).await?;
    let named: BTreeSet<PathBuf> = entries(output.stdout.as_bytes())
        .filter_map(|entry| {
            let end = entry.iter().position(|byte| *byte == b'\n')?;
            Some(path_of(entry.get(end + 1..)?))
        })
        .collect();
    let is_unnamed = |path: &&PathBuf| !named.contains(&prefix.join(path));
    Ok(repositories.iter().filter(is_unnamed).cloned().collect())
}
