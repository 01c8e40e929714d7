//! Moves a channel: all its tags are looked at, the intent is written, the tags are moved as one set
//! (`tags`), and one pointer says that it is done.
//!
//! Main type: [`Channel`]. No registry compares before it writes, so who takes longer from a look to
//! a write than others wait ([`Registry::claim_tag`]) can still meet them; then tags are found
//! elsewhere, and it is said which. A concurrency group in CI prevents it.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::record::{ENTRY_TYPE, bytes, entry};
use super::tags::{How, elsewhere};
use super::{Entry, Error, Kind, Move};
use crate::name::{Digest, Repository, Tag};
use crate::registry::{self, Locator, Manifest, Registry};

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

/// What the ledger says of a tag, and what it was found at.
type Known = BTreeMap<(String, String), (String, Option<String>)>;

/// The tags of an entry, with what was found of each.
fn known(entry: &Entry, seen: Vec<Option<String>>) -> Known {
    let of = |(step, found): (&Move, _)| {
        let place = (step.repository.clone(), step.tag.clone());
        (place, (step.new.clone(), found))
    };
    entry.images.iter().zip(seen).map(of).collect()
}

fn strange(what: &str) -> Error {
    Error::Strange {
        place: "the channel's ledger".to_owned(),
        reason: format!("`{what}` is no name"),
    }
}

pub(super) fn place(step: &Move) -> Result<(Repository, Tag), Error> {
    let repository = Repository::parse(&step.repository).map_err(|_| strange(&step.repository))?;
    let tag = Tag::parse(&step.tag).map_err(|_| strange(&step.tag))?;
    Ok((repository, tag))
}

pub(super) fn digest(text: &str) -> Result<Digest, Error> {
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
            next = self.previous(&entry_here).await?;
            list.push((at, entry_here));
        }
        Ok(list)
    }

    async fn previous(&self, of: &Entry) -> Result<Option<(Digest, Entry)>, Error> {
        match &of.previous {
            Some(text) => {
                let at = Locator::Digest(digest(text)?);
                entry(self.registry, self.staging, &at).await
            }
            None => Ok(None),
        }
    }

    pub(super) async fn head(
        &self,
        repository: &Repository,
        at: Locator,
    ) -> Result<Option<Digest>, Error> {
        let found = self.registry.head_manifest(repository, &at).await?;
        Ok(found.map(|descriptor| descriptor.digest))
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
        let (drift, known) = match &current {
            Some((_, entry)) => {
                let seen = self.seen(entry).await?;
                let right = |step: &Move, found: Option<&String>| found == Some(&step.new);
                (elsewhere(entry, &seen, right), known(entry, seen))
            }
            None => Default::default(),
        };
        let drift: Vec<String> = drift.iter().map(ToString::to_string).collect();
        if !drift.is_empty() && !order.accept_drift {
            return Err(Error::Drift {
                channel: self.name.to_owned(),
                tags: drift,
            });
        }
        let known = &known;
        let (images, ready): (Vec<Move>, Vec<Option<Manifest>>) =
            try_join_all(targets.iter().map(|target| async move {
                let old = self.before_move(known, target, order).await?;
                let there = old.as_deref() == Some(target.digest.as_str());
                let manifest = match there {
                    true => None,
                    false => Some(self.image(&target.repository, &target.digest).await?),
                };
                let step = Move {
                    label: target.label.clone(),
                    repository: target.repository.to_string(),
                    tag: target.tag.to_string(),
                    old,
                    new: target.digest.to_string(),
                    depth: target.depth,
                };
                Ok::<_, Error>((step, manifest))
            }))
            .await?
            .into_iter()
            .unzip();
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
        let at = self.claim(&entry).await?;
        let ready: Vec<Manifest> = ready.into_iter().flatten().collect();
        self.carry_out(&at, &entry, How::first(&ready)).await?;
        Ok(Some(entry))
    }

    /// The manifest a tag is to be at.
    pub(super) async fn image(
        &self,
        repository: &Repository,
        wanted: &Digest,
    ) -> Result<Manifest, Error> {
        let at = Locator::Digest(wanted.clone());
        let found = self.registry.manifest(repository, &at).await?;
        found.ok_or_else(|| Error::Missing {
            repository: repository.clone(),
            digest: wanted.clone(),
        })
    }

    /// What a tag is before it is moved: what the ledger says, or else what its bytes prove. It is
    /// what an abort writes, so one wrong header must not be enough.
    async fn before_move(
        &self,
        known: &Known,
        target: &Target,
        order: &Order,
    ) -> Result<Option<String>, Error> {
        let at = Locator::Tag(target.tag.clone());
        let place = (target.repository.to_string(), target.tag.to_string());
        let (said, found) = match known.get(&place) {
            Some((said, found)) => (Some(said.clone()), found.clone()),
            None => {
                let found = self.head(&target.repository, at.clone()).await?;
                (None, found.map(|digest| digest.to_string()))
            }
        };
        if found == said {
            return Ok(found);
        }
        let proven = match found {
            Some(_) => self.registry.manifest(&target.repository, &at).await?,
            None => None,
        };
        let proven = proven.map(|manifest| manifest.digest.to_string());
        match said.filter(|said| Some(said) != proven.as_ref() && !order.accept_drift) {
            None => Ok(proven),
            Some(expected) => Err(Error::Drift {
                channel: self.name.to_owned(),
                tags: vec![
                    Drift {
                        repository: target.repository.to_string(),
                        tag: target.tag.to_string(),
                        expected,
                        found: proven,
                    }
                    .to_string(),
                ],
            }),
        }
    }

    /// Writes the intent. The numbered tag is one promoter's only; whoever finds it taken was second
    /// and has moved nothing.
    async fn claim(&self, entry: &Entry) -> Result<Digest, Error> {
        let tag = self.numbered(entry.seq);
        let claimed = (self.registry)
            .claim_document(self.staging, &tag, ENTRY_TYPE, bytes(entry))
            .await?;
        claimed.ok_or_else(|| self.lost(entry))
    }

    pub(super) fn lost(&self, entry: &Entry) -> Error {
        Error::Lost {
            channel: self.name.to_owned(),
            tag: self.numbered(entry.seq),
        }
    }

    /// Whether this is the move that was begun and not ended.
    pub(super) async fn is_open(&self, at: &Digest) -> Result<bool, Error> {
        let open = self.open().await?;
        Ok(open.is_some_and(|(open, _)| open == *at))
    }

    /// That a number of the ledger is still the entry's; `again` if that was written by another
    /// process, maybe a moment ago.
    pub(super) async fn still(&self, at: &Digest, entry: &Entry, again: bool) -> Result<(), Error> {
        let tag = self.numbered(entry.seq);
        let ours = match again {
            true => self.registry.is_at(self.staging, &tag, at).await?,
            false => {
                self.head(self.staging, Locator::Tag(tag.clone()))
                    .await?
                    .as_ref()
                    == Some(at)
            }
        };
        match ours {
            true => Ok(()),
            false => Err(Error::Overtaken {
                channel: self.name.to_owned(),
                tag,
            }),
        }
    }

    /// Says where the channel is; only the move that is open may.
    pub(super) async fn record(
        &self,
        at: &Digest,
        entry: &Entry,
        suffix: &str,
    ) -> Result<(), Error> {
        if !self.is_open(at).await? {
            return Err(Error::Overtaken {
                channel: self.name.to_owned(),
                tag: self.numbered(entry.seq),
            });
        }
        self.put(entry, self.tag(suffix)).await?;
        Ok(())
    }

    /// Puts into an open entry what was found moved and let be; where its tag is immutable, nowhere.
    pub(super) async fn amend(
        &self,
        at: Digest,
        entry: Entry,
        drift: &[Drift],
    ) -> Result<(Digest, Entry), Error> {
        let drift: Vec<String> = drift.iter().map(ToString::to_string).collect();
        if drift.iter().all(|line| entry.drift.contains(line)) {
            return Ok((at, entry));
        }
        let mut amended = entry.clone();
        amended.drift.extend(drift);
        match self.put(&amended, self.numbered(entry.seq)).await {
            Ok(digest) => Ok((digest, amended)),
            Err(Error::Registry(registry::Error::Immutable { .. })) => Ok((at, entry)),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, entry: &Entry, tag: Tag) -> Result<Digest, Error> {
        let written = (self.registry)
            .put_document(self.staging, &[tag], ENTRY_TYPE, bytes(entry))
            .await;
        Ok(written?)
    }

    /// Where a revert goes: the last entry at another release than now, or at the one named. The
    /// ledger is read no further back than that.
    pub async fn before(&self, release: Option<&Digest>) -> Result<Entry, Error> {
        let Some((_, now)) = self.current().await? else {
            return Err(Error::NoChannel {
                channel: self.name.to_owned(),
            });
        };
        let is_wanted = |entry: &Entry| match release {
            Some(release) => entry.release == release.as_str(),
            None => entry.release != now.release,
        };
        let mut next = Some(now.clone());
        while let Some(entry) = next {
            if is_wanted(&entry) {
                return Ok(entry);
            }
            next = self.previous(&entry).await?.map(|(_, entry)| entry);
        }
        Err(match release {
            Some(release) => Error::NoRelease {
                name: release.to_string(),
            },
            None => Error::NothingEarlier {
                channel: self.name.to_owned(),
            },
        })
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
