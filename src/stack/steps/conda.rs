//! `conda`: packages of conda channels.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value as Json, json};

use super::context::StepReader;
use super::requirement_files::{Consumer, Follower, Requirements};
use crate::diagnostic::Diagnostic;
use crate::source::{Sources, Span};
use crate::spec::node::{self, Node, Value};
use crate::stack::url;

/// A `conda` step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conda {
    /// Packages, in the order of the file.
    pub packages: Vec<String>,
    /// Channels, first one first.
    pub channels: Vec<String>,
    /// An `environment.yml` under `images/`.
    pub file: Option<Utf8PathBuf>,
    /// What the `pip:` section of the file brings along.
    pub requirements: Requirements,
}

impl Conda {
    /// Reads a list of packages, an environment file, or a mapping.
    pub(super) fn read(step: &StepReader, node: &Node) -> Option<Self> {
        let reader = step.reader;
        let file = |node: &Node, what: &str| {
            let text = reader.text(node, what)?;
            step.paths.file(reader, &text, node.span)
        };
        let mut conda = Self::default();
        match &node.value {
            Value::List(_) => conda.packages = reader.texts(node, "`conda`")?,
            Value::Scalar { .. } => conda.file = Some(file(node, "`conda`")?),
            Value::Map(_) => {
                let fields = reader.fields(node, "`conda`", &["packages", "channels", "file"])?;
                if let Some(node) = fields.get("packages") {
                    conda.packages = reader.texts(node, "`packages`")?;
                }
                if let Some(node) = fields.get("channels") {
                    conda.channels = reader.texts(node, "`channels`")?;
                }
                if let Some(node) = fields.get("file") {
                    conda.file = Some(file(node, "`file`")?);
                }
                if conda.packages.is_empty() && conda.file.is_none() {
                    let problem = Diagnostic::error("missing `packages` or `file` in `conda`");
                    reader.report(problem.at(node.span, "nothing to install"));
                    return None;
                }
            }
        }
        step.no_options(&conda.packages, node.span, "conda")?;
        if let Some(file) = &conda.file {
            conda.requirements = pip_section(step, file, node.span)?;
        }
        Some(conda)
    }

    pub(super) fn title(&self) -> String {
        let file = self.file.iter().filter_map(|path| path.file_name());
        let parts: Vec<&str> = file
            .chain(self.packages.iter().map(String::as_str))
            .collect();
        format!("conda {}", parts.join(" "))
    }

    pub(super) fn canonical(&self) -> Json {
        let Self {
            packages,
            channels,
            file,
            requirements,
        } = self;
        let mut value = json!({ "packages": packages, "channels": channels, "file": file });
        if !requirements.includes.is_empty() {
            value["includes"] = json!(requirements.includes);
        }
        requirements.add_canonical(&mut value);
        value
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        self.file.iter().chain(self.requirements.all_files())
    }
}

/// Follows the requirements in the `pip:` section of an environment file.
fn pip_section(step: &StepReader, file: &Utf8Path, span: Span) -> Option<Requirements> {
    let reader = step.reader;
    let content = step.paths.content(reader, file, span)?;
    let Ok(text) = String::from_utf8(content.to_vec()) else {
        let problem = Diagnostic::error(format!("environment file `{file}` is not UTF-8"));
        reader.report(problem.at(span, "used here").help("save it as UTF-8"));
        return None;
    };
    let mut sources = Sources::default();
    sources.add(file.as_str(), text.as_str());
    let first = sources.iter().next().map(|(id, _)| id)?;
    let mut faults = Vec::new();
    let root = node::parse(&sources, first, &mut faults);
    let source = reader.problems.attach(file.as_str(), &text);
    let place = |span: Span| Span { source, ..span };
    if let Some(fault) = faults.into_iter().next() {
        let problem = Diagnostic::error(format!("invalid environment file `{file}`"));
        let at = fault.primary.map_or(span, |label| place(label.span));
        reader.report(problem.at(at, fault.message));
        return None;
    }
    let Some(root) = root else {
        return Some(Requirements::default());
    };
    let mut secrets = Vec::new();
    url::find_all(&root, &mut |span| secrets.push(span));
    for span in &secrets {
        reader.report(url::in_url(place(*span)));
    }
    if !secrets.is_empty() {
        return None;
    }
    let mut lines = Vec::new();
    let items = |node: &Node, key: &str| {
        let entry = node.entries().iter().find(|entry| entry.key.text == key);
        match entry.map(|entry| &entry.value.value) {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    };
    for dependency in items(&root, "dependencies") {
        for item in items(&dependency, "pip") {
            if let Value::Scalar { text, .. } = &item.value {
                lines.push((text.clone(), place(item.span)));
            }
        }
    }
    let follower = Follower::new(reader, step.paths, span, Consumer::Conda);
    follower.follow_lines(file, &lines)
}
