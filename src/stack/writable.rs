//! `writable:`: paths whose content is kept group-writable.

use super::problems::Problems;
use super::reader::Reader;
use crate::diagnostic::Diagnostic;
use crate::path::is_below;
use crate::source::Span;
use crate::spec::node::{Node, Value};

/// Paths whose content is kept group-writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writable {
    /// The group.
    pub gid: u32,
    /// Absolute, clean, sorted, none below another.
    pub paths: Vec<String>,
    /// The value in its file.
    pub span: Span,
    /// What `add:` adds to.
    pub inherited: Option<Box<Writable>>,
}

impl Writable {
    /// Returns the value in its file that makes a path writable.
    pub fn place_of(&self, path: &str) -> Span {
        let inherited = self.inherited.as_ref();
        match inherited.filter(|inherited| inherited.root_of(path).is_some()) {
            Some(inherited) => inherited.place_of(path),
            None => self.span,
        }
    }

    /// Returns the writable path that a path is, or is below.
    pub fn root_of(&self, path: &str) -> Option<&str> {
        let mut roots = self.paths.iter();
        let root = roots.find(|root| path == *root || is_below(path, root));
        root.map(String::as_str)
    }

    /// Returns the writable paths below a folder; an empty text is the root folder.
    pub fn roots_below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a String> {
        self.paths.iter().filter(move |root| is_below(root, folder))
    }
}

/// Folders whose programs refuse files that a group can write (ssh, GnuPG).
const PRIVATE_FOLDERS: [&str; 2] = [".ssh", ".gnupg"];

/// Returns whether a file or folder keeps its mode below a writable path: it is a private key or
/// password by its place or name, and its program would refuse one that a group can access.
pub fn is_private(path: &str, mode: u32, folder: bool) -> bool {
    if path.split('/').any(|part| PRIVATE_FOLDERS.contains(&part)) {
        return true;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_key = name.starts_with("id_")
        || name.ends_with("_key")
        || name.ends_with(".key")
        || matches!(name, ".netrc" | ".pgpass");
    !folder && is_key && mode & 0o077 == 0
}

/// `writable:` of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageWritable {
    /// Instead of what the image inherits.
    Own(Writable),
    /// `add:`, paths beside those that the image inherits.
    Add {
        /// Absolute, clean, sorted.
        paths: Vec<String>,
        /// The value in its file.
        span: Span,
    },
}

impl ImageWritable {
    /// Returns what the image has, by what it inherits.
    pub fn resolved(self, inherited: Option<&Writable>, problems: &Problems) -> Option<Writable> {
        let (mut paths, span) = match self {
            Self::Own(own) => return Some(own),
            Self::Add { paths, span } => (paths, span),
        };
        let Some(inherited) = inherited else {
            problems.report(
                Diagnostic::error("`writable` adds to nothing")
                    .at(span, "the image inherits no `writable:`")
                    .help("write `{ gid: 100, paths: […] }`"),
            );
            return None;
        };
        paths.extend(inherited.paths.iter().cloned());
        Some(Writable {
            gid: inherited.gid,
            paths: outermost(paths),
            span,
            inherited: Some(Box::new(inherited.clone())),
        })
    }
}

/// Reads `writable:` of an image.
pub fn read_image(reader: &Reader, node: &Node) -> Option<ImageWritable> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    if !entries.iter().any(|entry| entry.key.text == "add") {
        return read(reader, node).map(ImageWritable::Own);
    }
    let fields = reader.fields(node, "`writable` with `add`", &["add"])?;
    let list = reader.required(&fields, "`writable`", "add")?;
    Some(ImageWritable::Add {
        paths: paths(reader, list, "`add`")?,
        span: node.span,
    })
}

/// Reads `writable:`.
pub fn read(reader: &Reader, node: &Node) -> Option<Writable> {
    let fields = reader.fields(node, "`writable`", &["gid", "paths"])?;
    let gid = reader
        .required(&fields, "`writable`", "gid")
        .and_then(|node| reader.number(node, "`gid`", 0..=65_534));
    let list = reader.required(&fields, "`writable`", "paths")?;
    Some(Writable {
        paths: paths(reader, list, "`paths`")?,
        gid: gid?,
        span: node.span,
        inherited: None,
    })
}

/// Reads a list of folders.
fn paths(reader: &Reader, node: &Node, what: &str) -> Option<Vec<String>> {
    let mut paths = Vec::new();
    for item in reader.list(node, what)? {
        let text = reader.text(item, "a writable path")?;
        if text.trim_end_matches('/').is_empty() && text.starts_with('/') {
            reader.report(
                Diagnostic::error("the whole image cannot be writable")
                    .at(item.span, "found the root folder")
                    .help("list the folders to keep writable"),
            );
            return None;
        }
        paths.push(reader.absolute(text.trim_end_matches('/'), item.span, "a writable path")?);
    }
    Some(outermost(paths))
}

/// Returns paths sorted, none below another.
fn outermost(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths.dedup();
    let all = paths.clone();
    paths.retain(|path| !all.iter().any(|folder| is_below(path, folder)));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_passwords_keep_their_modes() {
        for (path, mode, folder, expected) in [
            ("/home/j/.ssh", 0o700, true, true),
            ("/home/j/.ssh/config", 0o644, false, true),
            ("/home/j/.gnupg/x", 0o600, false, true),
            ("/etc/ssh/ssh_host_rsa_key", 0o600, false, true),
            ("/srv/server.key", 0o400, false, true),
            ("/home/j/.netrc", 0o600, false, true),
            ("/srv/server.key", 0o640, false, false),
            ("/srv/id_x", 0o700, true, false),
            ("/srv/x.pem", 0o600, false, false),
            ("/home/j/.sshx", 0o600, false, false),
        ] {
            assert_eq!(is_private(path, mode, folder), expected, "{path} {mode:o}");
        }
    }

    #[test]
    fn a_path_is_below_at_most_one_root() {
        let stack = crate::testing::stack(
            "stack: t\nwritable: { gid: 100, paths: [/opt/conda, /home/j, /opt/conda/lib] }\n\
             images: { a: { base: \"debian:12\" } }",
        );
        let writable = stack.images()[0].writable.as_ref().expect("declared");
        assert_eq!(writable.root_of("/opt/conda"), Some("/opt/conda"));
        assert_eq!(writable.root_of("/opt/conda/lib/x"), Some("/opt/conda"));
        assert_eq!(writable.root_of("/opt/condax"), None);
        assert_eq!(writable.roots_below("/opt").count(), 1);
        assert_eq!(writable.roots_below("").count(), 2);
        assert_eq!(writable.roots_below("/opt/conda").count(), 0);
    }

    #[test]
    fn an_image_can_add_to_what_it_inherits() {
        let stack = crate::testing::stack(
            "stack: t\nwritable: { gid: 100, paths: [/opt/conda] }\nimages:\n  \
             a: { base: \"debian:12\", writable: { add: [/srv, /opt/conda/x] } }\n  \
             b: { base: a, writable: { add: [/home] } }\n  \
             c: { base: a, writable: { gid: 7, paths: [/c] } }\n",
        );
        let found = stack.images().iter().map(|image| {
            let writable = image.writable.as_ref().expect("it has some");
            (writable.gid, writable.paths.join(" "))
        });
        let found: Vec<(u32, String)> = found.collect();
        let expected = [
            (100, "/opt/conda /srv"),
            (100, "/home /opt/conda /srv"),
            (7, "/c"),
        ];
        assert_eq!(found, expected.map(|(gid, paths)| (gid, paths.to_owned())));
    }
}
