//! What is checked now and acted on later: channels, tests, policy and info.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::config::duration;
use super::decode::Reader;
use super::paths::Paths;
use crate::diagnostic::Diagnostic;
use crate::name::Tag;
use crate::source::Span;
use crate::spec::node::{Entry, Node, Value};

const SUITE_KINDS: [&str; 4] = ["pytest", "run", "script", "serve"];
const SUITE_KEYS: [&str; 14] = [
    "pytest",
    "run",
    "script",
    "serve",
    "requirements",
    "ready",
    "then",
    "timeout",
    "network",
    "secrets",
    "as",
    "env",
    "skip",
    "replace",
];

/// `tests:`. Adds the folders it uses and the names of its suites.
pub fn tests(
    reader: &Reader,
    paths: &Paths,
    node: &Node,
    folders: &mut BTreeSet<Utf8PathBuf>,
    suites: &mut BTreeSet<String>,
) {
    for entry in reader.some_entries(node, "`tests`").unwrap_or_default() {
        let what = format!("suite `{}`", entry.key.text);
        name(reader, entry, "a suite");
        let Some(fields) = reader.fields(&entry.value, &what, &SUITE_KEYS) else {
            continue;
        };
        if let Some(node) = fields.get("skip") {
            reader.text(node, "`skip` (the reason)");
            if !suites.contains(&entry.key.text) {
                reader.say(
                    Diagnostic::error(format!("there is no suite `{}` to skip", entry.key.text))
                        .at(entry.key.span, "no image declares it before")
                        .did_you_mean(&entry.key.text, suites.iter().map(String::as_str)),
                );
            }
            continue;
        }
        suites.insert(entry.key.text.clone());
        kind(reader, paths, &entry.value, &what, folders);
        if let Some(node) = fields.get("timeout") {
            duration(reader, node, "timeout");
        }
        if let Some(node) = fields.get("replace") {
            reader.flag(node, "`replace`");
        }
    }
}

fn kind(
    reader: &Reader,
    paths: &Paths,
    node: &Node,
    what: &str,
    folders: &mut BTreeSet<Utf8PathBuf>,
) {
    let Value::Map(entries) = &node.value else {
        return;
    };
    let kinds: Vec<&Entry> = entries
        .iter()
        .filter(|entry| SUITE_KINDS.contains(&entry.key.text.as_str()))
        .collect();
    match kinds.as_slice() {
        [one] => match one.key.text.as_str() {
            "pytest" => {
                if let Some(text) = reader.text(&one.value, "`pytest`") {
                    folders.extend(paths.folder(reader, &text, one.value.span));
                }
            }
            "script" => {
                if let Some(text) = reader.text(&one.value, "`script`") {
                    folders.extend(paths.file(reader, &text, one.value.span));
                }
            }
            "serve" => {
                reader.number(&one.value, "`serve` (a port)", 65_535);
                let then = entries.iter().find(|entry| entry.key.text == "then");
                if let Some(then) = then
                    && reader.fields(&then.value, "`then`", &SUITE_KEYS).is_some()
                {
                    kind(reader, paths, &then.value, "`then`", folders);
                }
            }
            _ => {
                reader.literal(&one.value, "`run`");
            }
        },
        [] => reader.say(
            Diagnostic::error(format!("{what} tests nothing"))
                .at(node.span, "a kind is wanted")
                .help(format!("say one of: {}", SUITE_KINDS.join(", "))),
        ),
        [_, second, ..] => reader.say(
            Diagnostic::error(format!("{what} has two kinds"))
                .at(second.key.span, "make it two suites"),
        ),
    }
}

fn name(reader: &Reader, entry: &Entry, what: &str) -> bool {
    let text = &entry.key.text;
    let good = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !good {
        reader.say(
            Diagnostic::error(format!("`{text}` is no name of {what}")).at(
                entry.key.span,
                "letters, digits, `.`, `_` and `-` are wanted",
            ),
        );
    }
    good
}

/// `policy:`.
pub fn policy(reader: &Reader, node: &Node) {
    let known = ["root", "user", "writable", "layers", "allow"];
    let Some(fields) = reader.fields(node, "`policy`", &known) else {
        return;
    };
    if let Some(node) = fields.get("root") {
        reader.one_of(node, "`root`", &[("locked", ())]);
    }
    if let Some(node) = fields.get("user") {
        reader.one_of(node, "`user`", &[("not-root", ())]);
    }
    if let Some(node) = fields.get("writable") {
        for item in reader.list(node, "`writable`").unwrap_or_default() {
            if let Some(text) = reader.text(item, "a path") {
                reader.absolute(&text, item.span, "a path");
            }
        }
    }
    if let Some(node) = fields.get("layers") {
        reader.fields(node, "`layers`", &["count", "size", "twice"]);
    }
    if let Some(node) = fields.get("allow") {
        for entry in reader.some_entries(node, "`allow`").unwrap_or_default() {
            if let Some(text) = reader.key(&entry.key) {
                reader.absolute(&text, entry.key.span, "a path that is allowed");
            }
            reader.text(&entry.value, "the reason it is allowed");
        }
    }
}

/// `info:`.
pub fn info(reader: &Reader, node: &Node) {
    for entry in reader.some_entries(node, "`info`").unwrap_or_default() {
        name(reader, entry, "an info");
        let what = format!("info `{}`", entry.key.text);
        let Some(fields) = reader.fields(&entry.value, &what, &["title", "run"]) else {
            continue;
        };
        if let Some(node) = fields.get("title") {
            reader.text(node, "`title`");
        }
        match fields.get("run") {
            Some(node) => {
                reader.literal(node, "`run`");
            }
            None => reader.say(
                Diagnostic::error(format!("{what} has no `run`")).at(fields.span, "nothing is run"),
            ),
        }
    }
}

/// A channel's tag in one variant, and where it is written.
pub struct ChannelTag {
    pub channel: String,
    pub gates: Vec<String>,
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
) -> Vec<ChannelTag> {
    let entries = reader.some_entries(node, "`channels`").unwrap_or_default();
    let names: BTreeMap<&str, Span> = entries
        .iter()
        .map(|entry| (entry.key.text.as_str(), entry.key.span))
        .collect();
    let mut tags = Vec::new();
    for entry in entries {
        name(reader, entry, "a channel");
        let what = format!("channel `{}`", entry.key.text);
        let known = ["tag", "gates", "from", "variant"];
        let Some(fields) = reader.fields(&entry.value, &what, &known) else {
            continue;
        };
        let gates = match fields.get("gates") {
            Some(node) => reader.texts_or_none(node, "`gates`").unwrap_or_default(),
            None => Vec::new(),
        };
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
