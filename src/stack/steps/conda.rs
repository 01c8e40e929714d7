//! `conda`: packages of conda channels.

use camino::Utf8PathBuf;
use serde_json::{Value as Json, json};

use super::conda_file::{self, CondaFile};
use super::conda_names::CondaName;
use super::context::StepReader;
use super::requirement_files::{Consumer, PipTool, Requirements};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Node, Value};
use crate::stack::forms::Form;
use crate::stack::reader::Fields;

/// A `conda` step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conda {
    /// Packages, in the order of the spec.
    pub packages: Vec<String>,
    /// Channels, first one first.
    pub channels: Vec<String>,
    /// A file under `images/` with further packages.
    pub file: Option<Utf8PathBuf>,
    /// What is in the file.
    pub content: CondaFile,
    /// What the `pip:` section of the file brings along.
    pub requirements: Requirements,
    /// Where they are installed.
    pub environment: CondaEnvironment,
    /// The program that installs them.
    pub tool: CondaTool,
    /// `channel-priority:`; `None` is that of the image.
    pub channel_priority: Option<&'static str>,
    /// Whether newer versions replace installed ones.
    pub upgrade: bool,
}

/// The environment that a `conda` step changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CondaEnvironment {
    /// The one whose programs are first on the `PATH`.
    #[default]
    OnPath,
    /// `prefix:`, the absolute path of a folder.
    Prefix(String),
    /// `env:`, a name.
    Named(String),
}

/// A program that installs packages of conda channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CondaTool {
    /// py-rattler, which laminate brings.
    #[default]
    Rattler,
    /// mamba of the image.
    Mamba,
    /// micromamba of the image.
    Micromamba,
    /// conda of the image.
    Conda,
}

const TOOLS: [(&str, CondaTool); 4] = [
    ("rattler", CondaTool::Rattler),
    ("mamba", CondaTool::Mamba),
    ("micromamba", CondaTool::Micromamba),
    ("conda", CondaTool::Conda),
];

const PRIORITIES: [(&str, &str); 3] = [
    ("strict", "strict"),
    ("flexible", "flexible"),
    ("disabled", "disabled"),
];

const KEYS: [&str; 8] = [
    "packages",
    "channels",
    "file",
    "prefix",
    "env",
    "tool",
    "channel-priority",
    "upgrade",
];

impl CondaTool {
    /// Returns its name in the spec.
    pub fn name(self) -> &'static str {
        let found = TOOLS.iter().find(|(_, tool)| *tool == self);
        found.map_or("", |(name, _)| name)
    }
}

impl Conda {
    /// Reads a list of packages, a file with packages, or a mapping.
    pub(super) fn read(step: &StepReader, node: &Node) -> Option<Self> {
        let reader = step.reader;
        let mut conda = Self::default();
        match reader.form(node, "`conda`", &[Form::Text, Form::List, Form::Map])? {
            Form::List => conda.packages = reader.texts(node, "`conda`")?,
            Form::Text => conda.file = Some(file(step, node, "`conda`")?),
            Form::Map => {
                let fields = reader.fields(node, "`conda`", &KEYS)?;
                conda.read_packages(step, &fields, node.span)?;
                conda.read_settings(step, &fields)?;
                conda.check_channels(step, &fields)?;
            }
        }
        step.no_options(&conda.packages, node.span, "conda")?;
        if let Value::List(_) = &node.value {
            check_names(step, node, CondaName::Package)?;
        }
        if let Some(file) = conda.file.clone() {
            let consumer = match conda.tool {
                CondaTool::Rattler => Consumer::Tool(PipTool::Uv),
                CondaTool::Mamba | CondaTool::Micromamba | CondaTool::Conda => Consumer::Conda,
            };
            let found = conda_file::read(step, &file, node.span, consumer)?;
            (conda.content, conda.requirements) = found;
        }
        Some(conda)
    }

    fn read_packages(&mut self, step: &StepReader, fields: &Fields, span: Span) -> Option<()> {
        let reader = step.reader;
        if let Some(node) = fields.get("packages") {
            self.packages = reader.texts(node, "`packages`")?;
            check_names(step, node, CondaName::Package)?;
        }
        if let Some(node) = fields.get("channels") {
            self.channels = reader.texts(node, "`channels`")?;
            check_names(step, node, CondaName::Channel)?;
        }
        if let Some(node) = fields.get("file") {
            self.file = Some(file(step, node, "`file`")?);
        }
        if self.packages.is_empty() && self.file.is_none() {
            if fields.is_misspelt(&["packages", "file"]) {
                return None;
            }
            let problem = Diagnostic::error("missing `packages` or `file` in `conda`");
            reader.report(problem.at(span, "nothing to install"));
            return None;
        }
        Some(())
    }

    fn read_settings(&mut self, step: &StepReader, fields: &Fields) -> Option<()> {
        let reader = step.reader;
        if let Some(node) = fields.get("prefix") {
            let text = reader.text(node, "`prefix`")?;
            let path = reader.absolute(&text, node.span, "`prefix`")?;
            let path = path.trim_end_matches('/');
            if path.is_empty() {
                let reason = "must be a folder below it";
                reader.report(Diagnostic::invalid("prefix", "/", node.span, reason));
                return None;
            }
            self.environment = CondaEnvironment::Prefix(path.to_owned());
        }
        if let Some(node) = fields.get("env") {
            let name = reader.text(node, "`env`")?;
            if fields.get("prefix").is_some() {
                let problem = Diagnostic::error("both `prefix` and `env` in `conda`");
                let problem = problem.at(node.span, "another environment than `prefix`");
                reader.report(problem.help("remove one of them"));
                return None;
            }
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if !name.chars().all(is_plain) || name.is_empty() || name.starts_with(['.', '-']) {
                let reason = "must have letters, digits, `.`, `_` and `-` only";
                let problem =
                    Diagnostic::invalid("name of an environment", &name, node.span, reason);
                reader.report(problem.help("use `prefix:` for the path of an environment"));
                return None;
            }
            self.environment = CondaEnvironment::Named(name);
        }
        if let Some(node) = fields.get("tool") {
            self.tool = reader.one_of(node, "`tool`", &TOOLS)?;
        }
        if let Some(node) = fields.get("channel-priority") {
            self.channel_priority = Some(reader.one_of(node, "`channel-priority`", &PRIORITIES)?);
        }
        if let Some(node) = fields.get("upgrade") {
            self.upgrade = reader.flag(node, "`upgrade`")?;
        }
        Some(())
    }

    /// Reports channels that `env update` of mamba and conda does not take.
    fn check_channels(&self, step: &StepReader, fields: &Fields) -> Option<()> {
        let reads_file = matches!(self.tool, CondaTool::Mamba | CondaTool::Conda)
            && self.file.as_deref().is_some_and(conda_file::is_environment);
        let Some(node) = fields.get("channels").filter(|_| reads_file) else {
            return Some(());
        };
        let tool = self.tool.name();
        let problem = Diagnostic::error("both `channels` and an environment file in `conda`");
        let problem = problem.at(
            node.span,
            format!("{tool} takes the channels of the file only"),
        );
        let help = format!("write the channels into the file, or remove `tool: {tool}`");
        step.reader.report(problem.help(help));
        None
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
            // Follows from the file.
            content: _,
            requirements,
            environment,
            tool,
            channel_priority,
            upgrade,
        } = self;
        let mut value = json!({
            "packages": packages,
            "channels": channels,
            "file": file,
            "tool": tool.name(),
        });
        match environment {
            CondaEnvironment::OnPath => {}
            CondaEnvironment::Prefix(path) => value["prefix"] = json!(path),
            CondaEnvironment::Named(name) => value["env"] = json!(name),
        }
        if let Some(priority) = channel_priority {
            value["channel-priority"] = json!(priority);
        }
        if *upgrade {
            value["upgrade"] = json!(true);
        }
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

/// Reports faults of the texts of a list, each at its place.
fn check_names(step: &StepReader, node: &Node, name: CondaName) -> Option<()> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Scalar { .. } | Value::Map(_) => std::slice::from_ref(node),
    };
    let mut result = Some(());
    for item in items {
        let text = step.reader.text(item, "a name")?;
        if let Some(fault) = name.fault(&text, item.span) {
            step.reader.report(fault);
            result = None;
        }
    }
    result
}

fn file(step: &StepReader, node: &Node, what: &str) -> Option<Utf8PathBuf> {
    let text = step.reader.text(node, what)?;
    step.paths.file(step.reader, &text, node.span)
}
