//! `mounts:` of a step as mounts of its command.

use super::compiler::Compiler;
use super::tree::{Entry, Tree};
use crate::llb::{Action, Mount, MountKind, Output, Owner, Sharing, Who};
use crate::stack::{CacheSharing, Image, MountSource, Step, StepMount};

/// The folder or file that is mounted, in the tree that is made for it.
const MOUNTED: &str = "/mount";

/// Settings of a new cache.
#[derive(Clone, Copy, Default)]
struct CacheOwner {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Compiler<'_> {
    /// Returns the mounts of a step that runs as `user`.
    pub(super) fn step_mounts(
        &mut self,
        image: &Image,
        step: &Step,
        label: &str,
        user: &str,
    ) -> Vec<Mount> {
        let mounts = step.mounts.iter();
        let made = mounts.map(|mount| Mount {
            target: mount.target.clone(),
            kind: self.mount_kind(image, mount, label, user),
        });
        made.collect()
    }

    fn mount_kind(
        &mut self,
        image: &Image,
        mount: &StepMount,
        label: &str,
        user: &str,
    ) -> MountKind {
        match &mount.source {
            MountSource::Files { entries, rw, .. } => {
                let mut tree = Tree::default();
                for entry in entries {
                    let made = Entry::of_stack(&entry.file, self.stack.files());
                    let made = made.expect("special files are not mounted");
                    // A file alone has an empty path.
                    let path = format!("{MOUNTED}/{}", entry.to);
                    tree.insert(path.trim_end_matches('/').to_owned(), made);
                }
                // Times of folders are the same in each build, should the step copy them.
                let input = self.tree(&tree, true, "files of a mount");
                bind(input, MOUNTED, *rw)
            }
            MountSource::Image { source, path, rw } => {
                bind(self.copied(image, source, label), path, *rw)
            }
            MountSource::Cache {
                id,
                sharing,
                mode,
                uid,
                gid,
            } => {
                let (mode, uid, gid) = (*mode, *uid, *gid);
                self.step_cache(id, *sharing, CacheOwner { mode, uid, gid }, user)
            }
            MountSource::Tmpfs { size } => MountKind::Tmpfs {
                size: size.unwrap_or_default(),
            },
        }
    }

    /// Returns a cache, which belongs to the step's user unless it has an owner. The engine keeps caches
    /// apart that begin with different folders, so those of different users are.
    fn step_cache(
        &mut self,
        id: &str,
        sharing: CacheSharing,
        owner: CacheOwner,
        user: &str,
    ) -> MountKind {
        let (name, group) = user.split_once(':').unwrap_or((user, user));
        let number = name.parse::<u32>().ok();
        let mut id = self.cache_id(id);
        let mut mode = 0o755;
        if owner.uid.is_none() && number.is_none() {
            // The number of this user is not known here.
            mode = 0o777;
            id = format!("{id}-{name}");
        }
        let uid = owner.uid.or(number).unwrap_or_default();
        let gid = owner.gid.or(group.parse().ok()).unwrap_or_default();
        let mode = owner.mode.unwrap_or(mode);
        let seed = ((uid, gid, mode) != (0, 0, 0o755)).then(|| {
            let folder = Action::MakeFolder {
                path: MOUNTED.to_owned(),
                mode,
                owner: Some(Owner {
                    user: Who::Id(uid),
                    group: Some(Who::Id(gid)),
                }),
            };
            self.new_tree(vec![folder], "an empty cache")
        });
        MountKind::Cache {
            id,
            sharing: match sharing {
                CacheSharing::Shared => Sharing::Shared,
                CacheSharing::Private => Sharing::Private,
                CacheSharing::Locked => Sharing::Locked,
            },
            selector: seed.map_or_else(String::new, |_| MOUNTED.to_owned()),
            seed,
        }
    }
}

fn bind(input: Output, path: &str, rw: bool) -> MountKind {
    let selector = path.to_owned();
    if rw {
        MountKind::Discarded { input, selector }
    } else {
        MountKind::ReadOnly { input, selector }
    }
}
