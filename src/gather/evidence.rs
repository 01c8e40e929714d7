//! Where evidence lies: one document an image key, under `evidence-<key>` in staging.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::Error;
use crate::evidence::{Evidence, VERSION};
use crate::name::{Digest, Repository, Tag};
use crate::registry::{Locator, Registry};

const TYPE: &str = "application/vnd.laminate.evidence.v1+json";

/// How often what another run wrote at the same moment is taken in.
const ROUNDS: usize = 5;

fn tag(key: &Digest) -> Tag {
    Tag::parse(&format!("evidence-{}", &key.hex()[..40])).expect("a legal tag")
}

/// The document and the digest of its manifest.
async fn read(
    registry: &Registry,
    staging: &Repository,
    key: &Digest,
) -> Result<Option<(Digest, Evidence)>, Error> {
    let at = tag(key);
    let found = registry
        .document(staging, &Locator::Tag(at.clone()))
        .await?;
    let Some(document) = found else {
        return Ok(None);
    };
    let broken = |reason: String| Error::State {
        place: format!("{staging}:{at}"),
        reason,
    };
    let evidence: Evidence =
        serde_json::from_slice(&document.bytes).map_err(|error| broken(error.to_string()))?;
    match evidence.version {
        VERSION => Ok(Some((document.digest, evidence))),
        other => Err(broken(format!(
            "it is of version {other}, and this laminate understands {VERSION}; use a newer one"
        ))),
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
        Ok::<_, Error>(found.map(|(_, evidence)| (key.clone(), evidence)))
    }));
    Ok(found.await?.into_iter().flatten().collect())
}

/// Adds to what is known of an image, and gives all of it. What is known of other bytes of the same key
/// gives way. Another run that writes at the same moment is taken in, so that neither is lost.
pub async fn record(
    registry: &Registry,
    staging: &Repository,
    news: &Evidence,
) -> Result<Evidence, Error> {
    let at = tag(&news.key);
    let mut before = read(registry, staging, &news.key).await?;
    for _ in 0..ROUNDS {
        let mut whole = match &before {
            Some((_, known)) if known.digest == news.digest => known.clone(),
            _ => Evidence::new(&news.image, news.key.clone(), news.digest.clone()),
        };
        whole.merge(news);
        if before.as_ref().is_some_and(|(_, known)| *known == whole) {
            return Ok(whole);
        }
        let bytes = serde_json::to_vec(&whole).expect("plain data");
        let tags = [at.clone()];
        let written = match registry.put_document(staging, &tags, TYPE, bytes).await {
            Ok(digest) => digest,
            // Somebody else's is there when it is read back.
            Err(crate::registry::Error::Overwritten { .. }) => {
                before = read(registry, staging, &news.key).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        before = read(registry, staging, &news.key).await?;
        if before
            .as_ref()
            .is_some_and(|(digest, _)| *digest == written)
        {
            return Ok(whole);
        }
    }
    // Others go on writing; what they took in of ours or not, this run knows what it proved.
    let mut whole = match before {
        Some((_, known)) if known.digest == news.digest => known,
        _ => Evidence::new(&news.image, news.key.clone(), news.digest.clone()),
    };
    whole.merge(news);
    Ok(whole)
}
