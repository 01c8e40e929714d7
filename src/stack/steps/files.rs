//! `write`, `append` and `link`: files made from the spec.

use camino::Utf8PathBuf;
use serde_json::{Value as Json, json};

use super::context::{StepReader, with_targets};
use super::ownership::{self, Mode, Ownership, canonical_mode};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Node, Value};
use crate::stack::forms::Form;
use crate::stack::reader::{Fields, part_of};
use crate::stack::shell_text::{Language, unset_variable};

/// One target of a `write` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Absolute path of the file.
    pub to: String,
    /// Its whole content.
    pub text: String,
    /// `owner:`.
    pub owner: Option<String>,
    /// `mode:`.
    pub mode: Option<Mode>,
    /// The value in its file.
    pub span: Span,
}

/// One target of an `append` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Absolute path of the file.
    pub to: String,
    /// What is added to its end.
    pub from: AppendFrom,
    /// The value in its file.
    pub span: Span,
}

/// What an `append` step adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendFrom {
    /// A text of the spec.
    Text(String),
    /// The content of a file under `images/`.
    File(Utf8PathBuf),
}

/// One target of a `link` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Absolute path of the symbolic link.
    pub path: String,
    /// What it leads to, as written.
    pub target: String,
    /// `replace:`: a folder at the path is removed.
    pub replace: bool,
    /// The value in its file.
    pub span: Span,
}

/// Reads a mapping from files to texts; sorted by file.
pub(super) fn read_write(step: &StepReader, node: &Node) -> Option<Vec<Write>> {
    let reader = step.reader;
    let mut list = step.targets(node, "write", |to, entry| {
        let to = step.no_folder(to, "write", entry)?;
        let what = "an entry of `write`";
        let form = reader.form(&entry.value, what, &[Form::Text, Form::Map])?;
        let (text, ownership) = if form == Form::Map {
            let known = ["text", "mode", "owner", "vars"];
            let fields = reader.fields(&entry.value, what, &known)?;
            let ownership = ownership::read(reader, &fields)?;
            (body(step, &fields, what)?, ownership)
        } else {
            (verbatim(step, &entry.value)?, Ownership::default())
        };
        Some(Write {
            to,
            text,
            owner: ownership.owner,
            mode: ownership.mode,
            span: entry.value.span,
        })
    })?;
    list.sort_by(|a, b| a.to.cmp(&b.to));
    Some(list)
}

/// Reads a mapping from files to texts or files; sorted by file.
pub(super) fn read_append(step: &StepReader, node: &Node) -> Option<Vec<Append>> {
    let reader = step.reader;
    let mut list = step.targets(node, "append", |to, entry| {
        let to = step.no_folder(to, "append", entry)?;
        let what = "an entry of `append`";
        let form = reader.form(&entry.value, what, &[Form::Text, Form::Map])?;
        let from = if form == Form::Map {
            let known = ["from", "text", "vars"];
            let fields = reader.fields(&entry.value, what, &known)?;
            match fields.get("from") {
                Some(node) => {
                    let text = reader.text(node, "`from`")?;
                    AppendFrom::File(step.paths.file(reader, &text, node.span)?)
                }
                None => AppendFrom::Text(body(step, &fields, what)?),
            }
        } else {
            AppendFrom::Text(verbatim(step, &entry.value)?)
        };
        Some(Append {
            to,
            from,
            span: entry.value.span,
        })
    })?;
    list.sort_by(|a, b| a.to.cmp(&b.to));
    Some(list)
}

/// Reads a mapping from links to what they lead to; sorted by link.
pub(super) fn read_link(step: &StepReader, node: &Node) -> Option<Vec<Link>> {
    let reader = step.reader;
    let mut list = step.targets(node, "link", |path, entry| {
        let mut to = &entry.value;
        let mut replace = false;
        let what = "an entry of `link`";
        if reader.form(&entry.value, what, &[Form::Text, Form::Map])? == Form::Map {
            let fields = reader.fields(&entry.value, what, &["to", "replace"])?;
            if let Some(node) = fields.get("replace") {
                replace = reader.flag(node, "`replace`")?;
            }
            to = reader.required(&fields, what, "to")?;
        }
        Some(Link {
            path: step.no_folder(path, "link", entry)?,
            target: reader.text(to, "the path that a link points to")?,
            replace,
            span: entry.value.span,
        })
    })?;
    list.sort_by(|a, b| a.path.cmp(&b.path));
    Some(list)
}

/// Reads a text byte for byte; it can be empty. Warns of variables of the spec.
fn verbatim(step: &StepReader, node: &Node) -> Option<String> {
    let reader = step.reader;
    let text = match &node.value {
        Value::Scalar { text, .. } if text.is_empty() => "",
        _ => reader.literal(node, "the text")?,
    };
    let is_variable = |name: &str| reader.vars.values.contains_key(name);
    if let Some((at, _)) = unset_variable(Language::AnyFile, text, is_variable) {
        let variable = &text[at.clone()];
        let problem = Diagnostic::warning(format!("`{variable}` in a text is not replaced"))
            .at(part_of(node.span, text, at.start, at.end), "a variable of the spec")
            .help(format!(
                "write `{{ text: …, vars: true }}` for its value, and with that `${variable}` to keep `{variable}`"
            ));
        reader.report(problem);
    }
    Some(text.to_owned())
}

/// Reads `text:`, verbatim unless `vars: true`.
fn body(step: &StepReader, fields: &Fields, owner: &str) -> Option<String> {
    let node = step.reader.required(fields, owner, "text")?;
    let has_vars = match fields.get("vars") {
        Some(node) => step.reader.flag(node, "`vars`")?,
        None => false,
    };
    if has_vars {
        step.reader.text(node, "`text`")
    } else {
        verbatim(step, node)
    }
}

pub(super) fn title_write(list: &[Write]) -> String {
    with_targets("write", list.iter().map(|write| &write.to))
}

pub(super) fn title_append(list: &[Append]) -> String {
    with_targets("append", list.iter().map(|append| &append.to))
}

pub(super) fn title_link(list: &[Link]) -> String {
    with_targets("link", list.iter().map(|link| &link.path))
}

pub(super) fn canonical_write(list: &[Write]) -> Json {
    list.iter()
        .map(|write| {
            let Write {
                to,
                text,
                owner,
                mode,
                span: _,
            } = write;
            let mode = canonical_mode(mode);
            json!({ "to": to, "text": text, "owner": owner, "mode": mode })
        })
        .collect()
}

pub(super) fn canonical_append(list: &[Append]) -> Json {
    list.iter()
        .map(|Append { to, from, span: _ }| match from {
            AppendFrom::Text(text) => json!({ "to": to, "text": text }),
            AppendFrom::File(file) => json!({ "to": to, "from": file }),
        })
        .collect()
}

pub(super) fn canonical_link(list: &[Link]) -> Json {
    list.iter()
        .map(|link| {
            let Link {
                path,
                target,
                replace,
                span: _,
            } = link;
            json!({ "path": path, "target": target, "replace": replace })
        })
        .collect()
}

pub(super) fn files_append(list: &[Append]) -> impl Iterator<Item = &Utf8PathBuf> {
    list.iter().filter_map(|append| match &append.from {
        AppendFrom::File(path) => Some(path),
        AppendFrom::Text(_) => None,
    })
}
