//! Reading values out of the tree of a spec: what is wrong is noted on its place, and reading goes on.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::variables::Variables;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Entry, Key, Node, Value};
use crate::spec::template::{Part, Template, TemplateError};

/// Reads values in the scope of one image of one variant, or of the whole stack.
pub struct Reader<'a> {
    pub vars: &'a Variables,
    pub problems: &'a RefCell<Vec<Diagnostic>>,
    /// Variables that were replaced since it was emptied.
    pub used: RefCell<BTreeSet<String>>,
}

/// The entries of a mapping whose keys were checked.
pub struct Fields<'a> {
    pub span: Span,
    entries: &'a [Entry],
}

impl<'a> Fields<'a> {
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    pub fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key.text == name)
    }
}

/// The place of a part of a scalar, where the text is the file's own.
pub fn part_of(node: Span, text: &str, start: usize, end: usize) -> Span {
    let length = usize::try_from(node.end.saturating_sub(node.start)).unwrap_or(0);
    // Quotes before the text move it by one.
    let shift = match length.checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return node,
    };
    let at = |offset: usize| node.start + u32::try_from(offset + shift).unwrap_or(0);
    Span {
        start: at(start),
        end: at(end),
        ..node
    }
}

impl<'a> Reader<'a> {
    pub fn new(vars: &'a Variables, problems: &'a RefCell<Vec<Diagnostic>>) -> Self {
        Self {
            vars,
            problems,
            used: RefCell::default(),
        }
    }

    pub fn say(&self, problem: Diagnostic) {
        self.problems.borrow_mut().push(problem);
    }

    /// A text that must be there, variables replaced.
    pub fn text(&self, node: &Node, what: &str) -> Option<String> {
        let written = self.literal(node, what)?;
        self.fill(written, node.span)
    }

    /// A text as it is written.
    pub fn literal<'n>(&self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar { text, .. } if !node.is_null() => Some(text),
            _ => {
                self.say(
                    Diagnostic::error(format!("{what} is a text"))
                        .at(node.span, format!("here is {}", node.describe())),
                );
                None
            }
        }
    }

    /// A key with its variables replaced.
    pub fn key(&self, key: &Key) -> Option<String> {
        self.fill(&key.text, key.span)
    }

    /// Cuts a text at its variables; says so if it cannot.
    pub fn template(&self, text: &str, span: Span) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => Some(template),
            Err(error) => {
                let (start, end) = match &error {
                    TemplateError::Open { start } => (*start, *start + 2),
                    TemplateError::Name { start, end, .. } => (*start, *end),
                };
                self.say(
                    Diagnostic::error("this is no variable")
                        .at(part_of(span, text, start, end), error.to_string())
                        .help("a literal `${` is written `$${`"),
                );
                None
            }
        }
    }

    /// The value of a variable; says so if there is none.
    pub fn variable(&self, name: &str, span: Span) -> Option<String> {
        if let Some(value) = self.vars.get(name) {
            self.used.borrow_mut().insert(name.to_owned());
            return Some(value.to_owned());
        }
        if matches!(name, "commit" | "commit7" | "n") {
            self.say(
                Diagnostic::error(format!("`${{{name}}}` is known in `tags:` only")).at(
                    span,
                    "an image does not depend on the commit or number it is named after",
                ),
            );
        } else if !self.vars.is_broken(name) {
            self.say(
                Diagnostic::error(format!("there is no variable `{name}`"))
                    .at(span, self.vars.where_known(name))
                    .did_you_mean(name, self.vars.names()),
            );
        }
        None
    }

    fn fill(&self, text: &str, span: Span) -> Option<String> {
        let template = self.template(text, span)?;
        let mut filled = String::new();
        let mut whole = true;
        for part in &template.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Var(variable) => {
                    let at = part_of(span, text, variable.start, variable.end);
                    match self.variable(&variable.name, at) {
                        Some(value) => filled.push_str(&value),
                        None => whole = false,
                    }
                }
                Part::Env(variable) => {
                    self.say(
                        Diagnostic::error("`${env:…}` is known in values of `env:` only").at(
                            part_of(span, text, variable.start, variable.end),
                            "there is no environment here",
                        ),
                    );
                    whole = false;
                }
            }
        }
        whole.then_some(filled)
    }

    /// A list with something in it.
    pub fn list<'n>(&self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(list) if list.is_empty() => {
                self.say(
                    Diagnostic::error(format!("{what} is an empty list"))
                        .at(node.span, "nothing is in it")
                        .help("leave it out if nothing is meant"),
                );
                None
            }
            Value::List(list) => Some(list),
            Value::Scalar { text, .. } if !node.is_null() => {
                self.say(
                    Diagnostic::error(format!("{what} is a list"))
                        .at(node.span, "here is a text")
                        .help(format!("write it `[{text}]`")),
                );
                None
            }
            _ => {
                self.say(
                    Diagnostic::error(format!("{what} is a list"))
                        .at(node.span, format!("here is {}", node.describe())),
                );
                None
            }
        }
    }

    /// A list of texts with something in it; those that make sense.
    pub fn texts(&self, node: &Node, what: &str) -> Option<Vec<String>> {
        let list = self.list(node, what)?;
        let items = list
            .iter()
            .map(|item| self.text(item, &format!("an entry of {what}")));
        // All are looked at, so that all problems are said.
        let items: Vec<Option<String>> = items.collect();
        items.into_iter().collect()
    }

    /// A list of texts that may be empty.
    pub fn texts_or_none(&self, node: &Node, what: &str) -> Option<Vec<String>> {
        match &node.value {
            Value::List(list) if list.is_empty() => Some(Vec::new()),
            _ => self.texts(node, what),
        }
    }

    /// A mapping with any keys.
    pub fn entries<'n>(&self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.say(
                    Diagnostic::error(format!("{what} is a mapping"))
                        .at(node.span, format!("here is {}", node.describe())),
                );
                None
            }
        }
    }

    /// A mapping with something in it.
    pub fn some_entries<'n>(&self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        let entries = self.entries(node, what)?;
        if entries.is_empty() {
            self.say(
                Diagnostic::error(format!("{what} is an empty mapping"))
                    .at(node.span, "nothing is in it")
                    .help("leave it out if nothing is meant"),
            );
            return None;
        }
        Some(entries)
    }

    /// A mapping of which every key is known.
    pub fn fields<'n>(&self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let entries = self.entries(node, what)?;
        for entry in entries {
            let name = entry.key.text.as_str();
            if !known.contains(&name) {
                self.unknown_key(&entry.key, what, known);
            }
        }
        Some(Fields {
            span: node.span,
            entries,
        })
    }

    pub fn unknown_key(&self, key: &Key, what: &str, known: &[&str]) {
        let name = key.text.as_str();
        let problem = Diagnostic::error(format!("unknown key `{name}`"))
            .at(key.span, format!("{what} has no such key"));
        let near = crate::diagnostic::nearest(name, known.iter().copied());
        self.say(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("there are: {}", known.join(", "))),
        });
    }

    pub fn flag(&self, node: &Node, what: &str) -> Option<bool> {
        match self.text(node, what)?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                self.say(
                    Diagnostic::error(format!("{what} is `true` or `false`"))
                        .at(node.span, format!("not `{other}`")),
                );
                None
            }
        }
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(&self, node: &Node, what: &str, known: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        self.say(
            Diagnostic::error(format!("{what} is one of: {}", names.join(", ")))
                .at(node.span, format!("not `{text}`"))
                .did_you_mean(&text, names.iter().copied()),
        );
        None
    }

    pub fn number(&self, node: &Node, what: &str, most: u32) -> Option<u32> {
        let text = self.text(node, what)?;
        match text.parse::<u32>() {
            Ok(number) if number <= most => Some(number),
            _ => {
                self.say(
                    Diagnostic::error(format!("{what} is a number from 0 to {most}"))
                        .at(node.span, format!("not `{text}`")),
                );
                None
            }
        }
    }

    /// An absolute path in an image, without `.` and `..`.
    pub fn absolute(&self, text: &str, span: Span, what: &str) -> Option<String> {
        let good = text.starts_with('/')
            && !text.split('/').any(|part| matches!(part, "." | ".."))
            && !text.contains("//")
            && !text.contains('\0');
        if good {
            return Some(text.to_owned());
        }
        self.say(
            Diagnostic::error(format!("{what} is an absolute path in the image"))
                .at(span, format!("`{text}` is not"))
                .help("it begins with `/` and has neither `.` nor `..` nor `//` in it"),
        );
        None
    }
}
