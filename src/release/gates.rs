//! What must be green before a channel moves, and whether it is.
//!
//! A gate is `checks`, a suite, or whatever evidence from outside is filed under. A suite counts for the
//! images that have it; evidence from outside is wanted for every image that is asked for.

use std::collections::BTreeMap;

use super::{Error, Release, ReleaseImage, outside};
use crate::evidence::Evidence;
use crate::gather;
use crate::name::{Digest, Repository};
use crate::registry::Registry;
use crate::stack::Gate;

/// The gate every policy feeds.
pub const CHECKS: &str = "checks";

/// What is known of a gate for the images of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateState {
    pub name: String,
    /// Images it is green for.
    pub green: Vec<String>,
    /// Images it is red for.
    pub red: Vec<String>,
    /// Images it is asked of and says nothing about.
    pub open: Vec<String>,
    /// Images it is not asked of.
    pub silent: Vec<String>,
}

impl GateState {
    /// Whether nothing stands against a move: nothing red, nothing open, something green.
    pub fn is_proven(&self) -> bool {
        self.red.is_empty() && self.open.is_empty() && !self.green.is_empty()
    }
}

fn digest(text: &str) -> Result<Digest, Error> {
    Digest::parse(text).map_err(|_| Error::Strange {
        place: "the release".to_owned(),
        reason: format!("`{text}` is no digest"),
    })
}

/// Looks at gates for those images of a release a channel moves (by label). What was found out since
/// the release, on the same digest, counts over what the release says.
pub async fn gates(
    registry: &Registry,
    staging: &Repository,
    release: &Release,
    labels: &[&str],
    gates: &[Gate],
) -> Result<Vec<GateState>, Error> {
    let images = release.images.iter();
    let images: Vec<&ReleaseImage> = images
        .filter(|image| labels.contains(&image.label().as_str()))
        .collect();
    let keys: Vec<Digest> = images
        .iter()
        .map(|image| digest(&image.key))
        .collect::<Result<_, _>>()?;
    let newest = gather::evidence(registry, staging, &keys).await?;
    let mut list = Vec::new();
    for gate in gates {
        list.push(look(registry, staging, gate, &images, &newest).await?);
    }
    Ok(list)
}

async fn look(
    registry: &Registry,
    staging: &Repository,
    gate: &Gate,
    images: &[&ReleaseImage],
    newest: &BTreeMap<Digest, Evidence>,
) -> Result<GateState, Error> {
    let mut state = GateState {
        name: gate.name.clone(),
        green: Vec::new(),
        red: Vec::new(),
        open: Vec::new(),
        silent: Vec::new(),
    };
    let is_suite = |image: &&ReleaseImage| image.verdicts.iter().any(|v| v.suite == gate.name);
    let inside = gate.name == CHECKS || images.iter().any(is_suite);
    let mut asked = Vec::new();
    for image in images {
        let wanted = gate.images.as_ref();
        let wanted = wanted.is_none_or(|set| set.contains(&image.image));
        let known = match inside {
            true => said(gate, image, newest),
            false => None,
        };
        match known {
            _ if !wanted => state.silent.push(image.label()),
            Some(true) => state.green.push(image.label()),
            Some(false) => state.red.push(image.label()),
            // A suite need not be every image's; who names the image wants it there.
            None if inside && gate.images.is_none() => state.silent.push(image.label()),
            None if inside => state.open.push(image.label()),
            None => asked.push((image.label(), digest(&image.digest)?)),
        }
    }
    let digests = asked.iter().map(|(_, digest)| digest);
    let found = outside::find(registry, staging, &gate.name, digests).await?;
    for ((label, _), verdict) in asked.iter().zip(found) {
        match verdict.map(|verdict| verdict.passed) {
            Some(true) => state.green.push(label.clone()),
            Some(false) => state.red.push(label.clone()),
            None => state.open.push(label.clone()),
        }
    }
    Ok(state)
}

/// What checks or a suite say of an image. The release says how it was then; what is newer counts if it
/// is of the same edition of the suite or policy: a test that was edited since is another test.
fn said(gate: &Gate, image: &ReleaseImage, newest: &BTreeMap<Digest, Evidence>) -> Option<bool> {
    // What is known of a digest is known of that digest alone.
    let evidence = newest
        .values()
        .find(|evidence| evidence.digest.as_str() == image.digest);
    if gate.name == CHECKS {
        let newest = evidence.and_then(|evidence| evidence.checks.as_ref());
        let newest = newest.filter(|checks| {
            image.checks.is_none() || image.checks_key.as_ref() == Some(&checks.key)
        });
        return newest.map(|checks| checks.passed).or(image.checks);
    }
    let recorded = image.verdicts.iter().find(|v| v.suite == gate.name);
    let recorded = recorded.filter(|verdict| verdict.digest.as_str() == image.digest);
    let newest = evidence.and_then(|evidence| match recorded {
        Some(recorded) => evidence.verdict(&gate.name, recorded.key.as_ref()?),
        None => evidence.suites.get(&gate.name),
    });
    newest
        .map(|verdict| verdict.passed)
        .or(recorded.map(|verdict| verdict.passed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Checks, Verdict};
    use crate::release::ReleaseVerdict;

    fn of(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn image(verdict: Option<(&str, bool)>, checks: Option<(&str, bool)>) -> ReleaseImage {
        let verdicts = verdict.map(|(key, passed)| ReleaseVerdict {
            suite: "common".to_owned(),
            from: None,
            key: Some(of(key)),
            digest: of("image"),
            passed,
            tests: 1,
            failed: u32::from(!passed),
            cached: false,
        });
        ReleaseImage {
            image: "a".to_owned(),
            variant: None,
            repository: "example.org/a".to_owned(),
            digest: of("image").to_string(),
            key: of("key").to_string(),
            tags: Vec::new(),
            depth: 0,
            base: None,
            base_digest: None,
            size: 0,
            verdicts: verdicts.into_iter().collect(),
            dropped: Vec::new(),
            checks: checks.map(|(_, passed)| passed),
            checks_key: checks.map(|(key, _)| of(key)),
            evidence: None,
        }
    }

    fn evidence(
        digest: &str,
        suite: (&str, bool),
        policy: (&str, bool),
    ) -> BTreeMap<Digest, Evidence> {
        let mut evidence = Evidence::new("a", of("key"), of(digest));
        evidence.suites.insert(
            "common".to_owned(),
            Verdict {
                key: of(suite.0),
                from: None,
                passed: suite.1,
                reason: None,
                tests: 1,
                failed: 0,
                skipped: 0,
                seconds: 0.0,
                time: "t".to_owned(),
                cases: Vec::new(),
                log: String::new(),
            },
        );
        evidence.checks = Some(Checks {
            key: of(policy.0),
            passed: policy.1,
            time: "t".to_owned(),
            findings: Vec::new(),
            allowed: Vec::new(),
            unused: Vec::new(),
        });
        BTreeMap::from([(of("key"), evidence)])
    }

    #[test]
    fn the_same_edition_counts_when_it_is_newer_and_another_does_not() {
        let gate = |name: &str| Gate {
            name: name.to_owned(),
            images: None,
        };
        let (common, checks) = (gate("common"), gate(CHECKS));
        let then = image(Some(("one", true)), Some(("one", true)));
        // A retest of the same suite, and another edition of it.
        for (key, counts) in [("one", Some(false)), ("two", Some(true))] {
            let newest = evidence("image", (key, false), (key, false));
            assert_eq!(said(&common, &then, &newest), counts, "{key}");
            assert_eq!(said(&checks, &then, &newest), counts, "{key}");
        }
        // Other bytes of the same key say nothing.
        let other = evidence("other", ("one", false), ("one", false));
        assert_eq!(said(&common, &then, &other), Some(true));
        assert_eq!(said(&checks, &then, &other), Some(true));
        // What the release does not know yet may be proven later.
        let early = image(None, None);
        assert_eq!(said(&common, &early, &BTreeMap::new()), None);
        let newest = evidence("image", ("two", true), ("two", false));
        assert_eq!(said(&common, &early, &newest), Some(true));
        assert_eq!(said(&checks, &early, &newest), Some(false));
    }
}
