//! Actions on files as an operation.

use bollard_buildkit_proto::pb;

use super::ops::{Action, File, FileMode, Output, Owner, Who};
use super::time::{EARLIEST, time_of};
use crate::name::Digest;

/// Returns the operation. `at`: the number of an input.
pub(super) fn file_op(file: &File, inputs: usize, at: &dyn Fn(Output) -> i64) -> pb::FileOp {
    let inputs = i64::try_from(inputs).expect("an operation has few inputs");
    let base = file.base.map_or(-1, at);
    let last = file.actions.len().saturating_sub(1);
    let actions = file
        .actions
        .iter()
        .enumerate()
        .map(|(index, action)| {
            let number = i64::try_from(index).expect("a file operation has few actions");
            let (secondary, kind) = action_of(action, base, at);
            pb::FileAction {
                input: if index == 0 {
                    base
                } else {
                    inputs + number - 1
                },
                secondary_input: secondary,
                output: if index == last { 0 } else { -1 },
                action: Some(kind),
            }
        })
        .collect();
    pb::FileOp { actions }
}

/// A time of -1 keeps that of the source.
const KEEP: i64 = -1;

/// Returns an action and the input it copies from, or -1. Names of owners are looked up in input `base`.
fn action_of(
    action: &Action,
    base: i64,
    at: &dyn Fn(Output) -> i64,
) -> (i64, pb::file_action::Action) {
    use pb::file_action::Action as Kind;
    let chown = |owner: &Option<Owner>| owner.as_ref().map(|owner| chown(owner, base));
    let kind = match action {
        Action::Copy {
            from,
            source,
            target,
            owner,
            mode,
            contents,
            wildcard,
            follow,
        } => {
            let (mode, mode_str) = match mode {
                FileMode::Keep => (-1, String::new()),
                FileMode::Octal(mode) => (bits(*mode), String::new()),
                FileMode::Symbolic(text) => (-1, text.clone()),
            };
            let copy = pb::FileActionCopy {
                src: source.clone(),
                dest: target.clone(),
                owner: chown(owner),
                mode,
                mode_str,
                follow_symlink: *follow,
                dir_copy_contents: *contents,
                create_dest_path: true,
                allow_wildcard: *wildcard,
                timestamp: KEEP,
                ..pb::FileActionCopy::default()
            };
            return (at(*from), Kind::Copy(copy));
        }
        Action::MakeFolder { path, mode, owner } => Kind::Mkdir(pb::FileActionMkDir {
            path: path.clone(),
            mode: bits(*mode),
            make_parents: true,
            owner: chown(owner),
            timestamp: EARLIEST,
        }),
        Action::MakeFile {
            path,
            mode,
            owner,
            data,
        } => Kind::Mkfile(pb::FileActionMkFile {
            path: path.clone(),
            mode: bits(*mode),
            data: data.clone(),
            owner: chown(owner),
            timestamp: time_of(&Digest::of(data)),
        }),
        Action::Symlink {
            path,
            target,
            owner,
        } => Kind::Symlink(pb::FileActionSymlink {
            oldpath: target.clone(),
            newpath: path.clone(),
            owner: chown(owner),
            timestamp: EARLIEST,
        }),
        Action::Remove {
            path,
            allow_missing,
        } => Kind::Rm(pb::FileActionRm {
            path: path.clone(),
            allow_not_found: *allow_missing,
            allow_wildcard: false,
        }),
    };
    (-1, kind)
}

fn bits(mode: u32) -> i32 {
    i32::try_from(mode & 0o7777).expect("twelve bits")
}

fn chown(owner: &Owner, base: i64) -> pb::ChownOpt {
    let who = |who: &Who| pb::UserOpt {
        user: Some(match who {
            Who::Id(id) => pb::user_opt::User::ById(*id),
            Who::Name(name) => pb::user_opt::User::ByName(pb::NamedUserOpt {
                name: name.clone(),
                input: base,
            }),
        }),
    };
    pb::ChownOpt {
        user: Some(who(&owner.user)),
        group: owner.group.as_ref().map(who),
    }
}
