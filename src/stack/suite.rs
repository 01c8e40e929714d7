//! `tests:`: suites that prove an image, and how they are inherited.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::config::{self, duration};
use super::decode::{Fields, Reader};
use super::paths::Paths;
use super::proof::{Dropped, name};
use super::step::Steps;
use super::{Env, Network, Secret};
use crate::diagnostic::Diagnostic;
use crate::name::ImageName;
use crate::source::{Span, Spanned};
use crate::spec::node::{Entry, Node, Value};

/// A suite that says nothing of it is stopped after this time.
const TIMEOUT: Duration = Duration::from_secs(600);

const KINDS: [&str; 4] = ["pytest", "run", "script", "serve"];
const TEST_KINDS: [&str; 3] = ["pytest", "run", "script"];
const KEYS: [&str; 14] = [
    "pytest",
    "run",
    "script",
    "serve",
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
];

/// A suite as it runs on an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// The span is that of its key.
    pub name: Spanned<String>,
    /// The image that declares it; `None`: the stack.
    pub from: Option<ImageName>,
    /// The image's own command runs beside it.
    pub serve: Option<Serve>,
    /// `None`: that the image's own command answers is the test.
    pub test: Option<Test>,
    /// `as:`; else the user of the image's config.
    pub user: Option<String>,
    pub env: Env,
    /// `shell:` of its image or the stack, for `run`.
    pub shell: Option<Vec<String>>,
    pub timeout: Duration,
    pub network: Network,
    pub secrets: Vec<Secret>,
}

/// `serve:`: the image's entrypoint and command, started as a user's hub starts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// Waited for.
    pub port: u16,
    /// A path that answers with success before the test begins.
    pub ready: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    Pytest {
        /// A folder under `images/`.
        folder: Utf8PathBuf,
        /// What the tests import beside pytest, installed next to it.
        requirements: Option<Utf8PathBuf>,
        /// Files that one includes by `-r` or `-c`.
        includes: Vec<Utf8PathBuf>,
    },
    /// Shell text, as written.
    Run(String),
    /// A file under `images/`, run by its own `#!` line.
    Script(Utf8PathBuf),
}

impl Suite {
    /// Adds the files under `images/` it names; of a folder everything below counts.
    pub fn collect_paths<'a>(&'a self, paths: &mut BTreeSet<&'a Utf8PathBuf>) {
        match &self.test {
            Some(Test::Pytest {
                folder,
                requirements,
                includes,
            }) => {
                paths.insert(folder);
                paths.extend(requirements.iter().chain(includes));
            }
            Some(Test::Script(file)) => {
                paths.insert(file);
            }
            Some(Test::Run(_)) | None => {}
        }
    }
}

/// What one entry of `tests:` says.
#[derive(Clone, Debug)]
pub struct Declared {
    pub name: Spanned<String>,
    pub says: Says,
}

#[derive(Clone, Debug)]
pub enum Says {
    Suite { suite: Box<Suite>, replace: bool },
    Skip { reason: String },
}

/// Reads `tests:` of the stack or of the image `from`. `shell` is what `run` uses there.
pub fn read(
    reader: &Reader,
    paths: &Paths,
    node: &Node,
    from: Option<&ImageName>,
    shell: Option<&Vec<String>>,
    used: &mut BTreeSet<Utf8PathBuf>,
) -> Vec<Declared> {
    let mut list = Vec::new();
    for entry in reader.some_entries(node, "`tests`").unwrap_or_default() {
        let what = format!("suite `{}`", entry.key.text);
        name(reader, entry, "a suite");
        if entry.key.text == "checks" {
            reader.say(
                Diagnostic::error("a suite cannot be named `checks`")
                    .at(entry.key.span, "that is the gate of what `policy:` finds"),
            );
        }
        let Some(fields) = reader.fields(&entry.value, &what, &KEYS) else {
            continue;
        };
        let named = Spanned::new(entry.key.text.clone(), entry.key.span);
        let says = match fields.get("skip") {
            Some(node) => {
                for other in KEYS.iter().filter_map(|key| fields.entry(key)) {
                    if other.key.text != "skip" {
                        reader.say(
                            Diagnostic::error(format!("{what} is skipped, and more is said of it"))
                                .at(other.key.span, "nothing is done with this")
                                .also(node.span, "skipped here"),
                        );
                    }
                }
                reader
                    .text(node, "`skip` (the reason)")
                    .map(|reason| Says::Skip { reason })
            }
            None => Of {
                reader,
                paths,
                what: &what,
            }
            .suite(&entry.value, &fields, &named, from)
            .map(|mut suite| {
                suite.shell = shell.cloned();
                let mut files = BTreeSet::new();
                suite.collect_paths(&mut files);
                used.extend(files.into_iter().cloned());
                let replace = fields.get("replace");
                let replace = replace.and_then(|node| reader.flag(node, "`replace`"));
                Says::Suite {
                    suite: Box::new(suite),
                    replace: replace.unwrap_or_default(),
                }
            }),
        };
        list.extend(says.map(|says| Declared { name: named, says }));
    }
    list
}

struct Of<'a> {
    reader: &'a Reader<'a>,
    paths: &'a Paths<'a>,
    what: &'a str,
}

impl Of<'_> {
    fn suite(
        &self,
        node: &Node,
        fields: &Fields,
        named: &Spanned<String>,
        from: Option<&ImageName>,
    ) -> Option<Suite> {
        let reader = self.reader;
        let kind = self.kind(node, self.what, &KINDS)?;
        let mut serve = None;
        let test = match kind.key.text.as_str() {
            "serve" => {
                let port = reader.number(&kind.value, "`serve` (a port)", 65_535)?;
                if port == 0 {
                    reader.say(Diagnostic::error("nothing listens on port 0").at(
                        kind.value.span,
                        "the port of the image's own command is wanted",
                    ));
                }
                if let Some(entry) = fields.entry("requirements") {
                    reader.say(
                        Diagnostic::error(format!(
                            "{} has `requirements` beside `serve`",
                            self.what
                        ))
                        .at(entry.key.span, "they belong to the tests")
                        .help("put it into `then:`, beside `pytest`"),
                    );
                }
                let ready = match fields.get("ready") {
                    Some(node) => Some(self.ready(node)?),
                    None => None,
                };
                serve = Some(Serve {
                    port: u16::try_from(port).expect("a number up to 65535"),
                    ready,
                });
                match fields.get("then") {
                    Some(then) => {
                        let known = ["pytest", "run", "script", "requirements"];
                        let fields = reader.fields(then, "`then`", &known)?;
                        let kind = self.kind(then, "`then`", &TEST_KINDS)?;
                        Some(self.test(kind, &fields)?)
                    }
                    None => None,
                }
            }
            _ => {
                self.only_with_serve(fields);
                Some(self.test(kind, fields)?)
            }
        };
        let steps = Steps {
            reader,
            paths: self.paths,
        };
        let network = fields.get("network").and_then(|node| {
            let known = [("default", Network::Default), ("none", Network::None)];
            reader.one_of(node, "`network`", &known)
        });
        if let (Some(Network::Default), true, Some(entry)) =
            (network, serve.is_some(), fields.entry("network"))
        {
            // An engine may give its steps the host's network: whoever listens there would answer.
            reader.say(
                Diagnostic::error(format!("{} starts the image's command in a shared network", self.what))
                    .at(entry.key.span, "another image, or the host, may listen on the same port")
                    .help("leave `network` out: the suite then has a network of its own, with nothing but itself"),
            );
        }
        let timeout = fields
            .get("timeout")
            .and_then(|node| duration(reader, node, "timeout"));
        if timeout == Some(0)
            && let Some(entry) = fields.entry("timeout")
        {
            reader.say(
                Diagnostic::error(format!("{} has no time at all", self.what))
                    .at(entry.value.span, "a time longer than nothing is wanted"),
            );
        }
        Some(Suite {
            name: named.clone(),
            from: from.cloned(),
            serve,
            test,
            user: fields.get("as").and_then(|node| reader.text(node, "`as`")),
            env: fields
                .get("env")
                .map(|node| config::env(reader, node))
                .unwrap_or_default(),
            shell: None,
            timeout: timeout.map_or(TIMEOUT, Duration::from_nanos),
            network: network.unwrap_or(Network::None),
            secrets: fields
                .get("secrets")
                .map(|node| steps.secrets(node))
                .unwrap_or_default(),
        })
    }

    fn only_with_serve(&self, fields: &Fields) {
        for key in ["ready", "then"] {
            if let Some(entry) = fields.entry(key) {
                self.reader.say(
                    Diagnostic::error(format!("{} has `{key}` without `serve`", self.what))
                        .at(
                            entry.key.span,
                            "nothing is started that could be waited for",
                        )
                        .help("`serve: PORT` starts the image's own command"),
                );
            }
        }
    }

    fn ready(&self, node: &Node) -> Option<String> {
        let text = self.reader.text(node, "`ready`")?;
        let good = text.starts_with('/')
            && !text.contains(|c: char| c.is_ascii_whitespace() || c.is_control());
        if !good {
            self.reader.say(
                Diagnostic::error("`ready` is a path on the port")
                    .at(node.span, format!("`{text}` is not"))
                    .help("it begins with `/`: `ready: /api`"),
            );
        }
        good.then_some(text)
    }

    /// The one entry that says what the suite is.
    fn kind<'n>(&self, node: &'n Node, what: &str, known: &[&str]) -> Option<&'n Entry> {
        let Value::Map(entries) = &node.value else {
            return None;
        };
        let kinds: Vec<&Entry> = entries
            .iter()
            .filter(|entry| known.contains(&entry.key.text.as_str()))
            .collect();
        match kinds.as_slice() {
            [one] => return Some(one),
            [] => self.reader.say(
                Diagnostic::error(format!("{what} tests nothing"))
                    .at(node.span, "a kind is wanted")
                    .help(format!("say one of: {}", known.join(", "))),
            ),
            [_, second, ..] => self.reader.say(
                Diagnostic::error(format!("{what} has two kinds"))
                    .at(second.key.span, "make it two suites"),
            ),
        }
        None
    }

    fn test(&self, kind: &Entry, fields: &Fields) -> Option<Test> {
        let reader = self.reader;
        let value = &kind.value;
        let (requirements, includes) = match fields.get("requirements") {
            Some(node) => {
                let text = reader.text(node, "`requirements`")?;
                let file = self.paths.file(reader, &text, node.span)?;
                let steps = Steps {
                    reader,
                    paths: self.paths,
                };
                let includes = steps.includes(&file, node.span)?;
                (Some(file), includes)
            }
            None => (None, Vec::new()),
        };
        if let (Some(entry), true) = (fields.entry("requirements"), kind.key.text != "pytest") {
            reader.say(
                Diagnostic::error(format!("{} has `requirements` without `pytest`", self.what))
                    .at(entry.key.span, "they are installed next to pytest"),
            );
        }
        match kind.key.text.as_str() {
            "pytest" => {
                let text = reader.text(value, "`pytest`")?;
                Some(Test::Pytest {
                    folder: self.paths.folder(reader, &text, value.span)?,
                    requirements,
                    includes,
                })
            }
            "script" => {
                let text = reader.text(value, "`script`")?;
                let file = self.paths.file(reader, &text, value.span)?;
                Some(Test::Script(file))
            }
            _ => Some(Test::Run(reader.literal(value, "`run`")?.to_owned())),
        }
    }
}

/// Puts what an image declares on what it inherits: the suites in force, and those it drops.
pub fn inherit(
    inherited: &[Suite],
    declared: &[Declared],
    say: impl Fn(Diagnostic),
) -> (Vec<Suite>, Vec<Dropped>) {
    let mut suites = inherited.to_vec();
    let mut dropped = Vec::new();
    for one in declared {
        let name = &one.name.value;
        let at = suites.iter().position(|suite| suite.name.value == *name);
        match (&one.says, at) {
            (Says::Skip { reason }, Some(at)) => {
                suites.remove(at);
                dropped.push(Dropped {
                    suite: name.clone(),
                    reason: reason.clone(),
                });
            }
            (Says::Skip { .. }, None) => say(Diagnostic::error(format!(
                "there is no suite `{name}` to skip"
            ))
            .at(one.name.span, "the image inherits none of that name")
            .did_you_mean(
                name,
                inherited.iter().map(|suite| suite.name.value.as_str()),
            )),
            (Says::Suite { suite, replace }, at) => {
                if let (Some(at), false) = (at, replace) {
                    say(again(name, one.name.span, suites[at].name.span));
                }
                if let (None, true) = (at, replace) {
                    say(
                        Diagnostic::error(format!("suite `{name}` replaces nothing"))
                            .at(one.name.span, "the image inherits none of that name")
                            .did_you_mean(
                                name,
                                inherited.iter().map(|suite| suite.name.value.as_str()),
                            ),
                    );
                }
                match at {
                    Some(at) => suites[at] = (**suite).clone(),
                    None => suites.push((**suite).clone()),
                }
            }
        }
    }
    (suites, dropped)
}

fn again(name: &str, here: Span, before: Span) -> Diagnostic {
    Diagnostic::error(format!("the image inherits a suite `{name}` already"))
        .at(here, "a second one of that name")
        .also(before, "the first")
        .help("say `replace: true` beside it, or give it another name")
}
