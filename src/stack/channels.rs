//! `channels:`: named sets of floating tags.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::Reader;
use crate::diagnostic::Diagnostic;
use crate::name::Tag;
use crate::source::Span;
use crate::spec::node::{Entry, Key, Node, Value};
use crate::tags::{LONGEST_CHANNEL, RESERVED};

/// A named set of floating tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its key.
    pub name: String,
    /// What must have passed before it can be moved.
    pub gates: Vec<Gate>,
    /// Whether `promote --auto` moves it, following the default branch.
    pub auto: bool,
    /// The channel its releases come from.
    pub from: Option<String>,
    /// The tag it moves on the images of each variant, by index into `Stack::variants`.
    pub tags: BTreeMap<usize, Tag>,
}

/// What must have passed before a channel can be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// `checks`, a suite, or the name external evidence is recorded under.
    pub name: String,
    /// The images that must pass. `None`: every image that has the suite, and for external evidence
    /// every image.
    pub images: Option<BTreeSet<String>>,
}

/// A channel in one variant.
#[derive(Clone, Debug)]
pub struct ChannelTag {
    /// The channel, without tags.
    pub channel: Channel,
    /// The places of its gates, in their order.
    pub gate_spans: Vec<Span>,
    /// The tag it moves in this variant.
    pub tag: Tag,
    /// The tag in its file.
    pub span: Span,
}

/// Names a channel can refer to.
pub struct ReferableNames<'a> {
    /// All images.
    pub images: BTreeSet<&'a str>,
    /// All variants.
    pub variants: BTreeSet<&'a str>,
    /// The variant that is read; `None` if the spec has none.
    pub variant: Option<&'a str>,
}

const KEYS: [&str; 5] = ["tag", "gates", "from", "variant", "auto"];

/// Reads `channels:` for one variant; returns the tags it moves there.
pub fn read(reader: &Reader, node: &Node, known: &ReferableNames) -> Vec<ChannelTag> {
    let entries = reader.some_entries(node, "`channels`").unwrap_or_default();
    check_sources(reader, entries);
    entries
        .iter()
        .filter_map(|entry| channel(reader, entry, entries, known))
        .collect()
}

fn channel(
    reader: &Reader,
    entry: &Entry,
    all: &[Entry],
    known: &ReferableNames,
) -> Option<ChannelTag> {
    check_name(reader, &entry.key);
    let what = format!("channel `{}`", entry.key.text);
    if !reader.is_mapping_of(&entry.value, &what, "tag") {
        return None;
    }
    let fields = reader.fields(&entry.value, &what, &KEYS)?;
    let gates = fields.get("gates");
    let gates = gates.map(|node| self::gates(reader, node, &known.images));
    let (gates, gate_spans) = gates.into_iter().flatten().unzip();
    let auto = fields.get("auto");
    let auto = auto.and_then(|node| reader.flag(node, "`auto`"));
    let from = fields.get("from").and_then(|node| {
        let text = reader.text(node, "`from`")?;
        let names = all.iter().map(|other| other.key.text.as_str());
        let others: Vec<&str> = names.filter(|name| *name != entry.key.text).collect();
        if !others.contains(&text.as_str()) {
            reader.report(Diagnostic::unknown("channel", &text, node.span, others));
        }
        Some(text)
    });
    let variant = fields.get("variant").and_then(|node| {
        let text = reader.text(node, "`variant`")?;
        if !known.variants.contains(text.as_str()) {
            let variants = known.variants.iter().copied();
            reader.report(Diagnostic::unknown("variant", &text, node.span, variants));
        }
        Some(text)
    });
    let node = reader.required(&fields, &what, "tag")?;
    if variant.is_some() && variant.as_deref() != known.variant {
        return None;
    }
    let text = reader.text(node, "`tag`")?;
    match Tag::parse(&text) {
        Ok(tag) => Some(ChannelTag {
            gate_spans,
            channel: Channel {
                name: entry.key.text.clone(),
                gates,
                auto: auto.unwrap_or_default(),
                from,
                tags: BTreeMap::new(),
            },
            tag,
            span: node.span,
        }),
        Err(error) => {
            let reason = error.to_string();
            reader.report(Diagnostic::invalid("tag", &text, node.span, reason));
            None
        }
    }
}

/// The fields of a channel that decide how it follows another one.
struct Source<'a> {
    key: &'a Key,
    from: Option<(String, Span)>,
    auto: bool,
}

/// Reports cycles of `from:`, and channels that follow automatically one that does not.
fn check_sources(reader: &Reader, entries: &[Entry]) {
    let sources: Vec<Source> = entries.iter().map(|entry| source(reader, entry)).collect();
    let find = |name: &str| sources.iter().find(|source| source.key.text == name);
    for source in &sources {
        let name = source.key.text.as_str();
        let Some((from, span)) = &source.from else {
            continue;
        };
        let Some(other) = find(from).filter(|_| from != name) else {
            continue;
        };
        if source.auto && !other.auto {
            reader.report(
                Diagnostic::error(format!(
                    "channel `{name}` is moved automatically, but its source `{from}` is not"
                ))
                .at(*span, format!("`{from}` has no `auto: true`"))
                .help(format!(
                    "add `auto: true` to `{from}`, or remove it from `{name}`"
                )),
            );
        }
        let mut cycle: Vec<(&str, Span)> = vec![(name, *span)];
        let mut next = Some(other);
        while let Some(other) = next
            && !cycle.iter().any(|(name, _)| *name == other.key.text)
            && let Some((from, span)) = &other.from
        {
            cycle.push((other.key.text.as_str(), *span));
            next = find(from);
        }
        // Each cycle is reported once, at its first channel.
        let is_closed = next.is_some_and(|last| last.key.text == name);
        let mut order = sources.iter().map(|source| source.key.text.as_str());
        let first = order.find(|name| cycle.iter().any(|(member, _)| member == name));
        if is_closed && first == Some(name) {
            reader.report(Diagnostic::cycle("channel", &cycle));
        }
    }
}

fn source<'a>(reader: &Reader, entry: &'a Entry) -> Source<'a> {
    let field = |key: &str| match &entry.value.value {
        Value::Map(fields) => fields.iter().find(|field| field.key.text == key),
        Value::Scalar { .. } | Value::List(_) => None,
    };
    let from = field("from").filter(|field| matches!(field.value.value, Value::Scalar { .. }));
    let from = from.and_then(|field| {
        let text = reader.text(&field.value, "`from`")?;
        Some((text, field.value.span))
    });
    let auto = field("auto").and_then(|field| reader.flag(&field.value, "`auto`"));
    Source {
        key: &entry.key,
        from,
        auto: auto.unwrap_or_default(),
    }
}

fn check_name(reader: &Reader, key: &Key) {
    if !reader.name(key, "channel") {
        return;
    }
    let reason = if RESERVED.contains(&key.text.as_str()) {
        "reserved for laminate's own tags in the staging repository".to_owned()
    } else if key.text.chars().count() > LONGEST_CHANNEL {
        format!("longer than {LONGEST_CHANNEL} characters")
    } else {
        return;
    };
    reader.report(Diagnostic::invalid(
        "channel name",
        &key.text,
        key.span,
        reason,
    ));
}

/// Reads `gates:`: names, or `NAME: [IMAGE, …]` for some images only.
fn gates(reader: &Reader, node: &Node, images: &BTreeSet<&str>) -> Vec<(Gate, Span)> {
    let items = match &node.value {
        Value::List(list) if list.is_empty() => &[],
        _ => reader.list(node, "`gates`").unwrap_or_default(),
    };
    let mut gates = Vec::new();
    for item in items {
        let Value::Map(entries) = &item.value else {
            let name = reader.text(item, "an entry of `gates`");
            let gate = name.map(|name| (Gate { name, images: None }, item.span));
            gates.extend(gate);
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
                    let known = images.iter().copied();
                    reader.report(Diagnostic::unknown("image", &text, image.span, known));
                }
                named.insert(text);
            }
            let gate = Gate {
                name: entry.key.text.clone(),
                images: Some(named),
            };
            gates.push((gate, entry.key.span));
        }
    }
    gates
}
