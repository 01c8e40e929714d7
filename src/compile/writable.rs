//! `writable:`: what a step changes below the writable paths is given to the group in the same layer.

use super::script::expand;
use super::shell::line;
use crate::stack::Writable;

/// Returns a command that runs `args` and then gives what it changed below the writable paths to the
/// group.
pub fn with_writable(args: &[String], writable: &Writable) -> Vec<String> {
    let script = expand(
        include_str!("scripts/writable.sh"),
        &[
            ("PATHS", &line(&writable.paths)),
            ("GID", &writable.gid.to_string()),
        ],
    );
    let shell = ["/bin/sh", "-c", &script, "laminate"].map(str::to_owned);
    shell.into_iter().chain(args.iter().cloned()).collect()
}

/// Returns whether any of `paths` is, is in, or contains a writable path.
pub fn touches(paths: &[&str], writable: &Writable) -> bool {
    let is_at_or_below = |path: &str, folder: &str| {
        let rest = path.strip_prefix(folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    paths.iter().any(|path| {
        let path = path.trim_end_matches('/');
        let mut writable = writable.paths.iter();
        writable.any(|folder| is_at_or_below(path, folder) || is_at_or_below(folder, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writable() -> Writable {
        let keys = "writable: { gid: 100, paths: [/home/a b, /opt/conda] }";
        crate::compile::tests::image(keys)
            .writable
            .expect("declared")
    }

    #[test]
    fn a_path_in_or_around_a_writable_path_touches_it() {
        for (path, expected) in [
            ("/opt/conda", true),
            ("/opt/conda/", true),
            ("/opt/conda/etc/x", true),
            ("/opt/", true),
            ("/", true),
            ("/opt/condax", false),
            ("/etc/x", false),
        ] {
            assert_eq!(touches(&[path], &writable()), expected, "{path}");
        }
    }

    #[test]
    fn the_command_is_passed_as_arguments() {
        let args = with_writable(&["echo".to_owned(), "a b".to_owned()], &writable());
        assert_eq!(args[..2], ["/bin/sh", "-c"]);
        assert_eq!(args[3..], ["laminate", "echo", "a b"]);
    }

    #[test]
    fn all_paths_and_the_group_are_in_the_script() {
        let script = &with_writable(&[], &writable())[2];
        assert!(script.contains("for path in '/home/a b' /opt/conda; do\n"));
        assert!(script.contains("-exec chgrp -h 100 {} +"));
    }
}
