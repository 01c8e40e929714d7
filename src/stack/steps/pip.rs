//! `pip`: packages of PyPI.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value as Json, json};

use super::context::StepReader;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Node, Value};
use crate::spec::tree::Lost;
use crate::stack::paths::Paths;
use crate::stack::reader::Reader;

/// A `pip` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pip {
    /// Requirements files of the step, in order (`images/x/requirements.txt`).
    pub requirements: Vec<Utf8PathBuf>,
    /// Files those include by `-r` or `-c`, sorted.
    pub includes: Vec<Utf8PathBuf>,
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
}

/// A program that installs packages of PyPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipTool {
    /// uv, the default.
    Uv,
    /// pip.
    Pip,
}

const KEYS: [&str; 6] = [
    "requirements",
    "packages",
    "tool",
    "index",
    "extra-index",
    "upgrade",
];

impl Pip {
    /// Reads a list of packages, a requirements file, or a mapping.
    pub(super) fn read(step: &StepReader, node: &Node) -> Option<Self> {
        let mut pip = Self {
            requirements: Vec::new(),
            includes: Vec::new(),
            packages: Vec::new(),
            tool: PipTool::Uv,
            index: None,
            extra_index: Vec::new(),
            upgrade: false,
        };
        let reader = step.reader;
        let mut files: Vec<(String, Span)> = Vec::new();
        match &node.value {
            Value::List(_) => pip.packages = reader.texts(node, "`pip`")?,
            Value::Scalar { .. } => files.push((reader.text(node, "`pip`")?, node.span)),
            Value::Map(_) => pip.read_fields(reader, node, &mut files)?,
        }
        step.no_options(&pip.packages, node.span, "pip")?;
        for (text, span) in files {
            pip.requirements.push(step.paths.file(reader, &text, span)?);
        }
        pip.includes = all_includes(step, &pip.requirements, node.span)?;
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
            let list = match &node.value {
                Value::List(_) => reader.list(node, "`requirements`")?,
                Value::Scalar { .. } | Value::Map(_) => std::slice::from_ref(node),
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
            self.index = Some(reader.text(node, "`index`")?);
        }
        if let Some(node) = fields.get("extra-index") {
            self.extra_index = reader.texts(node, "`extra-index`")?;
        }
        if let Some(node) = fields.get("upgrade") {
            self.upgrade = reader.flag(node, "`upgrade`")?;
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

    pub(super) fn title(&self) -> String {
        let names = self.requirements.iter().map(|path| file_name(path));
        let parts: Vec<&str> = names
            .chain(self.packages.iter().map(String::as_str))
            .collect();
        format!("pip {}", parts.join(" "))
    }

    pub(super) fn canonical(&self) -> Json {
        json!({
            "requirements": self.requirements,
            "includes": self.includes,
            "packages": self.packages,
            "tool": match self.tool { PipTool::Uv => "uv", PipTool::Pip => "pip" },
            "index": self.index,
            "extra-index": self.extra_index,
            "upgrade": self.upgrade,
        })
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        self.requirements.iter().chain(&self.includes)
    }
}

fn file_name(path: &Utf8Path) -> &str {
    path.file_name().unwrap_or_default()
}

/// Returns the files that `requirements` include, directly or not, sorted.
fn all_includes(
    step: &StepReader,
    requirements: &[Utf8PathBuf],
    span: Span,
) -> Option<Vec<Utf8PathBuf>> {
    let mut seen: BTreeSet<Utf8PathBuf> = requirements.iter().cloned().collect();
    let mut open = requirements.to_vec();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        for include in includes(step.reader, step.paths, &path, span)? {
            if seen.insert(include.clone()) {
                found.push(include.clone());
                open.push(include);
            }
        }
    }
    found.sort();
    Some(found)
}

/// Returns the files a requirements file includes by `-r` and `-c` (pip, "Requirements File Format").
pub fn includes(
    reader: &Reader,
    paths: &Paths,
    path: &Utf8Path,
    span: Span,
) -> Option<Vec<Utf8PathBuf>> {
    let text = String::from_utf8_lossy(paths.content(reader, path, span)?);
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or(line).trim();
        let options = ["--requirement", "--constraint", "-r", "-c"];
        let Some(rest) = options.iter().find_map(|option| line.strip_prefix(option)) else {
            continue;
        };
        let name = rest.trim_start_matches(['=', ' ', '\t']).trim();
        if name.is_empty() || name.contains("://") {
            continue;
        }
        let folder = path.parent().unwrap_or(Utf8Path::new("images"));
        match paths.files.follow(folder, name) {
            Ok(file) => found.push(file.to_owned()),
            Err(Lost::Missing | Lost::Outside) => {
                reader.report(
                    Diagnostic::error(format!("missing file `{name}`, included by `{path}`"))
                        .at(span, "used here")
                        .help("write paths relative to the requirements file, and keep them below `images/`"),
                );
                return None;
            }
            Err(lost) => {
                reader.report(paths.lost(name, span, &lost));
                return None;
            }
        }
    }
    Some(found)
}
