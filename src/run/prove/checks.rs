//! Checks the policy of an image on its files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::subject::{Origin, Prover, Subject};
use crate::buildkit;
use crate::checks::{self, CheckInput, Duplicates, Fault, FaultKind, Tree};
use crate::event::Event;
use crate::evidence::Checks;
use crate::llb::{Meta, Output};
use crate::name::Digest;
use crate::plan;
use crate::run::context::Context;
use crate::run::tree;
use crate::stack::{Base, Image, ImageId};
use crate::trace::{self, Track};

/// Checks the policy of an image.
pub async fn run(
    prover: &Prover<'_, '_>,
    id: ImageId,
    subject: &Subject,
    key: &Digest,
) -> Result<Checks, buildkit::Error> {
    let _turn = prover.checks.acquire().await.expect("it is never closed");
    let begun = Instant::now();
    let context = prover.context;
    let _span = trace::span(Track::Proofs, || format!("{}: check", context.label(id)));
    let image = context.image(id);
    let policy = &image.proof.policy;
    let writable = plan::writable_paths(image);
    let enters = |path: &str| checks::looks_into(policy, &writable, path);
    let tree = if policy.root_locked.is_some() {
        all_files(prover, id, subject).await?
    } else if enters("") {
        tree::read(&context.gateway, &subject.result, enters).await?
    } else {
        Tree::default()
    };
    let texts = tree::texts(&context.gateway, &subject.result, &tree).await?;
    let without_base = CheckInput {
        policy,
        writable: &writable,
        user: subject.state.config.user(),
        tree: &tree,
        base: &Tree::default(),
        texts: &texts,
    };
    let faults = checks::faults(&without_base);
    // The base only makes faults fine that it has as well.
    let base = if policy.root_locked.is_some() && !faults.is_empty() {
        let paths = faults.iter().map(|fault| fault.path.as_str());
        let folders = paths.flat_map(checks::folders_above).collect();
        external_base_tree(prover, image, &folders).await?
    } else {
        Arc::default()
    };
    let asked = CheckInput {
        base: &base,
        ..without_base
    };
    let layers = Layers {
        context,
        id,
        subject,
    };
    let mut faults = layers.origins(&asked, checks::faults(&asked)).await?;
    if let Some(limits) = &policy.layers {
        let again = match limits.twice {
            Some(_) => layers.stored_again().await?,
            None => Vec::new(),
        };
        faults.extend(checks::layer_faults(limits, subject.layers, &again));
    }
    let parent = match &image.base {
        Base::Image(parent) => Some(context.image(*parent).name.as_str()),
        Base::External(_) | Base::Scratch => None,
    };
    let grouped = checks::findings(&faults, &policy.allow, parent);
    context.events.send(Event::Checked {
        image: context.label(id),
        findings: grouped.findings.len(),
        took: begun.elapsed(),
    });
    Ok(Checks {
        key: key.clone(),
        passed: grouped.findings.is_empty(),
        time: Timestamp::now(),
        findings: grouped.findings,
        allowed: grouped.allowed,
        unused: grouped.unused,
    })
}

/// Returns all entries of an image. Those of one that is in a registry, or that this run stores there, are read once on
/// this machine.
async fn all_files(
    prover: &Prover<'_, '_>,
    id: ImageId,
    subject: &Subject,
) -> Result<Tree, buildkit::Error> {
    let context = prover.context;
    let read = || tree::read(&context.gateway, &subject.result, |_| true);
    let Some(lists) = prover.lists.clone() else {
        return read().await;
    };
    let Origin::Pinned(reference) = &subject.origin else {
        let tree = read().await?;
        if context.options.staging.is_none() {
            return Ok(tree);
        }
        let (tree, list) = blocking(move || {
            let list = lists.pending(&tree);
            (tree, list)
        })
        .await;
        let mut pending = prover
            .pending
            .lock()
            .expect("no code under this lock panics");
        pending.extend(list.map(|list| (id, list)));
        return Ok(tree);
    };
    let (reference, platform) = (reference.clone(), context.options.platform.clone());
    let look = {
        let (lists, reference, platform) = (lists.clone(), reference.clone(), platform.clone());
        blocking(move || lists.get(&reference, &platform))
    };
    if let Some(tree) = look.await {
        return Ok(tree);
    }
    let tree = read().await?;
    let keep = blocking(move || {
        lists.keep(&reference, &platform, &tree);
        tree
    });
    Ok(keep.await)
}

/// Runs what waits for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let work = tokio::task::spawn_blocking(work).await;
    work.expect("a list is read and written without a panic")
}

/// Returns the entries of some folders of the external base below an image, read once a run.
async fn external_base_tree(
    prover: &Prover<'_, '_>,
    image: &Image,
    folders: &BTreeSet<&str>,
) -> Result<Arc<Tree>, buildkit::Error> {
    let context = prover.context;
    let mut at = image;
    let reference = loop {
        match &at.base {
            Base::Image(parent) => at = context.image(*parent),
            Base::External(base) => break &base.reference.value,
            Base::Scratch => return Ok(Arc::default()),
        }
    };
    let digest = context.options.external.get(reference).cloned();
    let pinned = match digest {
        Some(digest) => reference.pinned(digest),
        None => reference.clone(),
    };
    let cell = {
        let mut trees = prover
            .base_trees
            .lock()
            .expect("no code under this lock panics");
        let folders: Vec<&str> = folders.iter().copied().collect();
        let key = format!("{pinned} {}", folders.join(":"));
        trees.entry(key).or_default().clone()
    };
    let tree = cell.get_or_try_init(|| async {
        let output = context.compiler().reference(&pinned, "checks");
        let result = context.solve(output).await?;
        let tree = tree::read(&context.gateway, &result, |path| folders.contains(path)).await?;
        Ok::<_, buildkit::Error>(Arc::new(tree))
    });
    tree.await.cloned()
}

/// An image's own layers, one a step.
struct Layers<'l, 'a> {
    context: &'l Context<'a>,
    id: ImageId,
    subject: &'l Subject,
}

impl Layers<'_, '_> {
    fn count(&self) -> usize {
        self.context.image(self.id).steps.len()
    }

    /// Returns the image after `steps` of its own steps; `None`: it has no layer yet.
    fn after(&self, steps: usize) -> Option<Output> {
        match &self.subject.origin {
            Origin::Built(built) => Some(built.compiled.states[steps]),
            Origin::Pinned(reference) => {
                let own = self.count().saturating_sub(steps);
                let layers = match steps {
                    0 => self.subject.below,
                    _ => self.subject.layers.saturating_sub(own),
                };
                let mut compiler = self.context.compiler();
                (layers > 0).then(|| compiler.first_layers(reference, layers))
            }
        }
    }

    /// Returns the files the image has after `steps` of its own steps; `enters`: the folders to read.
    async fn tree_after(
        &self,
        steps: usize,
        enters: impl Fn(&str) -> bool,
    ) -> Result<Option<(buildkit::Ref, Tree)>, buildkit::Error> {
        let Some(output) = self.after(steps) else {
            return Ok(None);
        };
        let result = self.context.solve(output).await?;
        let tree = tree::read(&self.context.gateway, &result, enters).await?;
        Ok(Some((result, tree)))
    }

    /// Returns the files in the layer of a step.
    async fn layer(&self, step: usize) -> Result<Tree, buildkit::Error> {
        let (below, above) = (self.after(step), self.after(step + 1));
        let output = {
            let mut compiler = self.context.compiler();
            compiler.graph.diff(below, above, Meta::default())
        };
        let result = self.context.solve(output).await?;
        tree::read(&self.context.gateway, &result, |_| true).await
    }

    /// Returns each fault with the step it comes from: the first one after which it is always there. A
    /// path in a layer proves little, since making a file puts its folder into the layer as well.
    async fn origins(
        &self,
        asked: &CheckInput<'_>,
        faults: Vec<Fault>,
    ) -> Result<Vec<(Fault, Option<usize>)>, buildkit::Error> {
        let (whole, mut open): (Vec<Fault>, Vec<Fault>) =
            faults.into_iter().partition(|fault| fault.path.is_empty());
        let mut known: Vec<(Fault, Option<usize>)> =
            whole.into_iter().map(|fault| (fault, None)).collect();
        for step in (0..self.count()).rev() {
            if open.is_empty() {
                break;
            }
            let paths = open.iter().map(|fault| fault.path.as_str());
            let above: BTreeSet<&str> = paths.flat_map(checks::folders_above).collect();
            let before = self.tree_after(step, |path| above.contains(path)).await?;
            let (tree, texts) = match before {
                Some((result, tree)) => {
                    let texts = tree::texts(&self.context.gateway, &result, &tree).await?;
                    (tree, texts)
                }
                None => Default::default(),
            };
            let before = checks::faults(&CheckInput {
                tree: &tree,
                texts: &texts,
                ..*asked
            });
            let before: BTreeSet<(&str, FaultKind)> = before
                .iter()
                .map(|fault| (fault.path.as_str(), fault.kind))
                .collect();
            let here = |fault: &mut Fault| !before.contains(&(fault.path.as_str(), fault.kind));
            known.extend(open.extract_if(.., here).map(|fault| (fault, Some(step))));
        }
        known.extend(open.into_iter().map(|fault| (fault, None)));
        known.sort();
        Ok(known)
    }

    /// Returns what each step stores although a layer below has it.
    async fn stored_again(&self) -> Result<Vec<Duplicates>, buildkit::Error> {
        let mut layers = Vec::new();
        for step in 0..self.count() {
            layers.push(self.layer(step).await?);
        }
        // What no layer touches is stored once.
        let paths = layers.iter().flat_map(|layer| layer.0.keys());
        let above: BTreeSet<&str> = paths.flat_map(|path| checks::folders_above(path)).collect();
        let before = self.tree_after(0, |path| above.contains(path)).await?;
        let mut before = before.map(|(_, tree)| tree).unwrap_or_default();
        let layers = layers.iter().zip(0..);
        Ok(layers
            .map(|(layer, step)| checks::apply_layer(&mut before, layer, step))
            .collect())
    }
}
