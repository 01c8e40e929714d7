//! `writable:`: what a step changes below the writable paths is given to the group in the same layer.

use super::script::expand;
use super::shell::{line, quote};
use crate::path::is_at_or_below;
use crate::stack::{StepMount, Writable};

/// Returns a command that runs `args` and then gives what it changed below the writable paths to the
/// group. Mounts of the step are in no layer and stay as they are.
pub fn with_writable(args: &[String], writable: &Writable, mounts: &[StepMount]) -> Vec<String> {
    let is_mounted = |path: &String| {
        mounts
            .iter()
            .any(|mount| is_at_or_below(path, &mount.target))
    };
    let paths = writable.paths.iter().filter(|path| !is_mounted(path));
    let paths: Vec<String> = paths.cloned().collect();
    if paths.is_empty() {
        return args.to_vec();
    }
    let script = expand(
        include_str!("scripts/writable.sh"),
        &[
            ("PATHS", &line(&paths)),
            ("MOUNTED", &without(mounts, &paths)),
            ("GID", &writable.gid.to_string()),
        ],
    );
    let shell = ["/bin/sh", "-c", &script, "laminate"].map(str::to_owned);
    shell.into_iter().chain(args.iter().cloned()).collect()
}

/// Returns the start of an expression of `find` that leaves out mounts below `paths`.
fn without(mounts: &[StepMount], paths: &[String]) -> String {
    let below = mounts.iter().map(|mount| &mount.target);
    let below = below.filter(|target| paths.iter().any(|path| is_at_or_below(target, path)));
    let pattern = |target: &String| {
        let special = ['\\', '*', '?', '['];
        let escaped = target.chars().flat_map(|c| {
            let escape = special.contains(&c).then_some('\\');
            escape.into_iter().chain([c])
        });
        format!("-path {}", quote(&escaped.collect::<String>()))
    };
    let patterns: Vec<String> = below.map(pattern).collect();
    if patterns.is_empty() {
        return String::new();
    }
    format!("'(' {} ')' -prune -o ", patterns.join(" -o "))
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
        let args = with_writable(&["echo".to_owned(), "a b".to_owned()], &writable(), &[]);
        assert_eq!(args[..2], ["/bin/sh", "-c"]);
        assert_eq!(args[3..], ["laminate", "echo", "a b"]);
    }

    #[test]
    fn all_paths_and_the_group_are_in_the_script() {
        let script = &with_writable(&[], &writable(), &[])[2];
        assert!(script.contains("for path in '/home/a b' /opt/conda; do\n"));
        assert!(script.contains("-exec chgrp -h 100 {} +"));
    }

    fn mounts(target: &str) -> Vec<StepMount> {
        let step = format!("{{ run: a, mounts: {{ {target}: {{ tmpfs: }} }} }}");
        crate::compile::tests::step(&step).mounts
    }

    #[test]
    fn mounts_below_a_writable_path_are_left_out() {
        let args = ["a".to_owned()];
        let script = &with_writable(&args, &writable(), &mounts("\"/opt/conda/p[1]\""))[2];
        let part = "find \"$path\" '(' -path '/opt/conda/p\\[1]' ')' -prune -o \"$skip\" ";
        assert!(script.contains(part), "{script}");
        let elsewhere = with_writable(&args, &writable(), &mounts("/mnt"));
        assert_eq!(elsewhere, with_writable(&args, &writable(), &[]));
    }

    #[test]
    fn a_writable_path_that_is_mounted_is_left_out() {
        let args = ["a".to_owned()];
        let script = &with_writable(&args, &writable(), &mounts("/opt"))[2];
        assert!(script.contains("for path in '/home/a b'; do\n"), "{script}");
        let only = Writable {
            paths: vec!["/opt/conda".to_owned()],
            ..writable()
        };
        assert_eq!(with_writable(&args, &only, &mounts("/opt/conda")), args);
    }
}
