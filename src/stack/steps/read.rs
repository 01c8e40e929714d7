//! Reads short keys, `steps:` and `group:`.

use std::collections::BTreeSet;

use super::apt::Apt;
use super::conda::Conda;
use super::context::{StepReader, shortened};
use super::pip::Pip;
use super::secrets::{network, secrets};
use super::step::{Cwd, Kind, Step};
use super::{copy, files, hidden, mounts, perms, run};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Entry, Node, Value};
use crate::stack::env;
use crate::stack::forms::Form;
use crate::stack::reader::{Fields, KeyHint, Reader};
use crate::stack::variables::Unset;

/// Kinds of steps, in the order of their short keys where they have one.
pub const KINDS: [&str; 12] = [
    "apt", "conda", "pip", "copy", "write", "append", "link", "perms", "run", "exec", "script",
    "group",
];

/// Kinds that are not supported yet.
pub const TO_COME: [&str; 3] = ["deb", "cran", "check"];

/// Settings of all kinds.
pub const SETTINGS: [&str; 10] = [
    "name", "as", "cwd", "env", "shell", "secrets", "mounts", "network", "when", "finish",
];

/// Settings under the names that a Dockerfile or `config:` has for them.
const DOCKER_NAMES: [KeyHint; 3] = [
    KeyHint::new(&["user"], "write `as:` for the user of a step"),
    KeyHint::new(&["workdir"], "write `cwd:` for the folder of a step"),
    KeyHint::new(&["dockerfile"], "move it to the image, next to `steps:`"),
];

/// Short keys of an image, in the order their steps have.
pub const SHORT: [&str; 4] = ["apt", "conda", "pip", "copy"];

/// Whether a list of steps is that of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Image,
    Group,
}

/// Reports a kind that is not supported yet.
pub fn report_to_come(reader: &Reader, name: &str, span: Span) {
    let help = match name {
        "deb" => "install it in a `run` step",
        "cran" => "install R packages in a `run` step, or from Debian by `apt` (`r-cran-…`)",
        _ => "check it in a `run` step",
    };
    reader.report(
        Diagnostic::error(format!("unsupported key `{name}`"))
            .at(span, "planned for a later version")
            .help(help),
    );
}

impl StepReader<'_> {
    /// Reads the step of a short key.
    pub fn short(&self, entry: &Entry) -> Option<Step> {
        self.reader.used.borrow_mut().clear();
        let kind = self.kind(&entry.key.text, &entry.value)?;
        let span = Span {
            end: entry.value.span.end.max(entry.key.span.end),
            ..entry.key.span
        };
        Some(self.step(span, kind, None, None))
    }

    /// Reads `steps:`. Steps that `when:` leaves out are checked as well.
    pub fn steps(&self, node: &Node) -> Vec<Step> {
        self.list(node, "`steps`", Level::Image)
    }

    fn list(&self, node: &Node, what: &str, level: Level) -> Vec<Step> {
        let mut steps = Vec::new();
        for item in self.reader.mappings(node, what).unwrap_or_default() {
            // The variables of a step are its own.
            let outer = self.reader.used.take();
            let step = self.item(item, level);
            *self.reader.used.borrow_mut() = outer;
            steps.extend(step);
        }
        steps
    }

    /// Reads one step; `None` also if `when:` leaves it out.
    fn item(&self, node: &Node, level: Level) -> Option<Step> {
        let reader = self.reader;
        let Value::Map(entries) = &node.value else {
            let found = node.describe();
            let problem = Diagnostic::expected("a step", "a mapping", node.span, found);
            let help = format!("start it with its kind: {}", KINDS.join(", "));
            reader.report(problem.help(help));
            return None;
        };
        let kind = self.only_kind(node, entries)?;
        if level == Level::Group && kind.key.text == "group" {
            let problem = Diagnostic::error("nested `group`");
            let problem = problem.at(kind.key.span, "a group cannot contain a group");
            reader.report(problem.help("move its steps into the outer group"));
            return None;
        }
        let known: Vec<&str> = KINDS.iter().chain(&SETTINGS).copied().collect();
        let fields = reader.fields_or_hint(node, "a step", &known, &DOCKER_NAMES)?;
        if level == Level::Group {
            self.no_layer_settings(&fields);
        }
        // Read the settings even if the kind is invalid, so that every fault is reported.
        let made = self.kind(&kind.key.text, &kind.value);
        let applies = match fields.get("when") {
            Some(node) => self.when(node),
            None => Some(true),
        };
        let name = match fields.get("name") {
            Some(node) => Some(reader.text(node, "`name`")?),
            None => None,
        };
        let step = self.step(node.span, made?, name, Some(&fields));
        hidden::check(reader, &step);
        applies?.then_some(step)
    }

    /// Reports settings of a whole layer on a member of a group.
    fn no_layer_settings(&self, fields: &Fields) {
        for key in ["secrets", "mounts", "network", "finish"] {
            if let Some(entry) = fields.entry(key) {
                self.reader.report(
                    Diagnostic::error(format!("a member of a group cannot have `{key}`"))
                        .at(entry.key.span, "applies to a whole layer")
                        .help("move it to the keys of the group, next to `group:`"),
                );
            }
        }
    }

    /// Returns the only entry that is a kind of step.
    fn only_kind<'n>(&self, node: &Node, entries: &'n [Entry]) -> Option<&'n Entry> {
        let reader = self.reader;
        let is_one = |entry: &Entry, list: &[&str]| list.contains(&entry.key.text.as_str());
        if let Some(entry) = entries.iter().find(|entry| is_one(entry, &TO_COME)) {
            report_to_come(reader, &entry.key.text, entry.key.span);
            return None;
        }
        let mut kinds = entries.iter().filter(|entry| is_one(entry, &KINDS));
        let (first, second) = (kinds.next(), kinds.next());
        let problem = match (first, second) {
            (Some(kind), None) => return Some(kind),
            (Some(first), Some(second)) => {
                let pair = [first, second].map(|e| (e.key.text.as_str(), e.key.span));
                Diagnostic::conflict(pair[0], pair[1], "a step")
                    .help("make it two steps; `group:` puts several steps into one layer")
            }
            (None, _) => Diagnostic::error("missing kind of step")
                .at(node.span, "this step does nothing")
                .help(format!("use one of: {}", KINDS.join(", "))),
        };
        let known: Vec<&str> = KINDS.iter().chain(&SETTINGS).copied().collect();
        let unknown = entries.iter().filter(|entry| !is_one(entry, &known));
        let meant: Vec<Option<&str>> = unknown
            .map(|entry| reader.unknown_key(&entry.key, "a step", &known, &DOCKER_NAMES))
            .collect();
        let is_misspelt = meant.iter().flatten().any(|name| KINDS.contains(name));
        if !is_misspelt {
            reader.report(problem);
        }
        None
    }

    fn kind(&self, name: &str, node: &Node) -> Option<Kind> {
        match name {
            "apt" => Apt::read(self, node).map(Kind::Apt),
            "pip" => Pip::read(self, node).map(Kind::Pip),
            "conda" => Conda::read(self, node).map(Kind::Conda),
            "copy" => copy::read(self, node).map(Kind::Copy),
            "write" => files::read_write(self, node).map(Kind::Write),
            "append" => files::read_append(self, node).map(Kind::Append),
            "link" => files::read_link(self, node).map(Kind::Link),
            "perms" => perms::read(self, node).map(Kind::Perms),
            "run" => run::read_run(self, node).map(Kind::Run),
            "exec" => run::read_exec(self, node).map(Kind::Exec),
            "script" => run::read_script(self, node).map(Kind::Script),
            "group" => {
                let steps = self.list(node, "`group`", Level::Group);
                let used: Vec<String> = steps.iter().flat_map(|s| s.vars.clone()).collect();
                self.reader.used.borrow_mut().extend(used);
                (!steps.is_empty()).then_some(Kind::Group(steps))
            }
            _ => unreachable!("callers pass entries of `KINDS` and `SHORT`"),
        }
    }

    fn step(&self, span: Span, kind: Kind, name: Option<String>, fields: Option<&Fields>) -> Step {
        let reader = self.reader;
        let get = |key: &str| fields.and_then(|fields| fields.get(key));
        let title = match name {
            Some(name) => shortened(&name),
            None => kind.title(),
        };
        let mut step = Step {
            span,
            title,
            kind,
            user: get("as").and_then(|node| reader.text_like_docker(node, "`as`")),
            cwd: get("cwd").and_then(|node| cwd(reader, node)),
            env: get("env")
                .map(|node| env::read(reader, node))
                .unwrap_or_default(),
            shell: get("shell").and_then(|node| reader.texts(node, "`shell`")),
            secrets: get("secrets")
                .map(|node| secrets(reader, node))
                .unwrap_or_default(),
            mounts: get("mounts")
                .and_then(|node| mounts::read(self, node))
                .unwrap_or_default(),
            network: get("network").and_then(|node| network(reader, node)),
            finish: get("finish")
                .map(|node| perms::read_finish(self, node))
                .unwrap_or_default(),
            vars: BTreeSet::new(),
            is_short: fields.is_none(),
        };
        step.vars = reader.used.take();
        step
    }

    /// Reads `when:`: whether every variable has one of its values.
    fn when(&self, node: &Node) -> Option<bool> {
        let reader = self.reader;
        let before = reader.used.borrow().clone();
        let mut all = true;
        for entry in reader.some_entries(node, "`when`")? {
            let name = entry.key.text.as_str();
            let what = "a value of `when`";
            let (values, nodes) = match &entry.value.value {
                Value::List(list) => (reader.texts(&entry.value, what)?, list.as_slice()),
                _ => {
                    let value = reader.text(&entry.value, what)?;
                    (vec![value], std::slice::from_ref(&entry.value))
                }
            };
            let found = match reader.vars.get(name) {
                Ok(value) => Some(value),
                // An image without the variable does not have this value.
                Err(Unset::OtherImages) => None,
                Err(_) => {
                    reader.variable(name, entry.key.span);
                    continue;
                }
            };
            for (node, expected) in nodes.iter().zip(&values) {
                let conditions = &reader.problems.conditions;
                conditions.note(node.span, name, expected, found);
            }
            all &= values
                .iter()
                .any(|expected| Some(expected.as_str()) == found);
        }
        // A step does not depend on the variables that let it in.
        *reader.used.borrow_mut() = before;
        Some(all)
    }
}

/// Reads `cwd:`, a path or a mapping.
fn cwd(reader: &Reader, node: &Node) -> Option<Cwd> {
    let (node, must_exist) = match reader.form(node, "`cwd`", &[Form::Text, Form::Map])? {
        Form::Map => {
            let fields = reader.fields(node, "`cwd`", &["path", "must-exist"])?;
            let must_exist = fields.get("must-exist");
            let must_exist = must_exist.and_then(|node| reader.flag(node, "`must-exist`"));
            (
                reader.required(&fields, "`cwd`", "path")?,
                must_exist.unwrap_or_default(),
            )
        }
        _ => (node, false),
    };
    let text = reader.text(node, "`cwd`")?;
    let path = reader.absolute(&text, node.span, "`cwd`")?;
    Some(Cwd { path, must_exist })
}
