//! The tags of a channel's move, forward and back: bases first, each looked at before it is written
//! and read back before those that depend on it are written, and all of them read back at the end.
//!
//! Called by `channel` and `ending` with the entry that has the digests before and after.

use futures_util::future::join_all;

use super::error::{Cause, Error, TagProblem, Way};
use super::ledger::Channel;
use crate::name::{Digest, Repository};
use crate::record::{Drift, LedgerEntry, TagMove};
use crate::registry::{self, Locator, Manifest};
use crate::staging::EntryPosition;
use crate::trace::{self, Track};

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

/// What the move does with a tag.
enum Todo {
    /// It is where it goes to.
    Nothing,
    /// It did not exist before the move that is taken back.
    Delete,
    /// It is set to this manifest.
    Write(Manifest),
}

/// How far a move has come.
struct Progress<'a> {
    /// How many tags are set.
    done: usize,
    /// Whether no tag was written: those that could not be set were moved by others.
    untouched: bool,
    /// Whether a depth was begun.
    is_begun: bool,
    /// The tags that were written last, and are not read back.
    set: Vec<&'a TagMove>,
    /// The tags that could not be set.
    problems: Vec<TagProblem>,
}

impl Default for Progress<'_> {
    fn default() -> Self {
        Self {
            done: 0,
            untouched: true,
            is_begun: false,
            set: Vec::new(),
            problems: Vec::new(),
        }
    }
}

impl Progress<'_> {
    fn is_first(&self) -> bool {
        !self.is_begun
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
        let read_back = self.read_back(entry, Way::Forward, options);
        let (read_back, is_open) = tokio::join!(read_back, self.is_open(at, entry));
        read_back?;
        let recorded = async {
            self.ensure_open(is_open?, entry)?;
            self.record(at, entry, EntryPosition::Current).await
        };
        let recorded = recorded.await;
        recorded.map_err(|cause| self.unrecorded(Way::Forward, cause))
    }

    /// Sets tags in order, those of one depth together. After one that cannot be set, deeper ones are
    /// left alone. Tags of the last depth are not read back yet.
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
        let mut progress = Progress::default();
        for level in order.chunk_by(|a, b| a.depth == b.depth) {
            self.set_level(level, (at, entry), way, options, &mut progress)
                .await;
        }
        let Progress {
            done,
            untouched,
            problems,
            ..
        } = progress;
        if problems.is_empty() {
            return Ok(());
        }
        let is_first = !options.is_resumed;
        if done == 0 && untouched && is_first && matches!(self.is_open(at, entry).await, Ok(false))
        {
            return Err(self.lost(entry));
        }
        Err(self.between(entry, way, done, problems))
    }

    /// Sets the tags of one depth, unless there are problems already. All that can stand against it is looked at together:
    /// whether the move is still ours, the tags of the depth before, and the tags to set.
    async fn set_level<'b>(
        &self,
        level: &[&'b TagMove],
        (at, entry): (&Digest, &LedgerEntry),
        way: Way,
        options: MoveOptions<'_>,
        progress: &mut Progress<'b>,
    ) {
        let not_begun = |problems: &mut Vec<TagProblem>| {
            problems.extend(level.iter().map(|step| problem(step, Cause::NotBegun)));
        };
        if !progress.problems.is_empty() {
            return not_begun(&mut progress.problems);
        }
        let owner = async {
            // A number that was claimed is read back.
            let is_claimed = !options.is_resumed && progress.is_first();
            if is_claimed {
                return Ok(());
            }
            self.ensure_still_owner(at, entry, options.is_resumed).await
        };
        let before = progress.set.iter();
        let before = join_all(before.map(|step| self.ensure_set(step, way, options)));
        let todo = join_all(
            level
                .iter()
                .map(|step| self.look_before(step, way, options)),
        );
        let (owner, before, todo) = tokio::join!(owner, before, todo);
        let set_before = std::mem::take(&mut progress.set);
        for (step, result) in set_before.into_iter().zip(before) {
            if let Err(cause) = result {
                progress.done -= 1;
                progress.problems.push(problem(step, cause));
            }
        }
        if !progress.problems.is_empty() {
            return not_begun(&mut progress.problems);
        }
        progress.is_begun = true;
        if let Err(error) = owner {
            let cause = std::sync::Arc::new(error);
            let failed = |step: &&TagMove| problem(step, Cause::Failed(cause.clone()));
            return progress.problems.extend(level.iter().map(failed));
        }
        let set = level.iter().zip(todo).map(|(step, todo)| async move {
            match todo? {
                Todo::Nothing => Ok(false),
                todo => self.set(step, todo).await.map(|()| true),
            }
        });
        for (step, result) in level.iter().zip(join_all(set).await) {
            match result {
                Ok(is_written) => {
                    progress.done += 1;
                    progress.untouched &= !is_written;
                    progress.set.extend(is_written.then_some(*step));
                }
                Err(cause) => {
                    progress.untouched &= matches!(cause, Cause::Drift(_));
                    progress.problems.push(problem(step, cause));
                }
            }
        }
    }

    /// Looks at a tag before it is set, and returns what the move does with it.
    async fn look_before(
        &self,
        step: &TagMove,
        way: Way,
        options: MoveOptions<'_>,
    ) -> Result<Todo, Cause> {
        let (from, to) = ends(step, way);
        let repository = &step.repository;
        let at = Locator::Tag(step.tag.clone());
        let found = self.head(repository, at).await?;
        let found = found.as_ref();
        if found == to && (from == to || !options.is_resumed) {
            return Ok(Todo::Nothing);
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
            return Ok(Todo::Delete);
        };
        let ready = options.ready.iter().find(|ready| ready.digest == *to);
        Ok(Todo::Write(match ready {
            Some(manifest) => manifest.clone(),
            None => self.manifest(repository, to).await?,
        }))
    }

    /// Sets a tag. One that was written is not read back yet.
    async fn set(&self, step: &TagMove, todo: Todo) -> Result<(), Cause> {
        let _span = trace::span(Track::Tags, || format!("{}:{}", step.repository, step.tag));
        let (repository, registry) = (&step.repository, &self.staging.registry);
        let is_changed = match todo {
            Todo::Nothing => false,
            // Not every registry can; an abort reports what is left.
            Todo::Delete => registry.delete_tag(repository, &step.tag).await?,
            Todo::Write(manifest) => {
                registry
                    .put_tag_unread(repository, &step.tag, &manifest)
                    .await?;
                true
            }
        };
        if is_changed {
            registry.log().add(repository, &step.tag);
        }
        Ok(())
    }

    /// Reads back a tag that was set.
    async fn ensure_set(
        &self,
        step: &TagMove,
        way: Way,
        options: MoveOptions<'_>,
    ) -> Result<(), Cause> {
        let found = self.settled(step, way, options).await?;
        match ends(step, way).1 {
            Some(to) if found.as_ref() != Some(to) => Err(Cause::Elsewhere(found)),
            // One that could not be deleted is reported later.
            None if !options.accept_drift && found.as_ref() != ends(step, way).0 => match found {
                None => Ok(()),
                found => Err(Cause::Elsewhere(found)),
            },
            _ => Ok(()),
        }
    }

    /// Returns the digest a tag is on, once it shows what was written, or another writer's digest.
    async fn settled(
        &self,
        step: &TagMove,
        way: Way,
        options: MoveOptions<'_>,
    ) -> Result<Option<Digest>, registry::Error> {
        let registry = &self.staging.registry;
        let (from, to) = ends(step, way);
        // A resumed move writes a tag whatever it is on.
        let before = (!options.is_resumed).then_some(from);
        match to {
            Some(to) => {
                registry
                    .settled_tag(&step.repository, &step.tag, to, before)
                    .await
            }
            None => {
                let at = Locator::Tag(step.tag.clone());
                let found = registry.head_manifest(&step.repository, &at).await?;
                Ok(found.map(|found| found.digest))
            }
        }
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

    /// Reads all tags back, after they were set.
    pub(super) async fn read_back(
        &self,
        entry: &LedgerEntry,
        way: Way,
        options: MoveOptions<'_>,
    ) -> Result<(), Error> {
        let steps = entry.images.iter();
        let found = join_all(steps.map(|step| self.ensure_set(step, way, options))).await;
        let found = entry.images.iter().zip(found);
        let problems: Vec<TagProblem> = found
            .filter_map(|(step, found)| Some(problem(step, found.err()?)))
            .collect();
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
