//! Verdicts on gates from outside a run: one document per gate and digest. A newer one takes the place
//! of an older one.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::{Document, Error, Staging};
use crate::name::{Digest, Tag};
use crate::record::GateVerdict;
use crate::registry;
use crate::tags;

impl Document for GateVerdict {
    /// The gate and the digest it is about.
    type Id<'a> = (&'a str, &'a Digest);
    const MEDIA_TYPE: &'static str = "application/vnd.laminate.outside.v1+json";

    fn tag((gate, digest): Self::Id<'_>) -> Tag {
        tags::gate(gate, digest)
    }
}

impl Staging {
    /// Writes verdicts, one for each gate and digest: images of several variants may be one. Returns those
    /// that could not take the place of another one, because its tag is immutable.
    pub async fn put_verdicts<'a>(
        &self,
        verdicts: &'a [GateVerdict],
    ) -> Result<Vec<&'a GateVerdict>, Error> {
        let verdicts = verdicts.iter();
        let verdicts: BTreeMap<_, _> = verdicts
            .map(|verdict| ((verdict.gate.as_str(), &verdict.digest), verdict))
            .collect();
        let written = verdicts.into_values().map(|verdict| async move {
            let is_written = self.put_verdict(verdict).await?;
            Ok::<_, Error>((!is_written).then_some(verdict))
        });
        let kept = try_join_all(written).await?;
        Ok(kept.into_iter().flatten().collect())
    }

    /// Writes a verdict; returns whether it is there, also if its tag is immutable and has the same verdict.
    async fn put_verdict(&self, verdict: &GateVerdict) -> Result<bool, Error> {
        let id = (verdict.gate.as_str(), &verdict.digest);
        match self.put(id, verdict).await {
            Ok(_) => Ok(true),
            Err(Error::Registry(registry::Error::Immutable { .. })) => {
                let known = self.read::<GateVerdict>(id).await?;
                Ok(known.is_some_and(|(_, known)| known.says_the_same(verdict)))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the newest verdict on a gate for each digest, in their order; `None` where there is none.
    pub async fn verdicts<'a>(
        &self,
        gate: &str,
        digests: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<Vec<Option<GateVerdict>>, Error> {
        try_join_all(digests.into_iter().map(|digest| async move {
            let found = self.read::<GateVerdict>((gate, digest)).await?;
            Ok::<_, Error>(found.map(|(_, verdict)| verdict))
        }))
        .await
    }
}
