//! Small documents in staging that several runs change, perhaps at the same moment.
//!
//! No registry compares before it writes. So a change is a function that may be applied again: it is
//! written, and after a while looked for; if another run wrote what it had read before us, ours is put
//! on top of that.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Error;
use crate::name::{Repository, Tag};
use crate::registry::{self, Locator, Registry};

/// How often what others wrote is taken in before it is left at that.
const ROUNDS: usize = 8;

/// The least that is waited for another run between its reading and its writing.
const WAIT: Duration = Duration::from_millis(250);

/// A document's place and type.
pub struct Place<'a> {
    pub registry: &'a Registry,
    pub staging: &'a Repository,
    pub tag: &'a Tag,
    pub kind: &'static str,
}

/// Refuses a document of another version than the one that is understood.
pub fn of_version<T>(document: T, found: u32, understood: u32) -> Result<T, String> {
    match found == understood {
        true => Ok(document),
        false => Err(format!(
            "it is of version {found}, and this laminate understands {understood}; use a newer one"
        )),
    }
}

/// Reads a document; `None` if there is none.
pub async fn read<T>(
    place: &Place<'_>,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, Error> {
    let at = Locator::Tag(place.tag.clone());
    let Some(found) = place.registry.document(place.staging, &at).await? else {
        return Ok(None);
    };
    let parsed = parse(&found.bytes).map_err(|reason| Error::State {
        place: format!("{}:{}", place.staging, place.tag),
        reason,
    });
    parsed.map(Some)
}

/// Changes a document and gives what it is then. `apply` must change nothing when applied to its own
/// result.
pub async fn change<T: Serialize + PartialEq>(
    place: &Place<'_>,
    parse: impl Fn(&[u8]) -> Result<T, String>,
    apply: impl Fn(Option<&T>) -> T,
) -> Result<T, Error> {
    let mut round = 0;
    loop {
        let begun = Instant::now();
        let before = read(place, &parse).await?;
        let after = apply(before.as_ref());
        if before.as_ref() == Some(&after) || round == ROUNDS {
            return Ok(after);
        }
        round += 1;
        let bytes = serde_json::to_vec(&after).expect("plain data");
        let tags = [place.tag.clone()];
        let written = place
            .registry
            .put_document(place.staging, &tags, place.kind, bytes)
            .await;
        match written {
            Ok(_) => {}
            // Somebody else's was there when it was read back: the next round takes it in.
            Err(registry::Error::Overwritten { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(WAIT.max(3 * begun.elapsed())).await;
    }
}
