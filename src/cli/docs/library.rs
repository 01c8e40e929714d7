//! What the registry has of releases, read when a page needs it, each thing once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::try_join_all;

use super::super::args::DocsArgs;
use super::super::place::Place;
use super::super::{Exit, Failure};
use crate::docs::{self, Channel, Known, Links, Made, Names, Stored, Wiki};
use crate::evidence::Evidence;
use crate::name::{Digest, Repository};
use crate::oci;
use crate::record::{Release, ReleaseImage, Releases};
use crate::registry::{Locator, Registry};
use crate::release;
use crate::staging;

/// Releases that get pages though no channel is at them.
const NEWEST: usize = 10;
/// The largest config read, bytes.
const LIMIT: u64 = 16 << 20;

/// Releases, channels, and what is known of them so far.
pub struct Library<'a> {
    place: &'a Place,
    wiki: Wiki,
    /// Releases that get pages anyway.
    wanted: BTreeSet<Digest>,
    known: BTreeMap<Digest, Vec<Known>>,
    /// By repository and digest.
    stored: HashMap<(Repository, Digest), Option<Stored>>,
    evidence: HashMap<Digest, Option<Evidence>>,
}

impl<'a> Library<'a> {
    /// Lists releases and channels.
    pub async fn open(place: &'a Place, args: &DocsArgs) -> Result<Self, Failure> {
        let staging = &place.staging;
        let mut releases = staging.release_list().await?;
        let shown = match &args.release {
            Some(name) => {
                let (digest, release) = release::find(staging, name).await?;
                if !releases.iter().any(|(other, _)| *other == digest) {
                    releases.push((digest.clone(), release));
                    Releases::sort(&mut releases);
                }
                digest
            }
            None => match releases.first() {
                Some((digest, _)) => digest.clone(),
                None => {
                    return Err(Failure::new(
                        Exit::Usage,
                        format!("there is no release in {}", staging.repository),
                    )
                    .help("`laminate build --push` makes one"));
                }
            },
        };
        let declared = place.context.stack.channels.iter();
        let channels = try_join_all(declared.map(|declared| async move {
            let entries = place.channel(&declared.name).history().await?;
            Ok::<_, release::Error>(Channel {
                name: declared.name.clone(),
                entries: entries.into_iter().map(|(_, entry)| entry).collect(),
            })
        }))
        .await?;
        let at: BTreeSet<&Digest> = channels
            .iter()
            .filter_map(|channel| Some(&channel.entries.first()?.release))
            .collect();
        let is_wanted = |(number, (digest, _)): &(usize, &(Digest, Release))| {
            args.all || *number < NEWEST || at.contains(digest) || *digest == shown
        };
        let wanted = releases.iter().enumerate().filter(is_wanted);
        let wanted = wanted.map(|(_, (digest, _))| digest.clone()).collect();
        Ok(Self {
            place,
            wanted,
            wiki: Wiki {
                stack: place.context.stack.name.to_string(),
                links: Links::default(),
                releases,
                shown,
                known: BTreeMap::new(),
                channels,
                written: BTreeSet::new(),
            },
            known: BTreeMap::new(),
            stored: HashMap::new(),
            evidence: HashMap::new(),
        })
    }

    /// The release on the first page.
    pub fn shown(&self) -> &Digest {
        &self.wiki.shown
    }

    pub fn commit7(&self) -> &str {
        let mut releases = self.wiki.releases.iter();
        let shown = releases.find(|(digest, _)| *digest == self.wiki.shown);
        let commit = shown.map(|(_, release)| release.commit.abbreviated());
        commit.unwrap_or_default()
    }

    /// Makes the pages for a place where some are `written`, with their links made as `before`.
    pub async fn pages(
        &mut self,
        links: Links,
        written: BTreeSet<String>,
        before: Option<&str>,
    ) -> Result<Made, Failure> {
        let mut wanted = self.wanted.clone();
        // A page that stays as it is must not lead to pages of another kind.
        if before.is_some_and(|before| before != links.as_str()) {
            let names = Names::new(self.wiki.releases.iter());
            let is_there = |(digest, release): &&(Digest, Release)| {
                let mut pages = release
                    .images
                    .iter()
                    .filter_map(|image| names.release(digest, image));
                pages.any(|page| written.contains(&docs::file(page)))
            };
            let again = self.wiki.releases.iter().filter(is_there);
            wanted.extend(again.map(|(digest, _)| digest.clone()));
        }
        self.read(&wanted).await?;
        self.wiki.links = links;
        self.wiki.written = written;
        let known = self.known.iter();
        self.wiki.known = known
            .filter(|(digest, _)| wanted.contains(*digest))
            .map(|(digest, known)| (digest.clone(), known.clone()))
            .collect();
        Ok(docs::pages(&self.wiki))
    }

    /// Reads what is not known yet of some releases. An image is in many, so each is read once.
    async fn read(&mut self, wanted: &BTreeSet<Digest>) -> Result<(), Failure> {
        let staging = &self.place.staging;
        let releases = self.wiki.releases.iter();
        let releases: Vec<&(Digest, Release)> = releases
            .filter(|(digest, _)| wanted.contains(digest) && !self.known.contains_key(digest))
            .collect();
        let images = || releases.iter().flat_map(|(_, release)| &release.images);

        let missing: BTreeMap<_, &ReleaseImage> = images()
            .map(|image| (at(image), image))
            .filter(|(at, _)| !self.stored.contains_key(at))
            .collect();
        let found = missing.into_iter().map(|(at, image)| async move {
            Ok::<_, Failure>((at, stored(&staging.registry, image).await?))
        });
        let found = try_join_all(found).await?;
        self.stored.extend(found);

        let missing: BTreeMap<&Digest, &ReleaseImage> = images()
            .filter_map(|image| Some((image.evidence.as_ref()?, image)))
            .filter(|(digest, _)| !self.evidence.contains_key(digest))
            .collect();
        let found = missing.into_iter().map(|(digest, image)| async move {
            let evidence = staging.evidence_of(image).await?;
            Ok::<_, staging::Error>((digest.clone(), evidence))
        });
        let found = try_join_all(found).await?;
        self.evidence.extend(found);

        let specs = try_join_all(releases.iter().map(|(digest, release)| async move {
            let spec = staging.spec_of(release).await?;
            Ok::<_, staging::Error>((digest, release, spec))
        }))
        .await?;
        for (digest, release, spec) in specs {
            let mut specs = spec.map(|spec| spec.images).unwrap_or_default().into_iter();
            let known = release.images.iter().map(|image| Known {
                evidence: image
                    .evidence
                    .as_ref()
                    .and_then(|digest| self.evidence.get(digest).cloned().flatten()),
                resolved: specs.next().map(|image| image.resolved),
                stored: self.stored.get(&at(image)).cloned().flatten(),
            });
            self.known.insert(digest.clone(), known.collect());
        }
        Ok(())
    }
}

fn at(image: &ReleaseImage) -> (Repository, Digest) {
    (image.repository.clone(), image.digest.clone())
}

/// Reads a manifest and its config; `None` if the registry has it no longer.
async fn stored(registry: &Registry, image: &ReleaseImage) -> Result<Option<Stored>, Failure> {
    let repository = &image.repository;
    let at = Locator::Digest(image.digest.clone());
    let manifest = registry.manifest(repository, &at).await?;
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    let Ok(content) = oci::Image::parse(&manifest.bytes) else {
        return Ok(None);
    };
    let config = registry.blob(repository, &content.config.digest, LIMIT);
    Ok(Stored::parse(&content, &config.await?))
}
