//! Reads the key, and what the Dockerfile uses.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::Dockerfile;
use crate::diagnostic::Diagnostic;
use crate::dockerfile::{self, Fault, Ignore, Root, Uses, Word, Written, context_name};
use crate::path::is_at_or_below;
use crate::source::{SourceId, Span};
use crate::spec::node::{Entry, Node};
use crate::spec::tree::File;
use crate::stack::forms::Form;
use crate::stack::image_names::{OtherNames, Use, WrittenName};
use crate::stack::image_source::{DeclaredBase, ImageSource};
use crate::stack::paths::Paths;
use crate::stack::reader::Reader;
use crate::stack::steps::context::StepReader;
use crate::stack::steps::secrets::{Secret, plain};
use crate::stack::url;

const KEYS: [&str; 7] = [
    "file", "context", "ignore", "target", "args", "contexts", "secrets",
];

/// The frontend that every engine has, by the repositories of its images.
const FRONTENDS: [&str; 4] = [
    "docker/dockerfile",
    "docker/dockerfile-upstream",
    "docker.io/docker/dockerfile",
    "docker.io/docker/dockerfile-upstream",
];

/// What the key `dockerfile` of an image says.
pub struct ReadDockerfile {
    /// The Dockerfile.
    pub file: Dockerfile,
    /// The base of the image.
    pub base: DeclaredBase,
    /// Secrets of its instructions.
    pub secrets: Vec<Secret>,
    /// Variables whose values it contains.
    pub vars: BTreeSet<String>,
    /// The key and its value.
    pub span: Span,
}

/// Reads the key `dockerfile` of an image.
pub fn read(step: &StepReader, entry: &Entry) -> Option<ReadDockerfile> {
    let reader = step.reader;
    let node = &entry.value;
    let before = reader.used.take();
    let found = read_parts(step, entry);
    let vars = reader.used.take();
    reader.used.borrow_mut().extend(before);
    reader.used.borrow_mut().extend(vars.iter().cloned());
    let (file, base, secrets) = found?;
    Some(ReadDockerfile {
        file,
        base,
        secrets,
        vars,
        span: Span {
            end: node.span.end.max(entry.key.span.end),
            ..entry.key.span
        },
    })
}

impl Dockerfile {
    /// Reads `args:`. Returns where the names and the values are.
    fn read_args(&mut self, reader: &Reader, node: &Node) -> Option<BTreeMap<String, ArgPlace>> {
        let mut places = BTreeMap::new();
        for entry in reader.some_entries(node, "`args`")? {
            let value = reader.text(&entry.value, "an entry of `args`")?;
            let name = reader.key(&entry.key)?;
            let place = ArgPlace {
                name: entry.key.span,
                value: entry.value.span,
            };
            places.insert(name.clone(), place);
            self.args.insert(name, value);
        }
        Some(places)
    }
}

fn read_parts(step: &StepReader, entry: &Entry) -> Option<(Dockerfile, DeclaredBase, Vec<Secret>)> {
    let (reader, node) = (step.reader, &entry.value);
    let mut made = Dockerfile {
        context: step.paths.folder.clone(),
        ..Dockerfile::default()
    };
    let mut secrets = Vec::new();
    // A file that the spec does not name is at the key.
    let (mut at, mut target) = (entry.key.span, entry.key.span);
    let (mut args, mut contexts) = (BTreeMap::new(), BTreeMap::new());
    let mut file = "Dockerfile".to_owned();
    let mut ignore = None;
    if reader.form(node, "`dockerfile`", &[Form::Text, Form::Map])? == Form::Text {
        (at, target) = (node.span, node.span);
        file = reader.text(node, "`dockerfile`")?;
    } else {
        let fields = reader.fields(node, "`dockerfile`", &KEYS)?;
        if let Some(node) = fields.get("file") {
            at = node.span;
            file = reader.text(node, "`file`")?;
        }
        if let Some(node) = fields.get("context") {
            let text = reader.text_beside(node, "context", "contexts")?;
            made.context = step.paths.folder(reader, &text, node.span)?;
        }
        if let Some(node) = fields.get("ignore") {
            let text = reader.text(node, "`ignore`")?;
            ignore = Some((step.paths.file(reader, &text, node.span)?, node.span));
        }
        if let Some(node) = fields.get("target") {
            target = node.span;
            made.target = Some(reader.text(node, "`target`")?);
        }
        if let Some(node) = fields.get("args") {
            args = made.read_args(reader, node)?;
        }
        if let Some(node) = fields.get("contexts") {
            contexts = made.read_contexts(step, node)?;
        }
        if let Some(node) = fields.get("secrets") {
            let ids = reader.texts(node, "`secrets`")?;
            secrets.extend(ids.into_iter().map(plain));
        }
    }
    made.file = step.paths.file(reader, &file, at)?;
    let text = step.text(&made.file, at)?;
    let reading = Reading {
        step,
        source: reader.problems.attach(made.file.as_str(), &text),
        at,
        target,
        args,
        contexts,
    };
    let (parsed, uses) = reading.uses(&made, &text)?;
    for id in &uses.secrets {
        if !secrets.iter().any(|known| known.id == id.value) {
            secrets.push(plain(id.value.clone()));
        }
    }
    made.has_triggers = uses.has_triggers;
    made.triggers_copy = uses.triggers_copy;
    made.agents = uses.agents.iter().map(|id| id.value.clone()).collect();
    let patterns = reading.ignore(&mut made, &uses, ignore)?;
    made.files = reading.files(&made, &uses, &patterns)?;
    reading.missing(&mut made, &uses);
    reading.folders(&mut made, &uses)?;
    let base = reading.images(&mut made, &parsed, &uses, &text)?;
    if let DeclaredBase::Image(ImageSource::InStack(_)) = &base {
        let files = step.paths.files.below(&made.context);
        let files = files.filter_map(|(path, _)| {
            let inner = path.strip_prefix(&made.context).ok()?.as_str();
            (!patterns.matches(inner)).then(|| (inner.to_owned(), path.clone()))
        });
        made.whole = files.collect();
    }
    made.rename(&parsed, &uses, &text);
    Some((made, base, secrets))
}

/// Where the spec has an argument.
pub struct ArgPlace {
    pub name: Span,
    value: Span,
}

/// A Dockerfile that is read.
pub struct Reading<'a> {
    pub step: &'a StepReader<'a>,
    /// Its text, for places in it.
    source: SourceId,
    /// Where the spec names it.
    at: Span,
    /// Where the spec names the target.
    target: Span,
    /// Where the spec has arguments.
    pub args: BTreeMap<String, ArgPlace>,
    /// Where the spec names contexts.
    pub contexts: BTreeMap<String, Span>,
}

impl Reading<'_> {
    /// Returns a place in the Dockerfile.
    pub fn span(&self, range: &std::ops::Range<usize>) -> Span {
        let at = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
        Span {
            source: self.source,
            start: at(range.start),
            end: at(range.end),
        }
    }

    fn report(&self, fault: Fault) {
        let Fault {
            message,
            label,
            help,
            range,
        } = fault;
        // What the file does not have is a fault of the spec.
        let span = if range.is_empty() {
            self.target
        } else {
            self.span(&range)
        };
        let problem = Diagnostic::error(message).at(span, label);
        self.step.reader.report(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    /// Returns what the target uses. Reports what laminate cannot build.
    fn uses(&self, made: &Dockerfile, text: &str) -> Option<(dockerfile::Dockerfile, Uses)> {
        let contexts = made.contexts.keys().chain(made.folders.keys());
        let contexts: BTreeSet<String> = contexts.cloned().collect();
        let parsed = dockerfile::Dockerfile::parse(text);
        let parsed = parsed.map_err(|fault| self.report(fault)).ok()?;
        if let Some(syntax) = &parsed.syntax {
            self.check_syntax(syntax)?;
        }
        self.check_urls(text);
        let uses = parsed.uses(made.target.as_deref(), &made.args, &contexts);
        let uses = uses.map_err(|fault| self.report(fault)).ok()?;
        self.report_unused(made, &uses);
        self.report_entitlements(&uses);
        Some((parsed, uses))
    }

    /// Reports credentials in URLs: they would be in the history of the image, and in the record of its release.
    fn check_urls(&self, text: &str) {
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            if let Some(user) = url::user_info(line) {
                let place = start + user.start..start + user.end;
                let help = "remove it from the URL: put it into a netrc file, and mount that with `RUN --mount=type=secret,id=netrc,target=/root/.netrc`";
                let problem = url::in_url(self.span(&place)).help(help);
                self.step.reader.report(problem);
            }
            start += line.len();
        }
    }

    /// Reports a frontend that is not the one of the engine: it would be fetched at each build, by a tag.
    fn check_syntax(&self, syntax: &Word) -> Option<()> {
        let reference = syntax.value.split_whitespace().next().unwrap_or_default();
        let name = reference.split('@').next().unwrap_or_default();
        let name = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        };
        if FRONTENDS.contains(&name) {
            return Some(());
        }
        let problem = Diagnostic::error(format!("unsupported frontend `{reference}`"));
        let problem = problem.at(
            self.span(&syntax.range),
            "laminate does not fetch frontends",
        );
        let help = "remove the line: the Dockerfile is built by the frontend of the engine";
        self.step.reader.report(problem.help(help));
        None
    }

    /// Returns the patterns of ignored files: of `ignore:`, of the file that is named after the Dockerfile, or of
    /// `.dockerignore` (Docker, "Build context").
    fn ignore(
        &self,
        made: &mut Dockerfile,
        uses: &Uses,
        given: Option<(Utf8PathBuf, Span)>,
    ) -> Option<Ignore> {
        let all = self.step.paths.files;
        let named = Utf8PathBuf::from(format!("{}.dockerignore", made.file));
        let usual = made.context.join(".dockerignore");
        let is_there = |path: &Utf8PathBuf| matches!(all.get(path), Some(File::Regular { .. }));
        let usual = [named, usual].into_iter().find(is_there);
        let Some((path, span)) = given.or_else(|| Some((usual?, self.at))) else {
            return Some(Ignore::default());
        };
        made.ignore = Some(path.clone());
        let patterns = self.parse_patterns(&path, span)?;
        let ignored = uses.context.iter().filter(|path| patterns.matches(path));
        made.ignored = ignored.cloned().collect();
        Some(patterns)
    }

    /// Returns the patterns of a file; none if it does not exist.
    pub fn patterns(&self, path: &Utf8Path) -> Option<Ignore> {
        match self.step.paths.files.get(path) {
            Some(File::Regular { .. }) => self.parse_patterns(path, self.at),
            _ => Some(Ignore::default()),
        }
    }

    fn parse_patterns(&self, path: &Utf8Path, span: Span) -> Option<Ignore> {
        let text = self.step.text(path, span)?;
        let ignore = Ignore::parse(&text);
        let invalid = |pattern| {
            let problem = Diagnostic::error(format!("invalid pattern `{pattern}`"));
            let problem = problem.at(span, format!("in `{path}`"));
            self.step.reader.report(problem);
        };
        ignore.map_err(invalid).ok()
    }

    /// Returns the files of the context that the Dockerfile uses.
    fn files(
        &self,
        made: &Dockerfile,
        uses: &Uses,
        ignore: &Ignore,
    ) -> Option<BTreeMap<String, Utf8PathBuf>> {
        let Paths { files: all, .. } = self.step.paths;
        let is_link = |path: &str| {
            let above = Utf8Path::new(path).ancestors();
            above
                .into_iter()
                .any(|path| matches!(all.get(&made.context.join(path)), Some(File::Link { .. })))
        };
        let patterns = Ignore::parse(&uses.patterns.join("\n")).ok();
        let is_matched = |path: &str| match &patterns {
            Some(patterns) => patterns.matches(path),
            None => uses.context.iter().any(|used| is_at_or_below(path, used)),
        };
        let mut inner = all.below(&made.context).filter_map(|(path, file)| {
            Some((path.strip_prefix(&made.context).ok()?.as_str(), file))
        });
        // A link can lead anywhere in the context.
        let needs_all = uses.whole.contains("")
            || uses.context.iter().any(|path| is_link(path))
            || inner.any(|(path, file)| matches!(file, File::Link { .. }) && is_matched(path));
        let is_used = |path: &str| {
            needs_all
                || uses.whole.iter().any(|used| is_at_or_below(path, used))
                || is_matched(path)
        };
        let is_sent = |path: &str| is_used(path) && !ignore.matches(path);
        self.files_of(&made.context, is_sent)
    }

    /// Returns the files of a folder that are sent, by their path in it.
    pub fn files_of(
        &self,
        folder: &Utf8Path,
        is_sent: impl Fn(&str) -> bool,
    ) -> Option<BTreeMap<String, Utf8PathBuf>> {
        let (paths, reader) = (self.step.paths, self.step.reader);
        let mut list = BTreeMap::new();
        for (path, file) in paths.files.below(folder) {
            let inner = path.strip_prefix(folder).ok()?.as_str();
            if is_sent(inner) && paths.is_copied(reader, path, file, self.at) {
                list.insert(inner.to_owned(), path.clone());
            }
        }
        Some(list)
    }

    /// Returns what has a name that is not in its instruction: an argument of the spec, or the default of an `ARG`.
    fn written(
        &self,
        made: &Dockerfile,
        parsed: &dockerfile::Dockerfile,
        name: &Word,
        text: &str,
    ) -> Option<WrittenName> {
        let in_file = text.get(name.range.clone())?;
        if !in_file.contains('$') {
            return None;
        }
        match parsed.written_at(in_file, &made.args) {
            Some(Written::Argument(name)) => {
                Some(WrittenName::Argument(self.args.get(&name)?.value))
            }
            Some(Written::Default(range)) => Some(WrittenName::Default(self.span(&range))),
            None => {
                let mut args = made.args.iter().filter(|(_, value)| **value == name.value);
                let (name, _) = args.next()?;
                Some(WrittenName::Argument(self.args.get(name)?.value))
            }
        }
    }

    /// Finds the images that the Dockerfile uses. Returns the base.
    fn images(
        &self,
        made: &mut Dockerfile,
        parsed: &dockerfile::Dockerfile,
        uses: &Uses,
        text: &str,
    ) -> Option<DeclaredBase> {
        let image = |name: &Word, of: Use| match made.contexts.get(&context_name(&name.value)) {
            Some(source) => Some(source.clone()),
            None => {
                let contexts = made.contexts.keys().chain(made.folders.keys());
                let stages = parsed.stages_beside(&name.value);
                let others = OtherNames {
                    stages: stages.chain(contexts.map(String::as_str)).collect(),
                    args: match of {
                        Use::Base => parsed.arg_names().collect(),
                        Use::Copy | Use::Mount => Vec::new(),
                    },
                    written: self.written(made, parsed, name, text),
                };
                let (reader, span) = (self.step.reader, self.span(&name.range));
                let images = self.step.images;
                images.of_dockerfile(reader, &name.value, span, of, &others)
            }
        };
        let mut images = BTreeMap::new();
        let is_folder = |name: &Word| made.folders.contains_key(&context_name(&name.value));
        for name in uses.images.iter().filter(|name| !is_folder(name)) {
            images.insert(name.value.clone(), image(name, Use::Copy)?);
        }
        let base = match &uses.root {
            Root::Scratch => DeclaredBase::Scratch,
            // It has files and no config.
            Root::Image(name) if is_folder(name) => DeclaredBase::Scratch,
            Root::Image(name) => DeclaredBase::Image(image(name, Use::Base)?),
        };
        let of_base = match (&uses.root, &base) {
            (Root::Image(name), DeclaredBase::Image(source)) => Some((&name.value, source)),
            _ => None,
        };
        self.ensure_distinct(uses, images.iter().chain(of_base))?;
        if let Root::Image(name) = &uses.root
            && !is_folder(name)
        {
            images.remove(&name.value);
            made.base = Some(name.value.clone());
        }
        made.images = images;
        Some(base)
    }
}

impl StepReader<'_> {
    /// Returns the text of a file.
    fn text(&self, path: &Utf8Path, span: Span) -> Option<String> {
        let bytes = self.paths.content(self.reader, path, span)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text.to_owned()),
            Err(_) => {
                let problem = Diagnostic::error(format!("`{path}` is not valid UTF-8"));
                self.reader.report(problem.at(span, "this file"));
                None
            }
        }
    }
}
