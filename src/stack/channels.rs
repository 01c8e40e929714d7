//! `channels:`: named sets of moving tags.

use std::collections::{BTreeMap, BTreeSet};

use super::Gate;
use super::decode::Reader;
use super::proof::name;
use crate::diagnostic::Diagnostic;
use crate::name::Tag;
use crate::source::Span;
use crate::spec::node::{Entry, Node, Value};
use crate::tags::{LONGEST_CHANNEL, RESERVED};

/// A channel's tag in one variant, and where it is written.
pub struct ChannelTag {
    pub channel: String,
    pub gates: Vec<Gate>,
    pub auto: bool,
    pub from: Option<String>,
    pub tag: Tag,
    pub span: Span,
}

/// `channels:`, in the scope of one variant; the tags it would move.
pub fn channels(
    reader: &Reader,
    node: &Node,
    variant: Option<&str>,
    variants: &BTreeSet<String>,
    images: &BTreeSet<&str>,
) -> Vec<ChannelTag> {
    let entries = reader.some_entries(node, "`channels`").unwrap_or_default();
    let names: BTreeMap<&str, Span> = entries
        .iter()
        .map(|entry| (entry.key.text.as_str(), entry.key.span))
        .collect();
    let mut tags = Vec::new();
    follow(reader, entries);
    for entry in entries {
        channel_name(reader, entry);
        let what = format!("channel `{}`", entry.key.text);
        let known = ["tag", "gates", "from", "variant", "auto"];
        let Some(fields) = reader.fields(&entry.value, &what, &known) else {
            continue;
        };
        let gates = match fields.get("gates") {
            Some(node) => gates(reader, node, images),
            None => Vec::new(),
        };
        let auto = fields.get("auto");
        let auto = auto.and_then(|node| reader.flag(node, "`auto`"));
        let from = fields
            .get("from")
            .and_then(|node| reader.text(node, "`from`"));
        if let Some(node) = fields.get("from")
            && let Some(text) = reader.text(node, "`from`")
            && (!names.contains_key(text.as_str()) || text == entry.key.text)
        {
            reader.say(
                Diagnostic::error(format!("{what} takes from an unknown channel `{text}`"))
                    .at(node.span, "no other channel of that name")
                    .did_you_mean(&text, names.keys().copied()),
            );
        }
        let own = match fields.get("variant") {
            Some(node) => {
                let text = reader.text(node, "`variant`");
                if let Some(text) = &text
                    && !variants.contains(text)
                {
                    reader.say(
                        Diagnostic::error(format!("there is no variant `{text}`"))
                            .at(node.span, format!("named by {what}"))
                            .did_you_mean(text, variants.iter().map(String::as_str)),
                    );
                }
                text
            }
            None => None,
        };
        let Some(node) = fields.get("tag") else {
            reader.say(
                Diagnostic::error(format!("{what} has no `tag`"))
                    .at(fields.span, "the tag it moves is wanted"),
            );
            continue;
        };
        if own.is_some() && own.as_deref() != variant {
            continue;
        }
        let Some(text) = reader.text(node, "`tag`") else {
            continue;
        };
        match Tag::parse(&text) {
            Ok(tag) => tags.push(ChannelTag {
                channel: entry.key.text.clone(),
                gates,
                auto: auto.unwrap_or_default(),
                from,
                tag,
                span: node.span,
            }),
            Err(error) => reader.say(
                Diagnostic::error(format!("`{text}` is no tag")).at(node.span, error.to_string()),
            ),
        }
    }
    tags
}

/// Says what is wrong with how channels take from each other: in a circle, or by itself from one that
/// does not move by itself.
fn follow(reader: &Reader, entries: &[Entry]) {
    let field = |entry: &'_ Entry, key: &str| match &entry.value.value {
        Value::Map(fields) => fields.iter().find(|field| field.key.text == key).cloned(),
        _ => None,
    };
    let from = |entry: &Entry| {
        let node = field(entry, "from")?.value;
        let Value::Scalar { .. } = &node.value else {
            return None;
        };
        let name = reader.text(&node, "`from`")?;
        let other = entries.iter().find(|other| other.key.text == name)?;
        Some((other, node.span))
    };
    let is_auto = |entry: &Entry| {
        field(entry, "auto").is_some_and(|field| reader.flag(&field.value, "`auto`") == Some(true))
    };
    for entry in entries {
        let name = &entry.key.text;
        let Some((other, span)) = from(entry).filter(|(other, _)| other.key.text != *name) else {
            continue;
        };
        if is_auto(entry) && !is_auto(other) {
            let other = &other.key.text;
            reader.say(
                Diagnostic::error(format!(
                    "channel `{name}` moves by itself, and takes from `{other}`, which does not"
                ))
                .at(span, format!("`{other}` has no `auto: true`"))
                .help(format!(
                    "give `{other}` `auto: true`, too, or leave it out of `{name}`"
                )),
            );
        }
        let mut circle = vec![name.as_str()];
        let mut next = Some((other, span));
        while let Some((other, _)) =
            next.filter(|(other, _)| !circle.contains(&other.key.text.as_str()))
        {
            circle.push(&other.key.text);
            next = from(other);
        }
        // Each circle is said once, at its first channel.
        let first = entries
            .iter()
            .find(|entry| circle.contains(&entry.key.text.as_str()));
        let closed = next.is_some_and(|(last, _)| last.key.text == *name);
        if closed && first.is_some_and(|first| first.key.text == *name) {
            circle.push(name);
            reader.say(
                Diagnostic::error(format!(
                    "channels take from each other: {}",
                    circle.join(" → ")
                ))
                .at(span, "none of them can be the first at a release"),
            );
        }
    }
}

fn channel_name(reader: &Reader, entry: &Entry) {
    let text = &entry.key.text;
    if !name(reader, entry, "a channel") {
        return;
    }
    let wrong = match text.chars().count() {
        _ if RESERVED.contains(&text.as_str()) => {
            "laminate's own documents in staging have this name"
        }
        n if n > LONGEST_CHANNEL => "it has more than 100 characters",
        _ => return,
    };
    reader.say(
        Diagnostic::error(format!("no channel can have the name `{text}`"))
            .at(entry.key.span, wrong),
    );
}

/// `gates:`: names, or `NAME: [IMAGE, …]` for some images only.
fn gates(reader: &Reader, node: &Node, images: &BTreeSet<&str>) -> Vec<Gate> {
    let items = match &node.value {
        Value::List(list) if list.is_empty() => &[],
        _ => reader.list(node, "`gates`").unwrap_or_default(),
    };
    let mut gates = Vec::new();
    for item in items {
        let Value::Map(entries) = &item.value else {
            let name = reader.text(item, "an entry of `gates`");
            gates.extend(name.map(|name| Gate { name, images: None }));
            continue;
        };
        for entry in entries {
            let what = format!("gate `{}`", entry.key.text);
            let mut named = BTreeSet::new();
            for image in reader.list(&entry.value, &what).unwrap_or_default() {
                let Some(text) = reader.text(image, "an image") else {
                    continue;
                };
                if !images.contains(text.as_str()) {
                    reader.say(
                        Diagnostic::error(format!("{what} names an unknown image `{text}`"))
                            .at(image.span, "no image of that name")
                            .did_you_mean(&text, images.iter().copied()),
                    );
                }
                named.insert(text);
            }
            gates.push(Gate {
                name: entry.key.text.clone(),
                images: Some(named),
            });
        }
    }
    gates
}
