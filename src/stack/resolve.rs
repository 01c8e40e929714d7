//! From the tree of a spec to a [`Stack`]: variants unfolded, names resolved, everything checked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use camino::Utf8PathBuf;

use super::decode::{Fields, Reader};
use super::unfold::Scope;
use super::variables::{BUILT_IN, Variables};
use super::{Base, Build, File, Files, Image, ImageId, Overrides, Refs, Stack, Variant, proof};
use crate::diagnostic::{Diagnostic, Severity};
use crate::name::{ImageName, Repository, StackName, VariantName};
use crate::source::{Span, Spanned};
use crate::spec::Spec;
use crate::spec::node::{Entry, Key, Node, Value};

const TOP: [&str; 15] = [
    "stack", "registry", "staging", "series", "vars", "tags", "channels", "writable", "policy",
    "info", "tests", "images", "variants", "build", "shell",
];

/// What a commit is replaced by to see whether a tag is legal.
const SOME_COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub(super) type Problems = RefCell<Vec<Diagnostic>>;

impl Stack {
    /// Makes sense of a spec. All that is wrong is said at once.
    pub fn new(spec: &Spec, overrides: &Overrides) -> Result<Self, Vec<Diagnostic>> {
        let problems = RefCell::new(spec.problems.clone());
        let stack = Whole {
            spec,
            overrides,
            problems: &problems,
        }
        .stack();
        let mut all = problems.into_inner();
        // One place read for several variants is said once.
        let mut seen: Vec<Diagnostic> = Vec::new();
        all.retain(|problem| match seen.contains(problem) {
            true => false,
            false => {
                seen.push(problem.clone());
                true
            }
        });
        let wrong = all.iter().any(|p| p.severity == Severity::Error);
        match stack {
            Some(mut stack) if !wrong => {
                stack.warnings = all;
                Ok(stack)
            }
            _ => Err(all),
        }
    }
}

pub(super) struct Whole<'a> {
    pub spec: &'a Spec,
    pub overrides: &'a Overrides,
    pub problems: &'a Problems,
}

/// An image as it is declared.
pub(super) struct Declared<'a> {
    pub key: &'a Key,
    pub name: ImageName,
    /// `None` if there is nothing to read, which was said.
    pub node: Option<&'a Node>,
}

/// A variant as it is declared.
pub(super) struct Unfolded<'a> {
    pub variant: Variant,
    pub key: Option<&'a Key>,
    pub vars: Option<&'a Node>,
    pub images: BTreeSet<String>,
}

impl<'a> Whole<'a> {
    pub fn say(&self, problem: Diagnostic) {
        self.problems.borrow_mut().push(problem);
    }

    fn stack(&self) -> Option<Stack> {
        let root = self.spec.root.as_ref()?;
        let none = Variables::default();
        let reader = Reader::new(&none, self.problems);
        let top = reader.fields(root, "the spec", &TOP)?;
        let name = self.name(&reader, &top);
        let (registry, staging) = self.registry(&reader, &top, name.as_ref());
        let images = self.images(&reader, &top);
        let variants = self.variants(&reader, &top, &images);
        let everywhere = self.names(&top, &images, &variants);
        self.unknown_overrides(&everywhere);
        let mut stack = Stack {
            name: name.unwrap_or_else(|| StackName::parse("unnamed").expect("a legal name")),
            registry,
            staging,
            build: self.build(&reader, &top),
            variants: Vec::new(),
            images: Vec::new(),
            channels: Vec::new(),
            refs: self.refs(&reader, &top),
            files: Files::default(),
            sources: Arc::new(self.spec.sources.clone()),
            warnings: Vec::new(),
        };
        let mut used = BTreeSet::new();
        let mut channel_tags: BTreeMap<String, (Span, String)> = BTreeMap::new();
        for unfolded in &variants {
            let index = stack.variants.len();
            stack.variants.push(unfolded.variant.clone());
            let scope = Scope {
                whole: self,
                top: &top,
                unfolded,
                everywhere: &everywhere,
                images: &images,
                index,
            };
            let general = scope.stack_wide(&mut used);
            scope.channels(&variants, &mut channel_tags, &mut stack.channels);
            scope.images(&mut stack, &mut used, &general);
        }
        self.repositories(&stack);
        self.tags(&stack);
        self.folders(&top, &images, &used);
        stack.files = files_of(&stack, &self.spec.files);
        if !self.overrides.variants.is_empty() {
            self.only_variants(&mut stack);
        }
        Some(stack)
    }

    fn name(&self, reader: &Reader, top: &Fields) -> Option<StackName> {
        let Some(node) = top.get("stack") else {
            self.say(
                Diagnostic::error("the stack has no name")
                    .at(first_line(top.span), "`stack:` is missing")
                    .help("begin with `stack: NAME`"),
            );
            return None;
        };
        let text = reader.text(node, "`stack`")?;
        match StackName::parse(&text) {
            Ok(name) => Some(name),
            Err(error) => {
                self.say(
                    Diagnostic::error(format!("`{text}` is no name of a stack"))
                        .at(node.span, error.to_string()),
                );
                None
            }
        }
    }

    fn registry(
        &self,
        reader: &Reader,
        top: &Fields,
        name: Option<&StackName>,
    ) -> (Option<Repository>, Option<Repository>) {
        let read = |key: &str, given: &Option<String>| -> Option<Repository> {
            let (text, node) = match (given, top.get(key)) {
                (Some(text), _) => (text.clone(), None),
                (None, Some(node)) => (reader.text(node, &format!("`{key}`"))?, Some(node)),
                (None, None) => return None,
            };
            let reason = match Repository::parse(&text) {
                Ok(repository) if Repository::names_host(&text) => return Some(repository),
                Ok(_) => "a host and a namespace are wanted, `ghcr.io/campus`".to_owned(),
                Err(error) => error.to_string(),
            };
            let problem = Diagnostic::error(format!("`{text}` is no place for images"));
            self.say(match node {
                Some(node) => problem.at(node.span, reason),
                None => problem.help(format!("--{key}: {reason}")),
            });
            None
        };
        let registry = read("registry", &self.overrides.registry);
        // Another registry has another staging, too, unless that is named as well.
        let moved = self.overrides.registry.is_some() && self.overrides.staging.is_none();
        let staging = match moved {
            true => None,
            false => read("staging", &self.overrides.staging),
        };
        let staging = staging.or_else(|| registry.as_ref()?.join(name?.as_str()).ok());
        (registry, staging)
    }

    fn build(&self, reader: &Reader, top: &Fields) -> Build {
        let mut build = Build::default();
        if let Some(node) = top.get("build")
            && let Some(fields) = reader.fields(node, "`build`", &["ca"])
            && let Some(node) = fields.get("ca")
        {
            build.ca = reader.text(node, "`ca`").map(Utf8PathBuf::from);
        }
        build
    }

    fn refs(&self, reader: &Reader, top: &Fields) -> Refs {
        let policy = top.get("policy").map(|node| &node.value);
        let Some(Value::Map(entries)) = policy else {
            return Refs::default();
        };
        let entry = entries.iter().find(|entry| entry.key.text == "refs");
        entry
            .map(|entry| proof::refs(reader, &entry.value))
            .unwrap_or_default()
    }

    fn images(&self, reader: &Reader, top: &Fields<'a>) -> Vec<Declared<'a>> {
        let Some(node) = top.get("images") else {
            self.say(
                Diagnostic::error("the stack has no images")
                    .at(first_line(top.span), "`images:` is missing"),
            );
            return Vec::new();
        };
        let mut list = Vec::new();
        for entry in reader.some_entries(node, "`images`").unwrap_or_default() {
            let name = match ImageName::parse(&entry.key.text) {
                Ok(name) => name,
                Err(error) => {
                    self.say(
                        Diagnostic::error(format!("`{}` is no name of an image", entry.key.text))
                            .at(entry.key.span, error.to_string()),
                    );
                    continue;
                }
            };
            let own = self.spec.images.get(name.as_str());
            let node = match (entry.value.is_null(), own) {
                (true, Some(own)) => Some(own),
                (true, None) => {
                    self.say(
                        Diagnostic::error(format!("nothing is said of image `{name}`"))
                            .at(entry.key.span, "this entry is empty")
                            .help(format!(
                                "give it a `base:`, or declare it in images/{name}/image.yml"
                            )),
                    );
                    None
                }
                (false, Some(own)) => {
                    self.say(
                        Diagnostic::error(format!("image `{name}` is declared twice"))
                            .at(entry.key.span, "here")
                            .also(first_line(own.span), "and here")
                            .help(format!(
                                "leave `{name}:` alone in the spec, or remove image.yml"
                            )),
                    );
                    None
                }
                (false, None) => Some(&entry.value),
            };
            list.push(Declared {
                key: &entry.key,
                name,
                node,
            });
        }
        list
    }

    fn variants(
        &self,
        reader: &Reader,
        top: &Fields<'a>,
        images: &[Declared<'a>],
    ) -> Vec<Unfolded<'a>> {
        let all: BTreeSet<String> = images.iter().map(|image| image.name.to_string()).collect();
        let series = top
            .get("series")
            .and_then(|node| reader.text(node, "`series`"));
        let single = |series: Option<String>| Unfolded {
            variant: Variant { name: None, series },
            key: None,
            vars: None,
            images: all.clone(),
        };
        let Some(node) = top.get("variants") else {
            return vec![single(series)];
        };
        let mut list = Vec::new();
        for entry in reader.some_entries(node, "`variants`").unwrap_or_default() {
            let name = match VariantName::parse(&entry.key.text) {
                Ok(name) => name,
                Err(error) => {
                    self.say(
                        Diagnostic::error(format!("`{}` is no name of a variant", entry.key.text))
                            .at(entry.key.span, error.to_string()),
                    );
                    continue;
                }
            };
            let mut unfolded = Unfolded {
                variant: Variant {
                    series: Some(name.to_string()),
                    name: Some(name),
                },
                key: Some(&entry.key),
                vars: None,
                images: all.clone(),
            };
            if !entry.value.is_null() {
                self.variant(reader, entry, &all, &mut unfolded);
            }
            list.push(unfolded);
        }
        match list.is_empty() {
            true => vec![single(series)],
            false => list,
        }
    }

    fn variant(
        &self,
        reader: &Reader,
        entry: &'a Entry,
        all: &BTreeSet<String>,
        unfolded: &mut Unfolded<'a>,
    ) {
        let what = format!("variant `{}`", entry.key.text);
        let known = ["vars", "series", "skip", "only"];
        let Some(fields) = reader.fields(&entry.value, &what, &known) else {
            return;
        };
        unfolded.vars = fields.get("vars");
        if let Some(node) = fields.get("series") {
            unfolded.variant.series = reader.text(node, "`series`");
        }
        let named = |name: &str| -> Option<BTreeSet<String>> {
            let node = fields.get(name)?;
            let mut set = BTreeSet::new();
            for item in reader.list(node, &format!("`{name}`"))? {
                let text = reader.text(item, "an image")?;
                if !all.contains(&text) {
                    self.say(
                        Diagnostic::error(format!("{what} names an unknown image `{text}`"))
                            .at(item.span, "no image of that name")
                            .did_you_mean(&text, all.iter().map(String::as_str)),
                    );
                }
                set.insert(text);
            }
            Some(set)
        };
        match (named("skip"), named("only")) {
            (Some(_), Some(_)) => {
                let second = fields.entry("only").map_or(fields.span, |e| e.key.span);
                self.say(
                    Diagnostic::error(format!("{what} has both `skip` and `only`"))
                        .at(second, "one of them says it all"),
                );
            }
            (Some(skip), None) => unfolded.images.retain(|name| !skip.contains(name)),
            (None, Some(only)) => unfolded.images.retain(|name| only.contains(name)),
            (None, None) => {}
        }
    }

    /// Names of variables that are declared anywhere.
    fn names(&self, top: &Fields, images: &[Declared], variants: &[Unfolded]) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut add = |node: Option<&Node>| {
            if let Some(Node {
                value: Value::Map(entries),
                ..
            }) = node
            {
                names.extend(entries.iter().map(|entry| entry.key.text.clone()));
            }
        };
        add(top.get("vars"));
        for unfolded in variants {
            add(unfolded.vars);
        }
        for image in images {
            if let Some(Node {
                value: Value::Map(entries),
                ..
            }) = image.node
            {
                let vars = entries.iter().find(|entry| entry.key.text == "vars");
                add(vars.map(|entry| &entry.value));
            }
        }
        names
    }

    fn unknown_overrides(&self, everywhere: &BTreeSet<String>) {
        for name in self.overrides.vars.keys() {
            if BUILT_IN.contains(&name.as_str()) {
                self.say(Diagnostic::error(format!(
                    "`{name}` is given its value by the stack, not by --var"
                )));
            } else if !everywhere.contains(name) {
                self.say(
                    Diagnostic::warning(format!(
                        "--var {name}: no variable of that name is declared"
                    ))
                    .did_you_mean(name, everywhere.iter().map(String::as_str)),
                );
            }
        }
    }

    /// Each repository is one image's.
    fn repositories(&self, stack: &Stack) {
        let mut first: BTreeMap<String, (&Spanned<ImageName>, usize)> = BTreeMap::new();
        for (index, image) in stack.images.iter().enumerate() {
            let Some(repository) = &image.repository else {
                continue;
            };
            let (other, _) = first
                .entry(repository.to_string())
                .or_insert((&image.name, index));
            if other.value != image.name.value {
                self.say(
                    Diagnostic::error(format!("two images go to {repository}"))
                        .at(image.name.span, "this one")
                        .also(other.span, "and this one"),
                );
            }
        }
    }

    /// Each fixed tag is one image's.
    fn tags(&self, stack: &Stack) {
        let mut first: BTreeMap<(String, String), usize> = BTreeMap::new();
        for image in &stack.images {
            let mut own = BTreeSet::new();
            for template in &image.tags {
                let tag = match template.tag(SOME_COMMIT, 1) {
                    Ok(tag) => tag,
                    Err(error) => {
                        self.say(
                            Diagnostic::error("this is no tag")
                                .at(template.span, error.to_string()),
                        );
                        continue;
                    }
                };
                if !own.insert(tag.to_string()) {
                    self.say(
                        Diagnostic::error("a tag is there twice").at(template.span, "the second"),
                    );
                    continue;
                }
                let name = (image.name.to_string(), tag.to_string());
                let other = *first.entry(name).or_insert(image.variant);
                if other != image.variant {
                    let label = |index: usize| {
                        let name = &stack.variants[index].name;
                        name.as_ref().map(ToString::to_string).unwrap_or_default()
                    };
                    self.say(
                        Diagnostic::error(format!(
                            "variants `{}` and `{}` have the same tag",
                            label(other),
                            label(image.variant)
                        ))
                        .at(template.span, "an image would have to be two")
                        .help("put `${series}` or `${variant}` into it"),
                    );
                }
            }
        }
    }

    /// Each folder of images/ is an image's, or used by one.
    fn folders(&self, top: &Fields, images: &[Declared], used: &BTreeSet<Utf8PathBuf>) {
        let Some(entry) = top.entry("images") else {
            return;
        };
        for (path, file) in &self.spec.files.0 {
            if *file != File::Folder || path.components().count() != 2 {
                continue;
            }
            let name = path.file_name().unwrap_or_default();
            let declared = images.iter().any(|image| image.name.as_str() == name);
            if declared || used.iter().any(|file| file.starts_with(path)) {
                continue;
            }
            let known = images.iter().map(|image| image.name.as_str());
            let problem = Diagnostic::error(format!("{path}/ is no image's and nobody uses it"))
                .at(entry.key.span, format!("there is no `{name}` here"));
            let near = crate::diagnostic::nearest(name, known);
            self.say(problem.help(match near {
                Some(near) => format!("did you mean it to be `{near}`?"),
                None => "add an entry, or remove the folder".to_owned(),
            }));
        }
    }

    fn only_variants(&self, stack: &mut Stack) {
        let known: Vec<String> = stack
            .variants
            .iter()
            .filter_map(|variant| variant.name.as_ref().map(ToString::to_string))
            .collect();
        for wanted in &self.overrides.variants {
            if !known.contains(wanted) {
                self.say(
                    Diagnostic::error(format!("--variant {wanted}: there is no such variant"))
                        .did_you_mean(wanted, known.iter().map(String::as_str)),
                );
            }
        }
        let keeps = |index: usize| {
            let name = &stack.variants[index].name;
            name.as_ref()
                .is_some_and(|name| self.overrides.variants.iter().any(|w| w == name.as_str()))
        };
        let mut moved = BTreeMap::new();
        let mut kept: Vec<Image> = Vec::new();
        for (index, image) in stack.images.iter().enumerate() {
            if keeps(image.variant) {
                moved.insert(ImageId(index), ImageId(kept.len()));
                kept.push(image.clone());
            }
        }
        for image in &mut kept {
            if let Base::Image(parent) = &mut image.base {
                *parent = moved[parent];
            }
        }
        stack.images = kept;
    }
}

/// The first line of something long.
fn first_line(span: Span) -> Span {
    Span {
        end: span.start + 1,
        ..span
    }
}

/// Files some image uses.
fn files_of(stack: &Stack, all: &Files) -> Files {
    let mut used = BTreeSet::new();
    let mut tests = BTreeSet::new();
    for image in &stack.images {
        for step in &image.steps {
            step.collect_files(&mut used);
        }
        for suite in &image.proof.suites {
            suite.collect_paths(&mut tests);
        }
    }
    for path in tests {
        used.insert(path);
        used.extend(all.below(path).map(|(path, _)| path));
    }
    let kept = used
        .into_iter()
        .filter_map(|path| all.0.get_key_value(path))
        .map(|(path, file)| (path.clone(), file.clone()));
    Files(kept.collect())
}
