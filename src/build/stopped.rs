//! The results of a run that ends before it has stored them: suites that have ended do not run again.

use std::time::Duration;

use futures_util::future::join_all;

use super::job::Job;
use super::prepared::Prepared;
use super::proven::{News, add_news, begin_evidence, evidence_of, limits_size};
use crate::event::Event;
use crate::evidence::Evidence;
use crate::name::Repository;
use crate::plan::Action;
use crate::run::{self, Results};
use crate::stack::ImageId;
use crate::staging::Staging;

/// The most time that storing the results may take: somebody may wait for the command to stop.
const LIMIT: Duration = Duration::from_secs(10);

/// Results that a run has and has not stored yet.
pub(super) struct Unstored<'a> {
    job: Job<'a>,
    staging: Option<Repository>,
    results: Results,
}

impl<'a> Prepared<'a> {
    /// Returns the results that the run will have.
    pub(super) fn unstored(&self) -> Unstored<'a> {
        Unstored {
            job: self.job,
            staging: self.staging.clone(),
            results: self.results.clone(),
        }
    }
}

impl Unstored<'_> {
    /// Stores the results of images that were in staging before the run. If they cannot be stored, that is a warning.
    pub async fn store(self) {
        let Some(staging) = &self.staging else {
            return;
        };
        let mut news = News::new();
        for (id, proven) in self.results.take() {
            if let Some(new) = self.evidence(id, &proven) {
                add_news(&mut news, new);
            }
        }
        if news.is_empty() {
            return;
        }
        let send = |event| self.job.events.send(event);
        send(Event::Phase {
            text: "storing the results of suites that have ended".to_owned(),
        });
        let staging = Staging::new(self.job.registry, staging);
        let storing = join_all(news.into_values().map(async |new| {
            match begin_evidence(&staging, new, self.job.events).await? {
                Some(settling) => settling.await,
                None => Ok(()),
            }
        }));
        let fault = match tokio::time::timeout(LIMIT, storing).await {
            Ok(stored) => (stored.into_iter().find_map(Result::err)).map(|error| error.to_string()),
            Err(_) => Some(format!("it took longer than {} s", LIMIT.as_secs())),
        };
        if let Some(fault) = fault {
            send(Event::Warning {
                text: format!("some results of suites that have ended may not be stored: {fault}"),
            });
        }
    }

    /// Returns the evidence to store of an image that was in staging.
    fn evidence(&self, id: ImageId, proven: &run::Proven) -> Option<Evidence> {
        let planned = &self.job.plan.images[id.0];
        let (Some(keyed), Action::Reuse { digest }) = (&planned.keyed, &planned.action) else {
            return None;
        };
        let empty = Evidence::new(&planned.label, keyed.key.clone(), digest.clone());
        let mut new = evidence_of(proven, empty);
        // They may have failed because the engine was about to end, and do not run again. A suite that failed does.
        new.checks = new.checks.filter(|checks| checks.passed);
        new.info.retain(|_, info| info.exit == 0);
        if limits_size(&self.job.stack[id]) {
            // They lack the finding about the size.
            new.checks = None;
        }
        Some(new)
    }
}
