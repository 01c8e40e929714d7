//! Files of an image that are certainly files of the context, and what can change them.
//!
//! A file that was copied stands for that of the stack as long as no other file is placed over it, and no command can have
//! changed it. Of a command that is not known, this is never certain.

use std::collections::BTreeMap;

use super::context::{Context, Found};
use super::shell::{Simple, simple_commands, words};
use super::value::{Environment, Value, Vars};
use crate::import::sources::join;
use crate::path::{clean, is_at_or_below};

/// Commands that write to none of the files that their words name.
const READERS: [&str; 40] = [
    ":",
    "[",
    "[[",
    "addgroup",
    "adduser",
    "cat",
    "cd",
    "chgrp",
    "chmod",
    "chown",
    "cmp",
    "command",
    "date",
    "diff",
    "echo",
    "export",
    "false",
    "file",
    "fix-permissions",
    "grep",
    "groupadd",
    "head",
    "id",
    "ldconfig",
    "locale-gen",
    "ls",
    "mkdir",
    "printf",
    "pwd",
    "set",
    "sha256sum",
    "sleep",
    "stat",
    "tail",
    "test",
    "true",
    "umask",
    "update-ca-certificates",
    "useradd",
    "usermod",
];

/// Commands that only write to files that their words name, or below them, and to files of their own, such as those of packages.
const WRITERS: [&str; 34] = [
    "add-apt-repository",
    "apk",
    "apt",
    "apt-get",
    "apt-key",
    "apt-mark",
    "conda",
    "cp",
    "curl",
    "dnf",
    "dpkg",
    "dpkg-reconfigure",
    "find",
    "install",
    "ln",
    "mamba",
    "microdnf",
    "micromamba",
    "mv",
    "npm",
    "pip",
    "pip3",
    "rm",
    "rmdir",
    "sed",
    "tee",
    "touch",
    "truncate",
    "update-alternatives",
    "update-locale",
    "uv",
    "virtualenv",
    "wget",
    "yum",
];

/// Those that also write to the current folder.
const WRITERS_OF_FOLDER: [&str; 2] = ["tar", "unzip"];

/// Modules of python that are like [`WRITERS`].
const MODULES: [&str; 5] = ["compileall", "ensurepip", "pip", "venv", "virtualenv"];

/// A file of the context.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    /// As the spec writes it.
    written: String,
    /// Its path in the folder of the import.
    path: String,
}

/// The files, by their path in the image.
#[derive(Clone, Debug, Default)]
pub struct Copied(BTreeMap<String, Origin>);

/// What a command sees.
pub struct Shell<'a> {
    /// The variables of the Dockerfile.
    pub env: &'a Environment,
    /// Those of the spec.
    pub vars: &'a Vars,
    /// The current folder, if it is known.
    pub folder: Option<String>,
}

impl Copied {
    /// Notes that a file of the context is at a path.
    pub fn place(&mut self, path: &str, source: &str, written: &str, context: &Context) {
        let path = whole(path);
        self.forget(&path);
        let origin = Origin {
            written: written.to_owned(),
            path: join(&context.target.context, source),
        };
        self.0.insert(path, origin);
    }

    /// Notes that the files of a folder of the context are in a folder: only a file that is the same stays known.
    pub fn place_folder(&mut self, target: &str, source: &str, context: &Context) {
        let target = whole(target);
        self.0.retain(|path, origin| {
            if !is_at_or_below(path, &target) {
                return true;
            }
            let inner = clean(&path[target.trim_end_matches('/').len()..]);
            let inner = join(source, &inner);
            let full = join(&context.target.context, &inner);
            match context.find(&inner) {
                Ok(found) => {
                    found.found == Found::File
                        && full == origin.path
                        && !context.sources.is_linked(&full)
                }
                Err(_) => !context.sources.has(&full) && !context.sources.is_linked(&full),
            }
        });
    }

    /// Notes that a path, and what is below it, can be another one.
    pub fn forget(&mut self, path: &str) {
        let path = whole(path);
        self.0.retain(|known, _| !is_at_or_below(known, &path));
    }

    /// Notes that everything can have changed.
    pub fn forget_all(&mut self) {
        self.0.clear();
    }

    /// Returns the file of the spec that is at a path for certain, with the files that it includes. `hidden` are paths that
    /// something is mounted at.
    pub fn requirements(&self, path: &str, hidden: &[String], context: &Context) -> Option<&str> {
        let path = whole(path);
        let mut open = vec![path.clone()];
        let mut seen = Vec::new();
        while let Some(path) = open.pop() {
            if hidden.iter().any(|over| is_at_or_below(&path, over)) {
                return None;
            }
            let origin = self.0.get(&path)?;
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let of_origin = origin.path.rsplit_once('/');
            let of_origin = of_origin.map_or("", |(folder, _)| folder);
            let followed = context.sources.followed(&origin.path)?;
            for name in included(context.sources.text(&followed)?) {
                let inner = whole(&format!("{folder}/{name}"));
                let same = clean(&format!("{of_origin}/{name}"));
                if self.0.get(&inner)?.path != same {
                    return None;
                }
                if !seen.contains(&inner) {
                    seen.push(inner.clone());
                    open.push(inner);
                }
            }
        }
        self.0.get(&path).map(|origin| &*origin.written)
    }

    /// Notes what a text of the shell can have changed; the folder of the shell is that after it.
    pub fn run(&mut self, text: &str, shell: &mut Shell) {
        if self.0.is_empty() && shell.folder.is_none() {
            return;
        }
        let Some(commands) = simple_commands(text) else {
            return self.forget_all();
        };
        for Simple {
            command, targets, ..
        } in commands
        {
            let read = |text: &str| words(text, shell.env, shell.vars);
            let targets: Option<Vec<Vec<Value>>> = targets.iter().map(|it| read(it)).collect();
            let (Some(words), Some(targets)) = (read(&command), targets) else {
                return self.forget_all();
            };
            let resolved = |word: &Value| word.resolved(shell.vars);
            let texts: Option<Vec<String>> = words.iter().map(resolved).collect();
            let targets: Option<Vec<String>> = targets.iter().flatten().map(resolved).collect();
            let (Some(texts), Some(targets)) = (texts, targets) else {
                return self.forget_all();
            };
            for path in targets {
                self.write(&path, shell.folder.as_deref());
            }
            self.command(&texts, shell);
        }
    }

    /// Notes what a command can have changed.
    pub fn command(&mut self, words: &[String], shell: &mut Shell) {
        let assigned = words.iter().take_while(|word| is_assignment(word)).count();
        let (assigned, words) = words.split_at(assigned);
        // A variable that has another value now.
        let exported = words.iter().skip(1);
        let exported = exported.filter(|_| words[0] == "export");
        let mut changed = assigned.iter().chain(exported);
        if changed.any(|word| {
            shell
                .env
                .contains_key(word.split('=').next().unwrap_or_default())
        }) {
            return self.forget_all();
        }
        let Some((program, rest)) = words.split_first() else {
            return;
        };
        let name = match program.rsplit_once('/') {
            Some((folder, name)) if folder.ends_with("bin") => name,
            Some(_) => return self.forget_all(),
            None => program,
        };
        if name == "cd" {
            shell.folder = match rest {
                [path] => absolute(path, shell.folder.as_deref()),
                _ => None,
            };
        }
        if READERS.contains(&name) {
            return;
        }
        let module = rest.get(1).map(String::as_str).unwrap_or_default();
        let is_module = matches!(name, "python" | "python3")
            && rest.first().is_some_and(|option| option == "-m")
            && MODULES.contains(&module);
        let has_output = rest.iter().any(|it| {
            let is_short = it.starts_with('-') && !it.starts_with("--");
            is_short && it.contains('O') || it.starts_with("--rem") || it.starts_with("--output-d")
        });
        let is_of_folder = match name {
            "curl" => has_output,
            "wget" => !has_output,
            _ => WRITERS_OF_FOLDER.contains(&name),
        };
        let runs_others = rest
            .iter()
            .any(|it| it.starts_with("-exec") || it.starts_with("-ok"));
        if !(is_module || is_of_folder || WRITERS.contains(&name)) || runs_others {
            return self.forget_all();
        }
        if is_of_folder {
            self.write(".", shell.folder.as_deref());
        }
        for word in rest {
            self.write(word, shell.folder.as_deref());
            // The value of an option.
            if let (true, Some((_, value))) = (word.starts_with('-'), word.split_once('=')) {
                self.write(value, shell.folder.as_deref());
            } else if let Some(value) = word.strip_prefix('-').and_then(|it| it.get(1..)) {
                self.write(value, shell.folder.as_deref());
            }
        }
    }

    /// Notes that something can have been written at a path or below it; it may be a pattern.
    fn write(&mut self, path: &str, folder: Option<&str>) {
        let pattern = path.find(['*', '?', '[']);
        if path.is_empty() {
            return;
        }
        match absolute(&path[..pattern.unwrap_or(path.len())], folder) {
            Some(start) if pattern.is_some() => self.0.retain(|known, _| {
                let start = if path[..pattern.unwrap_or_default()].ends_with('/') {
                    format!("{}/", start.trim_end_matches('/'))
                } else {
                    start.clone()
                };
                !known.starts_with(&start)
            }),
            Some(path) => self.forget(&path),
            None if pattern.is_some() || path.starts_with('.') || path.contains("..") => {
                self.forget_all();
            }
            None => {
                let inner = format!("/{}/", clean(path));
                self.0
                    .retain(|known, _| !format!("{known}/").contains(&inner));
            }
        }
    }
}

/// Returns a path from the root, clean.
fn whole(path: &str) -> String {
    format!("/{}", clean(path))
}

/// Returns an absolute path, `None` if it is relative to an unknown folder.
pub fn absolute(path: &str, folder: Option<&str>) -> Option<String> {
    if path.starts_with('/') {
        return Some(whole(path));
    }
    folder.map(|folder| whole(&format!("{folder}/{path}")))
}

fn is_assignment(word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.chars().all(is_part)
            && !name.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Returns the files that a file of requirements includes by paths that are relative to it.
fn included(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let end = line.find(['=', ' ', '\t']).unwrap_or(line.len());
        let (option, value) = line.split_at(end);
        let is_long = (option.starts_with("--r") && option != "--require-hashes")
            || (option.starts_with("--c") && !option.starts_with("--config"));
        let short = line.strip_prefix("-r").or(line.strip_prefix("-c"));
        let name = match short {
            Some(value) => value,
            None if is_long => value,
            None => continue,
        };
        let name = name
            .trim_start_matches(['=', ' ', '\t'])
            .trim_matches(['"', '\'']);
        let is_elsewhere =
            name.contains("://") || name.starts_with('/') || name.starts_with("file:/");
        if !is_elsewhere {
            names.push(name.strip_prefix("file:").unwrap_or(name).to_owned());
        }
    }
    names
}
