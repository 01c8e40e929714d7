//! `info:`: commands whose output describes an image.

use super::reader::Reader;
use crate::source::Span;
use crate::spec::node::Node;

/// A command of `info:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoCommand {
    /// Its key.
    pub name: String,
    /// `title:`; by default the name.
    pub title: String,
    /// Shell text, as written.
    pub run: String,
    /// The key in its file.
    pub span: Span,
}

/// Reads `info:`.
pub fn read(reader: &Reader, node: &Node) -> Vec<InfoCommand> {
    let mut list = Vec::new();
    for entry in reader.some_entries(node, "`info`").unwrap_or_default() {
        reader.name(&entry.key, "info");
        let what = format!("info `{}`", entry.key.text);
        let Some(fields) = reader.fields(&entry.value, &what, &["title", "run"]) else {
            continue;
        };
        let title = match fields.get("title") {
            Some(node) => reader.text(node, "`title`"),
            None => Some(entry.key.text.clone()),
        };
        let run = reader.required(&fields, &what, "run");
        let run = run.and_then(|node| reader.literal(node, "`run`"));
        let run = run.filter(|run| {
            let what = format!("`run` of {what}");
            reader.fits_argument(run, entry.value.span, &what).is_some()
        });
        if let (Some(title), Some(run)) = (title, run) {
            list.push(InfoCommand {
                name: entry.key.text.clone(),
                title,
                run: run.to_owned(),
                span: entry.key.span,
            });
        }
    }
    list
}

/// Returns the inherited commands and an image's own; one of the same name replaces the inherited.
pub fn inherit(inherited: &[InfoCommand], own: &[InfoCommand]) -> Vec<InfoCommand> {
    let mut list = inherited.to_vec();
    for command in own {
        match list.iter_mut().find(|known| known.name == command.name) {
            Some(known) => known.clone_from(command),
            None => list.push(command.clone()),
        }
    }
    list
}
