//! `apt`: packages of Debian and Ubuntu, and sources of others.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use serde_json::{Value as Json, json};

use super::context::StepReader;
use crate::diagnostic::Diagnostic;
use crate::spec::node::{Node, Value};
use crate::stack::forms::Form;

/// An `apt` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apt {
    /// Names, in the order of the spec and of its files.
    pub packages: Vec<String>,
    /// Whether recommended packages are installed as well.
    pub recommends: bool,
    /// `sources:`, which stay in the image.
    pub sources: Vec<AptSource>,
}

/// A source of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AptSource {
    /// The name of its files in `/etc/apt`.
    pub name: String,
    /// `uri:`.
    pub uri: String,
    /// `suite:`.
    pub suite: String,
    /// `components:`; empty for a suite that is a path, which ends in `/`.
    pub components: Vec<String>,
    /// `key:`, a file with the keys that may sign it.
    pub key: Utf8PathBuf,
}

impl Apt {
    /// Reads a list of packages, the path of a file with their names, or a mapping.
    pub(super) fn read(step: &StepReader, node: &Node) -> Option<Self> {
        let reader = step.reader;
        let mut apt = Self {
            packages: Vec::new(),
            recommends: false,
            sources: Vec::new(),
        };
        let mut list = node;
        let forms = [Form::Text, Form::List, Form::Map];
        if reader.form(node, "`apt`", &forms)? == Form::Map {
            let known = ["packages", "recommends", "sources"];
            let fields = reader.fields(node, "`apt`", &known)?;
            if let Some(node) = fields.get("recommends") {
                apt.recommends = reader.flag(node, "`recommends`")?;
            }
            if let Some(node) = fields.get("sources") {
                apt.sources = sources(step, node)?;
            }
            list = reader.required(&fields, "`apt`", "packages")?;
        }
        apt.packages = match &list.value {
            Value::Scalar { text, .. } if is_path(text) => from_file(step, list)?,
            _ => {
                let packages = reader.texts(list, "`apt`")?;
                step.no_options(&packages, list.span, "apt")?;
                packages
            }
        };
        Some(apt)
    }

    pub(super) fn title(&self) -> String {
        format!("apt {}", self.packages.join(" "))
    }

    pub(super) fn canonical(&self) -> Json {
        let Self {
            packages,
            recommends,
            sources,
        } = self;
        let mut value = json!({ "packages": packages, "recommends": recommends });
        if !sources.is_empty() {
            let source = |source: &AptSource| {
                let AptSource {
                    name,
                    uri,
                    suite,
                    components,
                    key,
                } = source;
                json!({ "name": name, "uri": uri, "suite": suite, "components": components, "key": key })
            };
            value["sources"] = sources.iter().map(source).collect();
        }
        value
    }

    /// Returns the keys of its sources. Files with names of packages are not among them: only the names
    /// count.
    pub(super) fn files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        self.sources.iter().map(|source| &source.key)
    }
}

/// Whether a text is the path of a file and not the name of a package.
fn is_path(text: &str) -> bool {
    [".txt", ".list", ".apt"]
        .iter()
        .any(|end| text.ends_with(end))
        || text.contains('/')
}

/// Reads the names in a file: one or several a line, with comments behind `#`.
fn from_file(step: &StepReader, node: &Node) -> Option<Vec<String>> {
    let reader = step.reader;
    let text = reader.text(node, "`apt`")?;
    let path = step.paths.file(reader, &text, node.span)?;
    let content = step.paths.content(reader, &path, node.span)?;
    let content = String::from_utf8_lossy(content);
    let content = content.trim_start_matches('\u{feff}');
    let lines = content
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let packages: Vec<String> = lines
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect();
    if packages.is_empty() {
        let problem = Diagnostic::error(format!("file `{path}` has no packages"));
        reader.report(problem.at(node.span, "nothing to install"));
        return None;
    }
    step.no_options(&packages, node.span, "apt")?;
    Some(packages)
}

fn sources(step: &StepReader, node: &Node) -> Option<Vec<AptSource>> {
    let reader = step.reader;
    let mut list = Vec::new();
    let mut names = BTreeSet::new();
    for item in reader.mappings(node, "`sources`")? {
        let source = source(step, item)?;
        if !names.insert(source.name.clone()) {
            let name = &source.name;
            reader.report(
                Diagnostic::error(format!("duplicate source `{name}`"))
                    .at(item.span, "its files would replace those of another")
                    .help("set another `name:`"),
            );
            return None;
        }
        list.push(source);
    }
    Some(list)
}

fn source(step: &StepReader, node: &Node) -> Option<AptSource> {
    let reader = step.reader;
    let owner = "an entry of `sources`";
    let known = ["name", "uri", "suite", "components", "key"];
    let fields = reader.fields(node, owner, &known)?;
    // Each is one word of a field of a source file.
    let word = |name: &str| {
        let node = reader.required(&fields, owner, name)?;
        let text = reader.text(node, &format!("`{name}`"))?;
        if text.is_empty() || text.contains(char::is_whitespace) {
            let reason = "must be one word";
            reader.report(Diagnostic::invalid(name, &text, node.span, reason));
            return None;
        }
        Some((text, node.span))
    };
    let (uri, uri_span) = word("uri")?;
    let (suite, _) = word("suite")?;
    let components = match fields.get("components") {
        Some(node) => reader.texts(node, "`components`")?,
        None => Vec::new(),
    };
    if components.is_empty() != suite.ends_with('/') {
        reader.report(
            Diagnostic::error(format!("`components` do not fit suite `{suite}`"))
                .at(fields.span, "in this source")
                .help("set `components:`, or none for a suite that is a path and ends in `/`"),
        );
        return None;
    }
    if let Some(bad) = components
        .iter()
        .find(|text| text.contains(char::is_whitespace))
    {
        let reason = "must be one word";
        reader.report(Diagnostic::invalid("component", bad, fields.span, reason));
        return None;
    }
    let name = match fields.get("name") {
        Some(_) => word("name")?,
        None => (host(&uri), uri_span),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !name.0.chars().all(is_plain) || name.0.starts_with('.') {
        let reason = "use letters, digits, `.`, `_` and `-`";
        reader.report(Diagnostic::invalid(
            "name of a source",
            &name.0,
            name.1,
            reason,
        ));
        return None;
    }
    let (key, span) = word("key")?;
    Some(AptSource {
        name: name.0,
        uri,
        suite,
        components,
        key: step.paths.file(reader, &key, span)?,
    })
}

/// Returns the host of a URL.
fn host(uri: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    host.to_owned()
}
