//! Adopts tags that were there before laminate as the first release of a channel, so that the first promotion can be
//! reverted to them.
//!
//! [`Adopter::check`] reads only. [`Adoption::keep`] gives each image an immutable tag in its repository and writes the
//! release, and [`Adoption::record`] makes it the first entry of the channel's ledger. No tag is moved: a tag of the
//! channel that does not exist is created, and all are looked up again before the entry is written. Interrupted anywhere,
//! the channel is adopted, or it is not, or the entry is open as that of a promotion; adopting it again finishes it.

mod error;
mod list;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use futures_util::future::{join_all, try_join_all};
use jiff::Timestamp;

pub use error::{Error, OtherDigest};
pub use list::{from_list, from_tags};

use super::channel::{Order, Target};
use super::ledger::{Channel, Ledger};
use super::{Error as ReleaseError, number};
use crate::event::Events;
use crate::name::{Digest, Reference, Repository, Tag};
use crate::oci::Image;
use crate::publish::{self, Route};
use crate::record::{LedgerEntry, MoveKind, Release, ReleaseImage};
use crate::registry::{Locator, Manifest};
use crate::stack::{self, Stack};
use crate::staging::Staging;
use crate::tags;

/// An image of a channel, and what is adopted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The label of the image.
    pub label: String,
    /// The name of the image.
    pub image: String,
    /// The variant of the stack; `None`: the stack has none.
    pub variant: Option<String>,
    /// The repository of the image.
    pub repository: Repository,
    /// The tag that the channel moves.
    pub tag: Tag,
    /// How many images of the stack it is based on.
    pub depth: usize,
    /// What is adopted.
    pub from: Reference,
}

impl Wanted {
    /// Whether the channel's tag itself is adopted.
    fn is_own_tag(&self) -> bool {
        let own = (&self.repository, Some(&self.tag), None);
        let from = &self.from;
        own == (&from.repository, from.tag.as_ref(), from.digest.as_ref())
    }
}

/// An image that can be adopted.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// The image.
    pub wanted: Wanted,
    /// Its manifest or index.
    pub manifest: Manifest,
    /// Whether the repository of the image has it.
    pub is_placed: bool,
    /// Whether the channel's tag is on it; else that tag does not exist.
    pub is_tagged: bool,
}

impl Adopted {
    /// Returns the immutable tag that keeps it.
    pub fn kept_as(&self) -> Tag {
        tags::adopted_image(&self.manifest.digest)
    }

    fn target(&self) -> Target {
        let wanted = &self.wanted;
        Target {
            label: wanted.label.clone(),
            repository: wanted.repository.clone(),
            tag: wanted.tag.clone(),
            digest: self.manifest.digest.clone(),
            depth: wanted.depth,
        }
    }

    fn release_image(&self) -> ReleaseImage {
        let wanted = &self.wanted;
        ReleaseImage {
            image: wanted.image.clone(),
            variant: wanted.variant.clone(),
            repository: wanted.repository.clone(),
            digest: self.manifest.digest.clone(),
            key: None,
            adopted_from: Some(wanted.from.clone()),
            tags: vec![self.kept_as()],
            depth: wanted.depth,
            base: None,
            base_digest: None,
            copies: Vec::new(),
            // That of an index is that of none of its images.
            size: Image::parse(&self.manifest.bytes).map_or(0, |image| image.size()),
            verdicts: Vec::new(),
            dropped: Vec::new(),
            checks: None,
            checks_key: None,
            evidence: None,
        }
    }
}

/// A channel to adopt, and what is recorded of it.
pub struct Adopter<'a> {
    /// The stack of the channel.
    pub stack: &'a Stack,
    /// Where its releases and channels are.
    pub staging: &'a Staging,
    /// The channel.
    pub channel: &'a stack::Channel,
    /// Whether images that have nothing to adopt are left out.
    pub is_partial: bool,
    /// Who adopts it.
    pub actor: String,
    /// When it begins.
    pub time: Timestamp,
    /// Why, in the words of who adopts it.
    pub reason: Option<String>,
}

/// How far an adoption of the same images has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The channel was never moved.
    New,
    /// An adoption was begun and has not ended.
    Begun,
    /// The channel is adopted.
    Done,
}

/// An adoption that can be carried out.
pub struct Adoption<'a> {
    adopter: &'a Adopter<'a>,
    ledger: Ledger,
    /// How far it has come already.
    pub standing: Standing,
    /// The images, in the order of the stack.
    pub images: Vec<Adopted>,
    /// Labels of images that are left out.
    pub missing: Vec<String>,
}

impl<'a> Adopter<'a> {
    fn channel(&self) -> Channel<'a> {
        Channel {
            staging: self.staging,
            name: &self.channel.name,
        }
    }

    /// Checks that the channel can be adopted, with these images. Nothing is written.
    pub async fn check(&'a self, wanted: Vec<Wanted>) -> Result<Adoption<'a>, Error> {
        let ledger = self.channel().look().await?;
        if let Some((_, entry)) = &ledger.current
            && entry.kind != MoveKind::Adopt
        {
            return Err(self.moved(entry));
        }
        let found = try_join_all(wanted.into_iter().map(|wanted| self.look_at(wanted))).await?;
        let (found, absent): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(_, found)| found.is_some());
        let absent: Vec<Wanted> = absent.into_iter().map(|(wanted, _)| wanted).collect();
        let (own, listed): (Vec<_>, Vec<_>) = absent.into_iter().partition(Wanted::is_own_tag);
        if !listed.is_empty() {
            let references = listed.into_iter().map(|wanted| wanted.from).collect();
            return Err(Error::NotFound { references });
        }
        let images = found.into_iter().filter_map(|(wanted, found)| {
            let (manifest, is_placed, tag) = found?;
            let is_tagged = tag.is_some();
            let other = tag.filter(|found| *found != manifest.digest);
            let adopted = Adopted {
                wanted,
                manifest,
                is_placed,
                is_tagged,
            };
            Some((adopted, other))
        });
        let (images, others): (Vec<Adopted>, Vec<Option<Digest>>) = images.unzip();
        let others = images.iter().zip(others);
        let others = others.filter_map(|(adopted, found)| Some(other(adopted, Some(found?))));
        let tags: Vec<OtherDigest> = others.collect();
        if !tags.is_empty() {
            return Err(Error::Other {
                channel: self.channel.name.clone(),
                tags,
            });
        }
        let missing = self.missing(&images, &own)?;
        let standing = self.standing(&ledger, &images)?;
        Ok(Adoption {
            adopter: self,
            ledger,
            standing,
            images,
            missing,
        })
    }

    /// Returns how far an adoption of the same images has come. Fails if the channel was moved otherwise.
    fn standing(&self, ledger: &Ledger, images: &[Adopted]) -> Result<Standing, Error> {
        let is_same = |entry: &LedgerEntry| {
            let steps = entry.images.iter();
            let steps = steps.map(|step| (&step.repository, &step.tag, &step.new));
            let own = images.iter().map(|image| {
                let wanted = &image.wanted;
                (&wanted.repository, &wanted.tag, &image.manifest.digest)
            });
            entry.kind == MoveKind::Adopt
                && steps.collect::<BTreeSet<_>>() == own.collect::<BTreeSet<_>>()
        };
        match (&ledger.current, &ledger.open) {
            (None, None) => Ok(Standing::New),
            (None, Some((_, open))) if is_same(open) => Ok(Standing::Begun),
            (Some((_, entry)), None) if is_same(entry) => Ok(Standing::Done),
            (None, Some((_, open))) => Err(Error::Release(ReleaseError::Pending {
                channel: self.channel.name.clone(),
                kind: open.kind,
                release: open.release.clone(),
            })),
            (Some((_, entry)), _) => Err(self.moved(entry)),
        }
    }

    fn moved(&self, entry: &LedgerEntry) -> Error {
        Error::Moved {
            channel: self.channel.name.clone(),
            seq: entry.seq,
        }
    }

    /// Returns the labels of images of the channel that have nothing to adopt: `absent` are those without the channel's
    /// tag. Fails unless they may be left out.
    fn missing(&self, images: &[Adopted], absent: &[Wanted]) -> Result<Vec<String>, Error> {
        let channel = self.channel.name.clone();
        let all = list::from_tags(self.stack, self.channel).into_iter();
        let is_found = |label: &String| images.iter().any(|image| image.wanted.label == *label);
        let missing: Vec<String> = all
            .map(|wanted| wanted.label)
            .filter(|label| !is_found(label))
            .collect();
        let shown =
            missing.iter().map(
                |label| match absent.iter().find(|wanted| wanted.label == *label) {
                    Some(wanted) => format!("{} does not exist", wanted.from),
                    None => format!("image `{label}` is not in the list"),
                },
            );
        let shown: Vec<String> = shown.collect();
        if images.is_empty() {
            let missing = shown;
            return Err(Error::Nothing { channel, missing });
        }
        if !shown.is_empty() && !self.is_partial {
            let missing = shown;
            return Err(Error::Partial { channel, missing });
        }
        Ok(missing)
    }

    /// Reads what is adopted for an image, whether its repository has it, and the digest of the channel's tag.
    async fn look_at(&self, wanted: Wanted) -> Result<(Wanted, Option<Found>), Error> {
        let registry = &self.staging.registry;
        let from = &wanted.from;
        let digest = from.digest.clone().map(Locator::Digest);
        let tag = from.tag.clone().map(Locator::Tag);
        let at = digest.or(tag).expect("a reference has a tag or a digest");
        let channel_tag = async {
            if wanted.is_own_tag() {
                return Ok(None);
            }
            let at = Locator::Tag(wanted.tag.clone());
            registry.head_manifest(&wanted.repository, &at).await
        };
        let (manifest, channel_tag) =
            tokio::try_join!(registry.manifest(&from.repository, &at), channel_tag)?;
        let Some(manifest) = manifest else {
            return Ok((wanted, None));
        };
        let is_placed = from.repository == wanted.repository || {
            let at = Locator::Digest(manifest.digest.clone());
            let found = registry.head_manifest(&wanted.repository, &at).await?;
            found.is_some()
        };
        let channel_tag = if wanted.is_own_tag() {
            Some(manifest.digest.clone())
        } else {
            channel_tag.map(|found| found.digest)
        };
        Ok((wanted, Some((manifest, is_placed, channel_tag))))
    }
}

/// A manifest, whether the repository of the image has it, and the digest of the channel's tag.
type Found = (Manifest, bool, Option<Digest>);

fn other(adopted: &Adopted, found: Option<Digest>) -> OtherDigest {
    OtherDigest {
        repository: adopted.wanted.repository.clone(),
        tag: adopted.wanted.tag.clone(),
        found,
        expected: adopted.manifest.digest.clone(),
    }
}

impl Adoption<'_> {
    /// Copies images into their repositories where these lack them, gives each an immutable tag, so that no garbage
    /// collector deletes it once the channel's tag is elsewhere, and writes the release. Returns its digest.
    pub async fn keep(&self, events: &Events) -> Result<Digest, Error> {
        let staging = self.adopter.staging;
        let registry = &staging.registry;
        let kept = self.images.iter().map(|adopted| async move {
            let Adopted {
                wanted, manifest, ..
            } = adopted;
            if !adopted.is_placed {
                let route = Route {
                    label: &wanted.label,
                    from: &wanted.from.repository,
                    to: &wanted.repository,
                };
                publish::copy_content(registry, &route, manifest, events).await?;
            }
            let tag = adopted.kept_as();
            number::put_manifest(registry, &wanted.repository, &tag, manifest).await?;
            Ok::<_, Error>(())
        });
        // All that were begun end before a fault is reported.
        for done in join_all(kept).await {
            done?;
        }
        let adopter = self.adopter;
        let release = Release {
            stack: adopter.stack.name().to_string(),
            version: Release::ADOPTED_VERSION,
            commit: None,
            time: adopter.time,
            run: format!("adopt-{}", adopter.time.as_millisecond()),
            git_ref: None,
            spec: None,
            manifests: None,
            images: self.images.iter().map(Adopted::release_image).collect(),
        };
        let written = staging.write_adopted(release).await;
        Ok(written.map_err(ReleaseError::from)?)
    }

    /// Makes a release of the images the first entry of the channel's ledger. The channel's tags are looked up before it is
    /// written, and those that do not exist are created.
    pub async fn record(self, release: &Digest) -> Result<LedgerEntry, Error> {
        let adopter = self.adopter;
        let channel = adopter.channel();
        if self.standing == Standing::Begun {
            return Ok(channel.resume(false).await?);
        }
        let order = Order {
            kind: MoveKind::Adopt,
            release: release.clone(),
            commit: None,
            actor: adopter.actor.clone(),
            time: adopter.time,
            reason: adopter.reason.clone(),
            waived: Vec::new(),
            required: Vec::new(),
            accept_drift: false,
            dry_run: false,
        };
        let targets: Vec<Target> = self.images.iter().map(Adopted::target).collect();
        let prepared = channel.prepare(self.ledger, &targets, &order).await?;
        let prepared = prepared.ok_or_else(|| ReleaseError::NothingPending {
            channel: adopter.channel.name.clone(),
        })?;
        let pairs = self.images.iter().zip(&prepared.entry.images);
        let changed = pairs.filter(|(adopted, step)| match &step.old {
            Some(old) => *old != step.new,
            None => adopted.is_tagged,
        });
        let tags: Vec<OtherDigest> = changed
            .map(|(adopted, step)| other(adopted, step.old.clone()))
            .collect();
        if !tags.is_empty() {
            return Err(Error::Changed {
                channel: adopter.channel.name.clone(),
                tags,
            });
        }
        Ok(channel.complete(prepared).await?)
    }
}
