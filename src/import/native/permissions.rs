//! `fix-permissions` of docker-stacks, and commands that do the same.

use super::value::{Environment, Value, Vars};
use crate::import::sources::Sources;

/// The name of the script.
pub const SCRIPT: &str = "fix-permissions";

/// Parts of commands that make folders setgid.
const SETGID: [&str; 6] = ["6000", "2000", "2770", "2775", "+s", "rwxs"];

/// Folders that a group can write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The number of the group.
    pub gid: String,
    /// As the spec writes them.
    pub paths: Vec<String>,
}

/// Whether scripts of this name in a context make folders setgid, as that of docker-stacks does: `writable` does so as well.
pub fn is_setgid(sources: &Sources) -> bool {
    let is_script = |path: &str| path.rsplit('/').next() == Some(SCRIPT);
    let mut scripts = sources.files.iter().filter(|(path, _)| is_script(path));
    scripts.all(|(_, text)| match text {
        Some(text) => SETGID.iter().any(|part| text.contains(part)),
        None => true,
    })
}

/// Returns the folders of `fix-permissions FOLDER…`, whose group is `NB_GID`; `None` if the words are another command.
pub fn fix_permissions(words: &[Value], env: &Environment, vars: &Vars) -> Option<Permissions> {
    let program = words.first()?.resolved(vars)?;
    if !matches!(
        program.as_str(),
        "fix-permissions" | "/usr/local/bin/fix-permissions"
    ) || words.len() < 2
    {
        return None;
    }
    let gid = env.get("NB_GID")?.resolved(vars)?;
    let is_number = !gid.is_empty() && gid.bytes().all(|byte| byte.is_ascii_digit());
    let path = |word: &Value| {
        let path = word.resolved(vars)?;
        let is_plain = path.starts_with('/') && path.len() > 1 && !path.contains(['*', '?']);
        is_plain.then(|| word.written().trim_end_matches('/').to_owned())
    };
    let paths: Option<Vec<String>> = words[1..].iter().map(path).collect();
    is_number.then_some(Permissions { gid, paths: paths? })
}

#[cfg(test)]
mod tests {
    use super::super::shell;
    use super::*;

    #[test]
    fn a_script_that_does_not_make_folders_setgid_is_another_one() {
        let of = |text: &str| {
            let files = [("a/fix-permissions".to_owned(), Some(text.to_owned()))];
            is_setgid(&Sources {
                files: files.into(),
                ..Sources::default()
            })
        };
        assert!(of(
            "find \"$d\" -type d ! -perm -6000 -exec chmod +6000 {} \\+"
        ));
        assert!(!of("chgrp -R 100 \"$1\"; chmod -R g+rwX \"$1\""));
        assert!(is_setgid(&Sources::default()), "it is that of the base");
    }

    #[test]
    fn folders_of_fix_permissions_have_the_group_of_the_user() {
        let env: Environment = [
            ("NB_GID".to_owned(), Value::text("100")),
            ("D".to_owned(), Value::text("/opt/conda")),
        ]
        .into();
        let read = |text: &str| {
            let words = shell::words(text, &env, &Vars::new())?;
            fix_permissions(&words, &env, &Vars::new())
        };
        let found = read("fix-permissions \"${D}\" /home/j/").expect("known");
        assert_eq!(
            (found.gid.as_str(), found.paths.join(" ")),
            ("100", "/opt/conda /home/j".to_owned())
        );
        assert_eq!(read("fix-permissions relative"), None);
        assert_eq!(read("chmod g+w /x"), None);
    }
}
