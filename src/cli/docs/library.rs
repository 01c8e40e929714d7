//! Releases, and what the registry has of their images, read once and when a page needs it.
//!
//! Main type: [`Library`]. Called by `laminate docs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::try_join_all;

use super::super::args::DocsArgs;
use super::super::platform_image::platform_image;
use super::super::records::warn_of_unreadable;
use super::super::workspace::Workspace;
use super::super::{Exit, Failure};
use super::dockerfiles::Dockerfiles;
use crate::docs::{self, Channel, ImageDetails, Links, Made, Names, Stored, Wiki};
use crate::event::Events;
use crate::evidence::Evidence;
use crate::name::{Commit, Digest, Repository};
use crate::record::{ADOPTED, ReleaseImage, Releases, StoredRelease};
use crate::registry::{Locator, Registry};
use crate::release::{
    self,
    gates::{self, SpecGates},
};
use crate::staging;

/// How many of the newest releases get pages even if no channel is at them.
const NEWEST: usize = 10;
/// The largest config that is read, bytes.
const LIMIT: u64 = 16 << 20;

/// Releases, channels, and what was read of them so far.
pub struct Library<'a> {
    workspace: &'a Workspace,
    wiki: Wiki,
    dockerfiles: Dockerfiles,
    /// The releases that always get pages.
    selected: BTreeSet<Digest>,
    /// By release.
    details: BTreeMap<Digest, Vec<ImageDetails>>,
    /// By repository and digest; `None` where the registry does not have the image.
    stored: HashMap<(Repository, Digest), Option<Stored>>,
    /// By the digest of its document.
    evidence: HashMap<Digest, Option<Evidence>>,
}

impl<'a> Library<'a> {
    /// Lists releases and channels. Fails without a release.
    pub async fn open(
        workspace: &'a Workspace,
        args: &DocsArgs,
        events: &Events,
    ) -> Result<Self, Failure> {
        let listed = workspace.staging.release_list().await?;
        warn_of_unreadable(&listed, events);
        let mut releases = listed.found;
        let shown = shown(workspace, args, &mut releases).await?;
        let channels = channels(workspace).await?;
        let current: BTreeSet<&Digest> = channels
            .iter()
            .filter_map(|channel| Some(&channel.entries.first()?.release))
            .collect();
        let is_selected = |(number, StoredRelease { digest, .. }): &(usize, &StoredRelease)| {
            args.all || *number < NEWEST || current.contains(digest) || *digest == shown
        };
        let selected = releases.iter().enumerate().filter(is_selected);
        let selected: BTreeSet<Digest> =
            selected.map(|(_, stored)| stored.digest.clone()).collect();
        let with_pages = releases
            .iter()
            .filter(|stored| selected.contains(&stored.digest));
        let with_pages = with_pages.map(|stored| &stored.release);
        let dockerfiles = Dockerfiles::of_checkout(workspace, with_pages, events).await;
        Ok(Self {
            workspace,
            dockerfiles,
            selected,
            wiki: Wiki {
                stack: workspace.context.stack.name().to_string(),
                links: Links::default(),
                releases,
                shown,
                details: BTreeMap::new(),
                channels,
                written: BTreeSet::new(),
            },
            details: BTreeMap::new(),
            stored: HashMap::new(),
            evidence: HashMap::new(),
        })
    }

    /// Returns the release on the first page.
    pub fn shown(&self) -> &Digest {
        &self.wiki.shown
    }

    /// Returns the commit of that release, abbreviated.
    pub fn commit(&self) -> &str {
        let mut releases = self.wiki.releases.iter();
        let shown = releases.find(|stored| stored.digest == self.wiki.shown);
        let commit = shown.and_then(|stored| stored.release.commit.as_ref());
        commit.map_or(ADOPTED, Commit::abbreviated)
    }

    /// Returns the pages for a folder where some are `written`, with links of the form `before`.
    pub async fn pages(
        &mut self,
        links: Links,
        written: BTreeSet<String>,
        before: Option<&str>,
    ) -> Result<Made, Failure> {
        let mut selected = self.selected.clone();
        // A page that stays as it is must not have links of another form.
        if before.is_some_and(|before| before != links.as_str()) {
            let names = Names::new(self.wiki.releases.iter());
            let has_page = |StoredRelease { digest, release }: &&StoredRelease| {
                let mut pages = release
                    .images
                    .iter()
                    .filter_map(|image| names.release(digest, image));
                pages.any(|page| written.contains(&docs::file(page)))
            };
            let with_pages = self.wiki.releases.iter().filter(has_page);
            selected.extend(with_pages.map(|stored| stored.digest.clone()));
        }
        self.read(&selected).await?;
        self.wiki.links = links;
        self.wiki.written = written;
        let details = self.details.iter();
        self.wiki.details = details
            .filter(|(digest, _)| selected.contains(*digest))
            .map(|(digest, details)| (digest.clone(), details.clone()))
            .collect();
        Ok(docs::pages(&self.wiki))
    }

    /// Reads what was not read yet of some releases. Releases share images, so each is read once.
    async fn read(&mut self, selected: &BTreeSet<Digest>) -> Result<(), Failure> {
        let releases = self.wiki.releases.iter();
        let is_new = |digest| selected.contains(digest) && !self.details.contains_key(digest);
        let releases: Vec<StoredRelease> = releases
            .filter(|stored| is_new(&stored.digest))
            .cloned()
            .collect();
        let images: Vec<&ReleaseImage> = releases
            .iter()
            .flat_map(|stored| &stored.release.images)
            .collect();
        self.read_stored(&images).await?;
        self.read_evidence(&images).await?;
        let staging = &self.workspace.staging;
        let stack = &self.workspace.context.stack;
        let gates = SpecGates::new(stack).proven_outside(stack);
        let outside = gates::verdicts_on(staging, &gates, images.iter().copied()).await?;
        let specs = try_join_all(releases.iter().map(|stored| async move {
            let spec = staging.spec_of(&stored.release).await?;
            Ok::<_, staging::Error>((stored, spec))
        }))
        .await?;
        for (StoredRelease { digest, release }, spec) in specs {
            let mut specs = spec.map(|spec| spec.images).unwrap_or_default().into_iter();
            let details = release.images.iter().map(|image| ImageDetails {
                evidence: image
                    .evidence
                    .as_ref()
                    .and_then(|digest| self.evidence.get(digest).cloned().flatten()),
                outside: (outside.iter())
                    .filter(|verdict| verdict.digest == image.digest)
                    .cloned()
                    .collect(),
                resolved: specs.next().map(|image| image.resolved),
                stored: self.stored.get(&location(image)).cloned().flatten(),
                dockerfile: self.dockerfiles.of(image),
            });
            self.details.insert(digest.clone(), details.collect());
        }
        Ok(())
    }

    /// Reads manifests and configs.
    async fn read_stored(&mut self, images: &[&ReleaseImage]) -> Result<(), Failure> {
        let registry = &self.workspace.staging.registry;
        let missing: BTreeMap<_, &ReleaseImage> = images
            .iter()
            .map(|image| (location(image), *image))
            .filter(|(location, _)| !self.stored.contains_key(location))
            .collect();
        let found = missing.into_iter().map(|(location, image)| async move {
            Ok::<_, Failure>((location, stored(registry, image).await?))
        });
        let found = try_join_all(found).await?;
        self.stored.extend(found);
        Ok(())
    }

    /// Reads evidence.
    async fn read_evidence(&mut self, images: &[&ReleaseImage]) -> Result<(), Failure> {
        let staging = &self.workspace.staging;
        let missing: BTreeMap<&Digest, &ReleaseImage> = images
            .iter()
            .filter_map(|image| Some((image.evidence.as_ref()?, *image)))
            .filter(|(digest, _)| !self.evidence.contains_key(*digest))
            .collect();
        let found = missing.into_iter().map(|(digest, image)| async move {
            let evidence = staging.evidence_of(image).await?;
            Ok::<_, staging::Error>((digest.clone(), evidence))
        });
        let found = try_join_all(found).await?;
        self.evidence.extend(found);
        Ok(())
    }
}

/// Returns the release on the first page: the one of `--release`, which is added to the list if needed,
/// else the newest.
async fn shown(
    workspace: &Workspace,
    args: &DocsArgs,
    releases: &mut Vec<StoredRelease>,
) -> Result<Digest, Failure> {
    if let Some(name) = &args.release {
        let found = release::find(&workspace.staging, name).await?;
        let digest = found.digest.clone();
        if !releases.iter().any(|stored| stored.digest == digest) {
            releases.push(found);
            Releases::sort(releases);
        }
        return Ok(digest);
    }
    let newest = releases.first().map(|stored| stored.digest.clone());
    newest.ok_or_else(|| {
        let text = format!("no release in `{}`", workspace.staging.repository);
        Failure::new(Exit::Usage, text).help("make one with `laminate build --push`")
    })
}

/// Reads the ledgers of all channels.
async fn channels(workspace: &Workspace) -> Result<Vec<Channel>, Failure> {
    let declared = workspace.context.stack.channels().iter();
    let channels = declared.map(|declared| async move {
        let entries = workspace.channel(&declared.name).history().await?;
        Ok::<_, release::Error>(Channel {
            name: declared.name.clone(),
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
        })
    });
    Ok(try_join_all(channels).await?)
}

/// Returns where an image is stored.
fn location(image: &ReleaseImage) -> (Repository, Digest) {
    (image.repository.clone(), image.digest.clone())
}

/// Reads a manifest and its config; `None` if the registry no longer has the manifest.
async fn stored(registry: &Registry, image: &ReleaseImage) -> Result<Option<Stored>, Failure> {
    let repository = &image.repository;
    let at = Locator::Digest(image.digest.clone());
    let manifest = registry.manifest(repository, &at).await?;
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    let Some((content, _)) = platform_image(registry, repository, &manifest).await? else {
        return Ok(None);
    };
    let config = registry.blob(repository, &content.config.digest, LIMIT);
    Ok(Stored::parse(&content, &config.await?))
}
