//! Where evidence lies: one document an image key, under `evidence-<key>` in staging.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::Error;
use super::shared::{Place, change, of_version, read};
use crate::evidence::{Evidence, VERSION};
use crate::name::{Digest, Repository, Tag};
use crate::registry::Registry;

const TYPE: &str = "application/vnd.laminate.evidence.v1+json";

fn tag(key: &Digest) -> Tag {
    Tag::parse(&format!("evidence-{}", &key.hex()[..40])).expect("a legal tag")
}

fn parse(bytes: &[u8]) -> Result<Evidence, String> {
    let evidence: Evidence = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let version = evidence.version;
    of_version(evidence, version, VERSION)
}

/// What is proven of the images with these keys; those nothing is known of are left out.
pub async fn evidence<'a>(
    registry: &Registry,
    staging: &Repository,
    keys: impl IntoIterator<Item = &'a Digest>,
) -> Result<BTreeMap<Digest, Evidence>, Error> {
    let found = try_join_all(keys.into_iter().map(|key| async move {
        let place = Place {
            registry,
            staging,
            tag: &tag(key),
            kind: TYPE,
        };
        let found = read(&place, parse).await?;
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
