//! Verdicts on gates in staging: one tag for each digest, also where tags cannot move.

use crate::staging::{old, staging};
use crate::support::fake::Fake;
use laminate::testing::record::GateVerdict;

#[tokio::test]
async fn verdicts_on_one_digest_are_written_once() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let verdict: GateVerdict = serde_json::from_str(&old("verdict")).expect("a verdict");
    let other = GateVerdict {
        image: "2/side".to_owned(),
        ..verdict.clone()
    };
    let verdicts = [verdict, other];
    let kept = staging.put_verdicts(&verdicts).await.expect("written");
    assert!(kept.is_empty());
    assert_eq!(fake.count("PUT", "manifests/gate-"), 1);
}

#[tokio::test]
async fn a_verdict_with_an_immutable_tag_is_replaced_by_the_same_one_only() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let verdict: GateVerdict = serde_json::from_str(&old("verdict")).expect("a verdict");
    let put = |verdict: GateVerdict| {
        let staging = &staging;
        async move {
            let verdicts = [verdict];
            let kept = staging.put_verdicts(&verdicts).await.expect("an answer");
            kept.len()
        }
    };
    assert_eq!(put(verdict.clone()).await, 0);
    fake.state().immutable = Some((409, "the tag is immutable".to_owned()));
    let later = GateVerdict {
        time: "2027-01-01T00:00:00Z".parse().expect("a time"),
        by: "someone else".to_owned(),
        ..verdict.clone()
    };
    assert_eq!(put(later.clone()).await, 0);
    let other = GateVerdict {
        passed: !later.passed,
        ..later
    };
    assert_eq!(put(other).await, 1);
    let (id, digest) = (verdict.gate.as_str(), &verdict.digest);
    let known = staging.verdicts(id, [digest]).await.expect("read");
    assert_eq!(known, [Some(verdict)]);
}
