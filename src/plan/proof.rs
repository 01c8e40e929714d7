//! What remains to run on each image: suites, checks and info without evidence.
//!
//! A verdict belongs to an image's digest and to the suite's key, which covers all that determines the
//! suite. So editing a test runs that suite on the digest there is, and builds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use super::choice::Choice;
use super::facts::Retest;
use super::key::{digest_of_value, file_value};
use crate::evidence::{Checks, Evidence, Info, Verdict};
use crate::name::Digest;
use crate::stack::{
    File, Image, InfoCommand, Policy, Select, Serve, Stack, Suite, Test, canonical_env,
    canonical_secrets,
};

/// Raised when equal suites or policies come to other verdicts than before, since the wrapper around a
/// suite, pytest's version or the rules of a check changed.
pub const FORMAT: u32 = 3;

/// What is known of one image and what remains to run on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proofs {
    /// In the order of the image's suites.
    pub suites: Vec<PlannedSuite>,
    /// `None`: it has no policy.
    pub checks: Option<Planned<Checks>>,
    /// In the order of the image's commands.
    pub info: Vec<Planned<Info>>,
}

/// A suite of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedSuite {
    /// Its name.
    pub name: String,
    /// Its verdict, if that is known.
    pub verdict: Planned<Verdict>,
}

/// Something with a key that may be known already.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned<T> {
    /// The hash of all that determines it, beside the image's bytes.
    pub key: Digest,
    /// `None`: it is to be run.
    pub known: Option<T>,
    /// Why it is run; `None`: it is known.
    pub why: Option<RunReason>,
}

impl<T> Planned<T> {
    fn new(key: Digest, result: Result<T, RunReason>) -> Self {
        let (known, why) = match result {
            Ok(known) => (Some(known), None),
            Err(why) => (None, Some(why)),
        };
        Self { key, known, why }
    }
}

/// Why a suite, the checks or an info command runs on an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunReason {
    /// The image is built.
    ImageBuilt,
    /// There is a result of another suite, policy or command of that name.
    Changed,
    /// There is no result for this digest.
    NeverRan,
    /// It failed, and the cause may be gone.
    FailedBefore,
    /// The user requested it.
    Requested,
}

impl fmt::Display for RunReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImageBuilt => "the image is built",
            Self::Changed => "changed",
            Self::NeverRan => "never ran on this digest",
            Self::FailedBefore => "failed before",
            Self::Requested => "requested by --retest",
        })
    }
}

impl Proofs {
    /// Returns why something runs on an image that is not built, for people: `suites geo, ml changed`. A built image is always
    /// proven, so that needs no reason.
    pub fn reasons(&self) -> Vec<String> {
        let suites = self.suites.iter();
        let suites = suites.filter_map(|suite| Some((suite.verdict.why?, suite.name.as_str())));
        let mut by_reason: BTreeMap<RunReason, Vec<&str>> = BTreeMap::new();
        for (why, name) in suites {
            by_reason.entry(why).or_default().push(name);
        }
        let suites = by_reason.into_iter().map(|(why, names)| {
            let subject = match names.as_slice() {
                [one] => format!("suite {one}"),
                all => format!("suites {}", all.join(", ")),
            };
            (why, subject)
        });
        let checks = self.checks.iter().filter_map(|checks| {
            let why = checks.why?;
            let subject = match why {
                RunReason::Changed => "policy",
                _ => "checks",
            };
            Some((why, subject.to_owned()))
        });
        // Their commands have no results that could pass or fail: one reason is enough.
        let info = self.info.iter().filter_map(|info| info.why).min();
        let info = info.map(|why| (why, "info".to_owned()));
        let all = suites.chain(checks).chain(info);
        all.filter(|(why, _)| *why != RunReason::ImageBuilt)
            .map(|(why, subject)| format!("{subject} {why}"))
            .collect()
    }

    /// Whether something is to be run.
    pub fn runs(&self) -> bool {
        self.suites
            .iter()
            .any(|suite| suite.verdict.known.is_none())
            || self
                .checks
                .as_ref()
                .is_some_and(|checks| checks.known.is_none())
            || self.info.iter().any(|info| info.known.is_none())
    }

    /// Whether the suite of this name is to be run.
    pub fn runs_suite(&self, name: &str) -> bool {
        let mut suites = self.suites.iter();
        suites.any(|suite| suite.name == name && suite.verdict.known.is_none())
    }
}

/// Returns what is known, and what remains to run, of an image that exists under a digest.
pub fn known_proofs(
    stack: &Stack,
    image: &Image,
    digest: &Digest,
    evidence: Option<&Evidence>,
) -> Proofs {
    let choice = Choice::Reuse(digest.clone());
    proofs(stack, image, &choice, evidence, &Retest::None)
}

/// Returns what is known and what remains to run, of an image that is built or reused; nothing of one
/// that is skipped.
pub(super) fn proofs(
    stack: &Stack,
    image: &Image,
    choice: &Choice,
    evidence: Option<&Evidence>,
    retest: &Retest,
) -> Proofs {
    let reused = match choice {
        Choice::Hold(_) => return Proofs::default(),
        Choice::Build => None,
        Choice::Reuse(digest) => Some(digest),
    };
    // One key can have several digests: evidence is of one of them.
    let evidence = evidence.filter(|evidence| Some(&evidence.digest) == reused);
    let proof = &image.proof;
    Proofs {
        suites: proof
            .suites
            .iter()
            .map(|suite| planned_suite(stack, suite, evidence, reused, retest))
            .collect(),
        checks: checks_key(image).map(|key| {
            let known = evidence.and_then(|evidence| evidence.checks.clone());
            Planned::new(
                key.clone(),
                match known {
                    _ if reused.is_none() => Err(RunReason::ImageBuilt),
                    Some(known) if known.key == key => Ok(known),
                    Some(_) => Err(RunReason::Changed),
                    None => Err(RunReason::NeverRan),
                },
            )
        }),
        info: proof
            .info
            .iter()
            .map(|command| {
                let key = info_key(command);
                let known = evidence.and_then(|evidence| evidence.info.get(&command.name));
                Planned::new(
                    key.clone(),
                    match known {
                        _ if reused.is_none() => Err(RunReason::ImageBuilt),
                        Some(known) if known.key != key => Err(RunReason::Changed),
                        // One that could not be run at all may be run now.
                        Some(known) if known.exit < 0 => Err(RunReason::FailedBefore),
                        Some(known) => Ok(known.clone()),
                        None => Err(RunReason::NeverRan),
                    },
                )
            })
            .collect(),
    }
}

fn planned_suite(
    stack: &Stack,
    suite: &Suite,
    evidence: Option<&Evidence>,
    reused: Option<&Digest>,
    retest: &Retest,
) -> PlannedSuite {
    let name = suite.name.value.clone();
    let key = suite_key(stack, suite);
    let before = evidence.and_then(|evidence| evidence.verdict(&name, &key));
    let other = evidence.is_some_and(|evidence| evidence.suites.contains_key(&name));
    let result = match before {
        _ if reused.is_none() => Err(RunReason::ImageBuilt),
        None if other => Err(RunReason::Changed),
        None => Err(RunReason::NeverRan),
        Some(before) if !before.passed => Err(RunReason::FailedBefore),
        Some(_) if retest.includes(&name) => Err(RunReason::Requested),
        Some(before) => Ok(before.clone()),
    };
    PlannedSuite {
        name,
        verdict: Planned::new(key, result),
    }
}

/// Returns the hash of all that determines a suite on a given image.
pub fn suite_key(stack: &Stack, suite: &Suite) -> Digest {
    let mut paths = BTreeSet::new();
    suite.collect_paths(&mut paths);
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for path in paths {
        if let Some(file) = stack.files().get(path) {
            files.insert(path.as_str(), file_value(file));
        }
        let below = stack.files().below(path);
        // They are not in the suite's folder when it runs.
        for (path, file) in below.filter(|(_, file)| !matches!(file, File::Special(_))) {
            files.insert(path.as_str(), file_value(file));
        }
    }
    // Without `..`: a new field must be in the key, or be listed here as one that is not. A verdict says
    // for itself whether the time was enough.
    let Suite {
        name: _,
        from: _,
        timeout: _,
        only_here: _,
        groups,
        serve,
        test,
        user,
        env,
        shell,
        network,
        secrets,
    } = suite;
    let test = match test {
        None => Value::Null,
        Some(Test::Pytest {
            folder,
            requirements,
            select,
            args,
        }) => {
            let mut test = json!({ "pytest": folder, "requirements": requirements.files.first() });
            requirements.add_canonical(&mut test);
            let Select {
                names,
                marks,
                tests,
            } = select;
            if *select != Select::default() {
                test["select"] = json!([names, marks, tests]);
            }
            if !args.is_empty() {
                test["args"] = json!(args);
            }
            test
        }
        Some(Test::Healthcheck) => json!("healthcheck"),
        Some(Test::Run(text)) => json!({ "run": text, "shell": shell }),
        Some(Test::Script(file)) => json!({ "script": file }),
    };
    let serve = serve.as_ref().map(|serve| {
        let Serve {
            port,
            ready,
            cmd,
            args,
        } = serve;
        let mut value = json!({ "port": port, "ready": ready });
        if cmd.is_some() || !args.is_empty() {
            value["command"] = json!([cmd, args]);
        }
        value
    });
    let mut whole = json!({
        "format": FORMAT,
        "test": test,
        "serve": serve,
        "as": user,
        "env": canonical_env(env),
        "network": network.canonical(),
        "secrets": canonical_secrets(secrets),
        "files": files,
    });
    if !groups.is_empty() {
        whole["groups"] = json!(groups);
    }
    digest_of_value(&whole)
}

/// Returns the hash of all that determines the checks of an image beside its bytes; `None`: it has no
/// policy.
pub fn checks_key(image: &Image) -> Option<Digest> {
    let policy = &image.proof.policy;
    (!policy.is_empty() || image.writable.is_some()).then(|| policy_key(image, policy))
}

fn policy_key(image: &Image, policy: &Policy) -> Digest {
    let layers = policy.layers.as_ref();
    let writable = writable_paths(image);
    digest_of_value(&json!({
        "format": FORMAT,
        "root": policy.root_locked.is_some(),
        "user": policy.not_root.is_some(),
        "writable": writable.iter().map(|(gid, path)| json!([gid, path])).collect::<Vec<_>>(),
        "layers": layers.map(|l| json!([l.count, l.size, l.twice])),
        // The verdict has the reason as well.
        "allow": policy.allow.iter().map(|(path, a)| json!([path, a.reason])).collect::<Vec<_>>(),
    }))
}

/// Returns the paths below which everything belongs to a group and is writable for it, each with the
/// group's ID: those the image declares, and those its policy requires.
pub fn writable_paths(image: &Image) -> BTreeSet<(u32, String)> {
    let mut all = BTreeSet::new();
    if let Some(own) = &image.writable {
        all.extend(own.paths.iter().map(|path| (own.gid, path.clone())));
    }
    if let Some(policy) = &image.proof.policy.writable {
        let gid = policy.gid.or(image.writable.as_ref().map(|own| own.gid));
        if let Some(gid) = gid {
            all.extend(policy.paths.iter().map(|path| (gid, path.clone())));
        }
    }
    all
}

fn info_key(command: &InfoCommand) -> Digest {
    digest_of_value(&json!([FORMAT, command.name, command.title, command.run]))
}
