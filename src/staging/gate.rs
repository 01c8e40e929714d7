//! Verdicts on gates from outside a run: one document per gate and digest. A newer one takes the place
//! of an older one.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::{Document, Error, Staging};
use crate::name::{Digest, Tag};
use crate::record::GateVerdict;
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
    /// Writes verdicts, one for each gate and digest: images of several variants may be one.
    pub async fn put_verdicts(&self, verdicts: &[GateVerdict]) -> Result<(), Error> {
        let verdicts = verdicts.iter();
        let verdicts: BTreeMap<_, _> = verdicts
            .map(|verdict| ((verdict.gate.as_str(), &verdict.digest), verdict))
            .collect();
        try_join_all(
            verdicts
                .into_iter()
                .map(|(id, verdict)| self.put(id, verdict)),
        )
        .await?;
        Ok(())
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
