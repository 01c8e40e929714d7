//! `pip`: packages of PyPI.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value as Json, json};

use super::context::StepReader;
use super::pip_args;
use super::requirement_files::{Consumer, Follower, PipTool, Requirements, is_relative, not_a_url};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::Node;
use crate::stack::forms::Form;
use crate::stack::reader::Reader;

/// A `pip` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pip {
    /// Requirements files of the step, and everything they and the packages bring along.
    pub requirements: Requirements,
    /// Packages, in the order of the file.
    pub packages: Vec<String>,
    /// The program that installs them.
    pub tool: PipTool,
    /// `index:`, a URL.
    pub index: Option<String>,
    /// `extra-index:`, URLs.
    pub extra_index: Vec<String>,
    /// Whether newer versions replace installed ones.
    pub upgrade: bool,
    /// `no-deps:`: whether only the packages themselves are installed.
    pub no_deps: bool,
    /// `index-strategy:`, as uv has it; `None` is the default of the tool.
    pub index_strategy: Option<&'static str>,
    /// `args:`, further arguments of `install`.
    pub args: Vec<String>,
}

/// Strategies of uv for a package that several indexes have; the first one is its default.
const STRATEGIES: [(&str, &str); 3] = [
    ("first-index", "first-index"),
    ("unsafe-first-match", "unsafe-first-match"),
    (PIPS_STRATEGY, PIPS_STRATEGY),
];

/// The strategy of pip, which has no other.
const PIPS_STRATEGY: &str = "unsafe-best-match";

const KEYS: [&str; 9] = [
    "requirements",
    "packages",
    "tool",
    "index",
    "extra-index",
    "upgrade",
    "no-deps",
    "index-strategy",
    "args",
];

impl Pip {
    /// Reads a list of packages, a requirements file, or a mapping.
    pub(super) fn read(step: &StepReader, node: &Node) -> Option<Self> {
        let mut pip = Self {
            requirements: Requirements::default(),
            packages: Vec::new(),
            tool: PipTool::Uv,
            index: None,
            extra_index: Vec::new(),
            upgrade: false,
            no_deps: false,
            index_strategy: None,
            args: Vec::new(),
        };
        let reader = step.reader;
        let mut files: Vec<(String, Span)> = Vec::new();
        match reader.form(node, "`pip`", &[Form::Text, Form::List, Form::Map])? {
            Form::List => pip.packages = reader.texts(node, "`pip`")?,
            Form::Text => files.push((reader.text(node, "`pip`")?, node.span)),
            Form::Map => pip.read_fields(reader, node, &mut files)?,
        }
        step.no_options(&pip.packages, node.span, "pip")?;
        let mut requirements = Vec::new();
        for (text, span) in files {
            requirements.push(step.paths.file(reader, &text, span)?);
        }
        let consumer = Consumer::Tool(pip.tool);
        let follower = Follower::new(reader, step.paths, node.span, consumer);
        pip.requirements = follower.follow(requirements, &pip.packages)?;
        Some(pip)
    }

    fn read_fields(
        &mut self,
        reader: &Reader,
        node: &Node,
        files: &mut Vec<(String, Span)>,
    ) -> Option<()> {
        let fields = reader.fields(node, "`pip`", &KEYS)?;
        if let Some(node) = fields.get("requirements") {
            let forms = [Form::Text, Form::List];
            let list = match reader.form(node, "`requirements`", &forms)? {
                Form::List => reader.list(node, "`requirements`")?,
                Form::Text | Form::Map => std::slice::from_ref(node),
            };
            for item in list {
                files.push((reader.text(item, "a requirements file")?, item.span));
            }
        }
        if let Some(node) = fields.get("packages") {
            self.packages = reader.texts(node, "`packages`")?;
        }
        if let Some(node) = fields.get("tool") {
            let known = [("uv", PipTool::Uv), ("pip", PipTool::Pip)];
            self.tool = reader.one_of(node, "`tool`", &known)?;
        }
        if let Some(node) = fields.get("index") {
            self.index = Some(index(reader, node, "`index`")?);
        }
        if let Some(node) = fields.get("extra-index") {
            self.extra_index = reader.texts(node, "`extra-index`")?;
            for item in reader.list(node, "`extra-index`")? {
                index(reader, item, "`extra-index`")?;
            }
        }
        if let Some(node) = fields.get("upgrade") {
            self.upgrade = reader.flag(node, "`upgrade`")?;
        }
        if let Some(node) = fields.get("no-deps") {
            self.no_deps = reader.flag(node, "`no-deps`")?;
        }
        if let Some(node) = fields.get("args") {
            self.args = reader.texts(node, "`args`")?;
            pip_args::check(reader, &self.args, node.span)?;
        }
        if let Some(node) = fields.get("index-strategy") {
            self.index_strategy = Some(self.strategy(reader, node)?);
        }
        if files.is_empty() && self.packages.is_empty() {
            if fields.is_misspelt(&["requirements", "packages"]) {
                return None;
            }
            let problem = Diagnostic::error("missing `requirements` or `packages` in `pip`");
            reader.report(problem.at(node.span, "nothing to install"));
            return None;
        }
        Some(())
    }

    fn strategy(&self, reader: &Reader, node: &Node) -> Option<&'static str> {
        let strategy = reader.one_of(node, "`index-strategy`", &STRATEGIES)?;
        if self.tool == PipTool::Uv || strategy == PIPS_STRATEGY {
            return Some(strategy);
        }
        let problem = Diagnostic::error(format!("unsupported `index-strategy: {strategy}`"));
        let label = format!("pip only has `{PIPS_STRATEGY}`");
        reader.report(
            problem
                .at(node.span, label)
                .help("remove `tool: pip` to install with uv"),
        );
        None
    }

    /// Returns how a package that several indexes have is chosen, if there are several.
    fn rule(&self) -> Option<String> {
        if self.extra_index.is_empty() && self.index_strategy.is_none() {
            return None;
        }
        let (tool, default) = match self.tool {
            PipTool::Uv => ("uv", STRATEGIES[0].0),
            PipTool::Pip => ("pip", PIPS_STRATEGY),
        };
        let strategy = self.index_strategy.unwrap_or(default);
        Some(format!(" ({tool}, {strategy})"))
    }

    pub(super) fn title(&self) -> String {
        let names = self.requirements.files.iter().map(|path| file_name(path));
        let parts: Vec<&str> = names
            .chain(self.packages.iter().map(String::as_str))
            .collect();
        let rule = self.rule().unwrap_or_default();
        format!("pip{rule} {}", parts.join(" "))
    }

    pub(super) fn canonical(&self) -> Json {
        let Self {
            requirements,
            packages,
            tool,
            index,
            extra_index,
            upgrade,
            no_deps,
            index_strategy,
            args,
        } = self;
        let mut value = json!({
            "requirements": requirements.files,
            "includes": requirements.includes,
            "packages": packages,
            "tool": match tool { PipTool::Uv => "uv", PipTool::Pip => "pip" },
            "index": index,
            "extra-index": extra_index,
            "upgrade": upgrade,
        });
        if *no_deps {
            value["no-deps"] = json!(true);
        }
        if let Some(strategy) = index_strategy {
            value["index-strategy"] = json!(strategy);
        }
        if !args.is_empty() {
            value["args"] = json!(args);
        }
        requirements.add_canonical(&mut value);
        value
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        self.requirements.all_files()
    }
}

/// Reads an index.
fn index(reader: &Reader, node: &Node, what: &str) -> Option<String> {
    let text = reader.text(node, what)?;
    if is_relative(&text) {
        reader.report(not_a_url(&text, node.span));
        return None;
    }
    Some(text)
}

fn file_name(path: &Utf8Path) -> &str {
    path.file_name().unwrap_or_default()
}
