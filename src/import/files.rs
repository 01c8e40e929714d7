//! Where the files of what is imported go.

use std::collections::{BTreeMap, BTreeSet};

use super::link::{self, Linked};
use super::sources::{Sources, join};
use super::texts::Texts;
use super::{Copied, Note, Settings, Target};
use crate::dockerfile::Ignore;
use crate::path::is_at_or_below;

/// Returns the targets with the contexts that they need, and what each uses of the others.
pub fn linked(
    targets: &[Target],
    names: &BTreeMap<String, String>,
    sources: &Sources,
    texts: &mut Texts,
    notes: &mut Vec<Note>,
) -> Result<Vec<(Target, Linked)>, String> {
    let mut parts = Vec::new();
    for target in targets {
        let linked = link::link(target, targets, names, texts, notes)?;
        let target = with_context(target, &linked, sources, notes);
        note_ignored(&target, &linked, sources, texts, notes)?;
        parts.push((target, linked));
    }
    link::add_triggered(&mut parts, names);
    Ok(parts)
}

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
            .filter(|path| {
                let path = join(context, path);
                !sources.has(&path) && !sources.is_linked(&path)
            })
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

/// Returns where the context of a target is, relative to the folder of its image, and whether its files stay where they are.
pub fn prefix(target: &Target, name: &str, settings: &Settings) -> (String, bool) {
    let own = format!("images/{name}");
    if !stays(target, settings) || target.context == own {
        return (String::new(), stays(target, settings));
    }
    (relative(&own, &target.context), true)
}

/// Whether the files of a target stay where they are.
fn stays(target: &Target, settings: &Settings) -> bool {
    let is_below = |path: &str| path.starts_with("images/");
    settings.is_in_place && is_below(&target.context) && is_below(&target.dockerfile)
}

/// Returns the path of the ignored files of a target.
pub fn ignored(target: &Target, sources: &Sources) -> Option<String> {
    let paths = [
        format!("{}.dockerignore", target.dockerfile),
        join(&target.context, ".dockerignore"),
    ];
    paths.into_iter().find(|path| sources.text(path).is_some())
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
    if stays(target, settings) {
        let context = (context != own).then(|| relative(&own, context));
        return Ok(Placed {
            file: relative(&own, dockerfile),
            context,
        });
    }
    copy_used(target, name, linked, sources, texts, copies)?;
    let ignored = ignored(target, sources);
    // A Dockerfile outside of its context stays outside: an instruction could copy it into the image.
    let file = match dockerfile.strip_prefix(context) {
        _ if target.inline.is_some() => relative(&own, dockerfile),
        Some(inner) if context.is_empty() || inner.starts_with('/') => {
            inner.trim_start_matches('/').to_owned()
        }
        _ => format!("../{name}.Dockerfile"),
    };
    if target.inline.is_none() {
        copies.push(copied(dockerfile, &own, &file));
    }
    if let Some(path) = ignored {
        let inner = if path.ends_with("/.dockerignore") || path == ".dockerignore" {
            ".dockerignore".to_owned()
        } else {
            format!("{file}.dockerignore")
        };
        copies.push(copied(&path, &own, &inner));
    }
    Ok(Placed {
        file,
        context: None,
    })
}

/// Adds the files that the instructions of a target use to those that are copied to the folder of its image.
pub fn copy_used(
    target: &Target,
    name: &str,
    linked: &Linked,
    sources: &Sources,
    texts: &mut Texts,
    copies: &mut Vec<Copied>,
) -> Result<(), String> {
    let own = format!("images/{name}");
    for (inner, path) in used(target, linked, sources, texts)? {
        if !sources.is_ignored(path) {
            copies.push(copied(path, &own, inner));
        }
    }
    Ok(())
}

/// Notes files that the instructions of a target use and git ignores: another tool sends them, laminate does not.
pub fn note_ignored(
    target: &Target,
    linked: &Linked,
    sources: &Sources,
    texts: &mut Texts,
    notes: &mut Vec<Note>,
) -> Result<(), String> {
    let used = used(target, linked, sources, texts)?;
    notes.extend(ignored_note(&target.dockerfile, &used, sources));
    Ok(())
}

/// Returns the paths in the stack of files that instructions name and that the stack does not have.
pub fn missing(
    parts: &[(Target, Linked)],
    names: &BTreeMap<String, String>,
    sources: &Sources,
    texts: &mut Texts,
    settings: &Settings,
) -> Result<BTreeSet<String>, String> {
    let mut missing = BTreeSet::new();
    for (target, linked) in parts {
        let folder = if stays(target, settings) {
            target.context.clone()
        } else {
            format!("images/{}", names[&target.name])
        };
        let used = used(target, linked, sources, texts)?;
        let is_there = |required: &str| {
            let mut used = used.iter();
            sources.is_linked(&join(&target.context, required))
                || used.any(|(inner, path)| {
                    is_at_or_below(inner, required) && !sources.is_ignored(path)
                })
        };
        let lost = linked.required.iter().filter(|path| !is_there(path));
        missing.extend(lost.map(|path| join(&folder, path)));
    }
    Ok(missing)
}

/// Returns the note of those of some files that git ignores. The files have their path in a context, and in the import.
pub fn ignored_note(place: &str, files: &[(&str, &str)], sources: &Sources) -> Option<Note> {
    let mut ignored = files.iter().filter(|(_, path)| sources.is_ignored(path));
    let (first, _) = ignored.next()?;
    let found = match ignored.count() {
        0 => format!("file {first}"),
        1 => format!("file {first} and another one"),
        others => format!("file {first} and {others} others"),
    };
    let became = "left out: git ignores it, and ignored files are not part of a stack";
    Some(Note::open(place, found, became))
}

/// Returns the files that the instructions of a target use: by their path in its context, and in that of the import.
fn used<'a>(
    target: &'a Target,
    linked: &Linked,
    sources: &'a Sources,
    texts: &mut Texts,
) -> Result<Vec<(&'a str, &'a str)>, String> {
    let ignored = ignored(target, sources);
    let ignore = match &ignored {
        Some(path) => texts.ignore(path, sources)?,
        None => &Ignore::default(),
    };
    let named = with_links(target, &linked.context, sources);
    let is_used = |path: &str| named.iter().any(|used| is_at_or_below(path, used));
    let files = sources.below(&target.context);
    let files = files.filter(|(inner, _)| is_used(inner) && !ignore.matches(inner));
    Ok(files.collect())
}

/// Adds to paths in a context what the links in and above them lead to.
fn with_links(target: &Target, named: &BTreeSet<String>, sources: &Sources) -> BTreeSet<String> {
    let mut named = named.clone();
    loop {
        let mut added = BTreeSet::new();
        for (link, to) in &sources.links {
            let inside = |path: &str| Some(inner(&target.context, path)?.to_owned());
            let (Some(link), Some(to)) = (inside(link), inside(to)) else {
                continue;
            };
            let leads = |used: &&String| is_at_or_below(&link, used) || is_at_or_below(used, &link);
            if named.iter().any(|used| leads(&used)) {
                let new = [link.clone(), to].into_iter();
                added.extend(new.filter(|path| !named.contains(path)));
            }
        }
        if added.is_empty() {
            return named;
        }
        named.extend(added);
    }
}

/// Returns a path in a folder, relative to it.
fn inner<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    match folder {
        "" => Some(path),
        folder => path.strip_prefix(folder)?.strip_prefix('/'),
    }
}

/// Returns a file that is copied into a folder.
pub fn copied(from: &str, folder: &str, inner: &str) -> Copied {
    Copied {
        from: from.to_owned(),
        to: join(folder, inner),
    }
}

/// Returns a path relative to a folder: `../shared/x`.
pub fn relative(folder: &str, path: &str) -> String {
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
