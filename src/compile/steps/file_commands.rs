//! Steps that only place files, as commands: below writable paths, in a group, with `finish`, for modes
//! beyond `0777`, and always for `append` and `perms`.

use super::paths::{copy_target, parent};
use crate::compile::command::{Arg, Command, path_in_step};
use crate::compile::script::expand;
use crate::compile::shell::quote;
use crate::stack::{Append, AppendFrom, Copy, CopyEntry, CopyFrom, Link, Mode, Perms, Write};

/// Returns a `copy` step as a command.
pub fn copy(copies: &[Copy]) -> Command {
    let (mut made, mut script) = begin();
    for copy in copies {
        match &copy.from {
            CopyFrom::Files { entries, .. } => {
                for entry in entries {
                    made.files.push(entry.file.clone());
                    script.push(&copy_entry(copy, entry));
                }
            }
            CopyFrom::Image { source, path } => {
                copy_from_image(copy, path, made.images.len(), &mut script);
                made.images.push(source.clone());
            }
        }
    }
    finish(made, script)
}

/// Returns a `write` step as a command.
pub fn write(writes: &[Write]) -> Command {
    let (mut made, mut script) = begin();
    for (index, write) in writes.iter().enumerate() {
        let name = format!("write{index}");
        let folder = quote(parent(&write.to));
        let to = quote(&write.to);
        script.push(&format!("mkdir -p {folder}\nrm -f {to}\ncat "));
        script.push_text_path(&name);
        script.push(&format!(" >{to}\n"));
        script.push(&set_owner(&to, write.owner.as_deref()));
        if let Some(mode) = &write.mode {
            script.push(&format!("chmod {} {to}\n", quote(&mode_text(mode))));
        }
        made.texts.insert(name, write.text.clone());
    }
    finish(made, script)
}

/// Returns an `append` step as a command.
pub fn append(appends: &[Append]) -> Command {
    let (mut made, mut script) = begin();
    for (index, append) in appends.iter().enumerate() {
        let folder = quote(parent(&append.to));
        let to = quote(&append.to);
        script.push(&format!("mkdir -p {folder}\ncat "));
        match &append.from {
            AppendFrom::File(file) => {
                script.push(&quote(&path_in_step(file)));
                made.files.push(file.clone());
            }
            AppendFrom::Text(content) => {
                let name = format!("append{index}");
                script.push_text_path(&name);
                made.texts.insert(name, content.clone());
            }
        }
        script.push(&format!(" >>{to}\n"));
    }
    finish(made, script)
}

/// Returns a `link` step as a command.
pub fn link(links: &[Link]) -> Command {
    let (made, mut script) = begin();
    for Link { path, target, .. } in links {
        let folder = quote(parent(path));
        let (path, target) = (quote(path), quote(target));
        script.push(&format!("mkdir -p {folder}\nln -sfn -- {target} {path}\n"));
    }
    finish(made, script)
}

/// Returns a `perms` step as a command.
pub fn perms(list: &[Perms]) -> Command {
    let (made, mut script) = begin();
    script.push(&set_perms(list));
    finish(made, script)
}

/// Returns `chown` and `chmod` for a list of `perms`, a line each.
pub fn set_perms(list: &[Perms]) -> String {
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

/// Returns a command without a script, and the beginning of its script.
fn begin() -> (Command, Arg) {
    let made = Command {
        root: true,
        offline: true,
        ..Command::default()
    };
    (made, "umask 022\n".into())
}

fn finish(made: Command, script: Arg) -> Command {
    Command {
        args: Command::script(script).args,
        ..made
    }
}

fn copy_entry(copy: &Copy, entry: &CopyEntry) -> String {
    let path = copy_target(copy, &entry.to);
    let to = quote(path.trim_end_matches('/'));
    let mut text = expand(
        include_str!("../scripts/copy.sh"),
        &[
            ("FOLDER", &quote(parent(&path))),
            ("FROM", &quote(&path_in_step(&entry.file))),
            ("TO", &to),
        ],
    );
    text.push_str(&set_owner(&to, copy.owner.as_deref()));
    if let Some(mode) = &copy.mode {
        let mode = quote(&mode_text(mode));
        text.push_str(&format!("[ -L {to} ] || chmod {mode} {to}\n"));
    }
    text
}

fn copy_from_image(copy: &Copy, path: &str, image: usize, script: &mut Arg) {
    let folder = quote(parent(&copy.to));
    let contents = path.ends_with('/');
    script.push(&format!(
        "mkdir -p {folder}\ncp -a --no-preserve=ownership "
    ));
    script.push_image_path(image, path);
    let dot = if contents { "." } else { "" };
    script.push(&format!("{dot} {}\n", quote(&copy.to)));
    script.push(&set_perms(&[Perms {
        path: copy.to.clone(),
        owner: copy.owner.clone(),
        mode: copy.mode.clone(),
        recursive: contents,
        span: copy.span,
    }]));
}

/// Returns `chown` of a quoted path, not following a link; nothing without an owner.
fn set_owner(path: &str, owner: Option<&str>) -> String {
    owner.map_or_else(String::new, |owner| {
        format!("chown -h {} {path}\n", quote(owner))
    })
}

fn mode_text(mode: &Mode) -> String {
    match mode {
        Mode::Octal(bits) => format!("{bits:04o}"),
        Mode::Symbolic(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::compile::tests::{command, script};

    /// Returns the script of a step after its `umask`.
    fn placed(yaml: &str) -> String {
        let script = script(&command(yaml));
        let script = script.strip_prefix("umask 022\n");
        script.expect("each script begins with a umask").to_owned()
    }

    #[test]
    fn each_kind_runs_as_root_without_the_network() {
        for yaml in [
            "{ copy: { /x: x } }",
            "{ write: { /x: x } }",
            "{ append: { /x: x } }",
            "{ link: { /x: /y } }",
            "{ perms: { /x: { mode: \"600\" } } }",
        ] {
            let made = command(yaml);
            assert!(made.root && made.offline, "{yaml}");
        }
    }

    #[test]
    fn a_copied_file_replaces_what_is_there() {
        let yaml = "{ copy: { \"/opt/a b/\": x } }";
        assert_eq!(command(yaml).files, ["images/base/x"]);
        assert_eq!(
            placed(yaml),
            "mkdir -p '/opt/a b'\n\
             if [ -d /run/laminate/files/images/base/x ] && [ ! -L /run/laminate/files/images/base/x ]; \
             then mkdir -p '/opt/a b/x'; else rm -f '/opt/a b/x'; \
             cp -P --preserve=mode /run/laminate/files/images/base/x '/opt/a b/x'; fi\n"
        );
    }

    #[test]
    fn the_mode_of_a_copied_link_is_left_alone() {
        let script = placed("{ copy: { /x: { from: x, mode: \"600\" } } }");
        assert!(script.ends_with("[ -L /x ] || chmod 0600 /x\n"), "{script}");
    }

    #[test]
    fn a_folder_of_an_image_is_copied_by_its_contents() {
        let yaml = "{ copy: { /opt/go: { image: \"golang:1\", from: /usr/go/, owner: \"1:2\" } } }";
        assert_eq!(command(yaml).images.len(), 1);
        assert_eq!(
            placed(yaml),
            "mkdir -p /opt\n\
             cp -a --no-preserve=ownership /run/laminate/image0/usr/go/. /opt/go\n\
             chown -R -h 1:2 /opt/go\n"
        );
    }

    #[test]
    fn each_image_is_mounted_under_its_own_number() {
        let script = placed(
            "{ copy: { /a: { image: \"golang:1\", from: /a }, /b: { image: \"alpine:3\", from: /b } } }",
        );
        assert!(script.contains(" /run/laminate/image0/a /a\n"), "{script}");
        assert!(script.contains(" /run/laminate/image1/b /b\n"), "{script}");
    }

    #[test]
    fn a_written_text_is_mounted_and_not_on_the_command_line() {
        let yaml = "{ write: { /etc/x: { text: $TEXT, owner: root, mode: u+s } } }";
        assert_eq!(command(yaml).texts["write0"], "$TEXT");
        assert_eq!(
            placed(yaml),
            "mkdir -p /etc\nrm -f /etc/x\ncat /run/laminate/texts/write0 >/etc/x\n\
             chown -h root /etc/x\nchmod u+s /etc/x\n"
        );
    }

    #[test]
    fn files_and_texts_are_appended() {
        let yaml = "{ append: { /etc/x: { from: x }, /etc/y: more } }";
        assert_eq!(
            placed(yaml),
            "mkdir -p /etc\ncat /run/laminate/files/images/base/x >>/etc/x\n\
             mkdir -p /etc\ncat /run/laminate/texts/append1 >>/etc/y\n"
        );
        assert_eq!(command(yaml).texts["append1"], "more");
    }

    #[test]
    fn a_link_replaces_a_link() {
        assert_eq!(
            placed("{ link: { /usr/bin/py: python 3 } }"),
            "mkdir -p /usr/bin\nln -sfn -- 'python 3' /usr/bin/py\n"
        );
    }

    #[test]
    fn only_recursive_perms_leave_links_alone() {
        let perms = |recursive: &str| {
            placed(&format!(
                "{{ perms: {{ /opt: {{ owner: \"0:100\", mode: \"2775\"{recursive} }} }} }}"
            ))
        };
        assert_eq!(perms(""), "chown 0:100 /opt\nchmod 2775 /opt\n");
        assert_eq!(
            perms(", recursive: true"),
            "chown -R -h 0:100 /opt\nchmod -R 2775 /opt\n"
        );
    }
}
