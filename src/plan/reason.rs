//! Why an image is built: the differences to the list of components of its last build.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::key::{Component, ComponentKind};
use crate::name::Digest;
use crate::shown;

/// The kinds of reasons, as programs read them (`reasons[].kind` of `plan --json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasonKind {
    /// A file under `images/` differs.
    File,
    /// A variable has another value.
    Var,
    /// A step differs.
    Step,
    /// An external image, the base or one that files are used of, has another digest, or is
    /// another one.
    Base,
    /// An image of the stack, the base or one that files are used of, is rebuilt, or is another
    /// one.
    Parent,
    /// `specs.lock` has another digest of the external image.
    Lock,
    /// A setting, the platform or a name differs.
    Config,
    /// A flag, a new period of `refresh:` or a new format of keys.
    Flag,
    /// There is no record of an earlier build.
    New,
    /// It was built from the same things, and staging lost it.
    Missing,
}

/// One reason, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Its kind, for programs.
    pub kind: ReasonKind,
    /// The file, variable, step, base or flag.
    pub what: String,
    /// A sentence about it, without a full stop.
    pub text: String,
}

impl Reason {
    /// Makes a reason of its parts. Its text is one line.
    pub fn new(kind: ReasonKind, what: impl Into<String>, text: impl AsRef<str>) -> Self {
        Self {
            kind,
            what: what.into(),
            text: shown::line(text.as_ref()).into_owned(),
        }
    }
}

/// Returns what changed from `old` to `new`; not empty if the two differ. If a variable changed, what was
/// made from it is left out.
pub fn reasons(old: &[Component], new: &[Component], locked: bool) -> Vec<Reason> {
    let by_id = |items: &'_ [Component]| -> BTreeMap<(ComponentKind, String), Component> {
        items
            .iter()
            .map(|c| ((c.kind, c.what.clone()), c.clone()))
            .collect()
    };
    let (before, after) = (by_id(old), by_id(new));
    let changed_vars: BTreeSet<&String> = after
        .iter()
        .filter(|((kind, _), c)| {
            *kind == ComponentKind::Var
                && before
                    .get(&(c.kind, c.what.clone()))
                    .is_some_and(|b| b.value != c.value)
        })
        .map(|((_, what), _)| what)
        .collect();
    let of_changed_var = |c: &Component| c.vars.iter().any(|var| changed_vars.contains(var));
    let mut list = Vec::new();
    for (id, component) in &after {
        match before.get(id) {
            Some(old) if old.value == component.value => {}
            Some(old) => {
                if !of_changed_var(component) {
                    list.push(changed(old, component, locked));
                }
            }
            None => {
                if !of_changed_var(component) && component.kind != ComponentKind::Var {
                    list.push(added(component));
                }
            }
        }
    }
    for (id, component) in &before {
        // The new base is a reason of its own, and so is the step that no longer uses files of it.
        let replaced = matches!(
            component.kind,
            ComponentKind::Base
                | ComponentKind::Parent
                | ComponentKind::Image
                | ComponentKind::Dependency
        );
        if !after.contains_key(id)
            && !replaced
            && !of_changed_var(component)
            && component.kind != ComponentKind::Var
        {
            list.push(removed(component));
        }
    }
    if list.is_empty() && old != new {
        list.push(Reason::new(
            ReasonKind::Step,
            "steps",
            "the steps are in a different order",
        ));
    }
    leave_out_steps_of_files(&mut list);
    list.sort_by(|a, b| (a.kind, &a.what).cmp(&(b.kind, &b.what)));
    list
}

/// Leaves out each Dockerfile that changed as a step if it is also there as a file.
fn leave_out_steps_of_files(list: &mut Vec<Reason>) {
    let files = list.iter().filter(|reason| reason.kind == ReasonKind::File);
    let names = files.map(|reason| reason.what.rsplit('/').next().unwrap_or_default());
    let titles: Vec<String> = names.map(|name| format!("dockerfile {name}")).collect();
    list.retain(|reason| {
        let is_of = |title: &String| {
            let rest = reason.what.strip_prefix(title.as_str());
            // A stage may follow.
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
        };
        reason.kind != ReasonKind::Step || !titles.iter().any(is_of)
    });
}

/// Whether `new` has a refresh that `old` does not have.
pub fn refreshes(old: &[Component], new: &[Component]) -> bool {
    let same =
        |a: &Component, b: &Component| (a.kind, &a.what, &a.value) == (b.kind, &b.what, &b.value);
    new.iter()
        .filter(|component| component.kind == ComponentKind::Refresh)
        .any(|component| !old.iter().any(|known| same(known, component)))
}

fn changed(old: &Component, new: &Component, locked: bool) -> Reason {
    let what = &new.what;
    let (before, after) = (short(&old.value), short(&new.value));
    match new.kind {
        ComponentKind::Var => Reason::new(
            ReasonKind::Var,
            what,
            format!("variable {what} changed from `{before}` to `{after}`"),
        ),
        ComponentKind::File => Reason::new(ReasonKind::File, what, format!("{what} changed")),
        ComponentKind::Step => {
            Reason::new(ReasonKind::Step, what, format!("step `{what}` changed"))
        }
        ComponentKind::Base | ComponentKind::Image if locked => Reason::new(
            ReasonKind::Lock,
            what,
            format!("specs.lock moved {what} from {before} to {after}"),
        ),
        ComponentKind::Base | ComponentKind::Image => Reason::new(
            ReasonKind::Base,
            what,
            format!("{what} is now {after}, it was {before}"),
        ),
        ComponentKind::Parent => Reason::new(
            ReasonKind::Parent,
            what,
            format!("its base {what} is rebuilt"),
        ),
        ComponentKind::Dependency => Reason::new(
            ReasonKind::Parent,
            what,
            format!("it uses files of {what}, which is rebuilt"),
        ),
        ComponentKind::Config | ComponentKind::Name => {
            Reason::new(ReasonKind::Config, what, format!("`{what}` changed"))
        }
        ComponentKind::Refresh => Reason::new(
            ReasonKind::Flag,
            what,
            format!("`{what}` is now {after}, it was {before}"),
        ),
        ComponentKind::Platform => Reason::new(
            ReasonKind::Config,
            what,
            format!("the platform is {after}, it was {before}"),
        ),
        ComponentKind::Format => Reason::new(
            ReasonKind::Flag,
            what,
            "this version of laminate compiles images differently",
        ),
    }
}

fn added(new: &Component) -> Reason {
    let what = &new.what;
    match new.kind {
        ComponentKind::File => Reason::new(ReasonKind::File, what, format!("{what} is new")),
        ComponentKind::Step => Reason::new(ReasonKind::Step, what, format!("step `{what}` is new")),
        ComponentKind::Base => {
            Reason::new(ReasonKind::Base, what, format!("its base is now {what}"))
        }
        ComponentKind::Parent => {
            Reason::new(ReasonKind::Parent, what, format!("its base is now {what}"))
        }
        ComponentKind::Image => Reason::new(
            ReasonKind::Base,
            what,
            format!("it now uses files of {what}"),
        ),
        ComponentKind::Dependency => Reason::new(
            ReasonKind::Parent,
            what,
            format!("it now uses files of {what}"),
        ),
        ComponentKind::Refresh => Reason::new(
            ReasonKind::Flag,
            what,
            format!("requested by `{what}` ({})", new.value),
        ),
        _ => Reason::new(ReasonKind::Config, what, format!("`{what}` is new")),
    }
}

fn removed(old: &Component) -> Reason {
    let what = &old.what;
    match old.kind {
        ComponentKind::File => {
            Reason::new(ReasonKind::File, what, format!("{what} is no longer used"))
        }
        ComponentKind::Step => {
            Reason::new(ReasonKind::Step, what, format!("step `{what}` was removed"))
        }
        _ => Reason::new(ReasonKind::Config, what, format!("`{what}` was removed")),
    }
}

/// Returns a value short enough for a sentence: digests as 12 hex digits, a text as 60 characters.
pub fn short(value: &str) -> String {
    let words = value.split(' ').map(|word| match Digest::parse(word) {
        Ok(digest) => digest.short().to_owned(),
        Err(_) => word.to_owned(),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    if text.chars().count() > 60 {
        let start: String = text.chars().take(59).collect();
        format!("{start}…")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_long_texts_are_shortened() {
        let digest = Digest::of(b"a");
        assert_eq!(short(digest.as_str()), digest.short());
        assert_eq!(
            short(&format!("0644 {digest}")),
            format!("0644 {}", digest.short())
        );
        assert_eq!(short("a  text"), "a  text");
        assert_eq!(short(&"é".repeat(61)), format!("{}…", "é".repeat(59)));
    }
}
