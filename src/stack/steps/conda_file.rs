//! Files of `conda` steps: `environment.yml`, and lists of packages or of URLs (`@EXPLICIT`).

use camino::Utf8Path;

use super::conda_names::CondaName;
use super::context::StepReader;
use super::requirement_files::{Consumer, Follower, Requirements, Text};
use crate::diagnostic::Diagnostic;
use crate::source::{Sources, Span};
use crate::spec::node::{self, Entry, Node, Value};
use crate::stack::url;

/// What a file lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CondaFile {
    /// Packages, in the order of the file.
    pub packages: Vec<String>,
    /// Channels, first one first.
    pub channels: Vec<String>,
    /// The lines of the `pip:` section.
    pub pip: Vec<Text>,
}

/// Keys of an `environment.yml` that do not change what is installed: names and places, which the spec
/// sets, and settings of other programs.
const IGNORED: [&str; 4] = ["name", "prefix", "platforms", "category"];

/// Reads the file of a step, and everything that its `pip:` section brings along.
pub(super) fn read(
    step: &StepReader,
    file: &Utf8Path,
    span: Span,
    consumer: Consumer,
) -> Option<(CondaFile, Requirements)> {
    let reader = step.reader;
    let content = step.paths.content(reader, file, span)?;
    let Ok(text) = String::from_utf8(content.to_vec()) else {
        let problem = Diagnostic::error(format!("`{file}` is not UTF-8"));
        reader.report(problem.at(span, "used here").help("save it as UTF-8"));
        return None;
    };
    if !is_environment(file) {
        check_list(step, file, span, &text)?;
        let content = CondaFile {
            packages: listed(&text),
            ..CondaFile::default()
        };
        return Some((content, Requirements::default()));
    }
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
        return Some((CondaFile::default(), Requirements::default()));
    };
    let mut secrets = Vec::new();
    url::find_all(&root, &mut |span| secrets.push(span));
    for span in &secrets {
        reader.report(url::in_url(place(*span)));
    }
    let mut environment = Environment {
        content: CondaFile::default(),
        pip: Vec::new(),
        faults: Vec::new(),
    };
    environment.read(&root);
    let is_wrong = !environment.faults.is_empty() || !secrets.is_empty();
    for (span, fault) in environment.faults {
        reader.report(fault(place(span)));
    }
    if is_wrong {
        return None;
    }
    let lines = environment.pip.into_iter();
    let lines: Vec<(String, Span)> = lines.map(|(text, span)| (text, place(span))).collect();
    let follower = Follower::new(reader, step.paths, span, consumer);
    let (requirements, pip) = follower.follow_lines(file, &lines)?;
    let content = CondaFile {
        pip,
        ..environment.content
    };
    Some((content, requirements))
}

/// Whether a file is an `environment.yml`, not a list.
pub fn is_environment(file: &Utf8Path) -> bool {
    matches!(file.extension(), Some("yml" | "yaml"))
}

/// Returns the packages of a list. `#` begins a comment at the beginning of a line only: it is part of the URLs of an
/// `@EXPLICIT` list, before the digest.
fn listed(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().map(str::trim);
    let is_package = |line: &&str| !line.is_empty() && !line.starts_with(['#', '@']);
    lines.filter(is_package).map(str::to_owned).collect()
}

/// Reports credentials and paths of this machine in a list, on their lines.
fn check_list(step: &StepReader, file: &Utf8Path, span: Span, text: &str) -> Option<()> {
    let mut start = 0;
    let mut places = Vec::new();
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        let text = line.trim();
        let is_package = !text.starts_with(['#', '@']);
        let is_faulty = url::user_info(line).is_some()
            || url::has_token(line)
            || is_package && CondaName::Package.fault(text, span).is_some();
        if is_faulty {
            places.push((start, end));
        }
        start += line.len();
    }
    if places.is_empty() {
        return Some(());
    }
    let source = step.reader.problems.attach(file.as_str(), text);
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    for (start, end) in places {
        let (start, end) = (offset(start), offset(end));
        let span = Span { source, start, end };
        let line = text.get(start as usize..end as usize).unwrap_or_default();
        let credentials = url::user_info(line).is_some().then(|| url::in_url(span));
        let fault = credentials.or_else(|| CondaName::Package.fault(line.trim(), span));
        step.reader
            .report(fault.unwrap_or_else(|| url::in_url(span)));
    }
    None
}

/// Makes the report of a fault at a place.
type Fault = Box<dyn Fn(Span) -> Diagnostic>;

/// The keys of an `environment.yml`.
struct Environment {
    content: CondaFile,
    pip: Vec<(String, Span)>,
    faults: Vec<(Span, Fault)>,
}

impl Environment {
    fn read(&mut self, root: &Node) {
        let Value::Map(entries) = &root.value else {
            self.expected("the environment file", "a mapping", root);
            return;
        };
        for entry in entries {
            match entry.key.text.as_str() {
                "channels" => self.channels(&entry.value),
                "dependencies" => self.dependencies(&entry.value),
                name if IGNORED.contains(&name) => {}
                _ => self.unknown(entry),
            }
        }
    }

    fn unknown(&mut self, entry: &Entry) {
        let name = entry.key.text.clone();
        let help = match name.as_str() {
            "variables" => "set these variables in `env:` of the image",
            _ => "remove it, or write what it does into the spec",
        };
        self.fault(entry.key.span, move |span| {
            Diagnostic::error(format!("unsupported key `{name}` in an environment file"))
                .at(span, "it has no effect in an image")
                .help(help)
        });
    }

    fn channels(&mut self, node: &Node) {
        for item in self.items("`channels`", node) {
            let Some(channel) = self.text("a channel", item) else {
                continue;
            };
            self.check_name(&channel, item.span, CondaName::Channel);
            self.content.channels.push(channel);
        }
    }

    fn dependencies(&mut self, node: &Node) {
        for item in self.items("`dependencies`", node) {
            let Value::Map(entries) = &item.value else {
                if let Some(package) = self.text("a dependency", item) {
                    self.check_name(&package, item.span, CondaName::Package);
                    self.content.packages.push(package);
                }
                continue;
            };
            for entry in entries {
                if entry.key.text == "pip" {
                    for line in self.items("`pip`", &entry.value) {
                        if let Some(text) = self.text("a requirement", line) {
                            self.pip.push((text, line.span));
                        }
                    }
                } else {
                    self.unknown(entry);
                }
            }
        }
    }

    fn check_name(&mut self, text: &str, span: Span, name: CondaName) {
        if name.fault(text, span).is_some() {
            let text = text.to_owned();
            self.fault(span, move |span| {
                let fault = name.fault(&text, span);
                fault.unwrap_or_else(|| Diagnostic::error(format!("invalid name `{text}`")))
            });
        }
    }

    fn items<'n>(&mut self, what: &str, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(list) => list,
            Value::Scalar { text, .. } if text.is_empty() => &[],
            Value::Scalar { .. } | Value::Map(_) => {
                self.expected(what, "a list", node);
                &[]
            }
        }
    }

    fn text(&mut self, what: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::Scalar { text, .. } if !text.is_empty() => Some(text.clone()),
            _ => {
                self.expected(what, "a text", node);
                None
            }
        }
    }

    fn expected(&mut self, what: &str, expected: &str, node: &Node) {
        let (what, expected, found) = (what.to_owned(), expected.to_owned(), node.describe());
        self.fault(node.span, move |span| {
            Diagnostic::expected(&what, &expected, span, found)
        });
    }

    fn fault(&mut self, span: Span, fault: impl Fn(Span) -> Diagnostic + 'static) {
        self.faults.push((span, Box::new(fault)));
    }
}
