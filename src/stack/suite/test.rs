//! What a suite runs: `pytest`, `run`, `script`, or the health check of the image.

use camino::Utf8PathBuf;

use crate::diagnostic::Diagnostic;
use crate::spec::node::{Entry, Node, Value};
use crate::stack::paths::Paths;
use crate::stack::reader::{Fields, Reader};
use crate::stack::steps::{Consumer, Follower, PipTool, Requirements, script};

/// What a suite runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `pytest:`.
    Pytest {
        /// A folder under `images/`.
        folder: Utf8PathBuf,
        /// What the tests import besides pytest; installed next to it.
        requirements: Box<Requirements>,
        /// `select:` and `marks:`.
        select: Select,
        /// `args:`, further arguments of pytest.
        args: Vec<String>,
    },
    /// Shell text, as written.
    Run(String),
    /// A file under `images/`, run by its own `#!` line.
    Script(Utf8PathBuf),
    /// The health check of the image's config.
    Healthcheck,
}

/// Which tests of a folder run; all of them if it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// `select:` as a string: an expression over names, `-k` of pytest.
    pub names: Option<String>,
    /// `marks:`, an expression over marks, `-m` of pytest.
    pub marks: Option<String>,
    /// `select:` as a list: files and tests, relative to the folder.
    pub tests: Vec<String>,
}

/// Keys that only `pytest` has.
const OF_PYTEST: [&str; 4] = ["requirements", "select", "marks", "args"];

/// Reads the test of the entry `kind`, one of `fields`. `what` is the suite in messages.
pub(super) fn read(
    reader: &Reader,
    paths: &Paths,
    what: &str,
    kind: &Entry,
    fields: &Fields,
) -> Option<Test> {
    let value = &kind.value;
    if kind.key.text != "pytest" {
        for entry in OF_PYTEST.iter().filter_map(|key| fields.entry(key)) {
            let unused = format!("`{}` in {what}", entry.key.text);
            let reason = "only used with `pytest`";
            reader.report(Diagnostic::unused(&unused, entry.key.span, reason));
        }
    }
    match kind.key.text.as_str() {
        "pytest" => pytest(reader, paths, value, fields),
        "script" => script(reader, paths, value).map(Test::Script),
        "healthcheck" => healthcheck(reader, value),
        _ => {
            let text = reader.literal(value, "`run`")?;
            reader.fits_argument(text, value.span, "`run` of a suite")?;
            Some(Test::Run(text.to_owned()))
        }
    }
}

/// Reads `healthcheck: true`.
pub(super) fn healthcheck(reader: &Reader, node: &Node) -> Option<Test> {
    if reader.flag(node, "`healthcheck`")? {
        return Some(Test::Healthcheck);
    }
    let problem = Diagnostic::expected("`healthcheck`", "`true`", node.span, "`false`");
    reader.report(problem);
    None
}

fn pytest(reader: &Reader, paths: &Paths, node: &Node, fields: &Fields) -> Option<Test> {
    let requirements: Requirements = match fields.get("requirements") {
        Some(node) => {
            let text = reader.text(node, "`requirements`")?;
            let file = paths.file(reader, &text, node.span)?;
            let consumer = Consumer::Tool(PipTool::Pip);
            let follower = Follower::new(reader, paths, node.span, consumer);
            follower.follow(vec![file], &[])?
        }
        None => Requirements::default(),
    };
    let text = reader.text(node, "`pytest`")?;
    let folder = paths.folder(reader, &text, node.span)?;
    let mut select = Select::default();
    if let Some(node) = fields.get("select") {
        if let Value::List(_) = node.value {
            select.tests = reader.texts(node, "`select`")?;
            for test in &select.tests {
                is_there(reader, paths, &folder, test, node)?;
            }
        } else {
            select.names = Some(reader.text(node, "`select`")?);
        }
    }
    if let Some(node) = fields.get("marks") {
        select.marks = Some(reader.text(node, "`marks`")?);
    }
    let args = match fields.get("args") {
        Some(node) => reader.texts_or_none(node, "`args`")?,
        None => Vec::new(),
    };
    Some(Test::Pytest {
        folder,
        requirements: Box::new(requirements),
        select,
        args,
    })
}

/// Reports a test whose file is not in the suite's folder.
fn is_there(
    reader: &Reader,
    paths: &Paths,
    folder: &Utf8PathBuf,
    test: &str,
    node: &Node,
) -> Option<()> {
    let file = test.split("::").next().unwrap_or_default();
    if !file.is_empty() && paths.files.get(&folder.join(file)).is_some() {
        return Some(());
    }
    let below = paths.files.below(folder).map(|(path, _)| path);
    let below = below.filter_map(|path| path.strip_prefix(folder).ok());
    reader.report(
        Diagnostic::error(format!("missing file of test `{test}`"))
            .at(node.span, format!("not in `{folder}`"))
            .did_you_mean(file, below.map(|path| path.as_str())),
    );
    None
}
