//! One image as declared in one variant.

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::config::{self, Config};
use super::env::{self, Env};
use super::info::{self, InfoCommand};
use super::model::{ExternalBase, Refresh};
use super::paths::Paths;
use super::policy::{self, Policy};
use super::reader::Reader;
use super::scope::Scope;
use super::steps::{SHORT, Step, StepReader, TO_COME, report_to_come};
use super::suite::{self, Declarer, SuiteEntry};
use super::tags::{self, TagTemplate};
use super::variables::Variables;
use super::writable::{self, Writable};
use crate::diagnostic::{Diagnostic, nearest};
use crate::name::{ImageName, Reference, Repository};
use crate::source::Spanned;
use crate::spec::node::{Entry, Key, Node};

const KEYS: [&str; 17] = [
    "base",
    "apt",
    "conda",
    "pip",
    "copy",
    "steps",
    "env",
    "user",
    "shell",
    "config",
    "vars",
    "writable",
    "tests",
    "info",
    "policy",
    "refresh",
    "repository",
];

/// An image's declaration in the file.
pub struct ImageNode<'a> {
    /// Its key under `images:`.
    pub key: &'a Key,
    /// Its name.
    pub name: ImageName,
    /// `None` if there is none, which is reported.
    pub node: Option<&'a Node>,
}

/// One image of one variant, with variables replaced; nothing is inherited yet.
#[derive(Debug)]
pub struct DeclaredImage {
    /// The name, and its key under `images:`.
    pub name: Spanned<ImageName>,
    /// `None` if it is missing or invalid, which is reported.
    pub base: Option<DeclaredBase>,
    /// `repository:`, or below the registry.
    pub repository: Option<Repository>,
    /// Every variable it can use.
    pub vars: BTreeMap<String, String>,
    /// `env:`.
    pub env: Env,
    /// `user:`.
    pub user: Option<String>,
    /// `shell:` of the image or the stack.
    pub shell: Option<Vec<String>>,
    /// Short keys first, then `steps:`.
    pub steps: Vec<Step>,
    /// `config:`.
    pub config: Config,
    /// `writable:` of the image.
    pub writable: Option<Writable>,
    /// `tags:` of the stack.
    pub tags: Vec<TagTemplate>,
    /// `refresh:`.
    pub refresh: Option<Refresh>,
    /// `tests:` of the image.
    pub tests: Vec<SuiteEntry>,
    /// `policy:` of the image.
    pub policy: Policy,
    /// `info:` of the image.
    pub info: Vec<InfoCommand>,
}

/// `base:`.
#[derive(Debug)]
pub enum DeclaredBase {
    /// An image that is in the stack and in this variant.
    InStack(Spanned<String>),
    /// Any other image.
    External(ExternalBase),
}

/// Reads one image.
struct ImageReader<'a> {
    scope: &'a Scope<'a>,
    reader: &'a Reader<'a>,
    paths: &'a Paths<'a>,
    image: &'a ImageNode<'a>,
    entries: &'a [Entry],
}

impl DeclaredImage {
    /// Reads an image; `all` are those of the whole spec. Returns `None` if it has no mapping to read.
    pub fn read(scope: &Scope, image: &ImageNode, all: &[ImageNode]) -> Option<Self> {
        let node = image.node?;
        let none = Variables::default();
        let plain = Reader::new(&none, scope.top.problems);
        let what = format!("image `{}`", image.name);
        let entries = plain.entries(node, &what)?;
        for entry in entries {
            let key = entry.key.text.as_str();
            if TO_COME.contains(&key) {
                report_to_come(&plain, key, entry.key.span);
            } else if !KEYS.contains(&key) {
                plain.unknown_key(&entry.key, &what, &KEYS);
            }
        }
        let vars = entries.iter().find(|entry| entry.key.text == "vars");
        let variables = scope.variables(Some((&image.name, vars.map(|entry| &entry.value))));
        let paths = Paths {
            files: scope.top.files,
            folder: Utf8Path::new("images").join(image.name.as_str()),
        };
        let reader = ImageReader {
            scope,
            reader: &Reader::new(&variables, scope.top.problems),
            paths: &paths,
            image,
            entries,
        };
        Some(reader.declared(all))
    }
}

impl<'a> ImageReader<'a> {
    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key.text == key)
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Reads the value of a key, if the image has it.
    fn read<T: Default>(&self, key: &str, read: impl Fn(&Reader, &Node) -> T) -> T {
        let node = self.get(key);
        node.map(|node| read(self.reader, node)).unwrap_or_default()
    }

    fn declared(&self, all: &[ImageNode]) -> DeclaredImage {
        let reader = self.reader;
        let base = self.base(all);
        let steps = self.steps();
        let shell = self.get("shell");
        let shell = shell.or_else(|| self.scope.top.fields.get("shell"));
        let shell = shell.and_then(|node| reader.texts(node, "`shell`"));
        let declarer = Declarer {
            image: Some(&self.image.name),
            shell: shell.as_ref(),
        };
        let policy =
            |reader: &Reader, node: &Node| policy::read(reader, node, policy::Owner::Image);
        let tags = self.scope.top.fields.get("tags");
        DeclaredImage {
            name: Spanned::new(self.image.name.clone(), self.image.key.span),
            base,
            repository: self.repository(),
            vars: reader.vars.values.clone(),
            env: self.read("env", env::read),
            user: self.read("user", |reader, node| reader.text(node, "`user`")),
            steps,
            config: self.read("config", config::read),
            writable: self.read("writable", writable::read),
            tags: tags
                .map(|node| tags::read(reader, node))
                .unwrap_or_default(),
            refresh: self.read("refresh", refresh),
            tests: self.read("tests", |reader, node| {
                suite::read(reader, self.paths, node, &declarer)
            }),
            policy: self.read("policy", policy),
            info: self.read("info", info::read),
            shell,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let step = StepReader {
            reader: self.reader,
            paths: self.paths,
        };
        let short = SHORT.iter().filter_map(|key| self.entry(key));
        let mut steps: Vec<Step> = short.filter_map(|entry| step.short(entry)).collect();
        if let Some(node) = self.get("steps") {
            steps.extend(step.steps(node));
        }
        steps
    }

    fn base(&self, all: &[ImageNode]) -> Option<DeclaredBase> {
        let reader = self.reader;
        let name = &self.image.name;
        let Some(node) = self.get("base") else {
            if self.get("dockerfile").is_none() {
                let what = format!("image `{name}`");
                reader.report(
                    Diagnostic::missing("base", &what, self.image.key.span)
                        .help("set it to an image of the stack, or of a registry with its tag"),
                );
            }
            return None;
        };
        reader.used.borrow_mut().clear();
        let text = reader.text(node, "`base`")?;
        let vars = reader.used.take();
        if all.iter().any(|image| image.name.as_str() == text) {
            if self.scope.images.contains(&text) {
                return Some(DeclaredBase::InStack(Spanned::new(text, node.span)));
            }
            reader.report(self.left_out(&text, node));
            return None;
        }
        if !text.contains(['/', ':', '@']) {
            let names: Vec<&str> = all.iter().map(|image| image.name.as_str()).collect();
            let problem = Diagnostic::unknown("image", &text, node.span, names.iter().copied());
            reader.report(if nearest(&text, names).is_some() {
                problem
            } else {
                let help = format!("write an image of a registry with its tag: `{text}:latest`");
                problem.help(help)
            });
            return None;
        }
        match Reference::parse(&text) {
            Ok(reference) => Some(DeclaredBase::External(ExternalBase {
                reference: Spanned::new(reference, node.span),
                vars,
            })),
            Err(error) => {
                let reason = error.to_string();
                let kind = "image reference";
                reader.report(Diagnostic::invalid(kind, &text, node.span, reason));
                None
            }
        }
    }

    fn left_out(&self, base: &str, node: &Node) -> Diagnostic {
        let name = &self.image.name;
        let key = self.scope.key;
        let variant = key.map(|key| key.text.as_str()).unwrap_or_default();
        let problem = Diagnostic::error(format!(
            "image `{name}` is based on `{base}`, which variant `{variant}` leaves out"
        ))
        .at(node.span, format!("`{base}` is not in the variant"))
        .help(format!("leave `{name}` out as well, or keep `{base}`"));
        match key {
            Some(key) => problem.also(key.span, "this variant"),
            None => problem,
        }
    }

    fn repository(&self) -> Option<Repository> {
        let registry = self.scope.top.registry;
        let Some(node) = self.get("repository") else {
            return registry?.join(self.image.name.as_str()).ok();
        };
        let text = self.reader.text(node, "`repository`")?;
        let host = text.split('/').next().unwrap_or_default();
        let parsed = if text.contains('/') && host.contains(['.', ':']) {
            Repository::parse(&text)
        } else {
            registry?.join(&text)
        };
        match parsed {
            Ok(repository) => Some(repository),
            Err(error) => {
                let reason = error.to_string();
                let problem = Diagnostic::invalid("repository", &text, node.span, reason);
                self.reader.report(problem);
                None
            }
        }
    }
}

fn refresh(reader: &Reader, node: &Node) -> Option<Refresh> {
    let known = [
        ("daily", Refresh::Daily),
        ("weekly", Refresh::Weekly),
        ("monthly", Refresh::Monthly),
    ];
    reader.one_of(node, "`refresh`", &known)
}
