//! `variants:`: name, series and images of each variant, before its settings are read.

use std::collections::BTreeSet;

use super::model::Variant;
use super::reader::{Fields, Reader};
use crate::diagnostic::Diagnostic;
use crate::name::VariantName;
use crate::source::Span;
use crate::spec::node::{Entry, Key, Node};

/// A variant as its entry in the file.
pub struct VariantNode<'a> {
    /// Name and series.
    pub variant: Variant,
    /// Its key; `None` if the spec has no variants.
    pub key: Option<&'a Key>,
    /// Its `vars:`.
    pub vars: Option<&'a Node>,
    /// The images it has.
    pub images: BTreeSet<String>,
}

/// Reads `variants:`; `all` are the images of the spec. Returns one without a name if there are none.
pub fn read<'a>(reader: &Reader, top: &Fields<'a>, all: BTreeSet<String>) -> Vec<VariantNode<'a>> {
    let mut list = Vec::new();
    let series = top.get("series");
    let series = series.and_then(|node| reader.text(node, "`series`"));
    if let Some(node) = top.get("variants") {
        let entries = reader.some_entries(node, "`variants`");
        for entry in entries.unwrap_or_default() {
            list.extend(variant(reader, entry, &all));
        }
    }
    if list.is_empty() {
        list.push(VariantNode {
            variant: Variant { name: None, series },
            key: None,
            vars: None,
            images: all,
        });
    }
    list
}

fn variant<'a>(
    reader: &Reader,
    entry: &'a Entry,
    all: &BTreeSet<String>,
) -> Option<VariantNode<'a>> {
    let name = match VariantName::parse(&entry.key.text) {
        Ok(name) => name,
        Err(error) => {
            let reason = error.to_string();
            let (text, span) = (&entry.key.text, entry.key.span);
            let problem = Diagnostic::invalid("variant name", text, span, reason);
            reader.report(problem);
            return None;
        }
    };
    let mut node = VariantNode {
        variant: Variant {
            series: Some(name.to_string()),
            name: Some(name),
        },
        key: Some(&entry.key),
        vars: None,
        images: all.clone(),
    };
    if entry.value.is_null() {
        return Some(node);
    }
    let what = format!("variant `{}`", entry.key.text);
    let known = ["vars", "series", "skip", "only"];
    let Some(fields) = reader.fields(&entry.value, &what, &known) else {
        return Some(node);
    };
    node.vars = fields.get("vars");
    if let Some(value) = fields.get("series") {
        node.variant.series = reader.text(value, "`series`");
    }
    let skip = image_set(reader, &fields, "skip", all);
    let only = image_set(reader, &fields, "only", all);
    match (skip, only) {
        (Some((_, first)), Some((_, second))) => {
            let problem = Diagnostic::conflict(("skip", first), ("only", second), &what);
            reader.report(problem.help("remove one of them"));
        }
        (Some((skip, _)), None) => node.images.retain(|name| !skip.contains(name)),
        (None, Some((only, _))) => node.images.retain(|name| only.contains(name)),
        (None, None) => {}
    }
    Some(node)
}

/// Reads a list of images, and returns it with the place of its key.
fn image_set(
    reader: &Reader,
    fields: &Fields,
    key: &str,
    all: &BTreeSet<String>,
) -> Option<(BTreeSet<String>, Span)> {
    let entry = fields.entry(key)?;
    let list = reader.list(&entry.value, &format!("`{key}`"))?;
    let mut set = BTreeSet::new();
    for item in list {
        let text = reader.text(item, "an image")?;
        if !all.contains(&text) {
            let known = all.iter().map(String::as_str);
            reader.report(Diagnostic::unknown("image", &text, item.span, known));
        }
        set.insert(text);
    }
    Some((set, entry.key.span))
}
