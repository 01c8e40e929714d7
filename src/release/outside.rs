//! Verdicts from outside a run, each about one digest: a document a gate and digest in staging.

use futures_util::future::try_join_all;

use super::Error;
use super::record::{bytes, parse};
use crate::evidence::Outside;
use crate::name::{Digest, Repository, Tag};
use crate::registry::{Locator, Registry};

const TYPE: &str = "application/vnd.laminate.outside.v1+json";

/// Where the verdict of a gate on a digest lies. A newer one takes its place.
fn tag(gate: &str, digest: &Digest) -> Tag {
    let name = Digest::of(format!("{gate}\n{digest}").as_bytes());
    Tag::parse(&format!("gate-{}", &name.hex()[..40])).expect("hex digits")
}

/// Writes a verdict.
pub async fn add(
    registry: &Registry,
    staging: &Repository,
    verdict: &Outside,
) -> Result<(), Error> {
    let tags = [tag(&verdict.gate, &verdict.digest)];
    registry
        .put_document(staging, &tags, TYPE, bytes(verdict))
        .await?;
    Ok(())
}

/// The newest verdict of a gate on each digest; `None` where there is none.
pub async fn find<'a>(
    registry: &Registry,
    staging: &Repository,
    gate: &str,
    digests: impl IntoIterator<Item = &'a Digest>,
) -> Result<Vec<Option<Outside>>, Error> {
    try_join_all(digests.into_iter().map(|digest| async move {
        let at = Locator::Tag(tag(gate, digest));
        match registry.document(staging, &at).await? {
            Some(document) => Ok(Some(parse(format!("{staging}:{at}"), &document.bytes)?)),
            None => Ok::<_, Error>(None),
        }
    }))
    .await
}
