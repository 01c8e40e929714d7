//! [`Command`]: what a step runs and everything it reads.
//!
//! `steps` makes the command of a step, `group` merges several into one, and `exec` adds the mounts and
//! the environment.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::shell::quote;
use super::tree::Tree;
use crate::stack::ImageSource;

/// The folder in which a step finds what laminate brings: a tmpfs with mounts in it, which is gone when
/// the step ends.
pub const PLACE: &str = "/run/laminate";

/// The version of uv that pip steps use; part of the compiler's output format.
pub const UV_VERSION: &str = "0.13.9";

/// The version of py-rattler that `conda` steps use; as well.
pub const RATTLER_VERSION: &str = "0.28.0";

/// The digests, SHA-256, of PyPI's files with that uv for amd64 and arm64.
pub const UV_DIGESTS: [&str; 2] = [
    "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
    "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
];

/// The digests of PyPI's files with that py-rattler, in the same way.
pub const RATTLER_DIGESTS: [&str; 2] = [
    "4f4ab1d34d5394e7ce130a86e59009c95ace4f5757d9c3af04de1351bcea47eb",
    "61b24202374188e72130f1b3dc63b455befaafc3e49e5481a38b6a6c8828c1e0",
];

/// The user ID of root. A number, since a base need not have an `/etc/passwd`.
pub const ROOT: &str = "0";

/// A command and what it needs.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// Program and arguments.
    pub args: Vec<Arg>,
    /// Runs as root unless the step sets another user.
    pub root: bool,
    /// The user of all members of a group.
    pub user: Option<String>,
    /// Runs without the network unless the step sets another one.
    pub offline: bool,
    /// Variables for this command; the step's own environment overrides them.
    pub env: Vec<(&'static str, String)>,
    /// Files of the stack it reads, mounted below `PLACE/files`.
    pub files: Vec<Utf8PathBuf>,
    /// Texts it reads by name, mounted below `PLACE/texts`: contents that do not belong on a command line.
    pub texts: BTreeMap<String, String>,
    /// Files it places, mounted at `PLACE/tree`.
    pub tree: Tree,
    /// Cache mounts.
    pub caches: Vec<Cache>,
    /// Other images, mounted at `PLACE/image0`, `PLACE/image1`, ….
    pub images: Vec<ImageSource>,
    /// Whether it runs the uv at `PLACE/uv`.
    pub uv: bool,
    /// Whether it runs the py-rattler at `PLACE/rattler`.
    pub rattler: bool,
}

/// A folder that is kept from build to build and is in no image.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Absolute path in the step.
    pub target: String,
    /// The name of the cache in the engine.
    pub id: String,
    /// One writer at a time: a second one gets a cache of its own.
    pub private: bool,
}

/// One argument of a command.
///
/// A group mounts the texts and images of all its members side by side, under other names. So the paths
/// of both stay open until [`Arg::expand`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arg(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Plain(String),
    /// The path of one of [`Command::texts`].
    Text(String),
    /// A path in [`Command::tree`], as one word of a shell.
    InTree(String),
    /// A path in one of [`Command::images`], as one word of a shell.
    InImage {
        index: usize,
        path: String,
    },
}

/// The names under which a command's texts and images are mounted; the default is that of a command
/// which is not part of a group.
#[derive(Clone, Debug, Default)]
pub struct MountNames {
    /// Precedes the name of each text and of each entry of the tree.
    pub prefix: String,
    /// The number of the command's first image.
    pub first_image: usize,
}

impl Command {
    /// Returns a command that runs a shell script and stops at the first error.
    pub fn script(script: impl Into<Arg>) -> Self {
        Self {
            args: vec!["/bin/sh".into(), "-ec".into(), script.into()],
            ..Self::default()
        }
    }

    /// Returns program and arguments with all paths filled in.
    pub fn expanded_args(&self, names: &MountNames) -> Vec<String> {
        self.args.iter().map(|arg| arg.expand(names)).collect()
    }
}

impl MountNames {
    /// Returns the path in the mounted tree of an entry of the command's own tree.
    pub fn in_tree(&self, path: &str) -> String {
        let path = path.trim_start_matches('/');
        format!("/{}{path}", self.prefix)
    }
}

impl Arg {
    /// Appends plain text.
    pub fn push(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Part::Plain(last)) => last.push_str(text),
            _ => self.0.push(Part::Plain(text.to_owned())),
        }
    }

    /// Appends another argument.
    pub fn append(&mut self, other: Self) {
        for part in other.0 {
            match part {
                Part::Plain(text) => self.push(&text),
                other => self.0.push(other),
            }
        }
    }

    /// Appends the path of one of the command's texts.
    pub fn push_text_path(&mut self, name: &str) {
        self.0.push(Part::Text(name.to_owned()));
    }

    /// Appends a path in the command's tree, quoted for a shell.
    pub fn push_tree_path(&mut self, path: &str) {
        self.0.push(Part::InTree(path.to_owned()));
    }

    /// Appends a path in one of the command's images, quoted for a shell.
    pub fn push_image_path(&mut self, index: usize, path: &str) {
        let path = path.to_owned();
        self.0.push(Part::InImage { index, path });
    }

    /// Returns the argument with all paths filled in.
    pub fn expand(&self, names: &MountNames) -> String {
        let part = |part: &Part| match part {
            Part::Plain(text) => text.clone(),
            Part::Text(name) => format!("{PLACE}/texts/{}{name}", names.prefix),
            Part::InTree(path) => quote(&format!("{PLACE}/tree{}", names.in_tree(path))),
            Part::InImage { index, path } => quote(&format!(
                "{}{path}",
                image_folder(names.first_image + index)
            )),
        };
        self.0.iter().map(part).collect()
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self(vec![Part::Plain(text)])
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Returns the path that a file of the stack has in a step.
pub fn path_in_step(file: &Utf8Path) -> String {
    format!("{PLACE}/files/{file}")
}

/// Returns the folder at which the image with this number is mounted.
pub fn image_folder(number: usize) -> String {
    format!("{PLACE}/image{number}")
}

/// Returns the user as the engine knows it: [`ROOT`] for each spelling of root.
pub fn user_of(text: &str) -> String {
    match text {
        "0" | "0:0" | "root" | "root:root" => ROOT.to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg() -> Arg {
        let mut arg = Arg::from("cat ");
        arg.push_text_path("write0");
        arg.push(" ");
        arg.push_image_path(1, "/a b");
        arg
    }

    #[test]
    fn a_command_of_its_own_mounts_under_plain_names() {
        assert_eq!(
            arg().expand(&MountNames::default()),
            "cat /run/laminate/texts/write0 '/run/laminate/image1/a b'"
        );
    }

    #[test]
    fn a_member_of_a_group_mounts_under_the_names_of_the_group() {
        let names = MountNames {
            prefix: "3-".to_owned(),
            first_image: 2,
        };
        assert_eq!(
            arg().expand(&names),
            "cat /run/laminate/texts/3-write0 '/run/laminate/image3/a b'"
        );
    }

    #[test]
    fn paths_in_plain_text_stay_as_they_are() {
        let text = "cat /run/laminate/texts/x /run/laminate/image0/y";
        let names = MountNames {
            prefix: "3-".to_owned(),
            first_image: 2,
        };
        assert_eq!(Arg::from(text).expand(&names), text);
    }

    #[test]
    fn plain_text_is_joined() {
        let mut arg = Arg::default();
        arg.push("a");
        arg.push("b");
        assert_eq!(arg, Arg::from("ab"));
    }

    #[test]
    fn each_spelling_of_root_is_user_0() {
        for text in ["0", "0:0", "root", "root:root"] {
            assert_eq!(user_of(text), "0", "{text}");
        }
        assert_eq!(user_of("0:100"), "0:100");
    }
}
