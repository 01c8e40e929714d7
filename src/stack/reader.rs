//! Reads values out of the tree of a spec. A fault is reported on its place, and reading goes on.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::problems::Problems;
use super::url;
use super::variables::{OF_TAGS, Unset, Variables, invalid_template, no_environment, unknown};
use crate::diagnostic::{Diagnostic, nearest};
use crate::source::Span;
pub use crate::source::part_of;
use crate::spec::node::{Entry, Key, Node, Value};
use crate::spec::template::{Part, Template, TemplateError};

/// Reads values with the variables of one image of one variant, or of the whole stack.
///
/// Its methods return `None` for a value that is invalid, and report it. `what` is the value's name in
/// messages: "`apt`", "an entry of `apt`".
pub struct Reader<'a> {
    /// Variables that can be used.
    pub vars: &'a Variables,
    /// Faults found so far.
    pub problems: &'a Problems,
    /// Variables that were replaced since it was emptied.
    pub used: RefCell<BTreeSet<String>>,
}

/// The kernel takes no longer arguments and variables, bytes: `MAX_ARG_STRLEN` (execve(2)) is 128 KiB with the
/// name of a variable.
const LONGEST_ARGUMENT: usize = 127 * 1024;

/// The entries of a mapping whose keys were checked.
pub struct Fields<'a> {
    /// The place of the mapping.
    pub span: Span,
    entries: &'a [Entry],
    /// Keys that unknown keys probably stand for; each is reported.
    misspelt: Vec<String>,
}

impl<'a> Fields<'a> {
    /// Returns the value of a key.
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// Returns the key and its value.
    pub fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key.text == name)
    }

    /// Whether one of the keys is there under a name that is misspelt, which is reported.
    pub fn is_misspelt(&self, names: &[&str]) -> bool {
        let mut misspelt = self.misspelt.iter();
        misspelt.any(|name| names.contains(&name.as_str()))
    }
}

/// How to mend keys that are written at the wrong place, or under the name that another tool has for them.
pub struct KeyHint<'a> {
    /// The keys as they are written.
    keys: &'a [&'a str],
    /// An instruction, for the help of a message.
    help: &'a str,
}

impl<'a> KeyHint<'a> {
    /// Returns the hint for these keys.
    pub const fn new(keys: &'a [&'a str], help: &'a str) -> Self {
        Self { keys, help }
    }
}

impl<'a> Reader<'a> {
    /// Returns a reader that has used no variable so far.
    pub fn new(vars: &'a Variables, problems: &'a Problems) -> Self {
        Self {
            vars,
            problems,
            used: RefCell::default(),
        }
    }

    /// Reports a fault.
    pub fn report(&self, problem: Diagnostic) {
        self.problems.report(problem);
    }

    /// Reads a string that must be there, and replaces its variables.
    pub fn text(&self, node: &Node, what: &str) -> Option<String> {
        let written = self.literal(node, what)?;
        self.fill(written, node.span)
    }

    /// Reads a string as it is written.
    pub fn literal<'n>(&self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar { text, .. } if !node.is_null() => Some(text),
            _ => {
                let found = node.describe();
                self.report(Diagnostic::expected(what, "a string", node.span, found));
                None
            }
        }
    }

    /// Reads a key and replaces its variables.
    pub fn key(&self, key: &Key) -> Option<String> {
        self.fill(&key.text, key.span)
    }

    /// Cuts a text at its variables.
    pub fn template(&self, text: &str, span: Span) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => Some(template),
            Err(error) => {
                let (start, end) = match &error {
                    TemplateError::Open { start } => (*start, *start + 2),
                    TemplateError::Name { start, end, .. } => (*start, *end),
                };
                let span = part_of(span, text, start, end);
                self.report(invalid_template(span, error.to_string()));
                None
            }
        }
    }

    /// Returns the value of a variable that is used at `span`.
    pub fn variable(&self, name: &str, span: Span) -> Option<String> {
        match self.vars.get(name) {
            Ok(value) => {
                self.used.borrow_mut().insert(name.to_owned());
                Some(value.to_owned())
            }
            Err(Unset::Broken) => None,
            Err(_) if OF_TAGS.contains(&name) => {
                self.report(
                    Diagnostic::error(format!("`${{{name}}}` can only be used in `tags:`")).at(
                        span,
                        "an image cannot depend on its commit or version number",
                    ),
                );
                None
            }
            Err(reason) => {
                let known = self.vars.names();
                self.report(unknown(name, span, reason.to_string(), known));
                None
            }
        }
    }

    fn fill(&self, text: &str, span: Span) -> Option<String> {
        if !text.contains("${") {
            // Most texts.
            return url::user_info(text).is_none().then(|| text.to_owned());
        }
        let template = self.template(text, span)?;
        let parts: Vec<Option<String>> = template
            .0
            .iter()
            .map(|part| match part {
                Part::Text(text) => Some(text.clone()),
                Part::Var(variable) => {
                    let at = part_of(span, text, variable.start, variable.end);
                    self.variable(&variable.name, at)
                }
                Part::Env(variable) => {
                    let at = part_of(span, text, variable.start, variable.end);
                    self.report(no_environment(at));
                    None
                }
            })
            .collect();
        let filled: String = parts.into_iter().collect::<Option<_>>()?;
        if url::user_info(&filled).is_some() {
            // One that is in the text itself is reported with all of the spec.
            if url::user_info(text).is_none() {
                self.report(url::in_url(span));
            }
            return None;
        }
        Some(filled)
    }

    /// Reads a list that is not empty.
    pub fn list<'n>(&self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        let found = node.describe();
        self.report(match &node.value {
            Value::List(list) if !list.is_empty() => return Some(list),
            Value::List(_) => empty(what, node.span, "an empty list"),
            Value::Scalar { text, .. } if !node.is_null() => {
                Diagnostic::expected(what, "a list", node.span, found).help(as_list(text))
            }
            Value::Scalar { .. } | Value::Map(_) => {
                Diagnostic::expected(what, "a list", node.span, found)
            }
        });
        None
    }

    /// Reads a list of mappings that is not empty.
    pub fn mappings<'n>(&self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        if let Value::List(_) = &node.value {
            return self.list(node, what);
        }
        let problem = Diagnostic::expected(what, "a list", node.span, node.describe());
        self.report(problem.help("start each entry with `- `"));
        None
    }

    /// Reads a list of strings that is not empty.
    pub fn texts(&self, node: &Node, what: &str) -> Option<Vec<String>> {
        let list = self.list(node, what)?;
        let what = format!("an entry of {what}");
        // Read all of them, so that every fault is reported.
        let items: Vec<Option<String>> = list.iter().map(|item| self.text(item, &what)).collect();
        items.into_iter().collect()
    }

    /// Reads a list of strings that may be empty.
    pub fn texts_or_none(&self, node: &Node, what: &str) -> Option<Vec<String>> {
        match &node.value {
            Value::List(list) if list.is_empty() => Some(Vec::new()),
            _ => self.texts(node, what),
        }
    }

    /// Reads a mapping with any keys.
    pub fn entries<'n>(&self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Scalar { .. } | Value::List(_) => {
                let found = node.describe();
                self.report(Diagnostic::expected(what, "a mapping", node.span, found));
                None
            }
        }
    }

    /// Reads a mapping that is not empty.
    pub fn some_entries<'n>(&self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        let entries = self.entries(node, what)?;
        if entries.is_empty() {
            self.report(empty(what, node.span, "an empty mapping"));
            return None;
        }
        Some(entries)
    }

    /// Reads a mapping and reports keys that are not `known`.
    pub fn fields<'n>(&self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        self.fields_or_hint(node, what, known, &[])
    }

    /// Returns whether a value is a mapping; reports a text with the mapping that has it: `{ key: … }`.
    pub fn is_mapping_of(&self, node: &Node, what: &str, key: &str) -> bool {
        if let Value::Scalar { .. } = node.value {
            let problem = Diagnostic::expected(what, "a mapping", node.span, node.describe());
            self.report(problem.help(format!("write `{{ {key}: … }}`")));
            return false;
        }
        true
    }

    /// Reads a mapping and reports keys that are not `known`, with the help of the hint that has them.
    pub fn fields_or_hint<'n>(
        &self,
        node: &'n Node,
        what: &str,
        known: &[&str],
        hints: &[KeyHint],
    ) -> Option<Fields<'n>> {
        #[cfg(test)]
        super::schema::note(what, known);
        let entries = self.entries(node, what)?;
        let mut misspelt = Vec::new();
        for entry in entries {
            #[cfg(test)]
            super::schema::note_found(what, &entry.key.text);
            if !known.contains(&entry.key.text.as_str()) {
                let meant = self.unknown_key(&entry.key, what, known, hints);
                misspelt.extend(meant.map(str::to_owned));
            }
        }
        Some(Fields {
            span: node.span,
            entries,
            misspelt,
        })
    }

    /// Reports a key that `what` does not have, and returns the known one that it probably stands for.
    pub fn unknown_key<'k>(
        &self,
        key: &Key,
        what: &str,
        known: &[&'k str],
        hints: &[KeyHint],
    ) -> Option<&'k str> {
        let name = key.text.as_str();
        let problem = Diagnostic::unknown("key", name, key.span, known.iter().copied());
        let problem = problem.at(key.span, format!("not a key of {what}"));
        if let Some(hint) = hints.iter().find(|hint| hint.keys.contains(&name)) {
            self.report(problem.help(hint.help));
            return None;
        }
        self.report(problem);
        nearest(name, known.iter().copied())
    }

    /// Warns of `$NAME` in a text, which is not replaced. `help` is made from the name.
    pub fn warn_of_shell_variable(
        &self,
        text: &str,
        span: Span,
        what: &str,
        help: impl Fn(&str) -> String,
    ) {
        if let Some((start, end)) = shell_variable(text) {
            let name = &text[start + 1..end];
            self.report(
                Diagnostic::warning(format!("`${name}` in {what} is not replaced"))
                    .at(part_of(span, text, start, end), "used as it is written")
                    .help(help(name)),
            );
        }
    }

    /// Reads a string that Docker would replace `$NAME` in, and warns of it.
    pub fn text_like_docker(&self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?;
        self.warn_of_shell_variable(&text, node.span, what, use_vars);
        Some(text)
    }

    /// Reports a text that is too long for an argument or a variable of a program.
    pub fn fits_argument(&self, text: &str, span: Span, what: &str) -> Option<()> {
        if text.len() < LONGEST_ARGUMENT {
            return Some(());
        }
        let kib = text.len() / 1024;
        self.report(
            Diagnostic::error(format!("{what} is too long"))
                .at(
                    span,
                    format!("{kib} KiB, and the kernel allows less than 128"),
                )
                .help("put it into a file"),
        );
        None
    }

    /// Reads `true` or `false`.
    pub fn flag(&self, node: &Node, what: &str) -> Option<bool> {
        match self.text(node, what)?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                let found = format!("`{other}`");
                let expected = "`true` or `false`";
                self.report(Diagnostic::expected(what, expected, node.span, &found));
                None
            }
        }
    }

    /// Reads one of a few words.
    pub fn one_of<T: Copy>(&self, node: &Node, what: &str, known: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let expected = match names.as_slice() {
            [name] => format!("`{name}`"),
            names => format!("one of: {}", names.join(", ")),
        };
        let found = format!("`{text}`");
        self.report(
            Diagnostic::expected(what, &expected, node.span, &found).did_you_mean(&text, names),
        );
        None
    }

    /// Reads a number in a range.
    pub fn number(&self, node: &Node, what: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let text = self.text(node, what)?;
        match text.parse::<u32>() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let expected = format!("a number from {} to {}", range.start(), range.end());
                let found = format!("`{text}`");
                self.report(Diagnostic::expected(what, &expected, node.span, &found));
                None
            }
        }
    }

    /// Checks an absolute path in an image, without `.` and `..`.
    pub fn absolute(&self, text: &str, span: Span, what: &str) -> Option<String> {
        self.is_absolute(text, span, what)?;
        self.warn_of_shell_variable(text, span, what, use_vars);
        Some(text.to_owned())
    }

    /// Reports a path that is not absolute, or has `.` and `..`.
    pub fn is_absolute(&self, text: &str, span: Span, what: &str) -> Option<()> {
        let good = text.starts_with('/')
            && !text.split('/').any(|part| matches!(part, "." | ".."))
            && !text.contains("//")
            && !text.contains('\0');
        if good {
            return Some(());
        }
        let found = format!("`{text}`");
        self.report(
            Diagnostic::expected(what, "an absolute path in the image", span, &found)
                .help("start it with `/`, and leave out `.`, `..` and `//`"),
        );
        None
    }

    /// Checks a name of a suite, a channel or an info command: letters, digits, `.`, `_` and `-`.
    pub fn name(&self, key: &Key, kind: &str) -> bool {
        let good = key.text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && key
                .text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !good {
            let reason = "use letters, digits, `.`, `_` and `-`, and start with a letter or digit";
            let kind = format!("{kind} name");
            self.report(Diagnostic::invalid(&kind, &key.text, key.span, reason));
        }
        good
    }

    /// Returns a key that must be there. One whose name is misspelt is not reported again.
    pub fn required<'n>(&self, fields: &Fields<'n>, owner: &str, key: &str) -> Option<&'n Node> {
        let node = fields.get(key);
        if node.is_none() && !fields.is_misspelt(&[key]) {
            self.report(Diagnostic::missing(key, owner, fields.span));
        }
        node
    }
}

/// Returns the help for a text where a list is expected: the list of its words.
fn as_list(text: &str) -> String {
    if text.contains(|c: char| "'\"\\;&|<>()`".contains(c)) {
        return "write a list with one entry for each word".to_owned();
    }
    // In a list between brackets these characters have a meaning.
    let has_meaning = |word: &str| {
        word == "-"
            || word.starts_with(|c: char| "&*!%@#?".contains(c))
            || word.contains(|c: char| "[]{},".contains(c))
    };
    let words = text.split_whitespace().map(|word| {
        if has_meaning(word) {
            format!("\"{word}\"")
        } else {
            word.to_owned()
        }
    });
    let words: Vec<String> = words.collect();
    match words.as_slice() {
        [word] => format!("write `[{word}]`"),
        words => format!("write one entry for each word: `[{}]`", words.join(", ")),
    }
}

/// Returns where `$NAME` is in a text, with a name in upper case as variables of the environment have.
fn shell_variable(text: &str) -> Option<(usize, usize)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('$').find_map(|(start, _)| {
        let rest = &text[start + 1..];
        let name = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && !name.contains(|c: char| c.is_ascii_lowercase());
        let is_escaped = text[..start].ends_with(['$', '\\']);
        (is_name && !is_escaped).then_some((start, start + 1 + name.len()))
    })
}

/// Returns the help for `$NAME` where only variables of the spec are replaced.
fn use_vars(name: &str) -> String {
    let variable = name.to_ascii_lowercase();
    format!("set `{variable}` in `vars:`, and write `${{{variable}}}`")
}

fn empty(what: &str, span: Span, found: &str) -> Diagnostic {
    Diagnostic::error(format!("{what} must not be empty"))
        .at(span, format!("found {found}"))
        .help("remove it, or add an entry")
}
