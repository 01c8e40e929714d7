//! What breaks where in the crash matrix, and the random choice of it.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::fake::Effect;

/// The move that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The channel's first promotion: its tags did not exist.
    First,
    Promotion,
    Revert,
}

/// What happens at the nth request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// From there on, so often.
    Effect(Effect, usize),
    /// All tokens die, and the token server answers so, so often.
    Tokens(u16, usize),
    /// Somebody else moves the tag of this image.
    OtherWriter(usize),
    /// The process is killed; `true` if the request was carried out all the same.
    Kill(bool),
}

/// How it is ended, and where this is killed before it is tried again, if it is.
#[derive(Clone, Debug)]
pub struct Ending {
    pub resume: bool,
    pub killed: Option<(usize, bool)>,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub broken: Broken,
    pub nth: usize,
    pub fault: Fault,
    pub ending: Ending,
    /// The registry wants tokens, and says so for how long they live.
    pub tokens: Option<Option<u64>>,
    /// A HEAD shows the old digest for 300 ms.
    pub stale: bool,
    /// What it answers to taking a tag away.
    pub keeps_tags: Option<u16>,
}

impl Case {
    pub fn plain(broken: Broken, nth: usize, fault: Fault, resume: bool) -> Self {
        Self {
            broken,
            nth,
            fault,
            ending: Ending {
                resume,
                killed: None,
            },
            tokens: None,
            stale: false,
            keeps_tags: None,
        }
    }
}

fn date(text: &str) -> Fault {
    retry_after(Some(text.to_owned()))
}

fn retry_after(value: Option<String>) -> Fault {
    let headers = value.map(|value| ("retry-after", value));
    let headers = headers.into_iter().collect();
    Fault::Effect(Effect::Answer(429, headers, String::new()), 1)
}

/// The answers of a registry that misbehaves, and of those between.
fn faults() -> impl Strategy<Value = Fault> {
    let bodies = prop::sample::select(vec![
        "plain words",
        "<html>no</html>",
        r#"{"errors":[{"code":"UNKNOWN","message":"no"}]}"#,
        "",
    ]);
    let temporary = prop::sample::select(vec![408_u16, 429, 499, 500, 502, 503, 504, 522]);
    let lasting = prop::sample::select(vec![400_u16, 401, 403, 404, 405, 409, 412, 413]);
    let answer = |status: u16, body: &str| Effect::Answer(status, Vec::new(), body.to_owned());
    let times = prop::sample::select(vec![1_usize, 2, 3, 6, 7, usize::MAX]);
    let connection = prop::sample::select(vec![
        Effect::BreakBefore,
        Effect::BreakAfter,
        Effect::Reset { done: false },
        Effect::Reset { done: true },
    ]);
    let wrong = format!("sha256:{}", "0".repeat(64));
    let headers = prop::sample::select(vec![
        Effect::Without("docker-content-digest"),
        Effect::With("docker-content-digest", wrong),
        Effect::Without("location"),
        Effect::Without("content-type"),
    ]);
    prop_oneof![
        3 => (temporary, bodies.clone(), times.clone())
            .prop_map(move |(status, body, times)| Fault::Effect(answer(status, body), times)),
        3 => (lasting, bodies, times.clone())
            .prop_map(move |(status, body, times)| Fault::Effect(answer(status, body), times)),
        1 => Just(Fault::Effect(answer(400, "the tag is immutable"), 1)),
        1 => prop::sample::select(vec![
            retry_after(Some("1".to_owned())),
            date("Wed, 21 Oct 2015 07:28:00 GMT"),
            date("Wed, 21 Oct 2099 07:28:00 GMT"),
            retry_after(None),
        ]),
        3 => (connection, times.clone()).prop_map(|(effect, times)| Fault::Effect(effect, times)),
        3 => (headers, times).prop_map(|(effect, times)| Fault::Effect(effect, times)),
        1 => (1..3_usize)
            .prop_map(|times| Fault::Effect(Effect::Slow(Duration::from_millis(1500)), times)),
        2 => (prop::sample::select(vec![200_u16, 401, 403, 503]), 0..8_usize)
            .prop_map(|(status, times)| Fault::Tokens(status, times)),
        2 => (0..3_usize).prop_map(Fault::OtherWriter),
        3 => any::<bool>().prop_map(Fault::Kill),
    ]
}

/// Cases of these moves, each with how many requests it takes.
pub fn case(broken: Vec<(Broken, usize)>) -> impl Strategy<Value = Case> {
    let ending = (
        any::<bool>(),
        prop::option::weighted(0.3, (0..40_usize, any::<bool>())),
    )
        .prop_map(|(resume, killed)| Ending { resume, killed });
    let tokens = prop::option::weighted(0.3, prop::sample::select(vec![None, Some(1), Some(300)]));
    let keeps_tags = prop::option::of(prop::sample::select(vec![400_u16, 401, 403, 405]));
    let stale = prop::bool::weighted(0.15);
    let broken = prop::sample::select(broken);
    let world = (tokens, stale, keeps_tags);
    (broken, any::<Index>(), faults(), ending, world).prop_map(
        |((broken, requests), nth, fault, ending, (mut tokens, stale, keeps_tags))| {
            if matches!(fault, Fault::Tokens(..)) {
                tokens = tokens.or(Some(None));
            }
            Case {
                broken,
                nth: nth.index(requests),
                fault,
                ending,
                tokens,
                stale,
                keeps_tags,
            }
        },
    )
}
