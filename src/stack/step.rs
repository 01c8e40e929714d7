//! Steps: short keys and `steps:` to [`Step`]s.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::config;
use super::decode::{Fields, Reader};
use super::paths::Paths;
use super::{
    Append, AppendFrom, Conda, Copy, CopyFrom, File, Kind, Link, Mode, Network, Perms, Pip,
    PipTool, Secret, Step, Write,
};
use crate::diagnostic::Diagnostic;
use crate::name::Reference;
use crate::source::{Span, Spanned};
use crate::spec::node::{Entry, Node, Value};

/// Kinds of step, in the order of their short keys where they have one.
pub const KINDS: [&str; 12] = [
    "apt", "conda", "pip", "copy", "write", "append", "link", "perms", "run", "exec", "script",
    "group",
];

/// Kinds that are not there yet.
pub const LATER: [&str; 4] = ["deb", "cran", "check", "dockerfile"];

const BESIDE: [&str; 9] = [
    "name", "as", "cwd", "env", "shell", "secrets", "network", "when", "finish",
];

/// Short keys of an image, in the order their steps have.
pub const SHORT: [&str; 4] = ["apt", "conda", "pip", "copy"];

/// A title is at most this long, in characters.
const LONGEST_TITLE: usize = 60;

pub struct Steps<'a> {
    pub reader: &'a Reader<'a>,
    pub paths: &'a Paths<'a>,
}

/// Says that a kind comes later.
pub fn later(reader: &Reader, name: &str, span: Span) {
    let help = match name {
        "deb" => "install it in a `run` step meanwhile",
        "cran" => {
            "install R packages in a `run` step, or from Debian by `apt` (`r-cran-…`), meanwhile"
        }
        "check" => "check it in a `run` step meanwhile",
        _ => "write its steps in the spec meanwhile, or use its image as an outside base",
    };
    reader.say(
        Diagnostic::error(format!("`{name}` is not there yet"))
            .at(span, "it comes in a later version")
            .help(help),
    );
}

impl Steps<'_> {
    /// The step of a short key.
    pub fn short(&self, entry: &Entry) -> Option<Step> {
        self.reader.used.borrow_mut().clear();
        let kind = self.kind(&entry.key.text, &entry.value, false)?;
        let span = Span {
            end: entry.value.span.end.max(entry.key.span.end),
            ..entry.key.span
        };
        Some(self.finished(span, kind, None, None))
    }

    /// The list under `steps:` or `group:`; steps that `when:` leaves out are checked, too.
    pub fn list(&self, node: &Node, what: &str, in_group: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        for item in self.reader.list(node, what).unwrap_or_default() {
            // A step's variables are its own.
            let outer = self.reader.used.take();
            let step = self.step(item, in_group);
            *self.reader.used.borrow_mut() = outer;
            if let Some((step, true)) = step {
                steps.push(step);
            }
        }
        steps
    }

    fn step(&self, node: &Node, in_group: bool) -> Option<(Step, bool)> {
        let reader = self.reader;
        let mut known: Vec<&str> = KINDS.to_vec();
        known.extend(BESIDE);
        let Value::Map(entries) = &node.value else {
            reader.say(
                Diagnostic::error("a step is a mapping")
                    .at(node.span, format!("here is {}", node.describe()))
                    .help(format!("begin it with its kind: {}", KINDS.join(", "))),
            );
            return None;
        };
        let mut kinds = Vec::new();
        for entry in entries {
            let name = entry.key.text.as_str();
            if LATER.contains(&name) {
                later(reader, name, entry.key.span);
                return None;
            }
            if KINDS.contains(&name) {
                kinds.push(entry);
            } else if !known.contains(&name) {
                reader.unknown_key(&entry.key, "a step", &known);
            }
        }
        let kind = match kinds.as_slice() {
            [kind] => *kind,
            [] => {
                reader.say(
                    Diagnostic::error("a step without a kind")
                        .at(node.span, "nothing is done")
                        .help(format!("say one of: {}", KINDS.join(", "))),
                );
                return None;
            }
            [first, second, ..] => {
                reader.say(
                    Diagnostic::error("a step has one kind")
                        .at(second.key.span, "a second one")
                        .also(first.key.span, "the first one")
                        .help("make it two steps; `group:` puts several into one layer"),
                );
                return None;
            }
        };
        if in_group && kind.key.text == "group" {
            reader.say(
                Diagnostic::error("a group is in no other group")
                    .at(kind.key.span, "write its steps in the outer one"),
            );
            return None;
        }
        let fields = reader.fields(node, "a step", &known)?;
        // What is wrong beside the kind is said, too, whatever the kind is.
        let made = self.kind(&kind.key.text, &kind.value, in_group);
        let wanted = match fields.get("when") {
            Some(node) => self.when(node),
            None => Some(true),
        };
        let name = match fields.get("name") {
            Some(node) => Some(reader.text(node, "`name`")?),
            None => None,
        };
        let step = self.finished(node.span, made?, name, Some(&fields));
        Some((step, wanted?))
    }

    fn finished(
        &self,
        span: Span,
        kind: Kind,
        name: Option<String>,
        fields: Option<&Fields>,
    ) -> Step {
        let reader = self.reader;
        let title = match name {
            Some(name) => shortened(&name),
            None => title(&kind),
        };
        let mut step = Step {
            span,
            title,
            kind,
            user: None,
            cwd: None,
            env: super::Env::new(),
            shell: None,
            secrets: Vec::new(),
            network: None,
            finish: Vec::new(),
            vars: BTreeSet::new(),
        };
        if let Some(fields) = fields {
            step.user = fields.get("as").and_then(|node| reader.text(node, "`as`"));
            step.cwd = fields.get("cwd").and_then(|node| {
                let text = reader.text(node, "`cwd`")?;
                reader.absolute(&text, node.span, "`cwd`")
            });
            if let Some(node) = fields.get("env") {
                step.env = config::env(reader, node);
            }
            step.shell = fields
                .get("shell")
                .and_then(|node| reader.texts(node, "`shell`"));
            if let Some(node) = fields.get("secrets") {
                step.secrets = self.secrets(node);
            }
            step.network = fields.get("network").and_then(|node| {
                let known = [("default", Network::Default), ("none", Network::None)];
                reader.one_of(node, "`network`", &known)
            });
            if let Some(node) = fields.get("finish") {
                step.finish = self.finish(node);
            }
        }
        step.vars = reader.used.take();
        step
    }

    /// Whether all variables of a `when:` have one of their values.
    fn when(&self, node: &Node) -> Option<bool> {
        let reader = self.reader;
        let before = reader.used.borrow().clone();
        let mut all = true;
        for entry in reader.some_entries(node, "`when`")? {
            let name = entry.key.text.as_str();
            let values = match &entry.value.value {
                Value::List(_) => reader.texts(&entry.value, "a value of `when`")?,
                _ => vec![reader.text(&entry.value, "a value of `when`")?],
            };
            match reader.vars.get(name) {
                Some(value) => all &= values.iter().any(|wanted| wanted == value),
                // An image without the variable is one where it has not this value.
                None if reader.vars.where_known(name).starts_with("only other") => all = false,
                None => {
                    reader.variable(name, entry.key.span);
                }
            }
        }
        // A step that is there is the same whatever let it in.
        *reader.used.borrow_mut() = before;
        Some(all)
    }

    /// `secrets:`.
    pub fn secrets(&self, node: &Node) -> Vec<Secret> {
        let reader = self.reader;
        let mut list = Vec::new();
        if let Value::List(_) = node.value {
            for id in reader.texts(node, "`secrets`").unwrap_or_default() {
                let target = format!("/run/secrets/{id}");
                list.push(Secret { id, target });
            }
            return list;
        }
        for entry in reader.some_entries(node, "`secrets`").unwrap_or_default() {
            let target = reader
                .text(&entry.value, "a secret's path")
                .and_then(|text| reader.absolute(&text, entry.value.span, "a secret's path"));
            if let (Some(id), Some(target)) = (reader.key(&entry.key), target) {
                list.push(Secret { id, target });
            }
        }
        list.sort_by(|a, b| a.id.cmp(&b.id));
        list
    }

    /// `finish:`: steps of `perms`, or their mapping alone.
    fn finish(&self, node: &Node) -> Vec<Perms> {
        if let Value::Map(_) = node.value {
            return self.perms(node).unwrap_or_default();
        }
        let mut all = Vec::new();
        for item in self.reader.list(node, "`finish`").unwrap_or_default() {
            if let Some(fields) = self.reader.fields(item, "an entry of `finish`", &["perms"])
                && let Some(node) = fields.get("perms")
            {
                all.extend(self.perms(node).unwrap_or_default());
            }
        }
        all
    }

    fn kind(&self, name: &str, node: &Node, in_group: bool) -> Option<Kind> {
        let reader = self.reader;
        match name {
            "apt" => self.apt(node),
            "pip" => self.pip(node).map(Kind::Pip),
            "conda" => self.conda(node).map(Kind::Conda),
            "copy" => self.copies(node).map(Kind::Copy),
            "write" => self.writes(node).map(Kind::Write),
            "append" => self.appends(node).map(Kind::Append),
            "link" => self.links(node).map(Kind::Link),
            "perms" => self.perms(node).map(Kind::Perms),
            "run" => {
                let text = reader.literal(node, "`run`")?;
                if text.trim().is_empty() {
                    reader.say(Diagnostic::error("`run` is empty").at(node.span, "nothing is run"));
                    return None;
                }
                Some(Kind::Run(text.to_owned()))
            }
            "exec" => reader.texts(node, "`exec`").map(Kind::Exec),
            "script" => self.script(node).map(Kind::Script),
            "group" => {
                debug_assert!(!in_group, "refused before");
                let steps = self.list(node, "`group`", true);
                let used: Vec<String> = steps.iter().flat_map(|s| s.vars.clone()).collect();
                reader.used.borrow_mut().extend(used);
                (!steps.is_empty()).then_some(Kind::Group(steps))
            }
            _ => unreachable!("only known kinds are asked for"),
        }
    }

    fn apt(&self, node: &Node) -> Option<Kind> {
        let reader = self.reader;
        let (list, recommends) = match node.value {
            Value::Map(_) => {
                let fields = reader.fields(node, "`apt`", &["packages", "recommends"])?;
                let recommends = match fields.get("recommends") {
                    Some(node) => reader.flag(node, "`recommends`")?,
                    None => false,
                };
                (self.needed(&fields, "apt", "packages")?, recommends)
            }
            _ => (node, false),
        };
        let packages = reader.texts(list, "`apt`")?;
        self.no_options(&packages, list.span, "apt")?;
        Some(Kind::Apt {
            packages,
            recommends,
        })
    }

    /// A package that begins with `-` would be an option of the program.
    fn no_options(&self, packages: &[String], span: Span, what: &str) -> Option<()> {
        match packages
            .iter()
            .find(|name| name.starts_with('-') || name.is_empty())
        {
            None => Some(()),
            Some(bad) => {
                self.reader.say(
                    Diagnostic::error(format!("`{bad}` is no package"))
                        .at(span, format!("options are not given to {what} here"))
                        .help("use a `run` step for what the step's keys cannot say"),
                );
                None
            }
        }
    }

    fn needed<'n>(&self, fields: &Fields<'n>, what: &str, name: &str) -> Option<&'n Node> {
        let node = fields.get(name);
        if node.is_none() {
            self.reader.say(
                Diagnostic::error(format!("`{what}` has no `{name}`"))
                    .at(fields.span, format!("`{name}:` is wanted")),
            );
        }
        node
    }

    fn pip(&self, node: &Node) -> Option<Pip> {
        let reader = self.reader;
        let mut pip = Pip {
            requirements: Vec::new(),
            includes: Vec::new(),
            packages: Vec::new(),
            tool: PipTool::Uv,
            index: None,
            extra_index: Vec::new(),
            upgrade: false,
        };
        let mut files: Vec<(String, Span)> = Vec::new();
        match &node.value {
            Value::List(_) => pip.packages = reader.texts(node, "`pip`")?,
            Value::Scalar { .. } => files.push((reader.text(node, "`pip`")?, node.span)),
            Value::Map(_) => {
                let known = [
                    "requirements",
                    "packages",
                    "tool",
                    "index",
                    "extra-index",
                    "upgrade",
                ];
                let fields = reader.fields(node, "`pip`", &known)?;
                match fields.get("requirements") {
                    Some(node) if matches!(node.value, Value::List(_)) => {
                        for item in reader.list(node, "`requirements`")? {
                            files.push((reader.text(item, "a requirements file")?, item.span));
                        }
                    }
                    Some(node) => {
                        files.push((reader.text(node, "a requirements file")?, node.span));
                    }
                    None => {}
                }
                if let Some(node) = fields.get("packages") {
                    pip.packages = reader.texts(node, "`packages`")?;
                }
                if let Some(node) = fields.get("tool") {
                    let known = [("uv", PipTool::Uv), ("pip", PipTool::Pip)];
                    pip.tool = reader.one_of(node, "`tool`", &known)?;
                }
                if let Some(node) = fields.get("index") {
                    pip.index = Some(reader.text(node, "`index`")?);
                }
                if let Some(node) = fields.get("extra-index") {
                    pip.extra_index = reader.texts(node, "`extra-index`")?;
                }
                if let Some(node) = fields.get("upgrade") {
                    pip.upgrade = reader.flag(node, "`upgrade`")?;
                }
                if files.is_empty() && pip.packages.is_empty() {
                    reader.say(
                        Diagnostic::error("`pip` installs nothing")
                            .at(node.span, "`requirements:` or `packages:` is wanted"),
                    );
                    return None;
                }
            }
        }
        self.no_options(&pip.packages, node.span, "pip")?;
        let mut seen = BTreeSet::new();
        for (text, span) in files {
            let path = self.paths.file(reader, &text, span)?;
            seen.insert(path.clone());
            pip.requirements.push(path);
        }
        let mut open = pip.requirements.clone();
        while let Some(path) = open.pop() {
            for include in self.includes(&path, node.span)? {
                if seen.insert(include.clone()) {
                    pip.includes.push(include.clone());
                    open.push(include);
                }
            }
        }
        pip.includes.sort();
        Some(pip)
    }

    /// The files a requirements file names by `-r` and `-c` (pip, "Requirements File Format").
    pub fn includes(&self, path: &Utf8Path, span: Span) -> Option<Vec<Utf8PathBuf>> {
        let Some(File::Regular { content, .. }) = self.paths.files.0.get(path) else {
            return Some(Vec::new());
        };
        let text = String::from_utf8_lossy(content);
        let mut found = Vec::new();
        for line in text.lines() {
            let line = line.split(" #").next().unwrap_or(line).trim();
            let options = ["--requirement", "--constraint", "-r", "-c"];
            let Some(rest) = options.iter().find_map(|o| line.strip_prefix(o)) else {
                continue;
            };
            let name = rest.trim_start_matches(['=', ' ', '\t']).trim();
            if name.is_empty() || name.contains("://") {
                continue;
            }
            let folder = path.parent().unwrap_or(Utf8Path::new("images"));
            match self.paths.files.follow(folder, name) {
                Ok(file) => found.push(file.to_owned()),
                Err(_) => {
                    self.reader.say(
                        Diagnostic::error(format!("{path} includes `{name}`, which is not there"))
                            .at(span, "needed by this step")
                            .help("paths in a requirements file are relative to its folder, and stay below images/"),
                    );
                    return None;
                }
            }
        }
        Some(found)
    }

    fn conda(&self, node: &Node) -> Option<Conda> {
        let reader = self.reader;
        let mut conda = Conda {
            packages: Vec::new(),
            channels: Vec::new(),
            file: None,
        };
        match &node.value {
            Value::List(_) => conda.packages = reader.texts(node, "`conda`")?,
            Value::Scalar { .. } => {
                let text = reader.text(node, "`conda`")?;
                conda.file = Some(self.paths.file(reader, &text, node.span)?);
            }
            Value::Map(_) => {
                let fields = reader.fields(node, "`conda`", &["packages", "channels", "file"])?;
                if let Some(node) = fields.get("packages") {
                    conda.packages = reader.texts(node, "`packages`")?;
                }
                if let Some(node) = fields.get("channels") {
                    conda.channels = reader.texts(node, "`channels`")?;
                }
                if let Some(node) = fields.get("file") {
                    let text = reader.text(node, "`file`")?;
                    conda.file = Some(self.paths.file(reader, &text, node.span)?);
                }
                if conda.packages.is_empty() && conda.file.is_none() {
                    reader.say(
                        Diagnostic::error("`conda` installs nothing")
                            .at(node.span, "`packages:` or `file:` is wanted"),
                    );
                    return None;
                }
            }
        }
        self.no_options(&conda.packages, node.span, "conda")?;
        Some(conda)
    }

    fn script(&self, node: &Node) -> Option<Utf8PathBuf> {
        let text = self.reader.text(node, "`script`")?;
        let path = self.paths.file(self.reader, &text, node.span)?;
        if let Some(File::Regular { content, .. }) = self.paths.files.0.get(&path)
            && !content.starts_with(b"#!")
        {
            self.reader.say(
                Diagnostic::error(format!("{path} does not say what runs it"))
                    .at(node.span, "its first line is no `#!` line")
                    .help("begin it with `#!/bin/sh` or the like"),
            );
            return None;
        }
        Some(path)
    }

    /// Runs `make` on each entry; `None` if one of them is wrong.
    fn each<T>(
        &self,
        node: &Node,
        what: &str,
        make: impl Fn(String, &Entry) -> Option<T>,
    ) -> Option<Vec<T>> {
        let reader = self.reader;
        let mut made = Vec::new();
        for entry in reader.some_entries(node, &format!("`{what}`"))? {
            let path = reader
                .key(&entry.key)
                .and_then(|text| reader.absolute(&text, entry.key.span, "where it goes"));
            made.push(path.and_then(|path| make(path, entry)));
        }
        made.into_iter().collect()
    }

    fn copies(&self, node: &Node) -> Option<Vec<Copy>> {
        let reader = self.reader;
        let mut list = self.each(node, "copy", |to, entry| {
            let span = entry.value.span;
            let mut owner = None;
            let mut mode = None;
            let mut image = None;
            let from = match &entry.value.value {
                Value::Map(_) => {
                    let known = ["from", "owner", "mode", "image"];
                    let later = ["git", "http"];
                    if let Value::Map(entries) = &entry.value.value
                        && let Some(found) = entries
                            .iter()
                            .find(|e| later.contains(&e.key.text.as_str()))
                    {
                        reader.say(
                            Diagnostic::error(format!(
                                "sources by `{}` are not there yet",
                                found.key.text
                            ))
                            .at(found.key.span, "they come in a later version")
                            .help("fetch it in a `run` step meanwhile"),
                        );
                        return None;
                    }
                    let fields = reader.fields(&entry.value, "an entry of `copy`", &known)?;
                    owner = self.owner(&fields)?;
                    mode = self.mode(&fields)?;
                    if let Some(node) = fields.get("image") {
                        let text = reader.text(node, "`image`")?;
                        match Reference::parse(&text) {
                            Ok(reference) => image = Some(Spanned::new(reference, node.span)),
                            Err(error) => {
                                reader.say(
                                    Diagnostic::error(format!(
                                        "`{text}` is no reference of an image"
                                    ))
                                    .at(node.span, error.to_string()),
                                );
                                return None;
                            }
                        }
                    }
                    self.needed(&fields, "copy", "from")?
                }
                _ => &entry.value,
            };
            let text = reader.text(from, "what is copied")?;
            let from = match image {
                Some(reference) => CopyFrom::Image {
                    path: reader.absolute(&text, from.span, "a path of another image")?,
                    reference,
                },
                None => CopyFrom::Files {
                    entries: self
                        .paths
                        .copy(reader, &text, from.span, to.ends_with('/'))?,
                    pattern: text,
                },
            };
            Some(Copy {
                from,
                to,
                owner,
                mode,
                span,
            })
        })?;
        list.sort_by(|a, b| a.to.cmp(&b.to));
        Some(list)
    }

    fn writes(&self, node: &Node) -> Option<Vec<Write>> {
        let reader = self.reader;
        let mut list = self.each(node, "write", |to, entry| {
            let to = self.a_file(to, entry)?;
            let (text, owner, mode) = match &entry.value.value {
                Value::Map(_) => {
                    let known = ["text", "mode", "owner", "vars"];
                    let fields = reader.fields(&entry.value, "an entry of `write`", &known)?;
                    let owner = self.owner(&fields)?;
                    let mode = self.mode(&fields)?;
                    (self.body(&fields, "write")?, owner, mode)
                }
                _ => (self.whole(&entry.value)?, None, None),
            };
            Some(Write {
                to,
                text,
                owner,
                mode,
                span: entry.value.span,
            })
        })?;
        list.sort_by(|a, b| a.to.cmp(&b.to));
        Some(list)
    }

    /// A text byte for byte; an empty one is one.
    fn whole(&self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Scalar { text, .. } if text.is_empty() => Some(String::new()),
            _ => self
                .reader
                .literal(node, "what is written")
                .map(str::to_owned),
        }
    }

    /// `text:`, literal unless `vars: true`.
    fn body(&self, fields: &Fields, what: &str) -> Option<String> {
        let node = self.needed(fields, what, "text")?;
        let filled = match fields.get("vars") {
            Some(node) => self.reader.flag(node, "`vars`")?,
            None => false,
        };
        match filled {
            true => self.reader.text(node, "`text`"),
            false => self.whole(node),
        }
    }

    fn a_file(&self, to: String, entry: &Entry) -> Option<String> {
        if to.ends_with('/') {
            self.reader.say(
                Diagnostic::error(format!("`{to}` is a folder"))
                    .at(entry.key.span, "the path of a file is wanted"),
            );
            return None;
        }
        Some(to)
    }

    fn appends(&self, node: &Node) -> Option<Vec<Append>> {
        let reader = self.reader;
        let mut list = self.each(node, "append", |to, entry| {
            let to = self.a_file(to, entry)?;
            let from = match &entry.value.value {
                Value::Map(_) => {
                    let known = ["from", "text", "vars"];
                    let fields = reader.fields(&entry.value, "an entry of `append`", &known)?;
                    match fields.get("from") {
                        Some(node) => {
                            let text = reader.text(node, "`from`")?;
                            AppendFrom::File(self.paths.file(reader, &text, node.span)?)
                        }
                        None => AppendFrom::Text(self.body(&fields, "append")?),
                    }
                }
                _ => AppendFrom::Text(self.whole(&entry.value)?),
            };
            Some(Append {
                to,
                from,
                span: entry.value.span,
            })
        })?;
        list.sort_by(|a, b| a.to.cmp(&b.to));
        Some(list)
    }

    fn links(&self, node: &Node) -> Option<Vec<Link>> {
        let reader = self.reader;
        let mut list = self.each(node, "link", |path, entry| {
            let path = self.a_file(path, entry)?;
            Some(Link {
                path,
                target: reader.text(&entry.value, "what a link names")?,
                span: entry.value.span,
            })
        })?;
        list.sort_by(|a, b| a.path.cmp(&b.path));
        Some(list)
    }

    /// In the order of the file: a later one may be inside an earlier one.
    fn perms(&self, node: &Node) -> Option<Vec<Perms>> {
        let reader = self.reader;
        self.each(node, "perms", |path, entry| {
            let known = ["owner", "mode", "recursive"];
            let fields = reader.fields(&entry.value, "an entry of `perms`", &known)?;
            let owner = self.owner(&fields)?;
            let mode = self.mode(&fields)?;
            let recursive = match fields.get("recursive") {
                Some(node) => reader.flag(node, "`recursive`")?,
                None => false,
            };
            if owner.is_none() && mode.is_none() {
                reader.say(
                    Diagnostic::error("`perms` changes nothing")
                        .at(entry.value.span, "`owner:` or `mode:` is wanted"),
                );
                return None;
            }
            Some(Perms {
                path,
                owner,
                mode,
                recursive,
                span: entry.value.span,
            })
        })
    }

    /// `Some(None)` if nothing is said; `None` if it is wrong.
    fn owner(&self, fields: &Fields) -> Option<Option<String>> {
        let Some(node) = fields.get("owner") else {
            return Some(None);
        };
        let text = self.reader.text(node, "`owner`")?;
        let part = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        };
        let good = match text.split_once(':') {
            Some((user, group)) => part(user) && part(group),
            None => part(&text),
        };
        if !good {
            self.reader
                .say(Diagnostic::error(format!("`{text}` is no owner")).at(
                    node.span,
                    "`1000:100`, `jovyan` or `jovyan:users` is wanted",
                ));
            return None;
        }
        Some(Some(text))
    }

    fn mode(&self, fields: &Fields) -> Option<Option<Mode>> {
        let Some(node) = fields.get("mode") else {
            return Some(None);
        };
        let text = self.reader.text(node, "`mode`")?;
        let octal = matches!(text.len(), 3..=5) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        if octal
            && let Ok(bits) = u32::from_str_radix(&text, 8)
            && bits <= 0o7777
        {
            return Some(Some(Mode::Octal(bits)));
        }
        let symbolic = !text.is_empty()
            && text.split(',').all(|clause| {
                let rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
                rest.starts_with(['+', '-', '='])
                    && rest.chars().all(|c| "+-=rwxXst".contains(c))
                    && rest.len() > 1
            });
        if symbolic {
            return Some(Some(Mode::Symbolic(text)));
        }
        self.reader.say(
            Diagnostic::error(format!("`{text}` is no mode"))
                .at(node.span, "`755`, `0644`, `1777` or `g+rwX` is wanted"),
        );
        None
    }
}

/// One line of at most [`LONGEST_TITLE`] characters.
fn shortened(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim_end();
    let more = text.trim().lines().count() > 1;
    let cut = line.chars().count() > LONGEST_TITLE;
    let mut short: String = line.chars().take(LONGEST_TITLE - 1).collect();
    match (cut, more) {
        (true, _) => {
            short.push('…');
            short
        }
        (false, true) => format!("{line} …"),
        (false, false) => line.to_owned(),
    }
}

fn title(kind: &Kind) -> String {
    let name = |path: &Utf8PathBuf| path.file_name().unwrap_or_default().to_owned();
    let text = match kind {
        Kind::Apt { packages, .. } => format!("apt {}", packages.join(" ")),
        Kind::Pip(pip) => {
            let mut parts: Vec<String> = pip.requirements.iter().map(name).collect();
            parts.extend(pip.packages.iter().cloned());
            format!("pip {}", parts.join(" "))
        }
        Kind::Conda(conda) => {
            let mut parts: Vec<String> = conda.file.iter().map(name).collect();
            parts.extend(conda.packages.iter().cloned());
            format!("conda {}", parts.join(" "))
        }
        Kind::Copy(list) => paths("copy", list.iter().map(|copy| &copy.to)),
        Kind::Write(list) => paths("write", list.iter().map(|write| &write.to)),
        Kind::Append(list) => paths("append", list.iter().map(|append| &append.to)),
        Kind::Link(list) => paths("link", list.iter().map(|link| &link.path)),
        Kind::Perms(list) => paths("perms", list.iter().map(|perms| &perms.path)),
        Kind::Run(text) => return shortened(&format!("run {}", text.trim_start())),
        Kind::Exec(args) => format!("exec {}", args.join(" ")),
        Kind::Script(path) => format!("script {}", name(path)),
        Kind::Group(steps) => {
            let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
            format!("group: {}", titles.join("; "))
        }
    };
    shortened(&text)
}

fn paths<'a>(kind: &str, list: impl Iterator<Item = &'a String>) -> String {
    let list: Vec<&str> = list.map(String::as_str).collect();
    format!("{kind} {}", list.join(" "))
}
