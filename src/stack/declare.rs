//! What a spec declares, before anything is resolved: each variant with its variables replaced.
//!
//! [`Declarations::read`] reads the tree; names refer to nothing yet, and nothing is inherited.
//! `resolve` makes a `Stack` of it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::channels::{self, ChannelTag};
use super::compression::{self, Compression};
use super::declare_image::{DeclaredImage, ImageNode, add_triggered_files, known_image};
use super::image_nodes::ImageNodes;
use super::image_source::KnownImages;
use super::info::{self, InfoCommand};
use super::keys::{NOT_OF_SPEC, SPEC_KEYS};
use super::model::{Build, Variant};
use super::paths::Paths;
use super::policy::{self, Policy, Refs};
use super::problems::Problems;
use super::reader::{Fields, Reader};
use super::scope::{Overrides, Scope, Top, VariableNames};
use super::suite::{self, Declarer, SuiteEntry};
use super::url;
use super::variables::{BUILT_IN, Variables};
use super::variant_node::{self, VariantNode};
use super::writable::{self, Writable};
use crate::diagnostic::Diagnostic;
use crate::name::{Repository, StackName};
use crate::source::Spanned;
use crate::spec::Spec;
use crate::spec::node::{Node, Value};
use crate::spec::tree::Files;

/// What a spec declares. `None` stands for something that is missing or invalid, which is reported.
#[derive(Debug)]
pub struct Declarations {
    /// `stack:`.
    pub name: Option<StackName>,
    /// `registry:`, or that of the command line.
    pub registry: Option<Repository>,
    /// `staging:`, or that of the command line, or below the registry.
    pub staging: Option<Repository>,
    /// `build:`.
    pub build: Build,
    /// `compression:`.
    pub compression: Compression,
    /// `policy.refs`.
    pub refs: Refs,
    /// Names of the variables that the spec declares and uses.
    pub used_vars: BTreeSet<String>,
    /// In the order of the file; one without a name if the spec has none.
    pub variants: Vec<DeclaredVariant>,
    /// The files that their steps and suites use.
    pub files: Files,
}

/// One variant: the whole spec with its variables replaced.
#[derive(Debug)]
pub struct DeclaredVariant {
    /// Name and series.
    pub variant: Variant,
    /// `tests:` of the stack.
    pub tests: Vec<SuiteEntry>,
    /// `policy:` of the stack.
    pub policy: Policy,
    /// `info:` of the stack.
    pub info: Vec<InfoCommand>,
    /// `writable:` of the stack.
    pub writable: Option<Writable>,
    /// `channels:`.
    pub channels: Vec<ChannelTag>,
    /// In the order of the file, without those the variant leaves out.
    pub images: Vec<DeclaredImage>,
}

/// Reads the settings of the whole spec.
struct SpecReader<'a> {
    spec: &'a Spec,
    overrides: &'a Overrides,
    /// Names of variables that were used so far.
    used: RefCell<BTreeSet<String>>,
    problems: &'a Problems,
    top: Fields<'a>,
    /// Without variables.
    reader: Reader<'a>,
}

impl Declarations {
    /// Reads a spec. Returns `None` if it is not a mapping.
    pub fn read(spec: &Spec, overrides: &Overrides, problems: &Problems) -> Option<Self> {
        let none = Variables::default();
        let reader = Reader::new(&none, problems);
        let reader = SpecReader {
            top: reader.fields_or_hint(
                spec.root.as_ref()?,
                "the spec",
                &SPEC_KEYS,
                &NOT_OF_SPEC,
            )?,
            spec,
            overrides,
            used: RefCell::default(),
            problems,
            reader,
        };
        Some(reader.declarations())
    }
}

impl<'a> SpecReader<'a> {
    fn declarations(&self) -> Declarations {
        let name = self.name();
        let (registry, staging) = self.registry(name.as_ref());
        let nodes = self.image_nodes();
        let images = nodes.read();
        let names = images.iter().map(|image| image.name.to_string()).collect();
        let variants = variant_node::read(&self.reader, &self.top, names);
        let names = VariableNames::new(variable_names(&self.top, &images, &variants));
        self.check_overrides(&names.everywhere);
        let read = |variant: &VariantNode| {
            self.declare(variant, &variants, &images, &names, registry.as_ref())
        };
        let variants: Vec<DeclaredVariant> = variants.iter().map(read).collect();
        let conditions = &self.problems.conditions;
        for warning in conditions.warnings(&self.overrides.vars, &names.everywhere) {
            self.problems.report(warning);
        }
        let files = used_files(&self.spec.files, &variants);
        nodes.check_folders(&images, &files);
        for node in self
            .spec
            .root
            .iter()
            .chain(self.spec.images.values().flatten())
        {
            url::find_all(node, &mut |span| self.problems.report(url::in_url(span)));
        }
        Declarations {
            name,
            registry,
            staging,
            build: self.build(),
            compression: compression::read(&self.reader, &self.top),
            refs: self.refs(),
            // Not those that laminate sets itself.
            used_vars: (self.used.take().intersection(&names.everywhere).cloned()).collect(),
            variants,
            files,
        }
    }

    /// Reads all settings of one variant.
    fn declare(
        &self,
        node: &VariantNode,
        variants: &[VariantNode],
        images: &[ImageNode],
        names: &VariableNames,
        registry: Option<&Repository>,
    ) -> DeclaredVariant {
        let top = Top {
            fields: &self.top,
            files: &self.spec.files,
            overrides: self.overrides,
            used: &self.used,
            problems: self.problems,
            names,
            registry,
        };
        let scope = Scope {
            top: &top,
            variant: &node.variant,
            key: node.key,
            vars: node.vars,
            images: &node.images,
            known: &KnownImages::default(),
        };
        let known = images.iter().map(|image| known_image(&scope, image));
        let known = KnownImages::new(known.collect());
        let scope = Scope {
            known: &known,
            ..scope
        };
        let variables = scope.variables(None);
        let reader = Reader::new(&variables, self.problems);
        let paths = Paths {
            files: &self.spec.files,
            folder: Utf8PathBuf::from("images"),
        };
        let shell = self.top.get("shell");
        let shell = shell.and_then(|node| reader.texts(node, "`shell`"));
        let declarer = Declarer {
            image: None,
            shell: shell.as_ref(),
        };
        let tests = self.top.get("tests");
        let policy = self.top.get("policy");
        let info = self.top.get("info");
        let writable = self.top.get("writable");
        let channels = self.top.get("channels");
        let names = variants.iter().filter_map(|v| v.variant.name.as_ref());
        let known = channels::ReferableNames {
            images: images.iter().map(|image| image.name.as_str()).collect(),
            variants: names.map(|name| name.as_str()).collect(),
            variant: node.variant.name.as_ref().map(|name| name.as_str()),
        };
        let images = images.iter();
        let images = images.filter(|image| node.images.contains(image.name.as_str()));
        let images: Vec<&ImageNode> = images.collect();
        let mut images = DeclaredImage::read_all(&scope, &images);
        add_triggered_files(&mut images, &reader, &paths);
        let declared = DeclaredVariant {
            variant: node.variant.clone(),
            tests: tests
                .map(|node| suite::read(&reader, &paths, node, &declarer))
                .unwrap_or_default(),
            policy: policy
                .map(|node| policy::read(&reader, node, policy::Owner::Stack))
                .unwrap_or_default(),
            info: info
                .map(|node| info::read(&reader, node))
                .unwrap_or_default(),
            writable: writable.and_then(|node| writable::read(&reader, node)),
            channels: channels
                .map(|node| channels::read(&reader, node, &known))
                .unwrap_or_default(),
            images,
        };
        self.used.borrow_mut().extend(variables.used());
        declared
    }

    fn name(&self) -> Option<StackName> {
        let Some(node) = self.top.get("stack") else {
            if self.top.is_misspelt(&["stack"]) {
                return None;
            }
            let span = self.top.span.first_byte();
            let problem = Diagnostic::missing("stack", "the spec", span);
            self.problems.report(problem.help("add `stack: NAME`"));
            return None;
        };
        let text = self.reader.text(node, "`stack`")?;
        match StackName::parse(&text) {
            Ok(name) => Some(name),
            Err(error) => {
                let reason = error.to_string();
                let problem = Diagnostic::invalid("stack name", &text, node.span, reason);
                self.problems.report(problem);
                None
            }
        }
    }

    /// Returns the registry and the staging repository.
    fn registry(&self, name: Option<&StackName>) -> (Option<Repository>, Option<Repository>) {
        let registry = self.repository("registry", self.overrides.registry.as_deref());
        // Another registry has another staging repository, unless that is given as well.
        let is_moved = self.overrides.registry.is_some() && self.overrides.staging.is_none();
        let staging = if is_moved {
            None
        } else {
            self.repository("staging", self.overrides.staging.as_deref())
        };
        let staging = staging.or_else(|| registry.as_ref()?.join(name?.as_str()).ok());
        (registry, staging)
    }

    fn repository(&self, key: &str, given: Option<&str>) -> Option<Repository> {
        let (text, node) = match (given, self.top.get(key)) {
            (Some(text), _) => (text.to_owned(), None),
            (None, Some(node)) => (self.reader.text(node, &format!("`{key}`"))?, Some(node)),
            (None, None) => return None,
        };
        let reason = match Repository::parse(&text) {
            Ok(repository) if Repository::names_host(&text) => return Some(repository),
            Ok(_) => "expected HOST/NAMESPACE, for example `ghcr.io/campus`".to_owned(),
            Err(error) => error.to_string(),
        };
        self.problems.report(match node {
            Some(node) => Diagnostic::invalid(key, &text, node.span, reason),
            None => Diagnostic::error(format!("invalid --{key} `{text}`: {reason}")),
        });
        None
    }

    fn build(&self) -> Build {
        let mut build = Build::default();
        if let Some(node) = self.top.get("build")
            && let Some(fields) = self.reader.fields(node, "`build`", &["ca"])
            && let Some(node) = fields.get("ca")
        {
            let path = self.reader.text(node, "`ca`").map(Utf8PathBuf::from);
            let path = path.filter(|path| self.is_inside(path, node));
            build.ca = path.map(|path| Spanned::new(path, node.span));
        }
        build
    }

    /// Whether a path stays in the folder of the spec; reports if not. Who writes a spec must not have
    /// other files of this machine shown to steps.
    fn is_inside(&self, path: &Utf8Path, node: &Node) -> bool {
        let mut depth = 0_i32;
        let mut inside = true;
        for part in path.components() {
            depth += match part {
                Utf8Component::Normal(_) => 1,
                Utf8Component::CurDir => 0,
                Utf8Component::ParentDir => -1,
                Utf8Component::RootDir | Utf8Component::Prefix(_) => i32::MIN / 2,
            };
            inside &= depth >= 0;
        }
        if !inside {
            let problem = Diagnostic::error(format!("path `{path}` leaves the folder of the spec"));
            let problem = problem.at(node.span, "certificates of a spec must be in its folder");
            self.problems
                .report(problem.help("pass the file with --ca"));
        }
        inside
    }

    fn refs(&self) -> Refs {
        let policy = self.top.get("policy").map(|node| &node.value);
        let Some(Value::Map(entries)) = policy else {
            return Refs::default();
        };
        let entry = entries.iter().find(|entry| entry.key.text == "refs");
        entry
            .map(|entry| policy::refs(&self.reader, &entry.value))
            .unwrap_or_default()
    }

    fn image_nodes(&self) -> ImageNodes<'_, 'a> {
        ImageNodes {
            spec: self.spec,
            top: &self.top,
            reader: &self.reader,
            problems: self.problems,
        }
    }

    fn check_overrides(&self, everywhere: &BTreeSet<String>) {
        for name in self.overrides.vars.keys() {
            if BUILT_IN.contains(&name.as_str()) {
                self.problems.report(
                    Diagnostic::error(format!("cannot set variable `{name}` by --var"))
                        .help("remove the option: laminate sets this variable"),
                );
            } else if !everywhere.contains(name) {
                let known = everywhere.iter().map(String::as_str);
                self.problems.report(
                    Diagnostic::warning(format!(
                        "unused variable `{name}` of --var or LAMINATE_VAR_{name}: the spec declares no such variable"
                    ))
                    .help("declare it in `vars:`, or do not set it")
                    .did_you_mean(name, known),
                );
            }
        }
    }
}

/// Returns the files that steps and suites of the variants use.
fn used_files(all: &Files, variants: &[DeclaredVariant]) -> Files {
    let mut used: Vec<&Utf8Path> = Vec::new();
    let mut tests = BTreeSet::new();
    for variant in variants {
        for image in &variant.images {
            for step in &image.steps {
                let mut files = step.files();
                if let crate::stack::Kind::Dockerfile(file) = &step.kind {
                    files.extend(file.folders.values().map(|context| &context.folder));
                }
                used.extend(files.into_iter().map(|path| path.as_path()));
            }
        }
        let images = variant.images.iter().flat_map(|image| &image.tests);
        for entry in variant.tests.iter().chain(images) {
            entry.collect_paths(&mut tests);
        }
    }
    for path in tests {
        used.push(path);
        used.extend(all.below(path).map(|(path, _)| path.as_path()));
    }
    all.only(used)
}

/// Returns the names of variables that are declared anywhere.
fn variable_names(
    top: &Fields,
    images: &[ImageNode],
    variants: &[VariantNode],
) -> BTreeSet<String> {
    let of_images = images.iter().filter_map(|image| image.entry("vars"));
    let of_images = of_images.map(|entry| &entry.value);
    let of_variants = variants.iter().filter_map(|variant| variant.vars);
    let all = top
        .get("vars")
        .into_iter()
        .chain(of_variants)
        .chain(of_images);
    all.flat_map(|node| node.entries())
        .map(|entry| entry.key.text.clone())
        .collect()
}
