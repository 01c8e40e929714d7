//! Where evidence lies: one document an image key, under `evidence-<key>` in staging.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::Error;
use super::shared::{Place, change};
use crate::evidence::{Evidence, VERSION};
use crate::name::{Digest, Repository, Tag};
use crate::registry::{Locator, Registry};

const TYPE: &str = "application/vnd.laminate.evidence.v1+json";

fn tag(key: &Digest) -> Tag {
    Tag::parse(&format!("evidence-{}", &key.hex()[..40])).expect("a legal tag")
}

fn parse(bytes: &[u8]) -> Result<Evidence, String> {
    let evidence: Evidence = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match evidence.version {
        VERSION => Ok(evidence),
        other => Err(format!(
            "it is of version {other}, and this laminate understands {VERSION}; use a newer one"
        )),
    }
}

async fn read(
    registry: &Registry,
    staging: &Repository,
    key: &Digest,
) -> Result<Option<Evidence>, Error> {
    let at = tag(key);
    let found = registry
        .document(staging, &Locator::Tag(at.clone()))
        .await?;
    let Some(document) = found else {
        return Ok(None);
    };
    match parse(&document.bytes) {
        Ok(evidence) => Ok(Some(evidence)),
        Err(reason) => Err(Error::State {
            place: format!("{staging}:{at}"),
            reason,
        }),
    }
}

/// What is proven of the images with these keys; those nothing is known of are left out.
pub async fn evidence<'a>(
    registry: &Registry,
    staging: &Repository,
    keys: impl IntoIterator<Item = &'a Digest>,
) -> Result<BTreeMap<Digest, Evidence>, Error> {
    let found = try_join_all(keys.into_iter().map(|key| async move {
        let found = read(registry, staging, key).await?;
        Ok::<_, Error>(found.map(|evidence| (key.clone(), evidence)))
    }));
    Ok(found.await?.into_iter().flatten().collect())
}

/// Adds to what is known of an image, and gives all of it. What is known of other bytes of the same key
/// gives way.
pub async fn record(
    registry: &Registry,
    staging: &Repository,
    news: &Evidence,
) -> Result<Evidence, Error> {
    let place = Place {
        registry,
        staging,
        tag: &tag(&news.key),
        kind: TYPE,
    };
    change(&place, parse, |before| {
        let known = before.filter(|known| known.digest == news.digest);
        let mut whole = match known {
            Some(known) => known.clone(),
            None => Evidence::new(&news.image, news.key.clone(), news.digest.clone()),
        };
        whole.merge(news);
        whole
    })
    .await
}
