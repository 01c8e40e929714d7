//! The tags of a channel's move, forward and back: bases first, each looked at before it is written
//! and read back after, and all of them at the end.
//!
//! Called by `channel` and `ending` with the entry that has the digests before and after.

use futures_util::future::join_all;

use super::error::{Cause, Error, TagProblem, Way};
use super::ledger::Channel;
use crate::name::{Digest, Repository};
use crate::record::{Drift, LedgerEntry, TagMove};
use crate::registry::{Locator, Manifest};
use crate::staging::EntryPosition;

/// How the tags of a move are set.
#[derive(Clone, Copy, Default)]
pub(super) struct MoveOptions<'a> {
    /// The move was begun before and broke. What a tag is on may be what it was on a moment ago, since
    /// some registries show that for a while; so it is written whatever it seems to be on.
    is_resumed: bool,
    /// Tags that others moved are moved all the same.
    accept_drift: bool,
    /// Manifests that have been read already.
    ready: &'a [Manifest],
}

impl<'a> MoveOptions<'a> {
    /// Returns those of a move that has just been written down.
    pub fn first(ready: &'a [Manifest]) -> Self {
        Self {
            ready,
            ..Self::default()
        }
    }

    /// Returns those of a move that was begun before.
    pub fn resumed(accept_drift: bool) -> Self {
        Self {
            is_resumed: true,
            accept_drift,
            ready: &[],
        }
    }
}

/// Returns the digest a tag comes from in this direction, and the one it goes to.
fn ends(step: &TagMove, way: Way) -> (Option<&Digest>, Option<&Digest>) {
    let (old, new) = (step.old.as_ref(), Some(&step.new));
    match way {
        Way::Forward => (old, new),
        Way::Back => (new, old),
    }
}

fn problem(step: &TagMove, cause: Cause) -> TagProblem {
    TagProblem {
        repository: step.repository.clone(),
        tag: step.tag.clone(),
        cause,
    }
}

impl Channel<'_> {
    /// Goes from the intent to the end: tags, check, pointer. May be begun anywhere in between.
    pub(super) async fn carry_out(
        &self,
        at: &Digest,
        entry: &LedgerEntry,
        options: MoveOptions<'_>,
    ) -> Result<(), Error> {
        self.set_all(at, entry, Way::Forward, options).await?;
        self.read_back(entry, Way::Forward, options).await?;
        let recorded = self.record(at, entry, EntryPosition::Current).await;
        recorded.map_err(|cause| self.unrecorded(Way::Forward, cause))
    }

    /// Sets tags in order, those of one depth together. After one that cannot be set, deeper ones are
    /// left alone.
    pub(super) async fn set_all(
        &self,
        at: &Digest,
        entry: &LedgerEntry,
        way: Way,
        options: MoveOptions<'_>,
    ) -> Result<(), Error> {
        let mut order: Vec<&TagMove> = entry.images.iter().collect();
        order.sort_by_key(|step| step.depth);
        if way == Way::Back {
            order.reverse();
        }
        let mut done = 0;
        let mut untouched = true;
        let mut problems = Vec::new();
        for level in order.chunk_by(|a, b| a.depth == b.depth) {
            if !problems.is_empty() {
                problems.extend(level.iter().map(|step| problem(step, Cause::NotBegun)));
                continue;
            }
            let owner = self.ensure_still_owner(at, entry, options.is_resumed);
            if let Err(error) = owner.await {
                let cause = std::sync::Arc::new(error);
                let failed = |step: &&TagMove| problem(step, Cause::Failed(cause.clone()));
                problems.extend(level.iter().map(failed));
                continue;
            }
            let set = join_all(level.iter().map(|step| self.set(step, way, options))).await;
            for (step, result) in level.iter().zip(set) {
                match result {
                    Ok(()) => done += 1,
                    Err(cause) => {
                        untouched &= matches!(cause, Cause::Drift(_));
                        problems.push(problem(step, cause));
                    }
                }
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        let is_first = !options.is_resumed;
        if done == 0 && untouched && is_first && matches!(self.is_open(at).await, Ok(false)) {
            return Err(self.lost(entry));
        }
        Err(self.between(entry, way, done, problems))
    }

    async fn set(&self, step: &TagMove, way: Way, options: MoveOptions<'_>) -> Result<(), Cause> {
        let (from, to) = ends(step, way);
        let (repository, registry) = (&step.repository, &self.staging.registry);
        let at = Locator::Tag(step.tag.clone());
        let found = self.head(repository, at.clone()).await?;
        let found = found.as_ref();
        if found == to && (from == to || !options.is_resumed) {
            return Ok(());
        }
        if found != from && found != to && !options.accept_drift {
            return Err(Cause::Drift(Drift {
                repository: repository.clone(),
                tag: step.tag.clone(),
                expected: from.cloned(),
                found: found.cloned(),
            }));
        }
        let Some(to) = to else {
            // Not every registry can; an abort reports what is left.
            if registry.delete_tag(repository, &step.tag).await? {
                registry.log().add(repository, &step.tag);
            }
            return Ok(());
        };
        let ready = options.ready.iter().find(|ready| ready.digest == *to);
        let manifest = match ready {
            Some(manifest) => manifest.clone(),
            None => self.manifest(repository, to).await?,
        };
        registry.put_manifest(repository, &at, &manifest).await?;
        registry.log().add(repository, &step.tag);
        Ok(())
    }

    /// Returns the manifest a tag is set to.
    pub(super) async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Manifest, Error> {
        let at = Locator::Digest(digest.clone());
        let found = self.staging.registry.manifest(repository, &at).await?;
        found.ok_or_else(|| Error::Missing {
            repository: repository.clone(),
            digest: digest.clone(),
        })
    }

    /// Looks at all tags once more, after they were set.
    pub(super) async fn read_back(
        &self,
        entry: &LedgerEntry,
        way: Way,
        options: MoveOptions<'_>,
    ) -> Result<(), Error> {
        let found = join_all(entry.images.iter().map(|step| self.seen(step))).await;
        let mut problems = Vec::new();
        for (step, found) in entry.images.iter().zip(found) {
            let (from, to) = ends(step, way);
            match found {
                Ok(found) if found.as_ref() == to => {}
                // One that could not be deleted is reported later.
                Ok(found) if to.is_none() && (found.as_ref() == from || options.accept_drift) => {}
                Ok(found) => problems.push(problem(step, Cause::Elsewhere(found))),
                Err(error) => problems.push(problem(step, error.into())),
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        let done = entry.images.len() - problems.len();
        Err(self.between(entry, way, done, problems))
    }

    fn between(
        &self,
        entry: &LedgerEntry,
        way: Way,
        done: usize,
        problems: Vec<TagProblem>,
    ) -> Error {
        Error::Between {
            channel: self.name.to_owned(),
            way,
            done,
            of: entry.images.len(),
            problems,
        }
    }

    pub(super) fn unrecorded(&self, way: Way, cause: Error) -> Error {
        Error::Unrecorded {
            channel: self.name.to_owned(),
            way,
            cause: Box::new(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Tag;

    fn step(old: Option<&str>) -> TagMove {
        TagMove {
            label: "a".to_owned(),
            repository: Repository::parse("registry.example/a").expect("a repository"),
            tag: Tag::parse("stable").expect("a tag"),
            old: old.map(|old| Digest::of(old.as_bytes())),
            new: Digest::of(b"new"),
            depth: 0,
        }
    }

    #[test]
    fn back_is_forward_with_its_ends_exchanged() {
        let step = step(Some("old"));
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        assert_eq!(ends(&step, Way::Forward), (Some(&old), Some(&new)));
        assert_eq!(ends(&step, Way::Back), (Some(&new), Some(&old)));
    }

    #[test]
    fn a_tag_that_did_not_exist_goes_back_to_nothing() {
        assert_eq!(ends(&step(None), Way::Back).1, None);
    }
}
