//! `writable:`: paths whose content is kept group-writable.

use super::reader::Reader;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::Node;

/// Paths whose content is kept group-writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writable {
    /// The group.
    pub gid: u32,
    /// Absolute, clean, sorted, none below another.
    pub paths: Vec<String>,
    /// The value in its file.
    pub span: Span,
}

/// Reads `writable:`.
pub fn read(reader: &Reader, node: &Node) -> Option<Writable> {
    let fields = reader.fields(node, "`writable`", &["gid", "paths"])?;
    let gid = reader
        .required(&fields, "`writable`", "gid")
        .and_then(|node| reader.number(node, "`gid`", 0..=65_534));
    let list = reader.required(&fields, "`writable`", "paths")?;
    let mut paths = Vec::new();
    for item in reader.list(list, "`paths`")? {
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
    paths.sort();
    paths.dedup();
    let all = paths.clone();
    paths.retain(|path| !all.iter().any(|folder| is_below(path, folder)));
    Some(Writable {
        gid: gid?,
        paths,
        span: node.span,
    })
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}
