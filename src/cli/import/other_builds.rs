//! Scripts and CI files that build images without laminate.

use camino::Utf8Path;

use super::{below, text_of};
use crate::import::Sources;

/// Larger files are not read, bytes.
const LARGEST: u64 = 256 << 10;

/// What a line has that builds an image with another tool.
const COMMANDS: [&str; 13] = [
    "docker build ",
    "docker buildx b",
    "docker image build ",
    "docker compose build",
    "docker-compose build",
    "docker/build-push-action",
    "docker/bake-action",
    "podman build ",
    "buildah bud ",
    "buildah build ",
    "kaniko/executor",
    "buildctl build",
    "repo2docker ",
];

/// Names of files that run builds.
const NAMES: [&str; 10] = [
    "makefile",
    "gnumakefile",
    "justfile",
    "taskfile.yml",
    "jenkinsfile",
    ".gitlab-ci.yml",
    ".woodpecker.yml",
    ".travis.yml",
    "azure-pipelines.yml",
    "cloudbuild.yaml",
];

/// Folders of files that run builds.
const FOLDERS: [&str; 3] = [".github/workflows/", ".woodpecker/", ".circleci/"];

/// Returns `FILE:LINE` of the first line of each file that builds an image with another tool.
pub fn find(folder: &Utf8Path, sources: &Sources) -> Vec<String> {
    let files = sources.files.keys();
    let files = files.filter(|path| runs_builds(path) && !sources.is_ignored(path));
    files
        .filter_map(|path| {
            let text = text_of(&below(folder, path), LARGEST)?;
            Some(format!("{path}:{}", first_build(&text)?))
        })
        .collect()
}

fn runs_builds(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    NAMES.contains(&name.as_str())
        || name.ends_with(".sh")
        || name.ends_with(".mk")
        || FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// Returns the number of the first line that builds an image.
fn first_build(text: &str) -> Option<usize> {
    let builds = |line: &str| {
        let line = line.trim_start();
        !line.starts_with('#') && COMMANDS.iter().any(|command| line.contains(command))
    };
    Some(text.lines().position(builds)? + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fs_err as fs;

    use super::*;

    #[test]
    fn the_first_build_of_each_script_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = [
            (
                "Makefile",
                "all:\n\t# docker build .\n\tdocker build -t x .\n\tdocker build y\n",
            ),
            (
                ".github/workflows/ci.yml",
                "on: push\n    uses: docker/build-push-action@v6\n",
            ),
            ("tools/build.sh", "docker  ps\n"),
            ("out/build.sh", "docker build .\n"),
            ("README.md", "docker build .\n"),
        ];
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("written");
            fs::write(path, text).expect("written");
        }
        let sources = Sources {
            files: files.map(|(path, _)| (path.to_owned(), None)).into(),
            ignored: BTreeSet::from(["out".to_owned()]),
            ..Sources::default()
        };
        let expected = [".github/workflows/ci.yml:2", "Makefile:3"];
        assert_eq!(find(root, &sources), expected);
    }
}
