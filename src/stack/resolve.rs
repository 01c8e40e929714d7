//! From [`Declarations`] to a [`Stack`]: images ordered after those they need, inheritance, and what
//! has to be unique.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::channels::{Channel, ChannelTag};
use super::config;
use super::declare::{Declarations, DeclaredVariant};
use super::declare_image::DeclaredImage;
use super::env_text::ProcessWords;
use super::gate_check::GateCheck;
use super::image_source::{DeclaredBase, ImageSource};
use super::info;
use super::model::{Base, Image, ImageId, Proof, Stack, Variant};
use super::order;
use super::policy;
use super::problems::Problems;
use super::scope::Overrides;
use super::steps::{Kind, Step};
use super::suite;
use super::writable::Writable;
use crate::diagnostic::Diagnostic;
use crate::list;
use crate::name::{ImageName, Repository, Tag, VariantName};
use crate::source::{Span, Spanned};
use crate::spec::Spec;
use crate::tags;

impl Declarations {
    /// Resolves all references. Returns `None` if the stack has no name; faults are reported.
    pub fn resolve(self, spec: &Spec, overrides: &Overrides, problems: &Problems) -> Option<Stack> {
        check_selected(&self.variants, overrides, problems);
        let mut unique = Unique::new(problems);
        let mut own = OwnTags {
            staging: self.staging.as_ref(),
            reported: BTreeSet::new(),
            problems,
        };
        let mut groups = MissingGroups::default();
        let mut gates = GateCheck::default();
        let mut images = Vec::new();
        let mut channels = Channels::new(problems);
        let mut variants = Vec::new();
        for (index, declared) in self.variants.into_iter().enumerate() {
            let is_selected = is_selected(&declared.variant, overrides);
            channels.add(index, &declared);
            let variant = declared.variant.clone();
            let moved = declared.channels.clone();
            let first = ImageId(images.len());
            let resolved = resolve_images(index, declared, first, problems);
            unique.add(&variant, &resolved);
            own.add(&moved, &resolved);
            groups.add(&resolved);
            gates.add(variant.name.as_ref(), &moved, &resolved);
            // A variant that is not selected is checked as well.
            if is_selected {
                // Those of a stack without variants stay where they are.
                if images.is_empty() {
                    images = resolved;
                } else {
                    images.reserve_exact(resolved.len());
                    images.extend(resolved);
                }
            }
            variants.push(variant);
        }
        groups.report(problems);
        gates.report(problems);
        Some(Stack {
            name: self.name?,
            registry: self.registry,
            staging: self.staging,
            build: self.build,
            compression: self.compression,
            variants,
            images,
            files: self.files,
            channels: channels.list,
            refs: self.refs,
            used_vars: self.used_vars,
            sources: Arc::new(spec.sources.clone()),
            warnings: Vec::new(),
        })
    }
}

fn is_selected(variant: &Variant, overrides: &Overrides) -> bool {
    let name = variant.name.as_ref().map(|name| name.as_str());
    overrides.variants.is_empty()
        || name.is_some_and(|name| overrides.variants.iter().any(|selected| selected == name))
}

/// Reports selected variants that do not exist.
fn check_selected(variants: &[DeclaredVariant], overrides: &Overrides, problems: &Problems) {
    let names = variants.iter().filter_map(|v| v.variant.name.as_ref());
    let known: Vec<&str> = names.map(|name| name.as_str()).collect();
    for selected in &overrides.variants {
        if !known.contains(&selected.as_str()) {
            problems.report(
                Diagnostic::error(format!("unknown variant `{selected}`"))
                    .did_you_mean(selected, known.iter().copied()),
            );
        }
    }
}

/// Returns the images of a variant, parents first; `first` is the id of the first one.
fn resolve_images(
    variant: usize,
    declared: DeclaredVariant,
    first: ImageId,
    problems: &Problems,
) -> Vec<Image> {
    let (suites, _) = suite::inherit(&[], &declared.tests, problems);
    let general = Proof {
        suites,
        dropped: Vec::new(),
        policy: declared.policy,
        info: declared.info,
    };
    let order = order::order(&declared.images, problems);
    let mut read: Vec<Option<DeclaredImage>> = declared.images.into_iter().map(Some).collect();
    let mut images: Vec<Image> = Vec::with_capacity(read.len());
    let mut places: HashMap<ImageName, usize> = HashMap::new();
    for index in order {
        let image = read[index].take().expect("each index is in the order once");
        let (base, inherited) = match image.base {
            // Reported already; without a base nothing can be inherited.
            None => continue,
            Some(DeclaredBase::Scratch) => (Base::Scratch, (&declared.writable, &general)),
            Some(DeclaredBase::Image(ImageSource::External(ref base))) => {
                let inherited = (&declared.writable, &general);
                (Base::External(base.clone()), inherited)
            }
            Some(DeclaredBase::Image(ImageSource::InStack(ref name))) => {
                // An image that is missing here is part of a cycle, which is reported.
                let Some(at) = places.get(&name.value).copied() else {
                    continue;
                };
                let parent = &images[at];
                if let Some(entrypoint) = shell_entrypoint(&images, at, first)
                    && let (Some(cmd), None) = (&image.config.cmd, &image.config.entrypoint)
                    && let Some(text) = cmd.texts().first()
                {
                    problems.report(config::ignored_cmd(text.span, entrypoint));
                }
                report_triggers(&image, parent, problems);
                let inherited = (&parent.writable, &parent.proof);
                (Base::Image(ImageId(first.0 + at)), inherited)
            }
        };
        let mut image = inherit(image, variant, base, inherited, problems);
        for name in names(image.copy_sources().into_values()) {
            if let Some(at) = places.get(&name).copied() {
                image.copied.insert(name, ImageId(first.0 + at));
            }
        }
        places.insert(image.name.value.clone(), images.len());
        images.push(image);
    }
    images
}

/// Reports an image whose base has `ONBUILD` in its Dockerfile: only another Dockerfile runs it.
fn report_triggers(image: &DeclaredImage, parent: &Image, problems: &Problems) {
    let is_dockerfile = |step: &Step| matches!(step.kind, Kind::Dockerfile(_));
    let runs_them = image.steps.first().is_some_and(is_dockerfile);
    let has_triggers = parent.dockerfile().filter(|file| file.has_triggers);
    let Some(file) = has_triggers.filter(|_| !runs_them && !image.config.ignores_triggers) else {
        return;
    };
    let (name, file) = (&parent.name.value, &file.file);
    problems.report(
        Diagnostic::error(format!("unsupported ONBUILD triggers in base `{name}`"))
            .at(image.name.span, "only images with a Dockerfile run them")
            .also(parent.name.span, format!("`ONBUILD` is in `{file}`"))
            .help("write them as `steps:`, and set `config: { onbuild: ignore }`"),
    );
}

/// Returns where the entrypoint that an image has is written, if that is a string.
fn shell_entrypoint(images: &[Image], at: usize, first: ImageId) -> Option<Span> {
    let image = &images[at];
    match (&image.config.entrypoint, &image.base) {
        (Some(ProcessWords::Shell(text)), _) => Some(text.span),
        (None, Base::Image(parent)) => shell_entrypoint(images, parent.0 - first.0, first),
        _ => None,
    }
}

/// Returns the names of those that are images of the stack.
fn names<'a>(sources: impl Iterator<Item = &'a ImageSource>) -> BTreeSet<ImageName> {
    let names = sources.filter_map(|source| match source {
        ImageSource::InStack(name) => Some(name.value.clone()),
        ImageSource::External(_) => None,
    });
    names.collect()
}

/// Returns an image with what it inherits from its base, or from the stack.
fn inherit(
    image: DeclaredImage,
    variant: usize,
    base: Base,
    inherited: (&Option<Writable>, &Proof),
    problems: &Problems,
) -> Image {
    let (writable, proof) = inherited;
    let (suites, dropped) = suite::inherit(&proof.suites, &image.tests, problems);
    Image {
        name: image.name,
        variant,
        base,
        copied: BTreeMap::new(),
        repository: image.repository,
        vars: image.vars,
        env: image.env,
        user: image.user,
        shell: image.shell,
        steps: image.steps,
        config: image.config,
        writable: match image.writable {
            Some(own) => own.resolved(writable.as_ref(), problems),
            None => writable.clone(),
        },
        tags: image.tags,
        refresh: image.refresh,
        proof: Proof {
            suites,
            dropped,
            policy: policy::inherit(&proof.policy, &image.policy),
            info: info::inherit(&proof.info, &image.info),
        },
    }
}

/// Finds policies of writable paths without a group, each with the images that have no group either.
#[derive(Default)]
struct MissingGroups(BTreeMap<Span, BTreeSet<String>>);

impl MissingGroups {
    fn add(&mut self, images: &[Image]) {
        for image in images {
            if let Some(policy) = &image.proof.policy.writable
                && policy.gid.is_none()
                && image.writable.is_none()
            {
                let names = self.0.entry(policy.span).or_default();
                names.insert(format!("`{}`", image.name.value));
            }
        }
    }

    fn report(self, problems: &Problems) {
        for (span, names) in self.0 {
            let names: Vec<String> = names.into_iter().collect();
            let label = match names.as_slice() {
                [name] => format!("image {name} has no `writable:` with a group"),
                names => format!("images without `writable:`: {}", list::of(names)),
            };
            problems.report(
                Diagnostic::error("missing `gid` in `writable` of `policy`")
                    .at(span, label)
                    .help("write `writable: { gid: 100, paths: […] }` here, or add `writable:` to the stack"),
            );
        }
    }
}

/// Collects channels, and reports tags that two of them move.
struct Channels<'p> {
    list: Vec<Channel>,
    /// Who moves a tag.
    taken: BTreeMap<Tag, TakenTag>,
    problems: &'p Problems,
}

struct TakenTag {
    channel: String,
    variant: String,
    span: Span,
}

impl<'p> Channels<'p> {
    fn new(problems: &'p Problems) -> Self {
        Self {
            list: Vec::new(),
            taken: BTreeMap::new(),
            problems,
        }
    }

    fn add(&mut self, index: usize, declared: &DeclaredVariant) {
        let name = declared.variant.name.as_ref();
        let variant = name.map(ToString::to_string).unwrap_or_default();
        for tag in &declared.channels {
            if let Some(taken) = self.taken.get(&tag.tag) {
                self.report(taken, tag, &variant);
                continue;
            }
            let taken = TakenTag {
                channel: tag.channel.name.clone(),
                variant: variant.clone(),
                span: tag.span,
            };
            self.taken.insert(tag.tag.clone(), taken);
            let known = self.list.iter_mut();
            match known.into_iter().find(|c| c.name == tag.channel.name) {
                Some(channel) => {
                    channel.tags.insert(index, tag.tag.clone());
                }
                None => {
                    let mut channel = tag.channel.clone();
                    channel.tags.insert(index, tag.tag.clone());
                    self.list.push(channel);
                }
            }
        }
    }

    fn report(&self, taken: &TakenTag, tag: &ChannelTag, variant: &str) {
        let text = &tag.tag;
        let problem = if taken.span == tag.span {
            let label = format!("the same in variants `{}` and `{variant}`", taken.variant);
            Diagnostic::error(format!("tag `{text}` would point at two different images"))
                .at(tag.span, label)
                .help("add `${series}`, or set `variant:` to the variant it belongs to")
        } else {
            let (first, second) = (&taken.channel, &tag.channel.name);
            Diagnostic::error(format!(
                "channels `{first}` and `{second}` move the same tag `{text}`"
            ))
            .at(tag.span, "moved again here")
            .also(taken.span, "first moved here")
        };
        self.problems.report(problem);
    }
}

/// Reports tags of an image in the staging repository that laminate could set there.
struct OwnTags<'a> {
    staging: Option<&'a Repository>,
    reported: BTreeSet<Span>,
    problems: &'a Problems,
}

impl OwnTags<'_> {
    fn add(&mut self, channels: &[ChannelTag], images: &[Image]) {
        let is_there = |image: &&Image| {
            image.repository.is_some() && image.repository.as_ref() == self.staging
        };
        for image in images.iter().filter(is_there) {
            let fixed = image
                .tags
                .iter()
                .filter_map(|tag| Some((tag.example().ok()?, tag.span)));
            let moved = channels
                .iter()
                .map(|channel| (channel.tag.clone(), channel.span));
            for (tag, span) in fixed.chain(moved) {
                let names = channels.iter().map(|channel| channel.channel.name.as_str());
                if !tags::is_own(&tag, names) || !self.reported.insert(span) {
                    continue;
                }
                let name = &image.name.value;
                self.problems.report(
                    Diagnostic::error("laminate has tags like this in the staging repository")
                        .at(span, format!("also on image `{name}`"))
                        .also(
                            image.name.span,
                            "this image is published in the staging repository",
                        )
                        .help("use another tag, or set `staging:` to another repository"),
                );
            }
        }
    }
}

/// Reports repositories and immutable tags that two images have.
struct Unique<'p> {
    repositories: HashMap<Repository, Spanned<ImageName>>,
    /// By image and tag: the variant that has it, in a stack with variants.
    tags: HashMap<(ImageName, Tag), VariantName>,
    problems: &'p Problems,
}

impl<'p> Unique<'p> {
    fn new(problems: &'p Problems) -> Self {
        Self {
            repositories: HashMap::new(),
            tags: HashMap::new(),
            problems,
        }
    }

    fn add(&mut self, variant: &Variant, images: &[Image]) {
        for image in images {
            self.add_repository(image);
        }
        for image in images {
            self.add_tags(variant, image);
        }
    }

    fn add_repository(&mut self, image: &Image) {
        let Some(repository) = &image.repository else {
            return;
        };
        let first = self.repositories.entry(repository.clone());
        let first = first.or_insert_with(|| image.name.clone());
        if first.value != image.name.value {
            let (a, b) = (&first.value, &image.name.value);
            self.problems.report(
                Diagnostic::error(format!(
                    "images `{a}` and `{b}` have the same repository `{repository}`"
                ))
                .at(image.name.span, "second image")
                .also(first.span, "first image")
                .help("remove or change one `repository:`"),
            );
        }
    }

    fn add_tags(&mut self, variant: &Variant, image: &Image) {
        let mut own: BTreeMap<Tag, Span> = BTreeMap::new();
        for template in &image.tags {
            let text = template.to_string();
            let span = template.span;
            let tag = match template.example() {
                Ok(tag) => tag,
                Err(error) => {
                    let reason = error.to_string();
                    self.problems
                        .report(Diagnostic::invalid("tag", &text, span, reason));
                    continue;
                }
            };
            if let Some(first) = own.insert(tag.clone(), span) {
                self.problems
                    .report(Diagnostic::duplicate("tag", &text, span, first));
                continue;
            }
            let Some(second) = &variant.name else {
                continue;
            };
            let key = (image.name.value.clone(), tag);
            let first = self.tags.entry(key).or_insert_with(|| second.clone());
            if first != second {
                let label = format!("the same in variants `{first}` and `{second}`");
                self.problems.report(
                    Diagnostic::error(format!("tag `{text}` would point at two different images"))
                        .at(span, label)
                        .help("add `${series}` or `${variant}`"),
                );
            }
        }
    }
}
