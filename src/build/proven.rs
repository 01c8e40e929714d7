//! The third phase: what is proven of each image, known before or found by this run, and whether it passed.

use std::collections::BTreeMap;

use futures_util::future::{FutureExt as _, LocalBoxFuture, join_all};

use super::error::Error;
use super::ran::Ran;
use crate::checks;
use crate::event::{Event, Events};
use crate::evidence::{Checks, Evidence, Finding, LayerLimit, junit};
use crate::name::Digest;
use crate::plan::{Keyed, Planned};
use crate::publish;
use crate::registry;
use crate::run;
use crate::source::Span;
use crate::stack::{Image, ImageId};
use crate::staging::{self, Settling, Staging};

/// A run with its evidence in staging.
pub(super) struct Proven<'a> {
    pub ran: Ran<'a>,
    /// What is proven of each image that is there.
    pub evidence: BTreeMap<ImageId, Evidence>,
    /// Why evidence or the JUnit report could not be written.
    pub fault: Option<Error>,
    /// Tags what this run built in staging and stores what it proved, until it has been waited for.
    pub storing: Option<Storing>,
    /// Documents that were written and must be read back once other runs must have written theirs.
    pub settling: Vec<Settling<'static>>,
}

/// Tags the images of a run in staging, and writes documents. Returns those that must be read back.
pub(super) type Storing = LocalBoxFuture<'static, Result<Vec<Settling<'static>>, Error>>;

impl<'a> Ran<'a> {
    /// Joins what was known with what this run proved, and writes the JUnit report. What this run proved is to be stored.
    pub async fn prove(self) -> Proven<'a> {
        let mut proven = Proven {
            ran: self,
            evidence: BTreeMap::new(),
            fault: None,
            storing: None,
            settling: Vec::new(),
        };
        let joined = proven.join().await;
        let written = proven.write_junit();
        proven.fault = joined.err().or(written.err());
        proven
    }
}

/// New evidence by cache key and digest. One key may be on two digests: rebuilt here, and reused there.
pub(super) type News = BTreeMap<(Digest, Digest), Evidence>;

impl Proven<'_> {
    async fn join(&mut self) -> Result<(), Error> {
        let job = self.ran.prepared.job;
        let mut news = News::new();
        for planned in &job.plan.images {
            if let Some(keyed) = &planned.keyed {
                self.add(planned, keyed, &mut news).await?;
            }
        }
        let Some(staging) = &self.ran.prepared.staging else {
            return Ok(());
        };
        let staging = Staging::new(job.registry, staging);
        let (last, events) = (self.ran.last_builds(), job.events.clone());
        let results = self.ran.prepared.results.clone();
        let tagging = self.ran.tagging.take();
        let storing = async move {
            let tagging = async {
                match tagging {
                    Some(tagging) => tagging.await,
                    None => Ok(()),
                }
            };
            let evidence = news.into_values();
            // That of one image may be stored although that of another cannot be.
            let evidence = join_all(evidence.map(|new| begin_evidence(&staging, new, &events)));
            let state = async {
                match last {
                    Some((built, refreshed)) => {
                        staging.begin_state(built, refreshed).await.map(Some)
                    }
                    None => Ok(None),
                }
            };
            let (tagged, state, evidence) = tokio::join!(tagging, state, evidence);
            tagged?;
            let mut settling: Vec<_> = state.map_err(Error::Staged)?.into_iter().collect();
            for begun in evidence {
                settling.extend(begun.map_err(Error::Staged)?);
            }
            results.take();
            Ok(settling)
        };
        self.storing = Some(storing.boxed_local());
        Ok(())
    }

    /// Adds one image's evidence, and to `news` what staging does not have yet.
    async fn add(
        &mut self,
        planned: &Planned,
        keyed: &Keyed,
        news: &mut News,
    ) -> Result<(), Error> {
        let image = &self.ran.prepared.job.stack[planned.id];
        let proven = self.ran.prepared.results.get(planned.id);
        let stored = self.ran.digest(planned);
        // Without a registry nothing has a digest before it is in an archive.
        let digest = stored
            .clone()
            .or_else(|| proven.as_ref().map(|_| keyed.key.clone()));
        let Some(digest) = digest else {
            return Ok(());
        };
        let empty = Evidence::new(&planned.label, keyed.key.clone(), digest.clone());
        let mut new = proven.map(|proven| evidence_of(&proven, empty.clone()));
        let mut whole = known(image, planned, empty);
        if limits_size(image)
            && let Some(size) = self.stored_size(planned).await?
        {
            let new = new.as_mut().and_then(|new| new.checks.as_mut());
            for checks in [new, whole.checks.as_mut()].into_iter().flatten() {
                check_size(checks, image, size);
            }
        }
        if let Some(new) = &new {
            whole.merge(new);
        }
        self.evidence.insert(planned.id, whole);
        if let Some(new) = new
            && stored.is_some()
        {
            add_news(news, new);
        }
        Ok(())
    }

    /// The size of an image, bytes, asked of the registry if it is not remembered. An image that is only in
    /// the engine's archive has none yet.
    async fn stored_size(&self, planned: &Planned) -> Result<Option<u64>, Error> {
        if let Some(size) = self.ran.size(planned).filter(|size| *size > 0) {
            return Ok(Some(size));
        }
        let job = self.ran.prepared.job;
        match (job.stack.staging(), self.ran.digest(planned)) {
            (Some(staging), Some(digest)) if !job.options.offline => {
                Ok(publish::size(job.registry, staging, &digest).await?)
            }
            _ => Ok(None),
        }
    }

    /// Whether a suite or check of an image that is there failed, or was not run although it had to be.
    pub fn has_failed_proof(&self) -> bool {
        let planned = &self.ran.prepared.job.plan.images;
        let mut there = planned.iter().filter(|planned| self.ran.is_there(planned));
        there.any(|planned| !has_passed(planned, self.evidence.get(&planned.id)))
    }

    /// Whether images may be tagged: everything was built and passed, and is recorded.
    pub fn may_publish(&self) -> bool {
        !self.ran.has_failed() && !self.has_failed_proof() && self.fault.is_none()
    }

    fn write_junit(&self) -> Result<(), Error> {
        let job = self.ran.prepared.job;
        let Some(path) = &job.options.junit else {
            return Ok(());
        };
        let suites = self.evidence.values().flat_map(|evidence| {
            let suites = evidence.suites.iter();
            suites.map(|(name, verdict)| (format!("{} {name}", evidence.image), verdict))
        });
        let xml = junit::report(job.stack.name().as_str(), suites);
        std::fs::write(path, xml).map_err(|source| Error::Junit {
            path: path.clone(),
            source,
        })
    }

    /// Entries of `policy.allow` that no image needs, with their paths, if all images that have them were
    /// checked.
    pub fn unused_allowances(&self) -> Vec<(Span, &str)> {
        let mut known: BTreeMap<Span, (bool, &str)> = BTreeMap::new();
        for (index, image) in self.ran.prepared.job.stack.images().iter().enumerate() {
            let evidence = self.evidence.get(&ImageId(index));
            let checks = evidence.and_then(|evidence| evidence.checks.as_ref());
            for (path, allowance) in &image.proof.policy.allow {
                let is_used = checks.is_none_or(|checks| !checks.unused.contains(path));
                known.entry(allowance.span).or_insert((false, path)).0 |= is_used;
            }
        }
        let unused = known.into_iter().filter(|(_, (is_used, _))| !is_used);
        unused.map(|(span, (_, path))| (span, path)).collect()
    }
}

/// Writes new evidence of an image. If its tag cannot move, that is reported only: the release has the evidence as well, so
/// only a later run misses it.
pub(super) async fn begin_evidence(
    staging: &Staging,
    new: Evidence,
    events: &Events,
) -> Result<Option<Settling<'static>>, staging::Error> {
    let (image, events) = (new.image.clone(), events.clone());
    let unless_immutable = move |error| match error {
        staging::Error::Registry(error @ registry::Error::Immutable { .. }) => {
            let text = format!("{error}; suites and checks of `{image}` run again the next time");
            events.send(Event::Warning { text });
            Ok(())
        }
        error => Err(error),
    };
    match staging.begin_evidence(new).await {
        Ok(settling) => Ok(Some(
            async move { settling.await.or_else(unless_immutable) }.boxed_local(),
        )),
        Err(error) => unless_immutable(error).map(|()| None),
    }
}

/// Returns what ran on an image as evidence.
pub(super) fn evidence_of(proven: &run::Proven, empty: Evidence) -> Evidence {
    Evidence {
        suites: proven.suites.clone(),
        info: proven.info.clone(),
        checks: proven.checks.clone(),
        ..empty
    }
}

/// Adds the evidence of an image to that which will be stored.
pub(super) fn add_news(news: &mut News, mut new: Evidence) {
    // A command that could not be run is shown now, and run again the next time.
    new.info.retain(|_, info| info.exit >= 0);
    if new.is_empty() {
        return;
    }
    let key = (new.key.clone(), new.digest.clone());
    (news.entry(key))
        .and_modify(|known| known.merge(&new))
        .or_insert(new);
}

/// What was known about an image before, of what the plan asks for.
fn known(image: &Image, planned: &Planned, empty: Evidence) -> Evidence {
    let proofs = &planned.proofs;
    let suites = proofs.suites.iter().filter_map(|suite| {
        let known = suite.verdict.known.clone()?;
        Some((suite.name.clone(), known))
    });
    let info = image.proof.info.iter().zip(&proofs.info);
    let info = info.filter_map(|(command, planned)| {
        let known = planned.known.clone()?;
        Some((command.name.clone(), known))
    });
    let checks = proofs.checks.as_ref();
    Evidence {
        suites: suites.collect(),
        info: info.collect(),
        checks: checks.and_then(|checks| checks.known.clone()),
        ..empty
    }
}

/// Whether the checks of an image depend on its size, which is known only once it was pushed.
pub(super) fn limits_size(image: &Image) -> bool {
    let limits = image.proof.policy.layers.as_ref();
    limits.is_some_and(|limits| limits.size.is_some())
}

/// Adds a finding to an image's checks if it is larger than `layers.size` allows, which is known only once
/// the image was pushed. `size` in bytes.
pub(super) fn check_size(checks: &mut Checks, image: &Image, size: u64) {
    let limits = image.proof.policy.layers.as_ref();
    let Some(fault) = limits.and_then(|limits| checks::size_fault(limits, size)) else {
        return;
    };
    // An image has one size; a finding from an earlier run is about the same one.
    let is_size = |finding: &Finding| finding.limit == Some(LayerLimit::Size);
    checks.findings.retain(|finding| !is_size(finding));
    checks.findings.push(Finding {
        limit: fault.kind.limit(),
        rule: fault.rule,
        path: fault.path,
        text: fault.text,
        below: 0,
        elsewhere: 0,
        step: None,
        inherited: None,
    });
    checks.passed = false;
}

/// Whether evidence shows that everything planned for an image passed, in the edition that is planned.
pub(super) fn has_passed(planned: &Planned, evidence: Option<&Evidence>) -> bool {
    let suites = planned.proofs.suites.iter().all(|suite| {
        let verdict = evidence.and_then(|evidence| evidence.suites.get(&suite.name));
        verdict.is_some_and(|verdict| verdict.passed && verdict.key == suite.verdict.key)
    });
    let checks = evidence.and_then(|evidence| evidence.checks.as_ref());
    let checked = planned.proofs.checks.as_ref().is_none_or(|expected| {
        checks.is_some_and(|checks| checks.passed && checks.key == expected.key)
    });
    suites && checked
}
