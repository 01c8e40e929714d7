//! Checks of a policy: [`faults`] finds what it forbids in the list of an image's files.
//!
//! It looks at a [`Tree`], and at that of the external base for what is new. [`findings`] puts many faults
//! together to few findings. Pure: `run` reads the trees through the engine, so an image needs no tools
//! for it.

mod fault;
mod group;
mod layers;
mod root;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
mod user;
mod writable;

use std::collections::BTreeSet;

pub use fault::{CheckInput, Fault, FaultKind};
pub use group::findings;
pub use layers::{Duplicates, apply_layer, layer_faults, size_fault};
pub use tree::{Entry, Kind, Tree, folders_above};

use crate::path::is_at_or_below;
use crate::stack::Policy;

/// Files whose content is checked, where an image has them.
pub const TEXTS: [&str; 3] = ["/etc/passwd", "/etc/shadow", "/etc/sudoers"];

/// A folder in which the content of every file is checked.
pub const TEXT_FOLDER: &str = "/etc/sudoers.d";

/// Returns whether the checks read a folder of an image; `/` is the empty text.
pub fn looks_into(policy: &Policy, writable: &BTreeSet<(u32, String)>, folder: &str) -> bool {
    let on_the_way = |path: &str| is_at_or_below(path, folder) || is_at_or_below(folder, path);
    policy.root_locked.is_some()
        || policy.not_root.is_some() && on_the_way("/etc/passwd")
        || writable.iter().any(|(_, path)| on_the_way(path))
}

/// Returns everything that the policy forbids in an image, sorted.
pub fn faults(input: &CheckInput) -> Vec<Fault> {
    let mut list = Vec::new();
    if input.policy.root_locked.is_some() {
        list.extend(root::faults(input));
    }
    if input.policy.not_root.is_some() {
        let passwd = input.texts.get("/etc/passwd");
        list.extend(user::fault(input.user, passwd.map_or("", String::as_str)));
    }
    for (gid, path) in input.writable {
        writable::faults(input.tree, *gid, path, &mut list);
    }
    list.sort();
    list
}
