//! One image as declared in one variant.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::config::{self, Config};
use super::env::{self, Env};
use super::env_text::EnvString;
use super::image_names::{ImageNames, Use};
use super::image_source::{DeclaredBase, ImageSource, KnownImage};
use super::info::{self, InfoCommand};
use super::keys::{IMAGE_KEYS, NOT_OF_IMAGE};
use super::model::Refresh;
use super::paths::Paths;
use super::policy::{self, Policy};
use super::problems::Problems;
use super::reader::Reader;
use super::scope::{Scope, Top};
use super::steps::{
    Dockerfile, Kind, SHORT, Step, StepReader, TO_COME, read_dockerfile, report_to_come,
};
use super::suite::{self, Declarer, SuiteEntry};
use super::tags::{self, TagTemplate};
use super::variables::Variables;
use super::writable::{self, ImageWritable};
use crate::diagnostic::{Diagnostic, nearest};
use crate::name::{ImageName, Repository};
use crate::parallel;
use crate::source::Spanned;
use crate::spec::node::{Entry, Key, Node};

/// So many images are read before they are put into one list: they have about 1 KiB each.
const AT_ONCE: usize = 1024;

/// An image's declaration in the file.
pub struct ImageNode<'a> {
    /// Its key under `images:`.
    pub key: &'a Key,
    /// Its name.
    pub name: ImageName,
    /// `None` if there is none, which is reported.
    pub node: Option<&'a Node>,
}

impl<'a> ImageNode<'a> {
    /// Returns a key with its value.
    pub fn entry(&self, key: &str) -> Option<&'a Entry> {
        let mut entries = self.node.map(Node::entries).unwrap_or_default().iter();
        entries.find(|entry| entry.key.text == key)
    }
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
    pub user: Option<EnvString>,
    /// `shell:` of the image or the stack.
    pub shell: Option<Vec<String>>,
    /// Short keys first, then `steps:`, then the folder of `config: { workdir: … }`.
    pub steps: Vec<Step>,
    /// `config:`.
    pub config: Config,
    /// `writable:` of the image.
    pub writable: Option<ImageWritable>,
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

/// Reads one image.
struct ImageReader<'a> {
    scope: &'a Scope<'a>,
    reader: &'a Reader<'a>,
    paths: &'a Paths<'a>,
    image: &'a ImageNode<'a>,
    entries: &'a [Entry],
}

impl DeclaredImage {
    /// Returns its Dockerfile.
    fn dockerfile_mut(&mut self) -> Option<&mut Dockerfile> {
        match &mut self.steps.first_mut()?.kind {
            Kind::Dockerfile(file) => Some(file),
            _ => None,
        }
    }

    /// Reads images on all processors; those without a mapping to read are left out.
    pub fn read_all(scope: &Scope, images: &[&ImageNode]) -> Vec<Self> {
        // What cannot be shared by threads is left out.
        let &Top {
            fields,
            files,
            overrides,
            names,
            registry,
            ..
        } = scope.top;
        let &Scope {
            variant,
            key,
            vars,
            images: of_variant,
            known,
            ..
        } = scope;
        let alone = |image: &&ImageNode| {
            // Faults are reported in the order of the file, and the texts that they are in have numbers: an image with a
            // fault or a Dockerfile is read below.
            if image.entry("dockerfile").is_some() {
                return None;
            }
            let (problems, used) = (Problems::default(), RefCell::default());
            let top = Top {
                fields,
                files,
                overrides,
                problems: &problems,
                names,
                used: &used,
                registry,
            };
            let scope = Scope {
                top: &top,
                variant,
                key,
                vars,
                images: of_variant,
                known,
            };
            let read = Self::read(&scope, image);
            // In a box: the results are moved more than once.
            let is_good = problems.is_empty();
            is_good.then(|| Box::new((read, used.into_inner(), problems.conditions)))
        };
        let mut all = Vec::with_capacity(images.len());
        for part in images.chunks(AT_ONCE) {
            let results = parallel::map(part, alone).into_iter().zip(part);
            all.extend(results.filter_map(|(result, image)| match result {
                Some(result) => {
                    let (read, used, conditions) = *result;
                    scope.top.used.borrow_mut().extend(used);
                    scope.top.problems.conditions.merge(conditions);
                    read
                }
                None => Self::read(scope, image),
            }));
        }
        all
    }

    /// Reads an image. Returns `None` if it has no mapping to read.
    fn read(scope: &Scope, image: &ImageNode) -> Option<Self> {
        let node = image.node?;
        let none = Variables::default();
        let plain = Reader::new(&none, scope.top.problems);
        let what = format!("image `{}`", image.name);
        let entries = plain.entries(node, &what)?;
        #[cfg(test)]
        super::schema::note("an image", &IMAGE_KEYS);
        for entry in entries {
            let key = entry.key.text.as_str();
            #[cfg(test)]
            super::schema::note_found("an image", key);
            if TO_COME.contains(&key) {
                report_to_come(&plain, key, entry.key.span);
            } else if !IMAGE_KEYS.contains(&key) {
                plain.unknown_key(&entry.key, &what, &IMAGE_KEYS, &NOT_OF_IMAGE);
            }
        }
        let vars = image.entry("vars");
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
        let declared = reader.declared();
        scope.top.used.borrow_mut().extend(variables.used());
        Some(Self {
            vars: variables.values,
            ..declared
        })
    }
}

impl<'a> ImageReader<'a> {
    fn get(&self, key: &str) -> Option<&'a Node> {
        self.image.entry(key).map(|entry| &entry.value)
    }

    /// Reads the value of a key, if the image has it.
    fn read<T: Default>(&self, key: &str, read: impl Fn(&Reader, &Node) -> T) -> T {
        let node = self.get(key);
        node.map(|node| read(self.reader, node)).unwrap_or_default()
    }

    /// Returns the image without its variables.
    fn declared(&self) -> DeclaredImage {
        let reader = self.reader;
        let (base, mut steps) = self.base_and_steps();
        let config: Config = self.read("config", config::read);
        if let Some(workdir) = config.workdir.clone().filter(|it| it.plain() != Some("/")) {
            steps.push(Step::workdir(workdir));
        }
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
            vars: BTreeMap::new(),
            env: self.read("env", env::read),
            user: self.read("user", config::user),
            steps,
            config,
            writable: self.read("writable", writable::read_image),
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

    /// Returns the base and the steps. A Dockerfile is both: it names the base, and is the first step.
    fn base_and_steps(&self) -> (Option<DeclaredBase>, Vec<Step>) {
        let step = StepReader {
            reader: self.reader,
            paths: self.paths,
            images: &self.images(),
        };
        let Some(entry) = self.image.entry("dockerfile") else {
            return (self.base().map(DeclaredBase::Image), self.steps(&step));
        };
        if let Some(base) = self.image.entry("base") {
            let keys = [entry, base].map(|it| (it.key.text.as_str(), it.key.span));
            let what = format!("image `{}`", self.image.name);
            let problem = Diagnostic::conflict(keys[0], keys[1], &what);
            self.reader
                .report(problem.help("remove `base`: the Dockerfile names it after `FROM`"));
            return (None, self.steps(&step));
        }
        let read = read_dockerfile(&step, entry);
        let base = read.as_ref().map(|read| read.base.clone());
        let first = read.map(Step::dockerfile);
        let steps = first.into_iter().chain(self.steps(&step));
        (base, steps.collect())
    }

    fn steps(&self, step: &StepReader) -> Vec<Step> {
        let short = SHORT.iter().filter_map(|key| self.image.entry(key));
        let mut steps: Vec<Step> = short.filter_map(|entry| step.short(entry)).collect();
        if let Some(node) = self.get("steps") {
            steps.extend(step.steps(node));
        }
        // Large stacks keep thousands of these lists.
        steps.shrink_to_fit();
        steps
    }

    fn base(&self) -> Option<super::ImageSource> {
        let name = &self.image.name;
        if let Some(node) = self.get("base") {
            return self.images().read(self.reader, node, Use::Base);
        }
        let mut keys = self.entries.iter().map(|entry| entry.key.text.as_str());
        let stands_for_base = |key| {
            let meant = || nearest(key, IMAGE_KEYS);
            !IMAGE_KEYS.contains(&key) && matches!(meant(), Some("base" | "dockerfile"))
        };
        if !keys.any(stands_for_base) {
            let what = format!("image `{name}`");
            self.reader.report(
                Diagnostic::missing("base", &what, self.image.key.span)
                    .help("set it to an image of the stack, or of a registry with its tag"),
            );
        }
        None
    }

    fn images(&self) -> ImageNames<'a> {
        ImageNames {
            known: self.scope.known,
            images: self.scope.images,
            variant: self.scope.key,
            image: &self.image.name,
        }
    }

    fn repository(&self) -> Option<Repository> {
        let Some(node) = self.get("repository") else {
            let known = self.scope.known.named(self.image.name.as_str());
            return known?.repository.clone();
        };
        repository(self.scope, self.reader, node)
    }
}

/// Returns an image of the spec as others of the variant can name it. Faults are reported when the image
/// is read.
pub fn known_image(scope: &Scope, image: &ImageNode) -> KnownImage {
    let get = |key: &str| image.entry(key).map(|entry| &entry.value);
    let name = image.name.clone();
    let Some(node) = get("repository") else {
        let registry = scope.top.registry;
        let repository = registry.and_then(|registry| registry.join(name.as_str()).ok());
        return KnownImage { name, repository };
    };
    let ignored = Problems::default();
    let top = Top {
        problems: &ignored,
        ..*scope.top
    };
    let scope = Scope {
        top: &top,
        ..*scope
    };
    let variables = scope.variables(Some((&image.name, get("vars"))));
    let reader = Reader::new(&variables, &ignored);
    let repository = repository(&scope, &reader, node);
    KnownImage { name, repository }
}

/// Returns where an image is published by its `repository:`.
fn repository(scope: &Scope, reader: &Reader, node: &Node) -> Option<Repository> {
    let registry = scope.top.registry;
    let text = reader.text(node, "`repository`")?;
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
            reader.report(problem);
            None
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

/// Gives Dockerfiles all files of their contexts if a trigger of their base copies some: which ones is known to the engine.
pub fn add_triggered_files(images: &mut [DeclaredImage], reader: &Reader, paths: &Paths) {
    let mut triggering = BTreeSet::new();
    for image in images.iter_mut() {
        let name = image.name.value.clone();
        if image
            .dockerfile_mut()
            .is_some_and(|file| file.triggers_copy)
        {
            triggering.insert(name);
        }
    }
    for image in images {
        let is_triggered = match &image.base {
            Some(DeclaredBase::Image(ImageSource::InStack(base))) => {
                triggering.contains(&base.value)
            }
            _ => false,
        };
        let span = image.name.span;
        let Some(file) = image.dockerfile_mut() else {
            continue;
        };
        let whole = std::mem::take(&mut file.whole);
        if is_triggered {
            let is_copied = |path: &Utf8PathBuf| {
                let found = paths.files.get(path);
                found.is_some_and(|found| paths.is_copied(reader, path, found, span))
            };
            let files = whole.into_iter().filter(|(_, path)| is_copied(path));
            file.files = files.collect();
        }
    }
}
