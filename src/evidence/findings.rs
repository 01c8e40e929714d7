//! [`Checks`]: the findings of a policy's checks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::Digest;

/// The result of the checks of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// The hash of the policy.
    pub key: Digest,
    /// Whether there are no findings.
    pub passed: bool,
    /// When they ran.
    pub time: Timestamp,
    /// What the policy forbids.
    pub findings: Vec<Finding>,
    /// Findings the spec allows, with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Allowed>,
    /// Paths of unused `allow` entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
}

/// A result of a policy check: something that the policy forbids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that forbids it.
    pub rule: Rule,
    /// Absolute path in the image; empty for the image as a whole.
    pub path: String,
    /// Continues the path: `is writable for everybody (mode 0777)`.
    pub text: String,
    /// The number of further paths below this one with the same fault from the same step.
    #[serde(default)]
    pub below: usize,
    /// The number of further paths that are not below this one, from the same step: only the first few are
    /// listed.
    #[serde(default)]
    pub elsewhere: usize,
    /// The step that caused it, by its index from 0 in the image that has the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The base in the stack that it is inherited from; `None` for a finding of the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited: Option<String>,
    /// The limit of `layers:` that is exceeded; `None` for other rules, and in old evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LayerLimit>,
}

/// A limit of a policy's `layers:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerLimit {
    /// `count:`
    Count,
    /// `size:`
    Size,
    /// `twice:`
    Twice,
}

/// The rule of a policy that a finding breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// `root: locked`
    Root,
    /// `writable:`
    Writable,
    /// `layers:`
    Layers,
    /// `user: not-root`
    User,
}

/// A finding that the spec allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The finding.
    pub finding: Finding,
    /// The reason in the spec.
    pub reason: String,
}
