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

/// Returns the permission bits that the group has below a writable path: it reads, writes and, what the
/// owner can execute, executes. New entries of a folder get its group (setgid).
pub fn for_group(bits: u32, folder: bool) -> u32 {
    match (folder, bits & 0o100) {
        (true, _) => bits | 0o2070,
        (false, 0) => bits | 0o060,
        (false, _) => bits | 0o070,
    }
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
    fn the_group_can_do_what_the_owner_can() {
        for (bits, folder, expected) in [
            (0o644, false, 0o664),
            (0o700, false, 0o770),
            (0o755, true, 0o2775),
        ] {
            assert_eq!(for_group(bits, folder), expected, "{bits:o}");
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
