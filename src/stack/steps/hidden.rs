//! Faults of mounts that hide what their step is to leave in the image.

use super::step::{Kind, Step};
use crate::diagnostic::Diagnostic;
use crate::path::is_at_or_below;
use crate::source::Span;
use crate::stack::reader::Reader;

/// Reports mounts of a step that hide what the step is to leave, or that are in each other's way.
pub(super) fn check(reader: &Reader, step: &Step) {
    let kind = match &step.kind {
        Kind::Copy(_) => "copy",
        Kind::Write(_) => "write",
        Kind::Append(_) => "append",
        Kind::Link(_) => "link",
        Kind::Perms(_) => "perms",
        _ => "",
    };
    if let Some(first) = step.mounts.first()
        && !kind.is_empty()
    {
        reader.report(
            Diagnostic::unused(
                "`mounts`",
                first.span,
                format!("a `{kind}` step runs no command"),
            )
            .help("mount it in the step that uses it"),
        );
    }
    for mount in &step.mounts {
        let covers = |path: &str| is_at_or_below(path, &mount.target);
        if let Some(secret) = step
            .secrets
            .iter()
            .find(|it| is_at_or_below(&mount.target, &it.target))
        {
            let problem = Diagnostic::error(format!(
                "mount `{}` and secret `{}` are at the same path",
                mount.target, secret.id
            ));
            let label = format!("the secret is the file `{}`", secret.target);
            reader.report(problem.at(mount.span, label).help("choose another path"));
        }
        let members = match &step.kind {
            Kind::Group(members) => members.as_slice(),
            _ => &[],
        };
        let placed = members.iter().flat_map(|member| placed(&member.kind));
        let finish = step.finish.iter();
        let finish = finish.map(|perms| (perms.path.as_str(), perms.recursive, perms.span));
        for (path, recursive, span) in placed.chain(finish) {
            if covers(path) || recursive && is_at_or_below(&mount.target, path) {
                let message = format!(
                    "`{path}` would change mount `{}`, not the image",
                    mount.target
                );
                reader.report(
                    Diagnostic::error(message)
                        .at(span, "what is changed in a mount is in no layer")
                        .also(mount.span, "mounted here")
                        .help("choose another path for the mount, or use two steps"),
                );
            }
        }
    }
}

/// Returns the paths that a member of a group changes, whether it changes all below them, and where they
/// are in the file.
fn placed(kind: &Kind) -> Vec<(&str, bool, Span)> {
    match kind {
        Kind::Copy(list) => (list.iter())
            .map(|it| (it.to.as_str(), false, it.span))
            .collect(),
        Kind::Write(list) => (list.iter())
            .map(|it| (it.to.as_str(), false, it.span))
            .collect(),
        Kind::Append(list) => (list.iter())
            .map(|it| (it.to.as_str(), false, it.span))
            .collect(),
        Kind::Link(list) => (list.iter())
            .map(|it| (it.path.as_str(), false, it.span))
            .collect(),
        Kind::Perms(list) => (list.iter())
            .map(|it| (it.path.as_str(), it.recursive, it.span))
            .collect(),
        _ => Vec::new(),
    }
}
