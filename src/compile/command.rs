//! Each kind of step as a command: what runs, as whom, with which files and caches beside it.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::files;
use super::shell::{line, quote, with_errexit};
use crate::stack::{Conda, Kind, Pip, PipTool, Step};

/// Where a step finds what laminate brings: a tmpfs with mounts in it, gone when the step ends.
pub const PLACE: &str = "/run/laminate";

/// The version of uv that pip steps use; part of the compiler's output format.
pub const UV_VERSION: &str = "0.13.9";

/// A command and what it needs.
#[derive(Clone, Debug, Default)]
pub struct Command {
    pub args: Vec<String>,
    /// Runs as root unless the step says otherwise.
    pub root: bool,
    /// Without the network unless the step says otherwise.
    pub alone: bool,
    /// Variables for this command that the step's own environment may override.
    pub env: Vec<(&'static str, String)>,
    /// Files of the stack it reads, below `PLACE/files`.
    pub files: Vec<Utf8PathBuf>,
    /// Texts it reads, below `PLACE/texts`: too long or too odd for a command line.
    pub texts: BTreeMap<String, String>,
    /// Cache mounts: where, and under which name.
    pub caches: Vec<Cache>,
    /// Other images, mounted at `PLACE/image0`, `PLACE/image1`, ….
    pub images: Vec<crate::name::Reference>,
    /// uv at `PLACE/uv`.
    pub uv: bool,
}

#[derive(Clone, Debug)]
pub struct Cache {
    pub target: String,
    pub id: String,
    /// One writer at a time.
    pub private: bool,
}

fn sh(text: String) -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-ec".to_owned(), text]
}

/// The path a file of the stack has in a step.
pub fn in_step(file: &Utf8PathBuf) -> String {
    format!("{PLACE}/files/{file}")
}

/// The command of one step; `None` for a group, which is made of its members' commands.
pub fn command(step: &Step, shell: &[String]) -> Option<Command> {
    Some(match &step.kind {
        Kind::Apt {
            packages,
            recommends,
        } => apt(packages, *recommends),
        Kind::Pip(step) => pip(step),
        Kind::Conda(step) => conda(step),
        Kind::Copy(_) | Kind::Write(_) | Kind::Append(_) | Kind::Link(_) | Kind::Perms(_) => {
            files::command(&step.kind)
        }
        Kind::Run(text) => {
            let mut args = with_errexit(shell);
            args.push(text.clone());
            Command {
                args,
                ..Command::default()
            }
        }
        Kind::Exec(args) => Command {
            args: args.clone(),
            ..Command::default()
        },
        Kind::Script(file) => Command {
            args: vec![in_step(file)],
            files: vec![file.clone()],
            ..Command::default()
        },
        Kind::Group(_) => return None,
    })
}

fn apt(packages: &[String], recommends: bool) -> Command {
    let recommends = match recommends {
        true => "--install-recommends",
        false => "--no-install-recommends",
    };
    // What apt and dpkg write beside the packages differs with every run.
    let text = format!(
        "ca=${{SSL_CERT_FILE:+-o Acquire::https::CAInfo=$SSL_CERT_FILE}}\n\
         apt-get $ca update\n\
         apt-get $ca install -y {recommends} {}\n\
         rm -rf /var/log/apt/history.log /var/log/apt/term.log /var/log/apt/eipp.log.xz \
         /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log \
         /var/log/fontconfig.log /var/cache/ldconfig/aux-cache \
         /var/cache/debconf/*-old /var/lib/dpkg/*-old\n",
        line(packages)
    );
    Command {
        args: sh(text),
        root: true,
        env: vec![("DEBIAN_FRONTEND", "noninteractive".to_owned())],
        caches: vec![
            Cache {
                target: "/var/cache/apt".to_owned(),
                id: "laminate-apt-archives".to_owned(),
                private: true,
            },
            Cache {
                target: "/var/lib/apt/lists".to_owned(),
                id: "laminate-apt-lists".to_owned(),
                private: true,
            },
        ],
        ..Command::default()
    }
}

fn pip(pip: &Pip) -> Command {
    let cache = format!("{PLACE}/cache");
    let mut words = match pip.tool {
        PipTool::Uv => format!("{PLACE}/uv/bin/uv pip install --python \"$python\""),
        PipTool::Pip => "\"$python\" -m pip install --no-input".to_owned(),
    };
    if pip.upgrade {
        words.push_str(" --upgrade");
    }
    if let Some(index) = &pip.index {
        words.push_str(&format!(" --index-url {}", quote(index)));
    }
    for index in &pip.extra_index {
        words.push_str(&format!(" --extra-index-url {}", quote(index)));
    }
    for file in &pip.requirements {
        words.push_str(&format!(" -r {}", quote(&in_step(file))));
    }
    if !pip.packages.is_empty() {
        words.push_str(&format!(" -- {}", line(&pip.packages)));
    }
    let mut text = "python=$(command -v python || command -v python3)\n".to_owned();
    text.push_str(&match pip.tool {
        // Its locks are everybody's to write to, and nobody's when it is done.
        PipTool::Uv => format!(
            "lock=$(\"$python\" -IBc 'import sys; print(sys.prefix)')/.lock\n\
             [ ! -e \"$lock\" ] || lock=\n\
             {words}\n\
             rm -f ${{lock:+\"$lock\"}} /tmp/uv-*.lock\n"
        ),
        PipTool::Pip => format!("{words}\n"),
    });
    let (uv, env) = match pip.tool {
        PipTool::Uv => (
            true,
            vec![
                ("UV_CACHE_DIR", cache.clone()),
                ("UV_LINK_MODE", "copy".to_owned()),
                ("UV_BREAK_SYSTEM_PACKAGES", "1".to_owned()),
                ("UV_NO_PROGRESS", "1".to_owned()),
                ("UV_PYTHON_DOWNLOADS", "never".to_owned()),
            ],
        ),
        PipTool::Pip => (
            false,
            vec![
                ("PIP_CACHE_DIR", cache.clone()),
                ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
                ("PIP_ROOT_USER_ACTION", "ignore".to_owned()),
                // Never to ~/.local, which users' own files would hide.
                ("PIP_USER", "0".to_owned()),
            ],
        ),
    };
    let files = pip.requirements.iter().chain(&pip.includes);
    Command {
        args: sh(text),
        env,
        files: files.cloned().collect(),
        caches: vec![Cache {
            target: cache,
            id: match pip.tool {
                PipTool::Uv => "laminate-uv".to_owned(),
                PipTool::Pip => "laminate-pip".to_owned(),
            },
            private: false,
        }],
        uv,
        ..Command::default()
    }
}

fn conda(conda: &Conda) -> Command {
    let channels: String = conda
        .channels
        .iter()
        .map(|channel| format!(" -c {}", quote(channel)))
        .collect();
    let mut text = String::from(
        "for tool in mamba micromamba conda; do\n\
         command -v \"$tool\" >/dev/null 2>&1 && break\n\
         tool=\n\
         done\n\
         if [ -z \"$tool\" ]; then\n\
         echo 'laminate: the base has none of mamba, micromamba and conda on its PATH' >&2\n\
         exit 1\n\
         fi\n",
    );
    if let Some(file) = &conda.file {
        let file = quote(&in_step(file));
        text.push_str(&format!(
            "case $tool in\n\
             micromamba) micromamba install -y{channels} -f {file} ;;\n\
             *) \"$tool\" env update -n \"${{CONDA_DEFAULT_ENV:-base}}\" --file {file} ;;\n\
             esac\n"
        ));
    }
    if !conda.packages.is_empty() {
        let packages = line(&conda.packages);
        text.push_str(&format!("\"$tool\" install -y{channels} {packages}\n"));
    }
    let cache = format!("{PLACE}/cache");
    Command {
        args: sh(text),
        env: vec![
            ("CONDA_PKGS_DIRS", cache.clone()),
            ("CONDA_ALWAYS_COPY", "true".to_owned()),
        ],
        files: conda.file.iter().cloned().collect(),
        caches: vec![Cache {
            target: cache,
            id: "laminate-conda".to_owned(),
            private: false,
        }],
        ..Command::default()
    }
}
