//! `conda`: packages of conda channels.

use camino::Utf8PathBuf;
use serde_json::{Value as Json, json};

use super::context::StepReader;
use crate::diagnostic::Diagnostic;
use crate::spec::node::{Node, Value};

/// A `conda` step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conda {
    /// Packages, in the order of the file.
    pub packages: Vec<String>,
    /// Channels, first one first.
    pub channels: Vec<String>,
    /// An `environment.yml` under `images/`.
    pub file: Option<Utf8PathBuf>,
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
        json!({ "packages": self.packages, "channels": self.channels, "file": self.file })
    }
}
