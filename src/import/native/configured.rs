//! Settings of package tools that their steps do not read: in the environment, in files of an image, and by commands.

use std::collections::BTreeSet;

use super::context::Context;
use crate::import::sources::join;
use crate::path::clean;

/// A tool that installs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// `apt` sets itself whether recommended packages are installed.
    Apt,
    /// `conda` reads `.condarc`, and no other settings.
    Conda,
    /// `pip` is uv, which reads no settings of pip; but it reads indexes of uv, which pip does not.
    Pip,
}

/// Names of files with settings.
const FILES: [(&str, Tool); 6] = [
    ("pip.conf", Tool::Pip),
    ("pip.ini", Tool::Pip),
    (".pydistutils.cfg", Tool::Pip),
    ("distutils.cfg", Tool::Pip),
    (".mambarc", Tool::Conda),
    ("mambarc", Tool::Conda),
];

/// Where files with settings of apt are.
const OF_APT: &str = "/etc/apt/apt.conf";

/// How names of variables begin.
const VARIABLES: [(&str, Tool); 8] = [
    ("APT_CONFIG", Tool::Apt),
    ("CONDA_CHANNEL", Tool::Conda),
    ("CONDA_CUSTOM_CHANNELS", Tool::Conda),
    ("CONDA_DEFAULT_CHANNELS", Tool::Conda),
    ("CONDA_OVERRIDE", Tool::Conda),
    ("CONDA_PINNED_PACKAGES", Tool::Conda),
    ("CONDA_SUBDIR", Tool::Conda),
    ("PIP_", Tool::Pip),
];

/// Returns the tool that a variable is a setting of.
pub fn by_variable(name: &str) -> Option<Tool> {
    let is_of_uv =
        name.starts_with("UV_") && (name.contains("INDEX") || name.contains("FIND_LINKS"));
    let mut known = VARIABLES.iter();
    let known = known.find(|(start, _)| name.starts_with(start));
    known
        .map(|(_, tool)| *tool)
        .or(is_of_uv.then_some(Tool::Pip))
}

/// Returns the tool that a file at a path of the image has settings of.
pub fn by_path(path: &str) -> Option<Tool> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let known = FILES.iter().find(|(known, _)| *known == name);
    let is_of_apt = format!("/{}", clean(path)).starts_with(OF_APT);
    known
        .map(|(_, tool)| *tool)
        .or(is_of_apt.then_some(Tool::Apt))
}

/// Returns the tools that a text, of a command or of a file that can be a script, can set up.
pub fn by_text(text: &str) -> BTreeSet<Tool> {
    let mut tools = BTreeSet::new();
    let split = |c: char| c.is_whitespace() || "\"'`[](){}<>,;&|=".contains(c);
    let words: Vec<&str> = text.split(split).filter(|it| !it.is_empty()).collect();
    for (at, word) in words.iter().enumerate() {
        // Settings of apt are in parts of a file, by a name that is also that of an option.
        let is_of_apt = word
            .to_lowercase()
            .trim_start_matches("apt::")
            .starts_with("install-recommends");
        let name = word.rsplit('/').next().unwrap_or_default();
        let mut after = words[at + 1..].iter().filter(|it| !it.starts_with('-'));
        if is_of_apt {
            tools.insert(Tool::Apt);
        } else if after.next() == Some(&"config") {
            if name.starts_with("pip") {
                tools.insert(Tool::Pip);
            } else if name.ends_with("mamba") {
                tools.insert(Tool::Conda);
            }
        }
        tools.extend(by_path(word).filter(|it| *it != Tool::Apt));
    }
    // What is written to a profile.
    if text.contains("PIP_") && (text.contains('>') || text.contains("tee ")) {
        tools.insert(Tool::Pip);
    }
    tools
}

/// Returns the tools that a file or a folder of the context can set up at a path of the image.
pub fn by_source(target: &str, source: &str, context: &Context) -> BTreeSet<Tool> {
    let full = join(&context.target.context, source);
    let mut tools: BTreeSet<Tool> = by_path(target).into_iter().collect();
    let all = context.sources.below(&full);
    let all = all.chain([("", full.as_str())]);
    for (inner, path) in all {
        tools.extend(by_path(&format!("{target}/{inner}")));
        let followed = context.sources.followed(path);
        let text = followed.and_then(|path| context.sources.text(&path));
        tools.extend(text.map(by_text).unwrap_or_default());
    }
    tools
}

/// Returns the tools that a Dockerfile whose steps are not known can set up.
pub fn by_dockerfile(context: &Context) -> BTreeSet<Tool> {
    let mut tools = by_text(context.text);
    let split = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    tools.extend(context.text.split(split).filter_map(by_variable));
    if context.text.contains(OF_APT) {
        tools.insert(Tool::Apt);
    }
    for source in &context.linked.context {
        tools.extend(by_source("", source, context));
    }
    tools
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_known_by_texts() {
        for (text, expected) in [
            ("pip config set global.index-url https://x", Some(Tool::Pip)),
            (
                "/opt/bin/pip3 --isolated config --global set a b",
                Some(Tool::Pip),
            ),
            ("python3 -m pip config set a b", Some(Tool::Pip)),
            ("[\"pip\",\"config\",\"set\"]", Some(Tool::Pip)),
            ("echo x >~/.config/pip/pip.conf", Some(Tool::Pip)),
            ("echo x >\"$XDG_CONFIG_HOME/pip/pip.conf\"", Some(Tool::Pip)),
            (
                "echo export PIP_INDEX_URL=x >>/etc/profile",
                Some(Tool::Pip),
            ),
            ("mamba config append channels x", Some(Tool::Conda)),
            ("echo x >/root/.mambarc", Some(Tool::Conda)),
            (
                "echo 'APT::Install-Recommends \"0\";' >/etc/apt/apt.conf.d/x",
                Some(Tool::Apt),
            ),
            ("APT { Install-Recommends \"0\"; };", Some(Tool::Apt)),
            ("apt-get install --no-install-recommends x", None),
            ("conda config --set a b", None),
            ("pip install x && git config a b", None),
            ("PIP_NO_CACHE_DIR=1 pip install x", None),
        ] {
            let found: Vec<Tool> = by_text(text).into_iter().collect();
            assert_eq!(found, Vec::from_iter(expected), "{text}");
        }
    }

    #[test]
    fn settings_are_known_by_names() {
        for (path, expected) in [
            ("/etc/pip.conf", Some(Tool::Pip)),
            ("/etc/apt/apt.conf.d/99x", Some(Tool::Apt)),
            ("/opt/conda/.condarc", None),
            ("/etc/apt/sources.list", None),
        ] {
            assert_eq!(by_path(path), expected, "{path}");
        }
        for (name, expected) in [
            ("PIP_CONFIG_FILE", Some(Tool::Pip)),
            ("UV_DEFAULT_INDEX", Some(Tool::Pip)),
            ("UV_COMPILE_BYTECODE", None),
            ("CONDA_DIR", None),
            ("CONDA_CHANNEL_PRIORITY", Some(Tool::Conda)),
        ] {
            assert_eq!(by_variable(name), expected, "{name}");
        }
    }
}
