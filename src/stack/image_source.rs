//! Images that others take their base or files from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::name::{Digest, ImageName, Reference, Repository};
use crate::source::Spanned;

/// The name of an empty base, as `FROM` has it.
pub const SCRATCH: &str = "scratch";

/// An image that another one takes its base or files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// An image that is in the stack and in the same variant.
    InStack(Spanned<ImageName>),
    /// Any other image.
    External(ExternalImage),
}

impl ImageSource {
    /// Pins an external image to its digest, if that is known.
    pub fn pin(&mut self, digests: &BTreeMap<Reference, Digest>) {
        if let Self::External(image) = self
            && let Some(digest) = digests.get(&image.reference.value)
        {
            image.reference.value = image.reference.value.pinned(digest.clone());
        }
    }
}

/// What an image is based on, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclaredBase {
    /// An image.
    Image(ImageSource),
    /// Nothing: the Dockerfile begins with `FROM scratch`.
    Scratch,
}

impl DeclaredBase {
    /// Returns the image.
    pub fn image(&self) -> Option<&ImageSource> {
        match self {
            Self::Image(source) => Some(source),
            Self::Scratch => None,
        }
    }
}

/// An image that is not in the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalImage {
    /// The image, with a tag or a digest.
    pub reference: Spanned<Reference>,
    /// Variables its text contains.
    pub vars: BTreeSet<String>,
}

/// The name of an image of the stack, or a whole reference: the two differ, since only a reference has a
/// `/`.
impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InStack(name) => write!(f, "{}", name.value),
            Self::External(image) => write!(f, "{}", image.reference.value),
        }
    }
}

/// An image of the spec, in one variant.
#[derive(Debug)]
pub struct KnownImage {
    /// Its name.
    pub name: ImageName,
    /// Where it is published; `None` if nowhere, or if the text is invalid.
    pub repository: Option<Repository>,
}

/// All images of the spec, in one variant.
#[derive(Debug, Default)]
pub struct KnownImages {
    /// In the order of the file.
    list: Vec<KnownImage>,
    by_name: HashMap<ImageName, usize>,
    /// The first image of each repository.
    by_repository: HashMap<Repository, usize>,
}

impl KnownImages {
    /// Collects images in the order of the file.
    pub fn new(list: Vec<KnownImage>) -> Self {
        let mut images = Self::default();
        for (index, known) in list.iter().enumerate() {
            images.by_name.insert(known.name.clone(), index);
            if let Some(repository) = &known.repository {
                let first = images.by_repository.entry(repository.clone());
                first.or_insert(index);
            }
        }
        Self { list, ..images }
    }

    /// Returns the image with a name.
    pub fn named(&self, name: &str) -> Option<&KnownImage> {
        self.by_name.get(name).map(|index| &self.list[*index])
    }

    /// Returns the first image that is published in a repository.
    pub fn published_in(&self, repository: &Repository) -> Option<&KnownImage> {
        let index = self.by_repository.get(repository)?;
        Some(&self.list[*index])
    }

    /// Returns the names of all images, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|known| known.name.as_str())
    }
}
