//! YAML as a tree: [`Node`]s with their places, scalars as they were written (`3.10` stays `3.10`).
//!
//! Built on granit-parser's events and not on serde: all errors of a file are reported at once, and a
//! derived deserializer stops at the first. `spec::parse` and `lock` call [`parse`].

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span as YamlSpan};

use super::yaml_help;
use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Sources, Span};

/// Limits what aliases of aliases can expand to.
const MOST_NODES: usize = 200_000;

/// Limits the recursion that walks a tree; deeper than any spec.
const DEEPEST: usize = 64;

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it is written, without trailing white space.
    pub span: Span,
    /// The value.
    pub value: Value,
}

/// The value of a [`Node`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Scalar {
        /// After YAML's unquoting and folding.
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the file; no key is there twice.
    Map(Vec<Entry>),
}

/// A key of a mapping and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Node,
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As written, without quotes.
    pub text: String,
    /// Where it is written.
    pub span: Span,
}

impl Node {
    /// Whether nothing was written: an empty value, `~` or `null` without quotes.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// Returns the entries of a mapping; none for other values.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. } | Value::List(_) => &[],
        }
    }

    /// Returns its type with an article, for messages: `a list`.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Parses the only document of a file and adds faults to `problems`. Returns `None` if there is no
/// tree to continue with. Never panics.
pub fn parse(sources: &Sources, source: SourceId, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    parse_for(sources, source, problems, false)
}

/// Parses the only document of a file of another tool, as [`parse`]. The merge key `<<` of YAML 1.1 is an entry like others.
pub fn parse_foreign(
    sources: &Sources,
    source: SourceId,
    problems: &mut Vec<Diagnostic>,
) -> Option<Node> {
    parse_for(sources, source, problems, true)
}

fn parse_for(
    sources: &Sources,
    source: SourceId,
    problems: &mut Vec<Diagnostic>,
    merges: bool,
) -> Option<Node> {
    let text = sources.file(source).text.clone();
    let mut reader = Reader {
        text: &text,
        source,
        problems,
        events: Parser::new_from_str(&text),
        anchors: Vec::new(),
        count: 0,
        merges,
    };
    reader.document()
}

struct Reader<'a, E> {
    text: &'a str,
    source: SourceId,
    problems: &'a mut Vec<Diagnostic>,
    events: E,
    anchors: Vec<(usize, Node)>,
    count: usize,
    /// Whether the key `<<` is an entry.
    merges: bool,
}

type Item<'a> = Result<(Event<'a>, YamlSpan), granit_parser::ScanError>;

impl<'a, E: Iterator<Item = Item<'a>>> Reader<'a, E> {
    fn document(&mut self) -> Option<Node> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    let span = self.span(span);
                    self.problems.push(
                        Diagnostic::error("more than one YAML document in a file")
                            .at(span, "a second document begins here")
                            .help("remove it, or move it to a file of its own"),
                    );
                    break;
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        root
    }

    /// Returns the next event, `Some(None)` at the end, `None` after an error, which is reported.
    fn next(&mut self) -> Option<Option<(Event<'a>, YamlSpan)>> {
        match self.events.next() {
            None => Some(None),
            Some(Ok(event)) => Some(Some(event)),
            Some(Err(error)) => {
                let at = self.offset(error.marker());
                // Mark at least one character, even at the end of the file.
                let next = self.text[at as usize..].chars().next();
                let end = at + next.map_or(0, |c| u32::try_from(c.len_utf8()).unwrap_or(1));
                let span = Span {
                    source: self.source,
                    start: at,
                    end,
                };
                let mut problem = Diagnostic::error("invalid YAML").at(span, error.info());
                if let Some(help) = yaml_help::help(&error.info(), self.text) {
                    problem = problem.help(help);
                }
                self.problems.push(problem);
                None
            }
        }
    }

    fn offset(&self, marker: &granit_parser::Marker) -> u32 {
        let of_chars = || {
            let mut places = self.text.char_indices().map(|(at, _)| at);
            places.nth(marker.index()).unwrap_or(self.text.len())
        };
        let at = marker.byte_offset().unwrap_or_else(of_chars);
        u32::try_from(self.text.floor_char_boundary(at)).unwrap_or(u32::MAX)
    }

    fn span(&self, span: YamlSpan) -> Span {
        let (start, end) = (self.offset(&span.start), self.offset(&span.end));
        let written = self
            .text
            .get(start as usize..end as usize)
            .unwrap_or_default();
        // A block's span extends to the next token; mark only its text.
        let kept = u32::try_from(written.trim_end().len()).unwrap_or(0);
        Span {
            source: self.source,
            start,
            end: start + kept,
        }
    }

    fn node(&mut self, event: Event<'a>, at: YamlSpan, depth: usize) -> Option<Node> {
        let span = self.span(at);
        self.count += 1;
        if self.count > MOST_NODES || depth > DEEPEST {
            let text = format!("more than {MOST_NODES} nodes or {DEEPEST} levels");
            self.problems
                .push(Diagnostic::error("file is too large").at(span, text));
            return None;
        }
        let (anchor, value, span) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let plain = matches!(style, ScalarStyle::Plain);
                let text = text.into_owned();
                (anchor, Value::Scalar { text, plain }, span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let mut list = Vec::new();
                let end = loop {
                    match self.next()?? {
                        (Event::SequenceEnd, end) => break end,
                        (event, at) => list.push(self.node(event, at, depth + 1)?),
                    }
                };
                let last = list.last().map(|node: &Node| node.span.end);
                // It has room for four, and most have one.
                list.shrink_to_fit();
                (anchor, Value::List(list), self.around(span, last, end))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let mut entries: Vec<Entry> = Vec::new();
                let mut known = KnownKeys::default();
                let end = loop {
                    match self.next()?? {
                        (Event::MappingEnd, end) => break end,
                        (event, at) => {
                            let key = self.node(event, at, depth + 1)?;
                            let (event, at) = self.next()??;
                            let value = self.node(event, at, depth + 1)?;
                            let entry = self.entry(key, value, &mut known, &entries);
                            entries.extend(entry);
                        }
                    }
                };
                let last = entries.last().map(|e| e.value.span.end.max(e.key.span.end));
                entries.shrink_to_fit();
                (anchor, Value::Map(entries), self.around(span, last, end))
            }
            Event::Alias(id) => {
                let known = self.anchors.iter().rev().find(|(known, _)| *known == id);
                let Some(node) = known.map(|(_, node)| node.clone()) else {
                    // An unknown name is an error of the parser; this value is still being read.
                    self.problems.push(
                        Diagnostic::error("recursive alias")
                            .at(span, "this value is part of the value that it refers to")
                            .help("write the value out"),
                    );
                    return None;
                };
                self.count += size(&node);
                return Some(node);
            }
            _ => return None,
        };
        let node = Node { span, value };
        if anchor > 0 {
            self.anchors.push((anchor, node.clone()));
        }
        Some(node)
    }

    /// Returns the place of a collection: to its closing bracket, or to the end of its last value.
    fn around(&self, start: Span, last: Option<u32>, end: YamlSpan) -> Span {
        let closed = self.span(end);
        let end = if closed.end > closed.start {
            closed.end
        } else {
            last.unwrap_or(start.end)
        };
        Span {
            end: end.max(start.end),
            ..start
        }
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            self.problems.push(
                Diagnostic::error("unsupported YAML tag")
                    .at(span, "this value has a tag")
                    .help("remove the `!…`: every scalar is read as it is written"),
            );
        }
    }

    /// Returns the entry of a key that is valid and not in `entries`, whose keys are `known`.
    fn entry(
        &mut self,
        key: Node,
        value: Node,
        known: &mut KnownKeys,
        entries: &[Entry],
    ) -> Option<Entry> {
        let span = key.span;
        let Value::Scalar { text, .. } = key.value else {
            let found = key.describe();
            let problem = Diagnostic::expected("a key", "a string", span, found);
            self.problems.push(problem);
            return None;
        };
        if text == "<<" && !self.merges {
            self.problems.push(
                Diagnostic::error("unsupported merge key `<<`")
                    .at(span, "")
                    .help("write the keys out, or put what images share into a base image"),
            );
            return None;
        }
        if let Some(first) = known.add(&text, entries) {
            let problem = Diagnostic::duplicate("key", &text, span, first.key.span);
            self.problems.push(problem);
            return None;
        }
        let key = Key { text, span };
        Some(Entry { key, value })
    }
}

/// Finds a key that is there twice. Most mappings are small, and need no table.
#[derive(Default)]
struct KnownKeys(HashMap<String, usize>);

/// Mappings with fewer keys are searched through.
const SMALL: usize = 16;

impl KnownKeys {
    /// Returns the entry that has a key already. Otherwise the key is that of the next entry.
    fn add<'e>(&mut self, key: &str, entries: &'e [Entry]) -> Option<&'e Entry> {
        if entries.len() < SMALL {
            return entries.iter().find(|entry| entry.key.text == key);
        }
        if self.0.is_empty() {
            let keys = entries.iter().map(|entry| entry.key.text.clone());
            self.0 = keys.zip(0..).collect();
        }
        if let Some(first) = self.0.get(key) {
            return entries.get(*first);
        }
        self.0.insert(key.to_owned(), entries.len());
        None
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        // Long texts count as several nodes, or aliases of one could ask for any amount of memory.
        Value::Scalar { text, .. } => text.len() / 64,
        Value::List(list) => list.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| 1 + size(&entry.value)).sum(),
    }
}

#[cfg(test)]
mod tests;
