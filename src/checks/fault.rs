//! [`Fault`]: one path that a policy forbids, and [`CheckInput`], in which faults are looked for.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;
use crate::evidence::{LayerLimit, Rule};
use crate::stack::Policy;

/// Everything that is checked of one image.
#[derive(Clone, Copy)]
pub struct CheckInput<'a> {
    /// The policy in force.
    pub policy: &'a Policy,
    /// Groups and paths: everything below the path belongs to the group and is writable for it.
    pub writable: &'a BTreeSet<(u32, String)>,
    /// `User` of the image's config.
    pub user: Option<&'a str>,
    /// The files of the image.
    pub tree: &'a Tree,
    /// The files of the external base.
    pub base: &'a Tree,
    /// Contents of [`TEXTS`](super::TEXTS) and of the files in [`TEXT_FOLDER`](super::TEXT_FOLDER), by
    /// path.
    pub texts: &'a BTreeMap<String, String>,
}

/// One path and the fault it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The rule of the policy that forbids it.
    pub rule: Rule,
    /// Faults of one kind are reported together.
    pub kind: FaultKind,
    /// Absolute path in the image; empty for the image as a whole.
    pub path: String,
    /// Continues the path: `is writable for everybody (mode 0777)`.
    pub text: String,
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A setuid or setgid file.
    Setuid,
    /// A file with capabilities.
    Capabilities,
    /// A file or folder that everybody can write to.
    Everybody,
    /// A file of the system that does not belong to root.
    Owner,
    /// A way to log in as root.
    Login,
    /// A file of another group.
    Group,
    /// A file that its group cannot write to.
    GroupMode,
    /// A user that is, or can become, root.
    User,
    /// A limit that the layers exceed.
    Layers(LayerLimit),
}

impl FaultKind {
    /// Returns the limit that the layers exceed.
    pub fn limit(self) -> Option<LayerLimit> {
        match self {
            Self::Layers(limit) => Some(limit),
            Self::Setuid
            | Self::Capabilities
            | Self::Everybody
            | Self::Owner
            | Self::Login
            | Self::Group
            | Self::GroupMode
            | Self::User => None,
        }
    }
}
