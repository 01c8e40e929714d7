//! Hints for a step that failed.

use crate::compile::Program;
use crate::run::FailedProcess;
use crate::spec::tree::{LeftOut, Lost};
use crate::stack::{Base, Image, Kind, Stack, Step};

/// What programs write that are not allowed to do something. It only decides whether a hint is shown.
const DENIED: [&str; 5] = [
    "Permission denied",
    "Operation not permitted",
    "EACCES",
    "are you root",
    "must be root",
];

/// What programs write that do not trust the certificate of a server: Python, OpenSSL, curl and git, Go, Node, apt.
/// As above.
const UNTRUSTED: [&str; 7] = [
    "CERTIFICATE_VERIFY_FAILED",
    "certificate verify failed",
    "SSL certificate problem",
    "certificate signed by unknown authority",
    "unable to get local issuer certificate",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "The certificate is NOT trusted",
];

/// What tools write around the name of a package that they do not find: uv, pip, py-rattler, npm; as above.
const UNKNOWN_TO_INDEX: [(&str, &str); 5] = [
    ("Because ", " was not found in the package registry"),
    ("there is no version of ", " and you require"),
    ("No matching distribution found for ", ""),
    ("No candidates were found for ", ""),
    ("'", "' is not in this registry"),
];

/// The same of apt.
const UNKNOWN_TO_APT: [(&str, &str); 3] = [
    ("Unable to locate package ", ""),
    ("E: Package '", "' has no installation candidate"),
    (" for '", "' was not found"),
];

/// Returns a hint for a step that failed: about the program that its image lacks, its user, or when it runs.
pub(super) fn hint(
    image: &Image,
    step: &Step,
    process: &FailedProcess,
    log: &[String],
) -> Option<String> {
    if let Some(Program { name, named_by }) = &process.missing {
        let text = match named_by {
            Some(by) => format!(
                "install `{name}`, which {by} names, in an earlier step, or name another program"
            ),
            None => format!(
                "use a base that has `{name}`, or copy it from an image: the step is run by this shell"
            ),
        };
        return Some(text);
    }
    let is_untrusted = |line: &String| UNTRUSTED.iter().any(|text| line.contains(text));
    if log.iter().any(is_untrusted) {
        let text = "if a proxy replaces the certificates of servers, pass its CA with `--ca FILE` or `LAMINATE_CA`";
        return Some(text.to_owned());
    }
    let is_denied = |line: &String| DENIED.iter().any(|text| line.contains(text));
    if let Some(user) = &process.user
        && log.iter().any(is_denied)
    {
        return Some(as_root(image, step, user));
    }
    let runs_early = step.is_short && image.steps.iter().any(|step| !step.is_short);
    if runs_early {
        let text =
            "short keys run before `steps:`; if it needs one of these, move it into `steps:`";
        return Some(text.to_owned());
    }
    unknown_package(step, log)
}

/// Returns a hint for a package that a tool did not find, unless it could not reach its server.
fn unknown_package(step: &Step, log: &[String]) -> Option<String> {
    let is_lost = |line: &String| line.to_ascii_lowercase().contains("connection");
    if log.iter().any(is_lost) {
        return None;
    }
    let between = |(before, after): &(&str, &str)| {
        log.iter().find_map(|line| {
            let rest = line.split_once(before)?.1;
            let end = match *after {
                "" => rest.len(),
                after => rest.find(after)?,
            };
            let name = rest[..end].trim_end_matches(['.', '\'']);
            (!name.is_empty() && name.len() < 200).then(|| name.to_owned())
        })
    };
    if let Some(name) = UNKNOWN_TO_APT.iter().find_map(between) {
        let sources = match step.kind {
            Kind::Apt(_) => ", or add `sources` to `apt`",
            _ => "",
        };
        return Some(format!(
            "no source of apt has `{name}`: check its name and version for the release of the base{sources}"
        ));
    }
    let name = UNKNOWN_TO_INDEX.iter().find_map(between)?;
    Some(format!(
        "the index has no `{name}`: check its name and version, and the version of Python that the step uses"
    ))
}

/// Returns why a Dockerfile lacks a file of its context or an image, by the message of the engine: `…: "/x": not found`,
/// `x: failed to resolve source metadata for …`.
pub(super) fn left_out(stack: &Stack, image: &Image, message: &str) -> Option<String> {
    let file = image.dockerfile()?;
    if let Some((name, _)) = message.split_once(": failed to resolve source metadata for ")
        && has_triggers(stack, image)
        && stack.images().iter().any(|it| it.name.as_str() == name)
    {
        return Some(format!(
            "an `ONBUILD` of the base names `{name}`, and triggers cannot name images of the stack: copy from it in this Dockerfile"
        ));
    }
    let context = &file.context;
    let path = message.strip_suffix("\": not found")?.rsplit('"').next()?;
    let path = path.trim_start_matches('/');
    let why = match stack.files().follow(context, path) {
        _ if file.ignored.contains(path) => "its `.dockerignore` leaves it out".to_owned(),
        Err(Lost::LeftOut { path, reason }) => match reason {
            LeftOut::Ignored => format!(
                "git ignores `{path}`, and ignored files are not part of a context: `git add --force` adds it"
            ),
            LeftOut::LeftBehind => format!("`{path}` has a name of files that tools leave behind"),
            LeftOut::Empty => format!("`{path}` is an empty folder, which git does not track"),
        },
        Err(_) if file.missing.contains_key(path) => {
            let help = file.missing[path].help.as_deref();
            let help = help.unwrap_or("add it, or remove it from the Dockerfile");
            format!("`{context}/` does not have it; {help}")
        }
        // It is not known before the build what a trigger names.
        _ if has_triggers(stack, image) => {
            "if an `ONBUILD` of its base names it, name it in an instruction of the Dockerfile as well".to_owned()
        }
        _ => return None,
    };
    Some(format!("`{path}` is missing in the context: {why}"))
}

/// Whether the base of an image is one of the stack whose Dockerfile has `ONBUILD`.
fn has_triggers(stack: &Stack, image: &Image) -> bool {
    let Base::Image(base) = image.base else {
        return false;
    };
    let file = stack.image(base).dockerfile();
    file.is_some_and(|file| file.has_triggers)
}

/// Returns how a step gets the rights that its user lacks.
fn as_root(image: &Image, step: &Step, user: &str) -> String {
    let what = match step.kind {
        Kind::Group(_) => "group",
        _ => "step",
    };
    if step.user.is_some() {
        return format!("the {what} runs as `{user}` by `as:`; if it needs root, write `as: root`");
    }
    let by = match image.user {
        Some(_) => "`user:` of the image",
        None => "the user of its base",
    };
    format!("the {what} runs as `{user}` by {by}; if it needs root, add `as: root` to it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hinted(keys: &str, process: &FailedProcess, log: &str) -> Option<String> {
        let spec = format!("stack: x\nimages:\n  a: {{ base: 'debian:12', {keys} }}\n");
        let stack = crate::testing::stack(&spec);
        let image = &stack.images()[0];
        hint(image, &image.steps[0], process, &[log.to_owned()])
    }

    #[test]
    fn a_step_that_is_denied_something_can_run_as_root() {
        let process = FailedProcess {
            missing: None,
            user: Some("1000".to_owned()),
        };
        let denied = "mkdir: cannot create directory '/x': Permission denied";
        let hint = |keys: &str| hinted(keys, &process, denied);
        assert_eq!(
            hint("user: '1000', steps: [{ run: a }]").as_deref(),
            Some(
                "the step runs as `1000` by `user:` of the image; if it needs root, add `as: root` to it"
            )
        );
        assert_eq!(
            hint("steps: [{ group: [{ run: a }] }]").as_deref(),
            Some(
                "the group runs as `1000` by the user of its base; if it needs root, add `as: root` to it"
            )
        );
        assert_eq!(
            hint("steps: [{ run: a, as: '1000' }]").as_deref(),
            Some("the step runs as `1000` by `as:`; if it needs root, write `as: root`")
        );
        let root = FailedProcess::default();
        assert_eq!(hinted("steps: [{ run: a }]", &root, denied), None);
        assert_eq!(
            hinted("steps: [{ run: a }]", &process, "no such file"),
            None
        );
    }

    #[test]
    fn a_certificate_that_is_not_trusted_can_be_that_of_a_proxy() {
        let log = "SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed')";
        let hint = hinted("steps: [{ run: a }]", &FailedProcess::default(), log);
        assert!(hint.is_some_and(|text| text.contains("`--ca FILE`")));
    }

    #[test]
    fn a_package_that_no_index_has_is_named() {
        let step = crate::compile::tests::step("{ apt: [x] }");
        let hint = |line: &str| unknown_package(&step, &["before".to_owned(), line.to_owned()]);
        for (line, name) in [
            (
                "  cause: Because jupyterlb was not found in the package registry and you require jupyterlb, we",
                "jupyterlb",
            ),
            (
                "  cause: Because there is no version of six==99.1 and you require six==99.1, we can",
                "six==99.1",
            ),
            (
                "ERROR: No matching distribution found for nosuch==3",
                "nosuch==3",
            ),
            (
                "npm error 404  'leftpadd@*' is not in this registry.",
                "leftpadd@*",
            ),
        ] {
            let text = hint(line).expect("a hint");
            assert!(
                text.starts_with(&format!("the index has no `{name}`: ")),
                "{text}"
            );
        }
        for (line, name) in [
            ("E: Unable to locate package jqq", "jqq"),
            (
                "E: Package 'python2' has no installation candidate",
                "python2",
            ),
            ("E: Version '9' for 'jq' was not found", "jq"),
        ] {
            let text = hint(line).expect("a hint");
            assert!(
                text.starts_with(&format!("no source of apt has `{name}`: ")),
                "{text}"
            );
        }
        assert_eq!(hint("make: *** [all] Error 1"), None);
        let lost = ["Connection refused", "No matching distribution found for x"];
        assert_eq!(unknown_package(&step, &lost.map(str::to_owned)), None);
    }

    #[test]
    fn a_file_that_git_ignores_is_missing_in_a_context() {
        let text = "FROM debian:12\nCOPY x.log y notess.txt wheel /\n";
        let files = [
            ("images/a/Dockerfile", text),
            ("images/a/y", ""),
            ("images/a/notes.txt", ""),
            ("images/a/.dockerignore", "y\n"),
            ("images/b/Dockerfile", "FROM debian:12\nONBUILD COPY y /\n"),
            ("images/c/Dockerfile", "FROM b\n"),
        ];
        let spec = "stack: x\nimages:\n  a: { dockerfile: Dockerfile }\n  b: { dockerfile: Dockerfile }\n  c: { dockerfile: Dockerfile }\n";
        let mut stack = crate::testing::stack_with(spec, &files);
        stack
            .files_mut()
            .leave_out("images/a/x.log", LeftOut::Ignored);
        let hint = |path: &str| {
            let message =
                format!("failed to calculate checksum of ref a::b: \"{path}\": not found");
            left_out(&stack, &stack.images()[0], &message)
        };
        let ignored = hint("/x.log").expect("a hint");
        assert!(
            ignored.contains("git ignores `images/a/x.log`"),
            "{ignored}"
        );
        assert_eq!(
            hint("/y").as_deref(),
            Some("`y` is missing in the context: its `.dockerignore` leaves it out")
        );
        assert_eq!(
            hint("/notess.txt").as_deref(),
            Some(
                "`notess.txt` is missing in the context: `images/a/` does not have it; did you mean `notes.txt`?"
            )
        );
        let other = hint("/wheel").expect("a hint");
        assert!(other.contains("add it, or remove it"), "{other}");
        assert_eq!(hint("/z"), None);
        let mut images = stack.images().iter();
        let child = images.find(|image| image.name.as_str() == "c");
        let of_base = left_out(&stack, child.expect("it is there"), "x: \"/y\": not found");
        assert!(of_base.is_some_and(|text| text.contains("`ONBUILD` of its base")));
        let lookup = |name: &str| {
            let message = format!("{name}: failed to resolve source metadata for docker.io/x");
            left_out(&stack, child.expect("it is there"), &message)
        };
        assert!(
            lookup("a").is_some_and(|text| text.starts_with("an `ONBUILD` of the base names `a`"))
        );
        assert_eq!(lookup("other"), None);
    }

    #[test]
    fn a_missing_program_is_to_be_installed() {
        let lacks = |named_by: Option<&str>| FailedProcess {
            missing: Some(Program {
                name: "zsh".to_owned(),
                named_by: named_by.map(str::to_owned),
            }),
            user: None,
        };
        let named = hinted(
            "steps: [{ run: a }]",
            &lacks(Some("the shell of the step")),
            "",
        );
        assert_eq!(
            named.as_deref(),
            Some(
                "install `zsh`, which the shell of the step names, in an earlier step, or name another program"
            )
        );
        let own = hinted("apt: [git], steps: [{ run: a }]", &lacks(None), "");
        assert!(own.is_some_and(|text| text.starts_with("use a base that has `zsh`")));
    }
}
