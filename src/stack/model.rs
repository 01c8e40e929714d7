//! The resolved stack: what `plan`, `compile` and everything after them read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Index;
use std::sync::Arc;

use camino::Utf8PathBuf;

use super::channels::Channel;
use super::compression::Compression;
use super::config::Config;
use super::env::Env;
use super::env_text::EnvString;
use super::image_source::{ExternalImage, ImageSource};
use super::info::InfoCommand;
use super::policy::{Policy, Refs};
use super::steps::{Dockerfile, Kind, Step};
use super::suite::{Dropped, Suite};
use super::tags::TagTemplate;
use super::writable::Writable;
use crate::diagnostic::Diagnostic;
use crate::name::{ImageName, Reference, Repository, StackName, VariantName};
use crate::source::{Sources, Spanned};
use crate::spec::tree::Files;

/// All images of one `specs.yml`. Nothing in it is invalid.
#[derive(Clone, Debug)]
pub struct Stack {
    /// `stack:`
    pub(super) name: StackName,
    /// `<host>/<namespace>` the images go to, `ghcr.io/ucsd-ets`; `None`: nothing is published.
    pub(super) registry: Option<Repository>,
    /// Where layers and documents of runs are kept; by default `<registry>/<stack>`.
    pub(super) staging: Option<Repository>,
    /// `build:`.
    pub(super) build: Build,
    /// `compression:`.
    pub(super) compression: Compression,
    /// In the order of the file; one without a name if the spec has none.
    pub(super) variants: Vec<Variant>,
    /// Parents before children; the images of one variant together, in the order of `variants`.
    pub(super) images: Vec<Image>,
    /// Every file under `images/` that an image uses, by its path relative to the folder of
    /// `specs.yml`.
    pub(super) files: Files,
    /// In the order of the file.
    pub(super) channels: Vec<Channel>,
    /// Which git refs can write what.
    pub(super) refs: Refs,
    /// Names of the variables that the spec declares and uses.
    pub(super) used_vars: BTreeSet<String>,
    /// The texts all spans refer to.
    pub(super) sources: Arc<Sources>,
    /// What is allowed but probably not intended.
    pub(super) warnings: Vec<Diagnostic>,
}

impl Index<ImageId> for Stack {
    type Output = Image;

    fn index(&self, id: ImageId) -> &Image {
        &self.images[id.0]
    }
}

impl Stack {
    /// Returns the stack's name (`stack:`).
    pub fn name(&self) -> &StackName {
        &self.name
    }

    /// Returns `<host>/<namespace>` the images go to; `None` if nothing is published.
    pub fn registry(&self) -> Option<&Repository> {
        self.registry.as_ref()
    }

    /// Returns the repository of layers and documents; by default `<registry>/<stack>`.
    pub fn staging(&self) -> Option<&Repository> {
        self.staging.as_ref()
    }

    /// Returns how steps use the network (`build:`).
    pub fn build(&self) -> &Build {
        &self.build
    }

    /// Returns how new layers are stored (`compression:`).
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns the variants in the order of the file; one without a name if the spec has none.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// Returns every file under `images/` that an image uses.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Returns the files for a test that changes them.
    #[cfg(test)]
    pub fn files_mut(&mut self) -> &mut Files {
        &mut self.files
    }

    /// Returns the channels in the order of the file.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Returns which git refs can write what (`policy.refs`).
    pub fn refs(&self) -> &Refs {
        &self.refs
    }

    /// Returns the names of the variables that the spec declares and uses. Only their values are stored.
    pub fn used_vars(&self) -> &BTreeSet<String> {
        &self.used_vars
    }

    /// Sets the folder of the spec as the user gets there, for messages.
    pub fn with_folder(mut self, folder: &str) -> Self {
        Arc::make_mut(&mut self.sources).set_folder(folder);
        self
    }

    /// Returns the texts all spans refer to.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Returns what is allowed but probably not intended.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Returns all images, parents before children; the images of one variant are together.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Returns an image of this stack.
    pub fn image(&self, id: ImageId) -> &Image {
        &self[id]
    }

    /// Returns the ids of all images, parents before children.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ImageId> + use<> {
        (0..self.images.len()).map(ImageId)
    }

    /// Returns an image's name for people: with its variant before it if the stack has variants.
    pub fn label(&self, id: ImageId) -> String {
        self.label_of(&self[id])
    }

    /// Returns the label of an image of this stack.
    pub fn label_of(&self, image: &Image) -> String {
        match &self.variants[image.variant].name {
            Some(variant) => format!("{variant}/{}", image.name.value),
            None => image.name.value.to_string(),
        }
    }

    /// Returns the image's base if that is an image of the stack.
    pub fn base(&self, id: ImageId) -> Option<ImageId> {
        match &self[id].base {
            Base::Image(base) => Some(*base),
            Base::External(_) | Base::Scratch => None,
        }
    }

    /// Returns the images of the stack an image is based on, its base first.
    pub fn ancestors(&self, id: ImageId) -> impl Iterator<Item = ImageId> {
        std::iter::successors(self.base(id), |id| self.base(*id))
    }

    /// Returns the images of the stack that an image needs: its base, and those it copies from.
    pub fn dependencies(&self, id: ImageId) -> BTreeSet<ImageId> {
        let copied = self[id].copied.values().copied();
        copied.chain(self.base(id)).collect()
    }

    /// Returns every external image that an image of the stack names, each once.
    pub fn external_images(&self) -> BTreeSet<&Reference> {
        let images = self.images.iter().flat_map(Image::external_images);
        images.map(|image| &image.reference.value).collect()
    }
}

/// How steps use the network (`build:`). It is not part of keys or layers.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// A bundle of certificates (PEM) on the host, mounted into steps that have a network.
    pub ca: Option<Spanned<Utf8PathBuf>>,
}

/// The stack is built once for each variant, with its own variables and series.
#[derive(Clone, Debug)]
pub struct Variant {
    /// `None` if the spec has no variants.
    pub name: Option<VariantName>,
    /// `series:`; by default the variant's name.
    pub series: Option<String>,
}

/// Identifies an image of one [`Stack`]: an index into its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(pub usize);

/// One image of one variant.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name, and its key under `images:`.
    pub name: Spanned<ImageName>,
    /// An index into the variants of the stack.
    pub variant: usize,
    /// `base:`.
    pub base: Base,
    /// The images of the stack its steps copy from, by name; all have a lower id.
    pub copied: BTreeMap<ImageName, ImageId>,
    /// Where it is published, if the stack has a registry.
    pub repository: Option<Repository>,
    /// Every variable it can use, with its value in this variant.
    pub vars: BTreeMap<String, String>,
    /// `env:`.
    pub env: Env,
    /// `user:`: the user of its steps and, unless `config.user` is set, of the finished image.
    pub user: Option<EnvString>,
    /// `shell:` of the image or the stack.
    pub shell: Option<Vec<String>>,
    /// Short keys first, then `steps:`, then the folder of `config: { workdir: … }`.
    pub steps: Vec<Step>,
    /// `config:`.
    pub config: Config,
    /// Its own `writable:`, or that of its base, or that of the stack.
    pub writable: Option<Writable>,
    /// Immutable tags, in the order of the file.
    pub tags: Vec<TagTemplate>,
    /// `refresh:`: the period that is part of the key.
    pub refresh: Option<Refresh>,
    /// What is run on it after it is built. It is not part of the key.
    pub proof: Proof,
}

impl Image {
    /// Returns its Dockerfile, which is its first step.
    pub fn dockerfile(&self) -> Option<&Dockerfile> {
        match &self.steps.first()?.kind {
            Kind::Dockerfile(file) => Some(file),
            _ => None,
        }
    }

    /// Returns every external image it names: its base, and those its steps copy from. Whatever pins,
    /// stores or shows external images takes them from here.
    pub fn external_images(&self) -> Vec<&ExternalImage> {
        let mut found = Vec::new();
        if let Base::External(base) = &self.base {
            found.push(base);
        }
        let copied = self.copy_sources().into_values();
        found.extend(copied.filter_map(|source| match source {
            ImageSource::External(image) => Some(image),
            ImageSource::InStack(_) => None,
        }));
        found
    }

    /// Returns every image its steps copy from or mount, by its name or reference.
    pub fn copy_sources(&self) -> BTreeMap<String, &ImageSource> {
        self.sources(Step::copy_sources)
    }

    /// Returns every image its steps copy from, by its name or reference.
    pub fn copied_images(&self) -> BTreeMap<String, &ImageSource> {
        self.sources(Step::copied_images)
    }

    /// Returns every image its steps mount, by its name or reference.
    pub fn mounted_images(&self) -> BTreeMap<String, &ImageSource> {
        self.sources(Step::mounted_images)
    }

    fn sources(&self, of: fn(&Step) -> Vec<&ImageSource>) -> BTreeMap<String, &ImageSource> {
        let sources = self.steps.iter().flat_map(of);
        sources.map(|source| (source.to_string(), source)).collect()
    }
}

/// What an image is based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// An image of the same variant, with a lower id.
    Image(ImageId),
    /// An image that is not in the stack.
    External(ExternalImage),
    /// Nothing: its Dockerfile begins with `FROM scratch`.
    Scratch,
}

/// How often an image is rebuilt even if nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Every day.
    Daily,
    /// Every ISO week.
    Weekly,
    /// Every month.
    Monthly,
}

/// What is run on an image after it is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Those of its base, then its own.
    pub suites: Vec<Suite>,
    /// Inherited suites it does not run.
    pub dropped: Vec<Dropped>,
    /// `policy:`, with what it inherits.
    pub policy: Policy,
    /// `info:`, with what it inherits.
    pub info: Vec<InfoCommand>,
}

impl Proof {
    /// Whether nothing is run.
    pub fn is_empty(&self) -> bool {
        self.suites.is_empty() && self.policy.is_empty() && self.info.is_empty()
    }
}
