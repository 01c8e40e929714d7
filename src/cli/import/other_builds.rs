//! Scripts and CI files that build images without laminate, and those that run them.

mod command;
mod rules;

use std::collections::BTreeMap;

use camino::Utf8Path;

use self::command::{Call, builds, calls};
use self::rules::Rules;
use super::{below, text_of};
use crate::import::Sources;
use crate::list;

/// Larger files are not read, bytes.
const LARGEST: u64 = 256 << 10;

/// How many lines of a file are shown, for each file that they run.
const SHOWN: usize = 6;

/// Names of files that run builds, in lower case.
const NAMES: [&str; 17] = [
    "makefile",
    "gnumakefile",
    "justfile",
    ".justfile",
    "taskfile.yml",
    "taskfile.yaml",
    "jenkinsfile",
    ".gitlab-ci.yml",
    ".woodpecker.yml",
    ".woodpecker.yaml",
    ".drone.yml",
    ".travis.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "appveyor.yml",
    "cloudbuild.yaml",
    "cloudbuild.yml",
];

/// Folders of files that run builds.
const FOLDERS: [&str; 8] = [
    ".github/workflows/",
    ".github/actions/",
    ".forgejo/workflows/",
    ".gitea/workflows/",
    ".gitlab/",
    ".woodpecker/",
    ".circleci/",
    ".buildkite/",
];

/// A file that builds images without laminate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherBuild {
    /// The file, relative to the folder of the import.
    pub path: String,
    /// Its lines that build images, by number, with the file that a line runs to do so.
    pub lines: BTreeMap<usize, Option<String>>,
}

impl OtherBuild {
    /// Returns the file with its lines, for people: `ci.yml:3, 4 (runs Makefile), 9`.
    pub fn shown(&self) -> String {
        let mut groups: Vec<(Option<&str>, Vec<usize>)> = Vec::new();
        for (number, runs) in &self.lines {
            let runs = runs.as_deref();
            match groups.iter_mut().find(|(other, _)| *other == runs) {
                Some((_, numbers)) => numbers.push(*number),
                None => groups.push((runs, vec![*number])),
            }
        }
        let groups = groups.into_iter().map(|(runs, numbers)| {
            list::first(&numbers, SHOWN)
                + &runs.map_or_else(String::new, |path| format!(" (runs {path})"))
        });
        let groups: Vec<String> = groups.collect();
        format!("{}:{}", self.path, groups.join(", "))
    }
}

/// A file that could build images.
struct File<'a> {
    path: &'a str,
    text: String,
    /// Of a Makefile or justfile.
    rules: Option<Rules>,
}

/// Returns the files that build images with another tool, or that run one of these.
pub fn find(folder: &Utf8Path, sources: &Sources) -> Vec<OtherBuild> {
    let paths = sources.files.keys();
    let paths = paths.filter(|path| could_build(path) && !sources.is_ignored(path));
    let files = paths.filter_map(|path| {
        let text = text_of(&below(folder, path), LARGEST)?;
        let is_script = !has_no_extension(path) || is_shell(&text);
        let rules = Rules::read(path, &text);
        is_script.then_some(File { path, text, rules })
    });
    let files: Vec<File> = files.collect();
    let direct = |file: &File| -> BTreeMap<usize, Option<String>> {
        let lines = numbered(&file.text).filter(|(_, line)| builds(line));
        lines.map(|(number, _)| (number, None)).collect()
    };
    let mut lines: Vec<_> = files.iter().map(direct).collect();
    // A file that runs one that was found can be run by others.
    while add_calls(&files, &mut lines) {}
    let mut found = Vec::new();
    for (file, mut lines) in files.iter().zip(lines) {
        lines.retain(|_, runs| runs.as_deref() != Some(file.path));
        if !lines.is_empty() {
            let path = file.path.to_owned();
            found.push(OtherBuild { path, lines });
        }
    }
    found
}

/// Adds the lines that run what builds images; returns whether there were any.
fn add_calls(files: &[File], lines: &mut [BTreeMap<usize, Option<String>>]) -> bool {
    let mut added = Vec::new();
    for (at, file) in files.iter().enumerate() {
        for (number, line) in numbered(&file.text) {
            if !lines[at].contains_key(&number) && !is_path(file.path, line) {
                let mut called = calls(line).into_iter();
                let called = called.find_map(|call| called_file(file, &call, files, lines));
                added.extend(called.map(|path| (at, number, path)));
            }
        }
    }
    let is_any = !added.is_empty();
    for (at, number, path) in added {
        lines[at].insert(number, Some(path));
    }
    is_any
}

/// Whether a line of a workflow is an entry of a list, such as that of the paths that start it: a command has the key `run`.
fn is_path(path: &str, line: &str) -> bool {
    let is_workflow = path.starts_with('.') && path.contains("/workflows/");
    let is_keyed = |entry: &str| {
        entry
            .split_whitespace()
            .next()
            .is_some_and(|it| it.ends_with(':'))
    };
    is_workflow
        && line
            .strip_prefix("- ")
            .is_some_and(|entry| !is_keyed(entry))
}

/// Returns the file that a call runs, if that builds images.
fn called_file(
    caller: &File,
    call: &Call,
    files: &[File],
    lines: &[BTreeMap<usize, Option<String>>],
) -> Option<String> {
    let building = files
        .iter()
        .zip(lines)
        .filter(|(_, lines)| !lines.is_empty());
    let mut building = building.filter(|(file, _)| call.could_run(file.path));
    let found = match call {
        Call::Script(_) | Call::Action(_) | Call::Task => {
            building.find(|(file, _)| file.path != caller.path)
        }
        Call::Make { place, targets } | Call::Just { place, targets } => {
            let folder = Utf8Path::new(caller.path)
                .parent()
                .map_or("", Utf8Path::as_str);
            let is_near = |file: &File| {
                let own = Utf8Path::new(file.path)
                    .parent()
                    .map_or("", Utf8Path::as_str);
                own.is_empty() || own == folder
            };
            let is_there = |it: &File| it.rules.is_some() && call.could_run(it.path) && is_near(it);
            let has_near = place.is_none() && files.iter().any(is_there);
            building.find(|(file, lines)| {
                let rules = file.rules.as_ref();
                let is_included = file.path.ends_with(".mk");
                (!has_near || is_included || is_near(file))
                    && rules.is_some_and(|rules| rules.build(lines, targets))
            })
        }
    };
    found.map(|(file, _)| file.path.to_owned())
}

/// Returns the lines of a text that are not comments, with their numbers.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    let lines = lines.map(|(at, line)| (at + 1, line.trim_start()));
    lines.filter(|(_, line)| !line.starts_with('#') && !line.starts_with("//"))
}

fn could_build(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    NAMES.contains(&name.as_str())
        || [".sh", ".bash", ".mk"].iter().any(|it| name.ends_with(it))
        || FOLDERS.iter().any(|folder| path.starts_with(folder))
        || has_no_extension(path)
}

/// Whether a file is a script only if its text says so.
fn has_no_extension(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    !name.contains('.') && !NAMES.contains(&name.to_lowercase().as_str())
}

/// Whether a text is a script of a shell.
fn is_shell(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.starts_with("#!") && first.trim_end().ends_with("sh")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fs_err as fs;

    use super::*;

    /// Returns the lines that are found in files, as `PATH:LINE` with the file that a line runs.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("written");
            fs::write(path, text).expect("written");
        }
        let files = files.iter().map(|(path, _)| ((*path).to_owned(), None));
        let sources = Sources {
            files: files.collect(),
            ignored: BTreeSet::from(["out".to_owned()]),
            ..Sources::default()
        };
        let found = find(root, &sources).into_iter();
        let lines = found.flat_map(|it| {
            let path = it.path;
            let lines = it.lines.into_iter();
            lines.map(move |(number, runs)| match runs {
                Some(runs) => format!("{path}:{number} {runs}"),
                None => format!("{path}:{number}"),
            })
        });
        lines.collect()
    }

    #[test]
    fn each_line_that_builds_is_found() {
        let files = [
            (
                "Makefile",
                "all:\n\t# docker build .\n\tdocker build -t x .\n\tdocker build y\n",
            ),
            (
                ".github/workflows/ci.yml",
                "on: push\n    name: docker build x\n    uses: docker/build-push-action@v6\n",
            ),
            ("tools/ps.sh", "docker  ps\n"),
            ("bin/images", "#!/usr/bin/env bash\ndocker build .\n"),
            ("bin/notes", "docker build .\n"),
            ("out/build.sh", "docker build .\n"),
            ("README.md", "docker build .\n"),
        ];
        let expected = [
            ".github/workflows/ci.yml:3",
            "Makefile:3",
            "Makefile:4",
            "bin/images:2",
        ];
        assert_eq!(found(&files), expected);
    }

    #[test]
    fn files_that_run_a_build_are_found() {
        let files = [
            (
                "Makefile",
                "help:\n\t@echo x\nbuild/%:\n\tdocker build $(notdir $@)\nall: $(foreach I,$(X),build/$(I))\npush: all\n\tdocker push x\nagain:\n\t$(MAKE) all\nlint:\n\truff check\n",
            ),
            ("tools/build.sh", "docker build a\ndocker build b\n"),
            ("tools/ci.sh", "set -e\ncd x && ./build.sh --all\n"),
            (
                ".github/workflows/a.yml",
                "  - run: make lint\n  - run: make\n  - run: make -j4 DARGS=x build/base\n  - run: |\n      make push\n  - run: make again\n",
            ),
            (
                ".github/workflows/b.yml",
                "  - \"tools/ci.sh\"\n  - run: shellcheck tools/ci.sh\n  - run: chmod +x tools/ci.sh && tools/ci.sh\n  - uses: ./.github/workflows/a.yml\n  - uses: ./.github/actions/x\n",
            ),
            (
                ".github/actions/x/action.yml",
                "  - run: bash tools/build.sh\n",
            ),
            (
                "Jenkinsfile",
                "sh 'make build/x'\nsh \"./other/build.sh\"\n",
            ),
        ];
        let expected = [
            ".github/actions/x/action.yml:1 tools/build.sh",
            ".github/workflows/a.yml:3 Makefile",
            ".github/workflows/a.yml:5 Makefile",
            ".github/workflows/a.yml:6 Makefile",
            ".github/workflows/b.yml:3 tools/ci.sh",
            ".github/workflows/b.yml:4 .github/workflows/a.yml",
            ".github/workflows/b.yml:5 .github/actions/x/action.yml",
            "Jenkinsfile:1 Makefile",
            "Makefile:4",
            "tools/build.sh:1",
            "tools/build.sh:2",
            "tools/ci.sh:2 tools/build.sh",
        ];
        assert_eq!(found(&files), expected);
    }

    #[test]
    fn a_target_that_needs_the_value_of_a_variable_can_build() {
        let makefile = "ALL = a-notebook rstudio\nall: $(ALL)\n%-notebook:\n\tdocker build $@\nrstudio:\n\tdocker build rstudio\nlint:\n\truff check\n";
        let files = [
            ("Makefile", makefile),
            (
                ".github/workflows/a.yml",
                "  - run: make all push\n  - run: make lint\n",
            ),
        ];
        let expected = [
            ".github/workflows/a.yml:1 Makefile",
            "Makefile:4",
            "Makefile:6",
        ];
        assert_eq!(found(&files), expected);
    }

    #[test]
    fn lines_are_shown_in_groups() {
        let runs = |path: &str| Some(path.to_owned());
        let mut lines: BTreeMap<usize, Option<String>> = (1..10).map(|at| (at, None)).collect();
        lines.insert(3, runs("a.sh"));
        lines.insert(20, runs("Makefile"));
        lines.insert(21, runs("a.sh"));
        let path = "ci.yml".to_owned();
        let shown = OtherBuild { path, lines }.shown();
        let expected = "ci.yml:1, 2, 4, 5, 6, 7 and 2 more, 3, 21 (runs a.sh), 20 (runs Makefile)";
        assert_eq!(shown, expected);
    }

    #[test]
    fn make_reads_the_makefile_of_a_folder() {
        let builds = "all:\n\tdocker build .\n";
        let files = [
            ("Makefile", "all:\n\tfalse\n"),
            ("a/Makefile", builds),
            ("a/x.sh", "make\n"),
            (
                "x.sh",
                "make\nmake -C a\nmake --directory=b\nmake -f a/Makefile all\n",
            ),
        ];
        let expected = [
            "a/Makefile:2",
            "a/x.sh:1 a/Makefile",
            "x.sh:2 a/Makefile",
            "x.sh:4 a/Makefile",
        ];
        assert_eq!(found(&files), expected);
        let files = [
            ("a/Makefile", builds),
            (".travis.yml", "script: cd a; make"),
        ];
        assert_eq!(found(&files), [".travis.yml:1 a/Makefile", "a/Makefile:2"]);
        let files = [
            (
                "justfile",
                "x := 'y'\ndefault: (image \"a\")\nimage name:\n    podman build {{name}}\n",
            ),
            (
                ".gitlab-ci.yml",
                "  - just\n  - just image b\n  - just other\n",
            ),
        ];
        let expected = [
            ".gitlab-ci.yml:1 justfile",
            ".gitlab-ci.yml:2 justfile",
            "justfile:4",
        ];
        assert_eq!(found(&files), expected);
    }
}
