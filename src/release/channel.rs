//! Moves the tags of a channel as one set: all are looked at, the intent is written, the tags are
//! moved bases first, all are read back, and one pointer says that it is done.
//!
//! No registry compares before it writes, so two promoters at the very same moment can still meet
//! between a check and a write; `status` shows that, and a concurrency group in CI prevents it.

use futures_util::future::{join_all, try_join_all};

use super::record::{ENTRY_TYPE, bytes, entry};
use super::{Entry, Error, Kind, Move};
use crate::name::{Digest, Repository, Tag};
use crate::registry::{Locator, Registry};

/// The ledger of one channel in staging.
#[derive(Clone)]
pub struct Channel<'a> {
    pub registry: &'a Registry,
    pub staging: &'a Repository,
    pub name: &'a str,
}

/// What the ledger of a channel says at one moment.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The entry the channel is at.
    pub current: Option<(Digest, Entry)>,
    /// A move that was begun and not ended: the entry behind the last one that was ended. Writing it
    /// is the intent, so nothing can break between the two.
    pub open: Option<(Digest, Entry)>,
    /// The number the next entry gets.
    next: u64,
}

/// A tag and the digest it is to be at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub label: String,
    pub repository: Repository,
    pub tag: Tag,
    pub digest: Digest,
    pub depth: usize,
}

/// What is said of a move beside its tags.
#[derive(Clone, Debug)]
pub struct Order {
    pub kind: Kind,
    pub release: Digest,
    pub commit: String,
    pub actor: String,
    /// RFC 3339.
    pub time: String,
    pub reason: Option<String>,
    pub waived: Vec<String>,
    pub required: Vec<String>,
    pub accept_drift: bool,
    pub dry_run: bool,
}

/// A tag that is not where the ledger says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    pub repository: String,
    pub tag: String,
    pub expected: String,
    pub found: Option<String>,
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found = self.found.as_deref().unwrap_or("nothing");
        let Self {
            repository,
            tag,
            expected,
            ..
        } = self;
        write!(f, "  {repository}:{tag} is at {found}, not at {expected}")
    }
}

fn strange(what: &str) -> Error {
    Error::Strange {
        place: "the channel's ledger".to_owned(),
        reason: format!("`{what}` is no name"),
    }
}

fn place(step: &Move) -> Result<(Repository, Tag), Error> {
    let repository = Repository::parse(&step.repository).map_err(|_| strange(&step.repository))?;
    let tag = Tag::parse(&step.tag).map_err(|_| strange(&step.tag))?;
    Ok((repository, tag))
}

fn digest(text: &str) -> Result<Digest, Error> {
    Digest::parse(text).map_err(|_| strange(text))
}

impl Channel<'_> {
    fn tag(&self, suffix: &str) -> Tag {
        Tag::parse(&format!("{}-{suffix}", self.name)).expect("a channel's name is short and legal")
    }

    fn numbered(&self, seq: u64) -> Tag {
        self.tag(&format!("{seq:06}"))
    }

    /// The entry the channel is at.
    pub async fn current(&self) -> Result<Option<(Digest, Entry)>, Error> {
        let at = Locator::Tag(self.tag("current"));
        entry(self.registry, self.staging, &at).await
    }

    /// The entry that was taken back last.
    async fn aborted(&self) -> Result<Option<(Digest, Entry)>, Error> {
        let at = Locator::Tag(self.tag("aborted"));
        entry(self.registry, self.staging, &at).await
    }

    /// What the ledger says, each of its tags read once.
    pub async fn look(&self) -> Result<Ledger, Error> {
        let (current, aborted) = tokio::try_join!(self.current(), self.aborted())?;
        let number =
            |entry: &Option<(Digest, Entry)>| entry.as_ref().map_or(0, |(_, entry)| entry.seq);
        let next = number(&current).max(number(&aborted)) + 1;
        let at = Locator::Tag(self.numbered(next));
        let open = entry(self.registry, self.staging, &at).await?;
        Ok(Ledger {
            current,
            open,
            next,
        })
    }

    /// A move that was begun and not ended.
    pub async fn open(&self) -> Result<Option<(Digest, Entry)>, Error> {
        Ok(self.look().await?.open)
    }

    /// All entries, newest first.
    pub async fn history(&self) -> Result<Vec<(Digest, Entry)>, Error> {
        let mut list = Vec::new();
        let mut next = self.current().await?;
        while let Some((at, entry_here)) = next {
            let previous = entry_here.previous.clone();
            list.push((at, entry_here));
            next = match previous {
                Some(text) => {
                    let at = Locator::Digest(digest(&text)?);
                    entry(self.registry, self.staging, &at).await?
                }
                None => None,
            };
        }
        Ok(list)
    }

    async fn head(&self, repository: &Repository, at: Locator) -> Result<Option<Digest>, Error> {
        let found = self.registry.head_manifest(repository, &at).await?;
        Ok(found.map(|descriptor| descriptor.digest))
    }

    /// Tags of an entry that are elsewhere.
    pub async fn drift(&self, entry: &Entry) -> Result<Vec<Drift>, Error> {
        let found = try_join_all(entry.images.iter().map(|step| async move {
            let (repository, tag) = place(step)?;
            let found = self.head(&repository, Locator::Tag(tag)).await?;
            let found = found.map(|digest| digest.to_string());
            Ok::<_, Error>(
                (found.as_deref() != Some(step.new.as_str())).then(|| Drift {
                    repository: step.repository.clone(),
                    tag: step.tag.clone(),
                    expected: step.new.clone(),
                    found,
                }),
            )
        }));
        Ok(found.await?.into_iter().flatten().collect())
    }

    /// Moves the channel. Returns the entry, written or as it would be; `None` if it is there already.
    pub async fn go(&self, targets: &[Target], order: &Order) -> Result<Option<Entry>, Error> {
        let Ledger {
            current,
            open,
            next,
        } = self.look().await?;
        if let Some((_, open)) = open {
            return Err(Error::Pending {
                channel: self.name.to_owned(),
                kind: open.kind,
                release: digest(&open.release)?,
            });
        }
        let drift = match &current {
            Some((_, entry)) => self.drift(entry).await?,
            None => Vec::new(),
        };
        let drift: Vec<String> = drift.iter().map(ToString::to_string).collect();
        if !drift.is_empty() && !order.accept_drift {
            return Err(Error::Drift {
                channel: self.name.to_owned(),
                tags: drift,
            });
        }
        let images = try_join_all(targets.iter().map(|target| async move {
            let by_digest = Locator::Digest(target.digest.clone());
            if self.head(&target.repository, by_digest).await?.is_none() {
                return Err(Error::Missing {
                    repository: target.repository.clone(),
                    digest: target.digest.clone(),
                });
            }
            let by_tag = Locator::Tag(target.tag.clone());
            let old = self.head(&target.repository, by_tag).await?;
            Ok(Move {
                label: target.label.clone(),
                repository: target.repository.to_string(),
                tag: target.tag.to_string(),
                old: old.map(|digest| digest.to_string()),
                new: target.digest.to_string(),
                depth: target.depth,
            })
        }))
        .await?;
        let moves = images
            .iter()
            .any(|step| step.old.as_ref() != Some(&step.new));
        let same = current
            .as_ref()
            .is_some_and(|(_, entry)| entry.release == order.release.as_str());
        if same && !moves {
            return Ok(None);
        }
        let entry = Entry {
            kind: order.kind,
            channel: self.name.to_owned(),
            seq: next,
            previous: current.as_ref().map(|(digest, _)| digest.to_string()),
            release: order.release.to_string(),
            commit: order.commit.clone(),
            actor: order.actor.clone(),
            time: order.time.clone(),
            reason: order.reason.clone(),
            waived: order.waived.clone(),
            required: order.required.clone(),
            drift,
            images,
        };
        if order.dry_run {
            return Ok(Some(entry));
        }
        self.claim(&entry).await?;
        self.carry_out(&entry).await?;
        Ok(Some(entry))
    }

    /// Writes the intent. The numbered tag is written by one promoter only; whoever finds it taken was
    /// second and has moved nothing.
    async fn claim(&self, entry: &Entry) -> Result<(), Error> {
        let tag = self.numbered(entry.seq);
        let lost = || Error::Lost {
            channel: self.name.to_owned(),
            tag: tag.clone(),
        };
        if self
            .head(self.staging, Locator::Tag(tag.clone()))
            .await?
            .is_some()
        {
            return Err(lost());
        }
        let written = self
            .registry
            .put_document(
                self.staging,
                std::slice::from_ref(&tag),
                ENTRY_TYPE,
                bytes(entry),
            )
            .await;
        let ours = match written {
            Ok(digest) => digest,
            Err(
                crate::registry::Error::Overwritten { .. }
                | crate::registry::Error::Immutable { .. },
            ) => return Err(lost()),
            Err(error) => return Err(error.into()),
        };
        match self.head(self.staging, Locator::Tag(tag.clone())).await? == Some(ours) {
            true => Ok(()),
            false => Err(lost()),
        }
    }

    async fn put(&self, entry: &Entry, tag: Tag) -> Result<(), Error> {
        self.registry
            .put_document(self.staging, &[tag], ENTRY_TYPE, bytes(entry))
            .await?;
        Ok(())
    }

    /// From the intent to the end: tags, check, pointer. May be begun anywhere in between.
    async fn carry_out(&self, entry: &Entry) -> Result<(), Error> {
        let mut order: Vec<&Move> = entry.images.iter().collect();
        order.sort_by_key(|step| step.depth);
        self.flip(&order, |step| (step.old.clone(), Some(step.new.clone())))
            .await?;
        let drift = self.drift(entry).await?;
        if let Some(first) = drift.first() {
            return Err(Error::Between {
                channel: self.name.to_owned(),
                moved: entry.images.len() - drift.len(),
                of: entry.images.len(),
                cause: format!("read back,{first}"),
            });
        }
        self.put(entry, self.tag("current")).await
    }

    /// Moves tags in order, those of one depth together. `way` says from where to where.
    async fn flip(
        &self,
        order: &[&Move],
        way: impl Fn(&Move) -> (Option<String>, Option<String>),
    ) -> Result<(), Error> {
        let mut moved = 0;
        for level in order.chunk_by(|a, b| a.depth == b.depth) {
            let done = join_all(level.iter().map(|step| {
                let (from, to) = way(step);
                self.set(step, from, to)
            }))
            .await;
            let mut cause = None;
            for one in done {
                match one {
                    Ok(()) => moved += 1,
                    Err(error) => cause = cause.or(Some(error.to_string())),
                }
            }
            if let Some(cause) = cause {
                return Err(Error::Between {
                    channel: self.name.to_owned(),
                    moved,
                    of: order.len(),
                    cause,
                });
            }
        }
        Ok(())
    }

    async fn set(
        &self,
        step: &Move,
        from: Option<String>,
        to: Option<String>,
    ) -> Result<(), Error> {
        let (repository, tag) = place(step)?;
        let at = Locator::Tag(tag);
        let found = self
            .head(&repository, at.clone())
            .await?
            .map(|d| d.to_string());
        if found == to {
            return Ok(());
        }
        if found != from {
            return Err(Error::Drift {
                channel: self.name.to_owned(),
                tags: vec![
                    Drift {
                        repository: step.repository.clone(),
                        tag: step.tag.clone(),
                        expected: from.unwrap_or_else(|| "nothing".to_owned()),
                        found,
                    }
                    .to_string(),
                ],
            });
        }
        let Some(to) = to else {
            // It did not exist before; whoever aborts is told.
            return Ok(());
        };
        let wanted = digest(&to)?;
        let by_digest = Locator::Digest(wanted.clone());
        let manifest = self.registry.manifest(&repository, &by_digest).await?;
        let manifest = manifest.ok_or(Error::Missing {
            repository: repository.clone(),
            digest: wanted,
        })?;
        self.registry
            .put_manifest(&repository, &at, &manifest)
            .await?;
        Ok(())
    }

    /// Ends what was begun: all tags at the new release.
    pub async fn resume(&self) -> Result<Entry, Error> {
        let Some((_, entry)) = self.open().await? else {
            return Err(Error::NothingPending {
                channel: self.name.to_owned(),
            });
        };
        self.carry_out(&entry).await?;
        Ok(entry)
    }

    /// Takes back what was begun: all tags as they were.
    pub async fn abort(&self) -> Result<Entry, Error> {
        let Some((at, entry)) = self.open().await? else {
            return Err(Error::NothingPending {
                channel: self.name.to_owned(),
            });
        };
        let mut order: Vec<&Move> = entry.images.iter().collect();
        order.sort_by_key(|step| std::cmp::Reverse(step.depth));
        self.flip(&order, |step| (Some(step.new.clone()), step.old.clone()))
            .await?;
        let ended = Entry {
            kind: Kind::Abort,
            previous: Some(at.to_string()),
            ..entry.clone()
        };
        self.put(&ended, self.tag("aborted")).await?;
        let mut left = Vec::new();
        for step in &entry.images {
            let (repository, tag) = place(step)?;
            if step.old.is_none() && self.head(&repository, Locator::Tag(tag)).await?.is_some() {
                left.push(format!("  {}:{}", step.repository, step.tag));
            }
        }
        match left.is_empty() {
            true => Ok(ended),
            false => Err(Error::Left { tags: left }),
        }
    }

    /// Where a revert goes: the last entry at another release than now, or at the one named.
    pub async fn before(&self, release: Option<&Digest>) -> Result<Entry, Error> {
        let history = self.history().await?;
        let Some((_, now)) = history.first() else {
            return Err(Error::NoChannel {
                channel: self.name.to_owned(),
            });
        };
        let wanted = history.iter().find(|(_, entry)| match release {
            Some(release) => entry.release == release.as_str(),
            None => entry.release != now.release,
        });
        match (wanted, release) {
            (Some((_, entry)), _) => Ok(entry.clone()),
            (None, Some(release)) => Err(Error::NoRelease {
                name: release.to_string(),
            }),
            (None, None) => Err(Error::NothingEarlier {
                channel: self.name.to_owned(),
            }),
        }
    }
}

/// The targets an entry stands for.
pub fn targets(entry: &Entry) -> Result<Vec<Target>, Error> {
    entry
        .images
        .iter()
        .map(|step| {
            let (repository, tag) = place(step)?;
            Ok(Target {
                label: step.label.clone(),
                repository,
                tag,
                digest: digest(&step.new)?,
                depth: step.depth,
            })
        })
        .collect()
}
