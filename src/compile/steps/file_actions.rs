//! Steps that only place files, as operations on files: no program of the image runs.
//!
//! [`file_actions`] returns `None` where the result depends on what the image has; `file_commands` makes
//! the command then.

use super::paths::{copy_target, parent};
use crate::compile::mode::apply;
use crate::compile::mounts::bytes;
use crate::llb::{Action, FileMode, Output, Owner, Who};
use crate::stack::{Copy, CopyFrom, File, Files, ImageSource, Kind, Mode};

/// Returns the step as operations on files; `None` if it takes a command. `image` returns the contents
/// of another image.
pub fn file_actions(
    kind: &Kind,
    files: &Files,
    image: &mut dyn FnMut(&ImageSource) -> Output,
) -> Option<Vec<Action>> {
    let mut list = Vec::new();
    match kind {
        Kind::Copy(copies) => {
            if copies.iter().any(|copy| is_special(copy.mode.as_ref())) {
                return None;
            }
            for copy in copies {
                copy_actions(copy, files, image, &mut list);
            }
        }
        Kind::Write(writes) => {
            if writes.iter().any(|write| is_special(write.mode.as_ref())) {
                return None;
            }
            for write in writes {
                make_parent(&write.to, &mut list);
                list.push(Action::MakeFile {
                    path: write.to.clone(),
                    mode: mode_of(write.mode.as_ref(), 0o644, false),
                    owner: write.owner.as_deref().map(owner),
                    data: write.text.clone().into_bytes(),
                });
            }
        }
        Kind::Link(links) => {
            for link in links {
                make_parent(&link.path, &mut list);
                replace_by_link(&link.path, &link.target, None, &mut list);
            }
        }
        _ => return None,
    }
    Some(list)
}

/// Returns whether a mode may set setuid, setgid or sticky: operations on files know no more than
/// `0777` (solver/llbsolver/file/backend.go, `os.FileMode`).
fn is_special(mode: Option<&Mode>) -> bool {
    match mode {
        Some(Mode::Octal(bits)) => bits & 0o7000 != 0,
        Some(Mode::Symbolic(text)) => text.contains(['s', 't']),
        None => false,
    }
}

/// Parses `0:100`, `jovyan` or `jovyan:users`.
fn owner(text: &str) -> Owner {
    let who = |text: &str| match text.parse() {
        Ok(id) => Who::Id(id),
        Err(_) => Who::Name(text.to_owned()),
    };
    match text.split_once(':') {
        Some((user, group)) => Owner {
            user: who(user),
            group: Some(who(group)),
        },
        None => Owner {
            user: who(text),
            group: None,
        },
    }
}

/// Returns the permission bits of an entry that has `bits` of its own.
fn mode_of(mode: Option<&Mode>, bits: u32, folder: bool) -> u32 {
    mode.map_or(bits, |mode| apply(mode, bits, folder))
}

fn make_parent(path: &str, list: &mut Vec<Action>) {
    let path = parent(path);
    if path != "/" {
        list.push(Action::MakeFolder {
            path: path.to_owned(),
            mode: 0o755,
            owner: None,
        });
    }
}

fn replace_by_link(path: &str, target: &str, owner: Option<Owner>, list: &mut Vec<Action>) {
    list.push(Action::Remove {
        path: path.to_owned(),
        allow_missing: true,
    });
    list.push(Action::Symlink {
        path: path.to_owned(),
        target: target.to_owned(),
        owner,
    });
}

fn copy_actions(
    copy: &Copy,
    files: &Files,
    image: &mut dyn FnMut(&ImageSource) -> Output,
    list: &mut Vec<Action>,
) {
    let owner = copy.owner.as_deref().map(owner);
    let mode = copy.mode.as_ref();
    let entries = match &copy.from {
        CopyFrom::Files { entries, .. } => entries,
        CopyFrom::Image { source, path } => {
            list.push(Action::Copy {
                from: image(source),
                source: path.clone(),
                target: copy.to.clone(),
                owner,
                mode: match mode {
                    None => FileMode::Keep,
                    Some(Mode::Octal(bits)) => FileMode::Octal(*bits),
                    Some(Mode::Symbolic(text)) => FileMode::Symbolic(text.clone()),
                },
                contents: path.ends_with('/'),
                wildcard: false,
                follow: true,
            });
            return;
        }
    };
    for entry in entries {
        let path = copy_target(copy, &entry.to);
        make_parent(&path, list);
        match files
            .get(&entry.file)
            .expect("found when the spec was read")
        {
            File::Folder => list.push(Action::MakeFolder {
                path,
                mode: mode_of(mode, 0o755, true),
                owner: owner.clone(),
            }),
            File::Regular {
                content,
                executable,
            } => {
                let bits = if *executable { 0o755 } else { 0o644 };
                list.push(Action::MakeFile {
                    path,
                    mode: mode_of(mode, bits, false),
                    owner: owner.clone(),
                    data: bytes(content),
                });
            }
            File::Link { target } => replace_by_link(&path, target, owner.clone(), list),
            // Left out when the spec was read.
            File::Special(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_numbers_or_names() {
        let both = Owner {
            user: Who::Id(0),
            group: Some(Who::Name("users".to_owned())),
        };
        assert_eq!(owner("0:users"), both);
        let user = Owner {
            user: Who::Name("jovyan".to_owned()),
            group: None,
        };
        assert_eq!(owner("jovyan"), user);
    }

    #[test]
    fn modes_beyond_0777_are_special() {
        for (mode, expected) in [
            (Mode::Octal(0o755), false),
            (Mode::Octal(0o1777), true),
            (Mode::Symbolic("u+x".to_owned()), false),
            (Mode::Symbolic("g+s".to_owned()), true),
            (Mode::Symbolic("+t".to_owned()), true),
        ] {
            assert_eq!(is_special(Some(&mode)), expected, "{mode:?}");
        }
        assert!(!is_special(None));
    }
}
