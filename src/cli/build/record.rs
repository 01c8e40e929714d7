//! What is written down of a build that was published: the release, and the spec it was made from.

use std::collections::BTreeMap;

use serde_json::json;

use super::Work;
use crate::cli::refs;
use crate::evidence::Evidence;
use crate::name::Commit;
use crate::plan::{self, Planned};
use crate::record::{DroppedSuite, Release, ReleaseImage, ReleaseVerdict, StoredImage, StoredSpec};
use crate::spec::lock::Lock;
use crate::stack::Base;
use crate::staging::{self, Staging};

impl Work<'_> {
    /// Writes down what was published together. A part of a stack is no release.
    pub(super) async fn release(&self) -> Result<(), staging::Error> {
        let (Some(staging), Some(commit)) = (&self.staging, &self.gathered.facts.commit) else {
            return Ok(());
        };
        let stack = &self.context.stack;
        let mut images: Vec<ReleaseImage> = Vec::new();
        for planned in &self.plan.images {
            let image = &stack.images[planned.id.0];
            let (Some(repository), Some(digest), Some(keyed)) =
                (&image.repository, self.digest(planned), &planned.keyed)
            else {
                return Ok(());
            };
            let (depth, base) = match &image.base {
                Base::Image(parent) => {
                    let name = stack.images[parent.0].name.to_string();
                    (images[parent.0].depth + 1, (Some(name), None))
                }
                Base::Outside(base) => {
                    let reference = &base.reference.value;
                    let pinned = self.gathered.bases.get(reference).cloned();
                    (0, (Some(reference.to_string()), pinned))
                }
            };
            let variant = &stack.variants[image.variant].name;
            let evidence = self.evidence.get(&planned.id);
            images.push(ReleaseImage {
                image: image.name.to_string(),
                variant: variant.as_ref().map(ToString::to_string),
                repository: repository.clone(),
                digest,
                key: keyed.key.clone(),
                tags: planned.tags.clone(),
                depth,
                base: base.0,
                base_digest: base.1,
                size: self.size(planned).unwrap_or_default(),
                verdicts: evidence.map(|e| verdicts(e, planned)).unwrap_or_default(),
                dropped: image
                    .proof
                    .dropped
                    .iter()
                    .map(|dropped| DroppedSuite {
                        suite: dropped.suite.clone(),
                        reason: dropped.reason.clone(),
                    })
                    .collect(),
                checks: evidence.and_then(|e| Some(e.checks.as_ref()?.passed)),
                checks_key: evidence.and_then(|e| Some(e.checks.as_ref()?.key.clone())),
                evidence: None,
            });
        }
        let made = Release {
            stack: stack.name.to_string(),
            commit: Commit::parse(&commit.hash).expect("git prints a whole hash"),
            time: jiff::Timestamp::now(),
            run: self.run.to_string(),
            git_ref: refs::current(self.context).await,
            spec: None,
            images,
        };
        let spec = self.stored_spec();
        let evidence = self.evidence.values();
        let evidence: BTreeMap<String, Evidence> = evidence
            .map(|evidence| (evidence.image.clone(), evidence.clone()))
            .collect();
        let staging = Staging::new(self.registry, staging);
        let attempt = self.plan.attempt;
        staging
            .write_release(attempt, made, &evidence, &spec)
            .await?;
        Ok(())
    }

    /// The spec as it was, and as it was understood.
    fn stored_spec(&self) -> StoredSpec {
        let stack = &self.context.stack;
        let files = stack.sources.iter();
        let lock = Lock {
            bases: self.gathered.bases.clone(),
        };
        let images = self.plan.images.iter().map(|planned| {
            let image = &stack.images[planned.id.0];
            let base = match &image.base {
                Base::Image(parent) => stack.images[parent.0].name.to_string(),
                Base::Outside(base) => {
                    let reference = &base.reference.value;
                    match self.gathered.bases.get(reference) {
                        Some(digest) => reference.pinned(digest.clone()).to_string(),
                        None => reference.to_string(),
                    }
                }
            };
            let variant = &stack.variants[image.variant].name;
            let mut resolved = json!({
                "image": image.name.as_str(),
                "variant": variant.as_ref().map(ToString::to_string),
                "base": base,
            });
            let settings = plan::settings(image).into_iter();
            for (name, value) in settings {
                resolved[name] = value;
            }
            resolved["steps"] = image.steps.iter().map(plan::expand).collect();
            StoredImage {
                resolved,
                components: planned
                    .keyed
                    .as_ref()
                    .map(|keyed| keyed.components.clone())
                    .unwrap_or_default(),
            }
        });
        StoredSpec {
            files: files
                .map(|(_, file)| (file.path.clone(), file.text.to_string()))
                .collect(),
            lock: lock.to_string(),
            vars: self.context.vars.clone(),
            images: images.collect(),
        }
    }
}

fn verdicts(evidence: &Evidence, planned: &Planned) -> Vec<ReleaseVerdict> {
    let suites = planned.proofs.suites.iter();
    suites
        .filter_map(|suite| {
            let verdict = evidence.suites.get(&suite.name)?;
            Some(ReleaseVerdict {
                suite: suite.name.clone(),
                from: verdict.from.clone(),
                key: Some(verdict.key.clone()),
                digest: evidence.digest.clone(),
                passed: verdict.passed,
                tests: verdict.tests,
                failed: verdict.failed,
                cached: suite.verdict.known.is_some(),
            })
        })
        .collect()
}
