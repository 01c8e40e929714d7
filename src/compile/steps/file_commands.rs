//! Steps that only place files, as commands: in a group, with `finish`, and always for `append` and `perms`.

use super::file_actions::{is_special, mode_of_new};
use super::placement::{Placement, What};
use crate::compile::command::{Arg, Command, ROOT, path_in_step, user_of};
use crate::compile::owner::{chown_word, copied_word};
use crate::compile::script::expand;
use crate::compile::shell::quote;
use crate::compile::tree::Entry;
use crate::stack::{Append, AppendFrom, Mode, Perms};

/// Returns placements as a command, whose functions are those of `scripts/place.sh`. `user` is `as:` of the
/// step, as which the command runs.
pub fn place(list: &[Placement], user: Option<&str>) -> Command {
    let (mut made, mut script) = begin();
    script.push(&expand(include_str!("../scripts/place.sh"), &[]));
    let user = user.filter(|user| user_of(user) != ROOT);
    let is_own = |owner: &&str| Some(*owner) == user;
    let is_number = |user: &&str| user.parse::<u32>().is_ok();
    let mut owners = list.iter().filter_map(|one| one.owner.as_deref());
    if let Some(user) = user.filter(is_number)
        && owners.any(|owner| is_own(&owner))
    {
        script.push(&format!("laminate_group {user}\n"));
    }
    for (index, placement) in list.iter().enumerate() {
        let owner = placement.owner.as_deref().filter(|owner| !is_own(owner));
        let owner = owner.map_or_else(|| quote(""), copied_word);
        // Files of the stack have their mode in the tree, if a tree can hold it.
        let in_tree =
            !matches!(placement.what, What::Image { .. }) && !is_special(placement.mode.as_ref());
        let (own, mode) = if in_tree {
            (placement.mode.as_ref(), None)
        } else {
            (None, placement.mode.as_ref())
        };
        let mode = quote(&mode.map(mode_text).unwrap_or_default());
        let to = quote(&placement.target);
        match &placement.what {
            What::File(entry) => {
                let name = format!("/{index}");
                script.push("laminate_file ");
                script.push_tree_path(&name);
                script.push(&format!(" {to} {owner} {mode}\n"));
                made.tree.insert(name, entry.with_mode(own));
            }
            What::Contents(entries) => {
                let folder = format!("/{index}");
                let new = format!("{:03o}", mode_of_new(placement.mode.as_ref()));
                script.push("laminate_tree ");
                script.push_tree_path(&folder);
                script.push(&format!(" {to} {owner} {mode} {}\n", quote(&new)));
                made.tree.insert(folder.clone(), Entry::Folder(0o755));
                for (path, entry) in entries {
                    let path = format!("{folder}/{path}");
                    made.tree.insert(path, entry.with_mode(own));
                }
            }
            What::Link { text, replace } => {
                let replace = if *replace { "yes" } else { "''" };
                script.push(&format!("laminate_link {} {to} {replace}\n", quote(text)));
            }
            What::Image { source, path } => {
                script.push("laminate_image ");
                script.push_image_path(made.images.len(), "");
                script.push(&format!(" {} {to} {owner} {mode}\n", quote(path)));
                made.images.push(source.clone());
            }
        }
    }
    finish(made, script)
}

/// Returns an `append` step as a command, whose functions are those of `scripts/place.sh`.
pub fn append(appends: &[Append]) -> Command {
    let (mut made, mut script) = begin();
    script.push(&expand(include_str!("../scripts/place.sh"), &[]));
    for (index, append) in appends.iter().enumerate() {
        script.push("laminate_append ");
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
        script.push(&format!(" {}\n", quote(&append.to)));
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
            let owner = chown_word(owner);
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

fn mode_text(mode: &Mode) -> String {
    match mode {
        // Five digits clear setuid and setgid of a folder also in GNU chmod.
        Mode::Octal(bits) => format!("{bits:05o}"),
        // Without `u`, `g`, `o` or `a`, `chmod` leaves out what the umask has.
        Mode::Symbolic(text) => {
            let clauses = text.split(',').map(|clause| {
                let for_all = clause.starts_with(['+', '-', '=']);
                format!("{}{clause}", if for_all { "a" } else { "" })
            });
            clauses.collect::<Vec<_>>().join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::tests::{command, script};

    /// Returns the script of a step after its `umask` and its functions.
    fn placed(yaml: &str) -> String {
        let script = script(&command(yaml));
        let calls = script
            .split_once("umask 022\n")
            .expect("it begins with a umask");
        let calls = calls
            .1
            .rsplit_once("\n)\n")
            .map_or(calls.1, |(_, calls)| calls);
        calls.to_owned()
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
    fn files_are_placed_from_a_tree_that_has_their_modes() {
        let yaml = "{ copy: { \"/opt/a b\": { from: x, mode: \"600\" } } }";
        assert_eq!(
            placed(yaml),
            "laminate_file /run/laminate/tree/0 '/opt/a b' '' ''\n"
        );
        let tree = command(yaml).tree.0;
        assert!(
            matches!(tree["/0"], Entry::File { mode: 0o600, .. }),
            "{tree:?}"
        );
    }

    #[test]
    fn modes_that_a_tree_cannot_hold_are_set_afterwards() {
        let yaml = "{ write: { /x: { text: $TEXT, owner: root, mode: u+s } } }";
        let expected = "laminate_file /run/laminate/tree/0 /x root:\"$(id -g root)\" u+s\n";
        assert_eq!(placed(yaml), expected);
    }

    #[test]
    fn files_of_the_steps_user_have_the_group_of_its_number() {
        for (keys, calls) in [
            (
                "as: \"1000\"",
                "laminate_group 1000\nlaminate_file /run/laminate/tree/0 /x '' ''\n",
            ),
            (
                "as: \"1000:100\"",
                "laminate_file /run/laminate/tree/0 /x '' ''\n",
            ),
            ("as: j", "laminate_file /run/laminate/tree/0 /x '' ''\n"),
            ("as: root", "laminate_file /run/laminate/tree/0 /x '' ''\n"),
        ] {
            assert_eq!(placed(&format!("{{ write: {{ /x: t }}, {keys} }}")), calls);
        }
        let other = "{ write: { /x: { text: t, owner: \"7\" } }, as: \"1000\" }";
        assert_eq!(
            placed(other),
            "laminate_file /run/laminate/tree/0 /x 07:07 ''\n"
        );
    }

    #[test]
    fn a_symbolic_mode_without_a_class_is_for_all() {
        let calls = placed("{ perms: { /x: { mode: \"+w,u+s,=r\" } } }");
        assert_eq!(calls, "chmod a+w,u+s,a=r /x\n");
    }

    #[test]
    fn folders_are_placed_by_their_contents() {
        let yaml = "{ copy: { /opt/: { from: checks, owner: \"1:2\", mode: g+w } } }";
        let expected = "laminate_tree /run/laminate/tree/0 /opt 01:02 '' 755\n";
        assert_eq!(placed(yaml), expected);
        let paths: Vec<String> = command(yaml).tree.0.into_keys().collect();
        assert_eq!(paths, ["/0", "/0/checks", "/0/checks/test_a.py"]);
    }

    #[test]
    fn each_image_is_mounted_under_its_own_number() {
        let yaml = "{ copy: { /a: { image: \"golang:1\", from: /a/ }, /b: { image: \"alpine:3\", from: /b, mode: \"755\" } } }";
        assert_eq!(
            placed(yaml),
            "laminate_image /run/laminate/image0 /a/ /a '' ''\n\
             laminate_image /run/laminate/image1 /b /b '' 00755\n"
        );
    }

    #[test]
    fn files_and_texts_are_appended() {
        let yaml = "{ append: { /etc/x: { from: x }, /etc/y: more } }";
        assert_eq!(
            placed(yaml),
            "laminate_append /run/laminate/files/images/base/x /etc/x\n\
             laminate_append /run/laminate/texts/append1 /etc/y\n"
        );
        assert_eq!(command(yaml).texts["append1"], "more");
    }

    #[test]
    fn a_link_replaces_a_folder_only_if_the_spec_allows_it() {
        assert_eq!(
            placed("{ link: { /usr/bin/py: python 3, /x: { to: /y, replace: true } } }"),
            "laminate_link 'python 3' /usr/bin/py ''\nlaminate_link /y /x yes\n"
        );
    }

    #[test]
    fn only_recursive_perms_leave_links_alone() {
        let perms = |recursive: &str| {
            placed(&format!(
                "{{ perms: {{ /opt: {{ owner: \"0:100\", mode: \"2775\"{recursive} }} }} }}"
            ))
        };
        assert_eq!(perms(""), "chown 00:0100 /opt\nchmod 02775 /opt\n");
        assert_eq!(
            perms(", recursive: true"),
            "chown -R -h 00:0100 /opt\nchmod -R 02775 /opt\n"
        );
    }
}
