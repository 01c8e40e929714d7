//! What is proven of images: one document per cache key.

use std::collections::BTreeMap;

use futures_util::future::{FutureExt as _, try_join_all};

use super::change::Lasting;
use super::{Document, Error, Settling, Staging};
use crate::evidence::{self, Evidence};
use crate::name::{Digest, Tag};
use crate::tags;

impl Document for Evidence {
    type Id<'a> = &'a Digest;
    const MEDIA_TYPE: &'static str = "application/vnd.laminate.evidence.v1+json";
    const VERSION: u32 = evidence::VERSION;

    fn tag(key: &Digest) -> Tag {
        tags::evidence(key)
    }

    fn version(&self) -> u32 {
        self.version
    }
}

impl Staging {
    /// Returns what is proven of the images with these keys; keys without evidence are left out.
    pub async fn evidence<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<BTreeMap<Digest, Evidence>, Error> {
        let found = try_join_all(keys.into_iter().map(|key| async move {
            let found = self.read::<Evidence>(key).await?;
            Ok::<_, Error>(found.map(|(_, evidence)| (key.clone(), evidence)))
        }));
        Ok(found.await?.into_iter().flatten().collect())
    }

    /// Adds to the evidence of an image, and returns all of it.
    pub async fn add_evidence(&self, news: &Evidence) -> Result<Evidence, Error> {
        let apply = |before: Option<&Evidence>| merged(before, news);
        self.begin_change(&news.key, lasting(news), apply)
            .await?
            .settle()
            .await
    }

    /// Adds to the evidence of an image. What is returned must be waited for.
    pub async fn begin_evidence(&self, news: Evidence) -> Result<Settling<'static>, Error> {
        let (key, lasting) = (news.key.clone(), lasting(&news));
        let apply = move |before: Option<&Evidence>| merged(before, &news);
        let change = self.begin_change(&key, lasting, apply).await?;
        Ok(async move { change.settle().await.map(|_| ()) }.boxed_local())
    }
}

/// Suites that passed are run again if their verdict is missing. If one that failed is missing, an earlier verdict would count.
fn lasting(news: &Evidence) -> Lasting {
    let checks = news.checks.as_ref().map(|checks| checks.passed);
    let suites = news.suites.values().map(|verdict| verdict.passed);
    if suites.chain(checks).all(|passed| passed) {
        Lasting::No
    } else {
        Lasting::Yes
    }
}

/// Evidence of other bytes with the same key gives way.
fn merged(before: Option<&Evidence>, news: &Evidence) -> Evidence {
    let mut whole = match before.filter(|known| known.digest == news.digest) {
        Some(known) => known.clone(),
        None => Evidence::new(&news.image, news.key.clone(), news.digest.clone()),
    };
    whole.merge(news);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Checks;

    fn evidence(digest: &str, second: Option<i64>) -> Evidence {
        let mut evidence = Evidence::new("a", Digest::of(b"key"), Digest::of(digest.as_bytes()));
        evidence.checks = second.map(|second| Checks {
            key: Digest::of(b"policy"),
            passed: true,
            time: jiff::Timestamp::from_second(second).expect("a time"),
            findings: Vec::new(),
            allowed: Vec::new(),
            unused: Vec::new(),
        });
        evidence
    }

    #[test]
    fn evidence_of_the_same_bytes_is_merged_and_the_newer_counts() {
        let (old, new) = (evidence("image", Some(1)), evidence("image", Some(2)));
        assert_eq!(merged(Some(&old), &new), new);
        assert_eq!(merged(Some(&new), &old), new);
        assert_eq!(merged(Some(&old), &evidence("image", None)), old);
    }

    #[test]
    fn evidence_of_other_bytes_gives_way() {
        let other = evidence("other", None);
        assert_eq!(merged(Some(&evidence("image", Some(1))), &other), other);
    }
}
