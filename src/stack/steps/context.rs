//! What every kind of step is read with.

use crate::diagnostic::Diagnostic;
use crate::path::is_at_or_below;
use crate::source::Span;
use crate::spec::node::{Entry, Node};
use crate::stack::image_names::ImageNames;
use crate::stack::paths::Paths;
use crate::stack::reader::Reader;

/// Reads steps of one image of one variant.
pub struct StepReader<'a> {
    /// Reads values.
    pub reader: &'a Reader<'a>,
    /// Finds files of the image.
    pub paths: &'a Paths<'a>,
    /// Finds other images.
    pub images: &'a ImageNames<'a>,
}

impl StepReader<'_> {
    /// Reports packages that would be options of the program `tool`.
    pub fn no_options(&self, packages: &[String], span: Span, tool: &str) -> Option<()> {
        let is_bad = |name: &&String| name.starts_with('-') || name.is_empty();
        let Some(bad) = packages.iter().find(is_bad) else {
            return Some(());
        };
        let reason = "must not be empty or start with `-`";
        self.reader.report(
            Diagnostic::invalid("package", bad, span, reason)
                .help(format!("use a `run` step for options of {tool}")),
        );
        None
    }

    /// Reads a mapping from absolute paths in the image. `None` if one of its entries is invalid.
    pub fn targets<T>(
        &self,
        node: &Node,
        kind: &str,
        read: impl Fn(String, &Entry) -> Option<T>,
    ) -> Option<Vec<T>> {
        let what = format!("`{kind}`");
        let target = target_of(kind);
        let entries = self.reader.some_entries(node, &what)?;
        let items: Vec<Option<T>> = entries
            .iter()
            .map(|entry| {
                let text = self.reader.key(&entry.key)?;
                let path = self.reader.absolute(&text, entry.key.span, &target)?;
                self.no_mount(kind, &path, entry.key.span)?;
                read(path, entry)
            })
            .collect();
        items.into_iter().collect()
    }

    /// Reports a path that the runtime mounts something over, in steps and in containers: what a step puts
    /// there is lost, or the step fails.
    fn no_mount(&self, kind: &str, path: &str, span: Span) -> Option<()> {
        let found = MOUNTED.iter().find(|folder| is_at_or_below(path, folder));
        let Some(mounted) = found else {
            return Some(());
        };
        let help = match *mounted {
            "/etc/hosts" | "/etc/resolv.conf" => {
                "set it where the container is started: `--add-host` and `--dns` of Docker, `hostAliases` and `dnsConfig` of Kubernetes"
            }
            _ => "use another path",
        };
        let message = match kind {
            "mounts" => format!("nothing can be mounted at `{path}`"),
            _ => format!("`{path}` cannot be changed in an image"),
        };
        self.reader.report(
            Diagnostic::error(message)
                .at(span, format!("every runtime mounts its own `{mounted}`"))
                .help(help),
        );
        None
    }

    /// Checks that a target is not a folder (`/x/`).
    pub fn no_folder(&self, target: String, kind: &str, entry: &Entry) -> Option<String> {
        if !target.ends_with('/') {
            return Some(target);
        }
        let what = target_of(kind);
        let found = format!("the folder `{target}`");
        let expected = "the path of a file";
        let problem = Diagnostic::expected(&what, expected, entry.key.span, &found);
        self.reader.report(problem);
        None
    }
}

/// Paths that a runtime mounts in each step and container (config-linux.md of the OCI runtime specification,
/// executor/oci/mounts.go of BuildKit 0.32.2), and the folder of what laminate brings into a step.
const MOUNTED: [&str; 6] = [
    "/proc",
    "/sys",
    "/dev",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/run/laminate",
];

/// Returns what a key of a kind is, for messages.
fn target_of(kind: &str) -> String {
    match kind {
        "link" => "the path of a link".to_owned(),
        _ => format!("a target of `{kind}`"),
    }
}

/// The longest title, in characters.
const LONGEST_TITLE: usize = 60;

/// Returns the first line of a text, shortened to the length of a title.
pub fn shortened(text: &str) -> String {
    let text = text.trim();
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default().trim_end();
    if line.chars().count() > LONGEST_TITLE {
        let mut short: String = line.chars().take(LONGEST_TITLE - 1).collect();
        short.push('…');
        return short;
    }
    if lines.next().is_some() {
        return format!("{line} …");
    }
    line.to_owned()
}

/// Returns the title of a kind with its targets: `copy /a /b`.
pub fn with_targets<'a>(kind: &str, targets: impl Iterator<Item = &'a String>) -> String {
    let list: Vec<&str> = targets.map(String::as_str).collect();
    format!("{kind} {}", list.join(" "))
}
