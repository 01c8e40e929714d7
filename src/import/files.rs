//! Where the files of what is imported go.

use super::link::Linked;
use super::sources::{Sources, join};
use super::texts::Texts;
use super::{Copied, Note, Settings, Target};
use crate::dockerfile::Ignore;
use crate::path::is_at_or_below;

/// Where a target is in the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// `file:`.
    pub file: String,
    /// `context:`, if it is not the folder of the image.
    pub context: Option<String>,
}

/// Returns a target with the context that has the files which its instructions name: its own, or the folder of the import.
/// Notes files that are in neither.
pub fn with_context(
    target: &Target,
    linked: &Linked,
    sources: &Sources,
    notes: &mut Vec<Note>,
) -> Target {
    let missing = |context: &str| -> Vec<&String> {
        let paths = linked.context.iter().filter(|path| !path.is_empty());
        paths
            .filter(|path| !sources.has(&join(context, path)))
            .collect()
    };
    let own = missing(&target.context);
    if own.is_empty() {
        return target.clone();
    }
    if missing("").is_empty() {
        let became =
            "copied from the folder of the import, which has these files: it is the context";
        let found = format!("context with {}", own[0]);
        notes.push(Note::done(&target.dockerfile, found, became));
        return Target {
            context: String::new(),
            ..target.clone()
        };
    }
    for path in own {
        let became = "missing in the context, so it is not copied";
        notes.push(Note::open(
            &target.dockerfile,
            format!("file {path}"),
            became,
        ));
    }
    target.clone()
}

/// Finds the place of a target's files: where they are, if that is below `images/` of the spec, else in the folder of the
/// image, where they are copied to.
pub fn place(
    target: &Target,
    name: &str,
    linked: &Linked,
    sources: &Sources,
    texts: &mut Texts,
    settings: &Settings,
    copies: &mut Vec<Copied>,
) -> Result<Placed, String> {
    let own = format!("images/{name}");
    let (context, dockerfile) = (target.context.as_str(), target.dockerfile.as_str());
    let is_below = |path: &str| path.starts_with("images/");
    if settings.is_in_place && is_below(context) && is_below(dockerfile) {
        let context = (context != own).then(|| relative(&own, context));
        return Ok(Placed {
            file: relative(&own, dockerfile),
            context,
        });
    }
    let ignored = [
        format!("{dockerfile}.dockerignore"),
        join(context, ".dockerignore"),
    ];
    let ignored = ignored
        .into_iter()
        .find(|path| sources.text(path).is_some());
    let ignore = match &ignored {
        Some(path) => texts.ignore(path, sources)?,
        None => &Ignore::default(),
    };
    let is_used = |path: &str| {
        let mut used = linked.context.iter();
        used.any(|used| is_at_or_below(path, used))
    };
    for (inner, path) in sources.below(context) {
        if is_used(inner) && !ignore.matches(inner) {
            copies.push(copied(path, &own, inner));
        }
    }
    // A Dockerfile outside of its context gets a place in it.
    let file = match dockerfile.strip_prefix(context) {
        Some(inner) if context.is_empty() || inner.starts_with('/') => {
            inner.trim_start_matches('/')
        }
        _ => "Dockerfile",
    };
    copies.push(copied(dockerfile, &own, file));
    if let Some(path) = ignored {
        let inner = if path.ends_with("/.dockerignore") || path == ".dockerignore" {
            ".dockerignore".to_owned()
        } else {
            format!("{file}.dockerignore")
        };
        copies.push(copied(&path, &own, &inner));
    }
    Ok(Placed {
        file: file.to_owned(),
        context: None,
    })
}

fn copied(from: &str, folder: &str, inner: &str) -> Copied {
    Copied {
        from: from.to_owned(),
        to: format!("{folder}/{inner}"),
    }
}

/// Returns a path relative to a folder: `../shared/x`.
fn relative(folder: &str, path: &str) -> String {
    let (folder, parts): (Vec<&str>, Vec<&str>) =
        (folder.split('/').collect(), path.split('/').collect());
    let same = folder
        .iter()
        .zip(&parts)
        .take_while(|(a, b)| a == b)
        .count();
    let up = folder.iter().skip(same).map(|_| "..");
    let all: Vec<&str> = up.chain(parts.iter().skip(same).copied()).collect();
    if all.is_empty() {
        ".".to_owned()
    } else {
        all.join("/")
    }
}
