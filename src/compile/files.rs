//! Steps that only put files somewhere: as operations on files where that is possible, as commands
//! where the result depends on what is there (below writable paths, in a group, `append`, `perms`).

use super::command::{Command, PLACE, in_step};
use super::mode::apply;
use super::shell::quote;
use crate::llb::{Action, FileMode, Output, Owner, Who};
use crate::stack::{
    Append, AppendFrom, Copy, CopyFrom, File, Files, Kind, Link, Mode, Perms, Writable, Write,
};

/// The path of one entry of a copy in the image.
fn target(copy: &Copy, to: &str) -> String {
    match (to, copy.to.strip_suffix('/')) {
        ("", _) => copy.to.clone(),
        (to, Some(folder)) => format!("{folder}/{to}"),
        (to, None) => format!("{}/{to}", copy.to),
    }
}

fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// Paths a step of this kind writes to.
pub fn targets(kind: &Kind) -> Vec<&str> {
    match kind {
        Kind::Copy(list) => list.iter().map(|copy| copy.to.as_str()).collect(),
        Kind::Write(list) => list.iter().map(|write| write.to.as_str()).collect(),
        Kind::Append(list) => list.iter().map(|append| append.to.as_str()).collect(),
        Kind::Link(list) => list.iter().map(|link| link.path.as_str()).collect(),
        Kind::Perms(list) => list.iter().map(|perms| perms.path.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// Whether any of `paths` lies in, is, or contains a writable path.
pub fn touches(paths: &[&str], writable: &Writable) -> bool {
    let within = |path: &str, folder: &str| {
        let path = path.trim_end_matches('/');
        path == folder
            || path
                .strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    paths.iter().any(|path| {
        let path = path.trim_end_matches('/');
        writable
            .paths
            .iter()
            .any(|w| within(path, w) || within(w, path))
    })
}

/// `0:100`, `jovyan`, `jovyan:users`.
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

/// What the step does as operations on files; `None` if it takes a command. `image` gives the
/// contents of another image.
pub fn actions(
    kind: &Kind,
    files: &Files,
    image: &mut dyn FnMut(&crate::name::Reference) -> Output,
) -> Option<Vec<Action>> {
    let special = match kind {
        Kind::Copy(copies) => copies.iter().any(|copy| is_special(&copy.mode)),
        Kind::Write(writes) => writes.iter().any(|write| is_special(&write.mode)),
        _ => false,
    };
    if special {
        return None;
    }
    let mut list = Vec::new();
    match kind {
        Kind::Copy(copies) => {
            for copy in copies {
                copy_actions(copy, files, image, &mut list);
            }
        }
        Kind::Write(writes) => {
            for write in writes {
                let owner = write.owner.as_deref().map(owner);
                make_parent(&write.to, &mut list);
                list.push(Action::MakeFile {
                    path: write.to.clone(),
                    mode: mode_of(&write.mode, 0o644, false),
                    owner,
                    data: write.text.clone().into_bytes(),
                });
            }
        }
        Kind::Link(links) => {
            for link in links {
                make_parent(&link.path, &mut list);
                list.push(Action::Remove {
                    path: link.path.clone(),
                    allow_missing: true,
                });
                list.push(Action::Symlink {
                    path: link.path.clone(),
                    target: link.target.clone(),
                    owner: None,
                });
            }
        }
        _ => return None,
    }
    Some(list)
}

/// Whether a mode may have setuid, setgid or sticky: operations on files know no more than `0777`
/// (solver/llbsolver/file/backend.go, `os.FileMode`).
fn is_special(mode: &Option<Mode>) -> bool {
    match mode {
        Some(Mode::Octal(bits)) => bits & 0o7000 != 0,
        Some(Mode::Symbolic(text)) => text.contains(['s', 't']),
        None => false,
    }
}

fn mode_of(mode: &Option<Mode>, bits: u32, folder: bool) -> u32 {
    mode.as_ref().map_or(bits, |mode| apply(mode, bits, folder))
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

fn copy_actions(
    copy: &Copy,
    files: &Files,
    image: &mut dyn FnMut(&crate::name::Reference) -> Output,
    list: &mut Vec<Action>,
) {
    let owned = copy.owner.as_deref().map(owner);
    let entries = match &copy.from {
        CopyFrom::Files { entries, .. } => entries,
        CopyFrom::Image { reference, path } => {
            list.push(Action::Copy {
                from: image(&reference.value),
                source: path.clone(),
                target: copy.to.clone(),
                owner: owned,
                mode: match &copy.mode {
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
        let path = target(copy, &entry.to);
        let file = &files.0[&entry.file];
        make_parent(&path, list);
        match file {
            File::Folder => list.push(Action::MakeFolder {
                path,
                mode: mode_of(&copy.mode, 0o755, true),
                owner: owned.clone(),
            }),
            File::Regular {
                content,
                executable,
            } => {
                let bits = if *executable { 0o755 } else { 0o644 };
                list.push(Action::MakeFile {
                    path,
                    mode: mode_of(&copy.mode, bits, false),
                    owner: owned.clone(),
                    data: content.to_vec(),
                });
            }
            File::Link { target } => {
                list.push(Action::Remove {
                    path: path.clone(),
                    allow_missing: true,
                });
                list.push(Action::Symlink {
                    path,
                    target: target.clone(),
                    owner: owned.clone(),
                });
            }
        }
    }
}

/// The same as a command run by root.
pub fn command(kind: &Kind) -> Command {
    let mut made = Command {
        root: true,
        alone: true,
        ..Command::default()
    };
    let mut text = String::from("umask 022\n");
    match kind {
        Kind::Copy(copies) => {
            for copy in copies {
                copy_text(copy, &mut made, &mut text);
            }
        }
        Kind::Write(writes) => {
            for (index, write) in writes.iter().enumerate() {
                write_text(index, write, &mut made, &mut text);
            }
        }
        Kind::Append(appends) => {
            for (index, append) in appends.iter().enumerate() {
                append_text(index, append, &mut made, &mut text);
            }
        }
        Kind::Link(links) => {
            for Link { path, target, .. } in links {
                let folder = quote(parent(path));
                let (path, target) = (quote(path), quote(target));
                text.push_str(&format!("mkdir -p {folder}\nln -sfn -- {target} {path}\n"));
            }
        }
        Kind::Perms(list) => text.push_str(&perms_text(list)),
        _ => unreachable!("`command::command` sends only these kinds here"),
    }
    made.args = vec!["/bin/sh".to_owned(), "-ec".to_owned(), text];
    made
}

/// `chown` and `chmod` for a list of `perms`.
pub fn perms_text(list: &[Perms]) -> String {
    let mut text = String::new();
    for perms in list {
        let path = quote(&perms.path);
        let deep = if perms.recursive { "-R " } else { "" };
        if let Some(owner) = &perms.owner {
            let owner = quote(owner);
            let links = if perms.recursive { "-h " } else { "" };
            text.push_str(&format!("chown {deep}{links}{owner} {path}\n"));
        }
        if let Some(mode) = &perms.mode {
            text.push_str(&format!("chmod {deep}{} {path}\n", quote(&mode_text(mode))));
        }
    }
    text
}

fn mode_text(mode: &Mode) -> String {
    match mode {
        Mode::Octal(bits) => format!("{bits:04o}"),
        Mode::Symbolic(text) => text.clone(),
    }
}

fn dress(path: &str, owner: &Option<String>, mode: &Option<Mode>, text: &mut String) {
    if let Some(owner) = owner {
        text.push_str(&format!("chown -h {} {path}\n", quote(owner)));
    }
    if let Some(mode) = mode {
        text.push_str(&format!("chmod {} {path}\n", quote(&mode_text(mode))));
    }
}

fn copy_text(copy: &Copy, made: &mut Command, text: &mut String) {
    let entries = match &copy.from {
        CopyFrom::Files { entries, .. } => entries,
        CopyFrom::Image { reference, path } => {
            let at = made.images.len();
            made.images.push(reference.value.clone());
            let from = format!("{PLACE}/image{at}{path}");
            let folder = quote(parent(&copy.to));
            text.push_str(&format!("mkdir -p {folder}\n"));
            let (from, to) = (quote(&from), quote(&copy.to));
            let dot = if path.ends_with('/') { "." } else { "" };
            text.push_str(&format!("cp -a --no-preserve=ownership {from}{dot} {to}\n"));
            let recursive = Perms {
                path: copy.to.clone(),
                owner: copy.owner.clone(),
                mode: copy.mode.clone(),
                recursive: path.ends_with('/'),
                span: copy.span,
            };
            text.push_str(&perms_text(&[recursive]));
            return;
        }
    };
    for entry in entries {
        let path = target(copy, &entry.to);
        let folder = quote(parent(&path));
        let from = quote(&in_step(&entry.file));
        let to = quote(path.trim_end_matches('/'));
        made.files.push(entry.file.clone());
        text.push_str(&format!(
            "mkdir -p {folder}\n\
             if [ -d {from} ] && [ ! -L {from} ]; then mkdir -p {to}; \
             else rm -f {to}; cp -P --preserve=mode {from} {to}; fi\n"
        ));
        if let Some(owner) = &copy.owner {
            text.push_str(&format!("chown -h {} {to}\n", quote(owner)));
        }
        if let Some(mode) = &copy.mode {
            let mode = quote(&mode_text(mode));
            text.push_str(&format!("[ -L {to} ] || chmod {mode} {to}\n"));
        }
    }
}

fn write_text(index: usize, write: &Write, made: &mut Command, text: &mut String) {
    let name = format!("write{index}");
    let folder = quote(parent(&write.to));
    let to = quote(&write.to);
    text.push_str(&format!(
        "mkdir -p {folder}\nrm -f {to}\ncat {PLACE}/texts/{name} >{to}\n"
    ));
    made.texts.insert(name, write.text.clone());
    dress(&to, &write.owner, &write.mode, text);
}

fn append_text(index: usize, append: &Append, made: &mut Command, text: &mut String) {
    let from = match &append.from {
        AppendFrom::File(file) => {
            made.files.push(file.clone());
            quote(&in_step(file))
        }
        AppendFrom::Text(content) => {
            let name = format!("append{index}");
            made.texts.insert(name.clone(), content.clone());
            format!("{PLACE}/texts/{name}")
        }
    };
    let folder = quote(parent(&append.to));
    let to = quote(&append.to);
    text.push_str(&format!("mkdir -p {folder}\ncat {from} >>{to}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_or_around_a_writable_path_touches_it() {
        let writable = Writable {
            gid: 100,
            paths: vec!["/opt/conda".to_owned()],
            span: crate::compile::tests::span(),
        };
        for (path, expected) in [
            ("/opt/conda", true),
            ("/opt/conda/etc/x", true),
            ("/opt/", true),
            ("/opt/condax", false),
            ("/etc/x", false),
        ] {
            assert_eq!(touches(&[path], &writable), expected, "{path}");
        }
    }

    #[test]
    fn owners_are_numbers_or_names() {
        assert_eq!(
            owner("0:users"),
            Owner {
                user: Who::Id(0),
                group: Some(Who::Name("users".to_owned()))
            }
        );
    }
}
