//! `apt`: packages of Debian and Ubuntu.

use serde_json::{Value as Json, json};

use super::context::StepReader;
use crate::diagnostic::Diagnostic;
use crate::spec::node::{Node, Value};

/// Whether a text is the path of a file and not the name of a package.
fn is_path(text: &str) -> bool {
    [".txt", ".list", ".yml", ".yaml"]
        .iter()
        .any(|end| text.ends_with(end))
        || text.contains('/')
}

/// An `apt` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apt {
    /// Names, in the order of the file.
    pub packages: Vec<String>,
    /// Whether recommended packages are installed as well.
    pub recommends: bool,
}

impl Apt {
    /// Reads a list of packages, or a mapping.
    pub(super) fn read(step: &StepReader, node: &Node) -> Option<Self> {
        let reader = step.reader;
        let (list, recommends) = if let Value::Map(_) = node.value {
            let fields = reader.fields(node, "`apt`", &["packages", "recommends"])?;
            let recommends = match fields.get("recommends") {
                Some(node) => reader.flag(node, "`recommends`")?,
                None => false,
            };
            (reader.required(&fields, "`apt`", "packages")?, recommends)
        } else {
            (node, false)
        };
        if let Value::Scalar { text, .. } = &list.value
            && is_path(text)
        {
            let found = format!("the path `{text}`");
            let expected = "a list of packages";
            let problem = Diagnostic::expected("`apt`", expected, list.span, &found);
            reader.report(problem.help("write the packages here: `apt` reads no file"));
            return None;
        }
        let packages = reader.texts(list, "`apt`")?;
        step.no_options(&packages, list.span, "apt")?;
        Some(Self {
            packages,
            recommends,
        })
    }

    pub(super) fn title(&self) -> String {
        format!("apt {}", self.packages.join(" "))
    }

    pub(super) fn canonical(&self) -> Json {
        let Self {
            packages,
            recommends,
        } = self;
        json!({ "packages": packages, "recommends": recommends })
    }
}
