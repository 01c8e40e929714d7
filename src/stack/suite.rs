//! `tests:`: suites that are run on an image and on those based on it.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::env::{self, Env};
use super::paths::Paths;
use super::reader::{Fields, KeyHint, Reader};
use super::steps::{Network, Secret, network, secrets};
use super::units::duration;
use crate::diagnostic::{Diagnostic, nearest};
use crate::name::ImageName;
use crate::source::Spanned;
use crate::spec::node::{Entry, Node, Value};

/// After this time a suite without `timeout:` is stopped.
const TIMEOUT: Duration = Duration::from_secs(600);

mod inherit;
mod test;

pub use inherit::inherit;
pub use test::{Select, Test};

const KINDS: [&str; 5] = ["pytest", "run", "script", "serve", "healthcheck"];
const THEN_KINDS: [&str; 4] = ["pytest", "run", "script", "healthcheck"];
const THEN_KEYS: [&str; 8] = [
    "pytest",
    "run",
    "script",
    "healthcheck",
    "requirements",
    "args",
    "select",
    "marks",
];
const KEYS: [&str; 21] = [
    "pytest",
    "run",
    "script",
    "serve",
    "healthcheck",
    "requirements",
    "ready",
    "then",
    "timeout",
    "network",
    "secrets",
    "as",
    "env",
    "skip",
    "replace",
    "args",
    "select",
    "marks",
    "cmd",
    "groups",
    "only",
];

/// A suite as it is run on an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// Its key.
    pub name: Spanned<String>,
    /// The image that declares it; `None`: the stack.
    pub from: Option<ImageName>,
    /// The image's own command runs during the test.
    pub serve: Option<Serve>,
    /// `None`: the suite passes when the image's own command answers.
    pub test: Option<Test>,
    /// `as:`; by default the user of the image's config.
    pub user: Option<String>,
    /// `groups:`, further groups of the user, by name or number.
    pub groups: Vec<String>,
    /// `only: here`: images based on the one that declares it do not run it.
    pub only_here: bool,
    /// `env:`.
    pub env: Env,
    /// The `shell:` of its image or the stack, for `run`.
    pub shell: Option<Vec<String>>,
    /// After this time it is stopped and has failed.
    pub timeout: Duration,
    /// `network:`; by default none.
    pub network: Network,
    /// `secrets:`.
    pub secrets: Vec<Secret>,
}

/// `serve:` or `healthcheck:`: the image's entrypoint and command are started as a user's hub starts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// The test starts when this port is open; `None`: at once.
    pub port: Option<u16>,
    /// The test starts when this path is answered with success.
    pub ready: Option<String>,
    /// `cmd:`, instead of the `cmd` of the image.
    pub cmd: Option<Vec<String>>,
    /// `args:`, after the command.
    pub args: Vec<String>,
}

impl SuiteEntry {
    /// Adds the files and folders under `images/` it uses.
    pub(super) fn collect_paths<'a>(&'a self, paths: &mut BTreeSet<&'a Utf8PathBuf>) {
        match &self.change {
            SuiteChange::Add(suite) | SuiteChange::Replace(suite) => suite.collect_paths(paths),
            SuiteChange::Skip { .. } => {}
        }
    }
}

impl Suite {
    /// Whether it is run by pytest.
    pub fn uses_pytest(&self) -> bool {
        matches!(self.test, Some(Test::Pytest { .. }))
    }

    /// Adds the files and folders under `images/` it uses.
    pub fn collect_paths<'a>(&'a self, paths: &mut BTreeSet<&'a Utf8PathBuf>) {
        match &self.test {
            Some(Test::Pytest {
                folder,
                requirements,
                select: _,
                args: _,
            }) => {
                paths.insert(folder);
                paths.extend(requirements.all_files());
            }
            Some(Test::Script(file)) => {
                paths.insert(file);
            }
            Some(Test::Run(_) | Test::Healthcheck) | None => {}
        }
    }
}

/// A suite an image inherits but does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its name.
    pub suite: String,
    /// `skip:`.
    pub reason: String,
}

/// One entry of `tests:`.
#[derive(Clone, Debug)]
pub struct SuiteEntry {
    /// Its key.
    pub name: Spanned<String>,
    /// What it does to the inherited suites.
    pub change: SuiteChange,
}

/// What an entry of `tests:` does to the inherited suites.
#[derive(Clone, Debug)]
pub enum SuiteChange {
    /// Adds a suite.
    Add(Box<Suite>),
    /// Replaces the suite of this name.
    Replace(Box<Suite>),
    /// Drops the suite of this name.
    Skip {
        /// Why.
        reason: String,
    },
}

/// Where suites are declared.
pub struct Declarer<'a> {
    /// The image; `None`: the stack.
    pub image: Option<&'a ImageName>,
    /// The `shell:` there.
    pub shell: Option<&'a Vec<String>>,
}

/// The keys of other tools for the port of a server.
const NOT_OF_SUITE: KeyHint = KeyHint::new(
    &["port", "ports"],
    "write `serve: PORT`, which starts the image and waits for it",
);

/// Reads `tests:`.
pub fn read(reader: &Reader, paths: &Paths, node: &Node, declarer: &Declarer) -> Vec<SuiteEntry> {
    let entries = reader.some_entries(node, "`tests`").unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            let what = format!("suite `{}`", entry.key.text);
            reader.name(&entry.key, "suite");
            if entry.key.text == "checks" {
                reader.report(
                    Diagnostic::error("reserved suite name `checks`")
                        .at(entry.key.span, "the checks of `policy:` have this name")
                        .help("choose another name"),
                );
            }
            if !reader.is_mapping_of(&entry.value, &what, "run") {
                return None;
            }
            let suite = SuiteReader {
                reader,
                paths,
                what: &what,
                fields: reader.fields_or_hint(&entry.value, &what, &KEYS, &[NOT_OF_SUITE])?,
                node: &entry.value,
            };
            let name = Spanned::new(entry.key.text.clone(), entry.key.span);
            let change = suite.change(&name, declarer)?;
            Some(SuiteEntry { name, change })
        })
        .collect()
}

struct SuiteReader<'a> {
    reader: &'a Reader<'a>,
    paths: &'a Paths<'a>,
    /// For messages.
    what: &'a str,
    fields: Fields<'a>,
    node: &'a Node,
}

impl SuiteReader<'_> {
    fn change(&self, name: &Spanned<String>, declarer: &Declarer) -> Option<SuiteChange> {
        if let Some(node) = self.fields.get("skip") {
            for key in KEYS.iter().filter(|key| **key != "skip") {
                if let Some(entry) = self.fields.entry(key) {
                    let problem = self.unused(entry, "a skipped suite is not run");
                    self.reader.report(problem.also(node.span, "skipped here"));
                }
            }
            let reason = self.reader.text(node, "`skip` (the reason)")?;
            return Some(SuiteChange::Skip { reason });
        }
        let suite = Box::new(self.suite(name, declarer)?);
        let replace = self.fields.get("replace");
        let replace = replace.and_then(|node| self.reader.flag(node, "`replace`"));
        Some(if replace.unwrap_or_default() {
            SuiteChange::Replace(suite)
        } else {
            SuiteChange::Add(suite)
        })
    }

    fn suite(&self, name: &Spanned<String>, declarer: &Declarer) -> Option<Suite> {
        let reader = self.reader;
        let kind = self.kind(self.node, self.what, &KINDS)?;
        let (serve, test) = match kind.key.text.as_str() {
            "serve" => {
                let (serve, test) = self.serve(kind)?;
                (Some(serve), test)
            }
            "healthcheck" => {
                self.only_with_serve(&["ready", "then"]);
                self.only_with_pytest("its command is that of the image");
                let test = test::healthcheck(reader, &kind.value)?;
                (Some(self.command(None, None)), Some(test))
            }
            _ => {
                self.only_with_serve(&["ready", "then", "cmd"]);
                let test = test::read(reader, self.paths, self.what, kind, &self.fields)?;
                (None, Some(test))
            }
        };
        let network = self.fields.get("network");
        let network = network.and_then(|node| self::network(reader, node));
        if let Some(entry) = self.fields.entry("network")
            && network == Some(Network::Default)
            && serve.is_some()
        {
            // An engine can give its steps the host's network: another listener would answer.
            reader.report(
                Diagnostic::error(format!(
                    "`network: default` and `{}` cannot be used together in {}",
                    kind.key.text, self.what
                ))
                .at(
                    entry.key.span,
                    "a program outside of the suite could answer instead of the image's own command",
                )
                .help("remove `network:`, so that the suite has its own network"),
            );
        }
        let user = self.fields.get("as");
        let env = self.fields.get("env");
        let secrets = self.fields.get("secrets");
        Some(Suite {
            name: name.clone(),
            from: declarer.image.cloned(),
            groups: self.groups()?,
            only_here: self.only_here(declarer)?,
            serve,
            test,
            user: user.and_then(|node| reader.text_like_docker(node, "`as`")),
            env: env.map(|node| env::read(reader, node)).unwrap_or_default(),
            shell: declarer.shell.cloned(),
            timeout: self.timeout(),
            network: network.unwrap_or(Network::None),
            secrets: secrets
                .map(|node| self::secrets(reader, node))
                .unwrap_or_default(),
        })
    }

    fn serve(&self, kind: &Entry) -> Option<(Serve, Option<Test>)> {
        let reader = self.reader;
        let port = reader.number(&kind.value, "the port in `serve`", 1..=65_535)?;
        if let Some(entry) = self.fields.entry("requirements") {
            let problem = self.unused(entry, "`serve` installs nothing");
            reader.report(problem.help("move it into `then:`, next to `pytest`"));
        }
        let ready = match self.fields.get("ready") {
            Some(node) => Some(self.ready(node)?),
            None => None,
        };
        let port = u16::try_from(port).expect("it is at most 65535");
        let serve = self.command(Some(port), ready);
        for key in ["select", "marks"] {
            if let Some(entry) = self.fields.entry(key) {
                let problem = self.unused(entry, "`serve` runs no pytest");
                reader.report(problem.help("move it into `then:`, next to `pytest`"));
            }
        }
        let Some(then) = self.fields.get("then") else {
            return Some((serve, None));
        };
        let fields = reader.fields(then, "`then`", &THEN_KEYS)?;
        let kind = self.kind(then, "`then`", &THEN_KINDS)?;
        let test = test::read(reader, self.paths, self.what, kind, &fields)?;
        Some((serve, Some(test)))
    }

    /// Reads what is started, with `cmd:` and `args:`.
    fn command(&self, port: Option<u16>, ready: Option<String>) -> Serve {
        let list = |key: &str| {
            let node = self.fields.get(key)?;
            self.reader.texts_or_none(node, &format!("`{key}`"))
        };
        Serve {
            port,
            ready,
            cmd: list("cmd"),
            args: list("args").unwrap_or_default(),
        }
    }

    /// Reports keys of pytest in a health check.
    fn only_with_pytest(&self, reason: &str) {
        for key in ["requirements", "select", "marks"] {
            if let Some(entry) = self.fields.entry(key) {
                self.reader.report(self.unused(entry, reason));
            }
        }
    }

    /// Reads `groups:`.
    fn groups(&self) -> Option<Vec<String>> {
        let Some(node) = self.fields.get("groups") else {
            return Some(Vec::new());
        };
        let groups = self.reader.texts(node, "`groups`")?;
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if let Some(bad) = groups.iter().find(|group| !group.chars().all(is_part)) {
            let reason = "expected the name or the number of a group";
            let problem = Diagnostic::invalid("group", bad, node.span, reason);
            self.reader.report(problem);
            return None;
        }
        Some(groups)
    }

    /// Reads `only: here`.
    fn only_here(&self, declarer: &Declarer) -> Option<bool> {
        let Some(entry) = self.fields.entry("only") else {
            return Some(false);
        };
        let is_here = (self.reader).one_of(&entry.value, "`only`", &[("here", true)])?;
        if declarer.image.is_none() {
            let problem = self.unused(entry, "a suite of the stack runs on every image");
            self.reader
                .report(problem.help("move the suite into an image"));
        }
        if let Some(replace) = self.fields.entry("replace") {
            let pair = [replace, entry].map(|entry| (entry.key.text.as_str(), entry.key.span));
            let problem = Diagnostic::conflict(pair[0], pair[1], self.what);
            let help = "give this suite another name, and skip the inherited one";
            self.reader.report(problem.help(help));
        }
        Some(is_here)
    }

    fn timeout(&self) -> Duration {
        let Some(node) = self.fields.get("timeout") else {
            return TIMEOUT;
        };
        match duration(self.reader, node, "timeout") {
            Some(0) => {
                let expected = "longer than 0";
                let problem = Diagnostic::expected("`timeout`", expected, node.span, "0");
                self.reader.report(problem);
                TIMEOUT
            }
            Some(nanos) => Duration::from_nanos(nanos),
            None => TIMEOUT,
        }
    }

    fn unused(&self, entry: &Entry, reason: &str) -> Diagnostic {
        let what = format!("`{}` in {}", entry.key.text, self.what);
        Diagnostic::unused(&what, entry.key.span, reason)
    }

    fn only_with_serve(&self, keys: &[&str]) {
        for key in keys {
            if let Some(entry) = self.fields.entry(key) {
                let problem = self.unused(entry, "only used with `serve`");
                let help = "add `serve: PORT` to start the image's own command";
                self.reader.report(problem.help(help));
            }
        }
    }

    fn ready(&self, node: &Node) -> Option<String> {
        let text = self.reader.text(node, "`ready`")?;
        let good = text.starts_with('/')
            && !text.contains(|c: char| c.is_ascii_whitespace() || c.is_control());
        if good {
            return Some(text);
        }
        let found = format!("`{text}`");
        self.reader.report(
            Diagnostic::expected("`ready`", "the path of a URL", node.span, &found)
                .help("start it with `/`: `ready: /api`"),
        );
        None
    }

    /// Returns the only entry that is a kind of test. A misspelt one is reported already.
    fn kind<'n>(&self, node: &'n Node, what: &str, known: &[&str]) -> Option<&'n Entry> {
        let Value::Map(entries) = &node.value else {
            return None;
        };
        let mut kinds = entries
            .iter()
            .filter(|entry| known.contains(&entry.key.text.as_str()));
        let Some(first) = kinds.next() else {
            let mut keys = entries.iter().map(|entry| entry.key.text.as_str());
            let is_known = |key: &str| KEYS.contains(&key);
            if keys.any(|key| !is_known(key) && nearest(key, known.iter().copied()).is_some()) {
                return None;
            }
            self.reader.report(
                Diagnostic::error(format!("missing kind of test in {what}"))
                    .at(node.span, "nothing to run")
                    .help(format!("use one of: {}", known.join(", "))),
            );
            return None;
        };
        let Some(second) = kinds.next() else {
            return Some(first);
        };
        let pair = [first, second].map(|entry| (entry.key.text.as_str(), entry.key.span));
        let problem = Diagnostic::conflict(pair[0], pair[1], what);
        self.reader.report(problem.help("make it two suites"));
        None
    }
}
