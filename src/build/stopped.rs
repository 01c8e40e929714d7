//! The results of a run that ends with an error: suites that had ended by then do not run again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::error::Error;
use super::prepared::Prepared;
use super::proven::{News, add_news, begin_evidence, evidence_of};
use crate::buildkit;
use crate::event::Event;
use crate::evidence::Evidence;
use crate::plan::Action;
use crate::run;
use crate::stack::ImageId;
use crate::staging::Staging;

/// The most time that storing the results may take: somebody may wait for the command to stop.
const LIMIT: Duration = Duration::from_secs(10);

impl Prepared<'_> {
    /// Stores the results that a run has when it ends with `error`. If they cannot be stored, that is a warning.
    pub(super) async fn store_results(
        &self,
        results: BTreeMap<ImageId, run::Proven>,
        error: &Error,
    ) {
        let Some(staging) = &self.staging else {
            return;
        };
        // What failed may have failed because the engine was about to end.
        let keeps_failed = matches!(
            error,
            Error::Cancelled | Error::Buildkit(buildkit::Error::Cancelled)
        );
        let mut news = News::new();
        for (id, proven) in results {
            if let Some(mut new) = self.new_evidence(id, &proven) {
                if !keeps_failed {
                    new.suites.retain(|_, verdict| verdict.passed);
                    new.checks = new.checks.filter(|checks| checks.passed);
                }
                add_news(&mut news, new);
            }
        }
        news.retain(|_, evidence| !evidence.is_empty());
        if news.is_empty() {
            return;
        }
        let job = self.job;
        let _orderly = job.interrupt.begin_orderly();
        let send = |text: String| job.events.send(Event::Phase { text });
        send("storing the results of suites that have ended".to_owned());
        let staging = Staging::new(job.registry, staging);
        let storing = try_join_all(news.into_values().map(async |new| {
            match begin_evidence(&staging, new, job.events).await? {
                Some(settling) => settling.await,
                None => Ok(()),
            }
        }));
        let fault = match tokio::time::timeout(LIMIT, storing).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the registry did not answer within {} s", LIMIT.as_secs()),
        };
        job.events.send(Event::Warning {
            text: format!("cannot store the results of suites that have ended: {fault}"),
        });
    }

    /// Returns what ran on an image that is in staging.
    fn new_evidence(&self, id: ImageId, proven: &run::Proven) -> Option<Evidence> {
        let planned = &self.job.plan.images[id.0];
        let (Some(keyed), Action::Reuse { digest }) = (&planned.keyed, &planned.action) else {
            return None;
        };
        let empty = Evidence::new(&planned.label, keyed.key.clone(), digest.clone());
        let mut new = evidence_of(proven, empty);
        let layers = self.job.stack[id].proof.policy.layers.as_ref();
        if layers.is_some_and(|layers| layers.size.is_some()) {
            // They lack the finding about the size.
            new.checks = None;
        }
        Some(new)
    }
}
