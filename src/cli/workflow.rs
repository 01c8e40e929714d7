//! The workflow for GitHub Actions.

use camino::{Utf8Path, Utf8PathBuf};

use super::paths::below;

/// The folder of workflows.
const FOLDER: &str = ".github/workflows";

/// Names of the workflow: the second one if something else has the first.
const NAMES: [&str; 2] = [
    ".github/workflows/stack.yml",
    ".github/workflows/laminate.yml",
];

/// The registry at which the token of a workflow works.
const GITHUB: &str = "ghcr.io";

const TEXT: &str = r"# Shows what a pull request would build; builds and publishes on the default branch.
# All inputs: https://github.com/REPOSITORY/blob/main/docs/ci.md
on:
  pull_request:
  push: { branches: [main, master] }
jobs:
  stack:
    # Set both to a commit of laminate.
    uses: REPOSITORY/.github/workflows/stack.yml@main
    with: { laminate: refs/heads/mainLOGIN }
    permissions: { contents: read, packages: write }
";

/// How a workflow logs in to a registry where its token does not work.
const LOGIN: &str = ", login: HOST, username: \"${{ vars.REGISTRY_USERNAME }}\"";
const SECRETS: &str = "    secrets: { password: \"${{ secrets.REGISTRY_PASSWORD }}\" }\n";

/// Where the workflow of a stack is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This file runs laminate.
    There(String),
    /// It can be written here.
    Free(&'static str),
    /// Other files have its names.
    Taken,
}

impl Place {
    /// Finds the place in the folder of a stack.
    pub fn find(folder: &Utf8Path) -> Self {
        if let Some(path) = running_laminate(folder) {
            return Self::There(path);
        }
        let mut names = NAMES.into_iter();
        match names.find(|name| !below(folder, name).exists()) {
            Some(name) => Self::Free(name),
            None => Self::Taken,
        }
    }
}

/// Returns the first workflow that runs laminate.
fn running_laminate(folder: &Utf8Path) -> Option<String> {
    let entries = fs_err::read_dir(below(folder, FOLDER)).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    let runs = |line: &str| {
        let line = line.trim_start();
        let is_call = line.contains("/.github/workflows/stack.yml@");
        !line.starts_with('#') && (is_call || line.contains("laminate build"))
    };
    let paths = names.into_iter().map(|name| format!("{FOLDER}/{name}"));
    paths.into_iter().find(|path| {
        let text = fs_err::read_to_string(below(folder, path));
        text.is_ok_and(|text| text.lines().any(runs))
    })
}

/// Returns the text of the workflow of a stack.
pub fn text(registry: Option<&str>) -> String {
    let repository = env!("CARGO_PKG_REPOSITORY").trim_start_matches("https://github.com/");
    let (login, secrets) = match other_registry(registry) {
        Some(host) => (LOGIN.replace("HOST", host), SECRETS),
        None => (String::new(), ""),
    };
    TEXT.replace("LOGIN", &login)
        .replace("REPOSITORY", repository)
        + secrets
}

/// Returns the host of a registry at which the token of a workflow does not work.
pub fn other_registry(registry: Option<&str>) -> Option<&str> {
    let host = registry?.split('/').next()?;
    (host != GITHUB && !host.contains('$')).then_some(host)
}

/// Returns the root of the git repository that a folder is in, and the path of the folder in it, unless it is the root.
pub fn repository_above(folder: &Utf8Path) -> Option<(Utf8PathBuf, Utf8PathBuf)> {
    let real = folder.canonicalize_utf8().ok()?;
    let root = real.ancestors().find(|it| it.join(".git").exists())?;
    let inner = real.strip_prefix(root).ok().filter(|it| *it != "")?;
    Some((root.to_owned(), inner.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_that_runs_laminate_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        assert_eq!(Place::find(root), Place::Free(NAMES[0]));
        fs_err::create_dir_all(root.join(FOLDER)).expect("a folder");
        let write = |path: &str, text: &str| fs_err::write(root.join(path), text).expect("written");
        write(NAMES[0], "# laminate build\non: push\n");
        assert_eq!(Place::find(root), Place::Free(NAMES[1]));
        write(NAMES[1], "on: push\n");
        assert_eq!(Place::find(root), Place::Taken);
        for line in [
            "    - run: laminate build --push",
            "    uses: x/laminate/.github/workflows/stack.yml@1",
        ] {
            write(".github/workflows/ci.yaml", line);
            let expected = Place::There(".github/workflows/ci.yaml".to_owned());
            assert_eq!(Place::find(root), expected, "{line}");
        }
    }

    #[test]
    fn a_workflow_logs_in_to_the_registry_of_the_stack() {
        for registry in [None, Some("ghcr.io/campus"), Some("${env:X}/campus")] {
            let text = text(registry);
            assert!(
                text.contains("with: { laminate: refs/heads/main }"),
                "{text}"
            );
            assert!(!text.contains("secrets"), "{text}");
        }
        let text = text(Some("quay.io/campus"));
        assert!(text.contains("login: quay.io, username: "), "{text}");
        assert!(text.ends_with(SECRETS), "{text}");
    }

    #[test]
    fn a_folder_below_the_root_of_a_repository_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let root = root.canonicalize_utf8().expect("there");
        fs_err::create_dir_all(root.join("a/b")).expect("a folder");
        fs_err::create_dir(root.join(".git")).expect("a folder");
        assert_eq!(repository_above(&root), None);
        let found = repository_above(&root.join("a/b"));
        assert_eq!(found, Some((root, "a/b".into())));
    }
}
