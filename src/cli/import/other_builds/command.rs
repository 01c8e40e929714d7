//! What a line of a script, a Makefile or a CI file runs.

use camino::Utf8Path;

/// What a line has that builds an image with another tool, with one blank between words.
const COMMANDS: [&str; 19] = [
    "docker build ",
    "docker buildx b",
    "docker image build ",
    "docker compose build ",
    "docker-compose build ",
    "docker.build(",
    "docker/build-push-action",
    "docker/bake-action",
    "podman build ",
    "nerdctl build ",
    "buildah bud ",
    "buildah build ",
    "redhat-actions/buildah-build",
    "kaniko/executor",
    "buildctl build ",
    "depot build ",
    "depot/build-push-action",
    "repo2docker ",
    "repo2docker-action",
];

/// Parts of the names of variables that stand for docker or podman.
const PROGRAMS: [&str; 4] = ["docker", "podman", "container", "engine"];

/// Keys of CI files whose value is a command.
const KEYS: [&str; 8] = [
    "run:",
    "script:",
    "before_script:",
    "after_script:",
    "cmd:",
    "command:",
    "commands:",
    "entrypoint:",
];

/// Words before the program that a command runs.
const BEFORE: [&str; 21] = [
    "sudo",
    "time",
    "exec",
    "env",
    "nice",
    "command",
    "eval",
    "if",
    "then",
    "else",
    "while",
    "do",
    "!",
    "{",
    "bash",
    "sh",
    "zsh",
    "source",
    ".",
    "/bin/bash",
    "/bin/sh",
];

/// Whether a line builds an image.
pub fn builds(line: &str) -> bool {
    if is_name(line) {
        return false;
    }
    let words: Vec<&str> = line.split_whitespace().map(program).collect();
    let line = words.join(" ") + " ";
    let has = |word: &str| {
        words
            .iter()
            .any(|it| it.trim_matches(['"', '\'', ',']) == word)
    };
    let is_compose = line.contains("docker compose ") || line.contains("docker-compose ");
    if has("--print") {
        return false;
    }
    COMMANDS.iter().any(|command| line.contains(command))
        || is_compose && has("up") && has("--build")
}

/// Whether a line is the title of a job or a step.
fn is_name(line: &str) -> bool {
    line.trim_start_matches("- ").starts_with("name:")
}

/// Returns `docker` for a variable that stands for it: `$(DOCKER)`, `${ENGINE}`, `$docker`.
fn program(word: &str) -> &str {
    let Some(name) = word.trim_start_matches(['@', '-']).strip_prefix('$') else {
        return word;
    };
    let name = name
        .trim_start_matches(['(', '{'])
        .trim_end_matches([')', '}']);
    let name = name.to_lowercase();
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name && PROGRAMS.iter().any(|part| name.contains(part)) {
        "docker"
    } else {
        word
    }
}

/// What a command runs that can build images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A script.
    Script(String),
    /// A workflow or an action of the repository.
    Action(String),
    /// Targets; without any, the first one. `place`: the folder or the file of the Makefile.
    Make {
        place: Option<String>,
        targets: Vec<String>,
    },
    /// A recipe; without any, the first one.
    Just {
        place: Option<String>,
        targets: Vec<String>,
    },
    /// Some task of a Taskfile.
    Task,
}

impl Call {
    /// Whether this is about a file, by its path.
    pub fn could_run(&self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = name.to_lowercase();
        let is_at = |place: &Option<String>| match place {
            Some(place) => is_end(place, folder) || is_end(place, path),
            None => true,
        };
        match self {
            Self::Script(word) => {
                let is_script =
                    !name.contains('.') || name.ends_with(".sh") || name.ends_with(".bash");
                is_script && !name.ends_with("file") && is_end(word, path)
            }
            Self::Action(action) => path == action || folder == action,
            Self::Make { place, .. } => {
                let is_make = matches!(&*name, "makefile" | "gnumakefile");
                (is_make || name.ends_with(".mk")) && is_at(place)
            }
            Self::Just { place, .. } => name.ends_with("justfile") && is_at(place),
            Self::Task => name.starts_with("taskfile."),
        }
    }
}

/// Whether a path can stand for a file or folder: it is its path, or the end of it.
fn is_end(word: &str, path: &str) -> bool {
    // `../x.sh`, `$PWD/x.sh`, `$(dirname "$0")/x.sh`
    let parts: Vec<&str> = word.split('/').collect();
    let is_plain =
        |part: &&&str| !matches!(**part, "" | "." | "..") && !part.contains(['$', ')', '}']);
    let parts: Vec<&str> = parts.iter().rev().take_while(is_plain).copied().collect();
    let word = parts.into_iter().rev().collect::<Vec<&str>>().join("/");
    !word.is_empty() && Utf8Path::new(path).ends_with(word)
}

/// Returns what the commands of a line run.
pub fn calls(line: &str) -> Vec<Call> {
    if is_name(line) {
        return Vec::new();
    }
    let line = line.trim_start_matches("- ").trim_start();
    if let Some(action) = line.strip_prefix("uses:") {
        let action = action.trim().trim_matches(['"', '\'']);
        let action = action.strip_prefix("./").map(|it| it.trim_end_matches('/'));
        return action
            .map(|it| Call::Action(it.to_owned()))
            .into_iter()
            .collect();
    }
    let key = KEYS.iter().find_map(|key| line.strip_prefix(key));
    let line = key.unwrap_or(line).replace("&&", ";").replace("||", ";");
    line.split([';', '|', '`']).filter_map(call).collect()
}

/// Returns what a command runs.
fn call(command: &str) -> Option<Call> {
    let words = command.split_whitespace();
    let words = words.map(|word| word.trim_matches(['"', '\'', ',', '[', ']']));
    let words = words.map(|word| word.trim_start_matches(['@', '(']));
    let is_before = |word: &&str| {
        let is_set = word
            .split_once('=')
            .is_some_and(|(name, _)| !name.contains('/'));
        word.is_empty() || word.starts_with('-') || is_set || BEFORE.contains(word)
    };
    let mut words = words.skip_while(is_before).filter(|word| !word.is_empty());
    let program = words.next()?;
    match program {
        "make" | "gmake" | "$(MAKE)" | "${MAKE}" => {
            let (place, targets) = arguments(
                words,
                &["-C", "--directory"],
                &["-f", "--file", "--makefile"],
            );
            Some(Call::Make { place, targets })
        }
        "just" => {
            let folders = ["-d", "--working-directory"];
            let (place, targets) = arguments(words, &folders, &["-f", "--justfile"]);
            Some(Call::Just { place, targets })
        }
        "task" | "go-task" => Some(Call::Task),
        _ => Some(Call::Script(program.to_owned())),
    }
}

/// Returns the folder or file that an option names, and the words that are neither options nor variables.
fn arguments<'a>(
    mut words: impl Iterator<Item = &'a str>,
    folders: &[&str],
    files: &[&str],
) -> (Option<String>, Vec<String>) {
    let (mut folder, mut file, mut targets) = (None, None, Vec::new());
    while let Some(word) = words.next() {
        let option = |names: &[&str]| {
            names.iter().find_map(|name| {
                let rest = word.strip_prefix(name)?;
                Some(rest.strip_prefix('=').unwrap_or(rest).to_owned())
            })
        };
        let (to, value) = if let Some(value) = option(folders) {
            (&mut folder, value)
        } else if let Some(value) = option(files) {
            (&mut file, value)
        } else {
            if !word.starts_with('-') && !word.contains('=') {
                targets.push(word.trim_end_matches(')').to_owned());
            }
            continue;
        };
        *to = match &*value {
            "" => words.next().map(str::to_owned),
            _ => Some(value),
        };
    }
    let place = match (folder, file) {
        (Some(folder), Some(file)) => Some(format!("{folder}/{file}")),
        (folder, file) => file.or(folder),
    };
    (place, targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_other_tools_build() {
        for line in [
            "docker build .",
            "docker  build",
            "@$(DOCKER) build -t x .",
            "${CONTAINER_ENGINE} build .",
            "docker compose up -d --build",
            "jupyter-repo2docker .",
            "uses: docker/build-push-action@v6",
        ] {
            assert!(builds(line), "{line}");
        }
        for line in [
            "docker ps",
            "docker buildx bake --print",
            "docker compose up",
            "$(CC) build",
            "- name: docker build .",
        ] {
            assert!(!builds(line), "{line}");
        }
    }

    #[test]
    fn commands_run_scripts_and_targets() {
        let script = |word: &str| Call::Script(word.to_owned());
        let make = |place: Option<&str>, targets: &[&str]| Call::Make {
            place: place.map(str::to_owned),
            targets: targets.iter().map(ToString::to_string).collect(),
        };
        for (line, expected) in [
            ("- run: ./x.sh a", vec![script("./x.sh")]),
            (
                "A=b sudo bash -ex x.sh && make a b",
                vec![script("x.sh"), make(None, &["a", "b"])],
            ),
            (
                "script: [\"make -C d\", all]",
                vec![make(Some("d"), &["all"])],
            ),
            ("@$(MAKE) -j 4 -fx.mk", vec![make(Some("x.mk"), &["4"])]),
            (
                "- uses: ./.github/actions/a/",
                vec![Call::Action(".github/actions/a".to_owned())],
            ),
            ("- uses: actions/checkout@v4", vec![]),
            ("name: make", vec![]),
        ] {
            assert_eq!(calls(line), expected, "{line}");
        }
        for (word, path, expected) in [
            ("./x.sh", "x.sh", true),
            ("x.sh", "tools/x.sh", true),
            ("../tools/x.sh", "tools/x.sh", true),
            ("$(dirname \"$0\")/x.sh", "tools/x.sh", true),
            ("other/x.sh", "tools/x.sh", false),
            ("ax.sh", "x.sh", false),
            ("..", "tools/x.sh", false),
        ] {
            assert_eq!(is_end(word, path), expected, "{word} {path}");
        }
    }
}
