//! A plan for people: its table, and what stands below it.

use std::collections::BTreeSet;

use super::uncovered;
use crate::cli::context::Context;
use crate::list;
use crate::name::{Digest, Tag};
use crate::plan::{Action, Facts, HoldReason, Plan, Planned, Proofs};
use crate::stack::Stack;
use crate::table;

/// Returns the action for people.
pub(super) fn action_shown(action: &Action) -> &'static str {
    match action {
        Action::Build { .. } => "build",
        Action::Reuse { .. } => "reuse",
        Action::Hold {
            because: HoldReason::UnknownImages(_),
        } => "unknown",
        Action::Hold {
            because: HoldReason::NotSelected,
        } => "skip",
    }
}

/// Headers of the columns of [`rows`].
pub const HEADERS: [&str; 4] = ["IMAGE", "ACTION", "RUNS", "WHY"];

/// How many reasons a row has; `laminate why` and the documents of `--json` have all.
const REASONS: usize = 10;

/// Returns a row for each image: its name, the action, what runs on it, and why.
pub fn rows<'a>(images: impl IntoIterator<Item = &'a Planned>) -> Vec<Vec<String>> {
    images
        .into_iter()
        .map(|planned| {
            let why = match &planned.action {
                Action::Build { reasons } => {
                    let texts: Vec<&str> = reasons.iter().map(|r| r.text.as_str()).collect();
                    list::first_of(&texts, REASONS, "; ")
                }
                Action::Reuse { digest } => reused(digest, &planned.proofs),
                Action::Hold { because } => because.to_string(),
            };
            vec![
                planned.label.clone(),
                action_shown(&planned.action).to_owned(),
                proofs(&planned.proofs),
                why,
            ]
        })
        .collect()
}

/// Returns the digest of an image that is up to date, and why something runs on it.
fn reused(digest: &Digest, proofs: &Proofs) -> String {
    let digest = format!("up to date, {}", digest.short());
    let reasons = proofs.reasons().into_iter();
    [digest]
        .into_iter()
        .chain(reasons)
        .collect::<Vec<_>>()
        .join("; ")
}

/// How many suites, checks and package lists run.
#[derive(Clone, Copy, Default)]
struct Runs {
    suites: usize,
    checks: bool,
    info: bool,
}

impl Runs {
    /// Returns what runs on an image: the results that are not known.
    fn of(proofs: &Proofs) -> Self {
        let suites = proofs.suites.iter();
        let checks = proofs.checks.as_ref();
        Self {
            suites: suites.filter(|suite| suite.verdict.known.is_none()).count(),
            checks: checks.is_some_and(|checks| checks.known.is_none()),
            info: proofs.info.iter().any(|info| info.known.is_none()),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            suites: self.suites + other.suites,
            checks: self.checks || other.checks,
            info: self.info || other.info,
        }
    }

    /// Returns the words for it, as in `3 suites`, `checks`, `info`.
    fn words(self) -> Vec<String> {
        let suites = match self.suites {
            0 => None,
            1 => Some("1 suite".to_owned()),
            n => Some(format!("{n} suites")),
        };
        let checks = self.checks.then(|| "checks".to_owned());
        let info = self.info.then(|| "info".to_owned());
        suites.into_iter().chain(checks).chain(info).collect()
    }
}

/// Returns what runs on an image, as in `3 suites, checks, info`; empty if all results are known.
fn proofs(proofs: &Proofs) -> String {
    Runs::of(proofs).words().join(", ")
}

/// Returns how many images have which action, and what runs on them, as in `2 images to build, 4 suites and checks to run, 3 up
/// to date`.
pub fn count(plan: &Plan) -> String {
    let runs = plan.images.iter().map(|planned| Runs::of(&planned.proofs));
    let runs = runs.fold(Runs::default(), Runs::and);
    counts(plan.images.iter().map(|planned| &planned.action), runs)
}

fn counts<'a>(actions: impl Iterator<Item = &'a Action>, runs: Runs) -> String {
    let (mut build, mut reuse, mut unknown, mut skip) = (0, 0, 0, 0);
    for action in actions {
        *match action {
            Action::Build { .. } => &mut build,
            Action::Reuse { .. } => &mut reuse,
            Action::Hold {
                because: HoldReason::UnknownImages(_),
            } => &mut unknown,
            Action::Hold {
                because: HoldReason::NotSelected,
            } => &mut skip,
        } += 1;
    }
    let mut text = match build {
        0 if unknown == 0 => "nothing to build".to_owned(),
        1 => "1 image to build".to_owned(),
        n => format!("{n} images to build"),
    };
    match runs.words().as_slice() {
        [] => {}
        [one] => text.push_str(&format!(", {one} to run")),
        [first @ .., last] => {
            text.push_str(&format!(", {} and {last} to run", first.join(", ")));
        }
    }
    text.push_str(&format!(", {reuse} up to date"));
    for (number, word) in [(unknown, "unknown"), (skip, "skipped")] {
        if number > 0 {
            text.push_str(&format!(", {number} {word}"));
        }
    }
    text
}

/// Returns that `build --push` refuses to tag images because of uncommitted changes; `None` if there are none.
pub fn refused_changes(facts: &Facts) -> Option<String> {
    let checkout = facts.checkout.as_ref();
    let checkout = checkout.filter(|checkout| checkout.is_dirty())?;
    let changes = list::first(&checkout.changes, 2);
    Some(format!(
        "`build --push` refuses to tag uncommitted changes: {changes}"
    ))
}

/// Returns the line of the tags that images get; empty if there are none. Uncommitted changes get none.
fn tag_lines(stack: &Stack, plan: &Plan, facts: &Facts) -> String {
    let there = plan.images.iter();
    let there = there.filter(|planned| !matches!(planned.action, Action::Hold { .. }));
    let tags: BTreeSet<&str> = there
        .clone()
        .flat_map(|planned| planned.tags.iter().map(Tag::as_str))
        .collect();
    if tags.is_empty() {
        return String::new();
    }
    if let Some(refused) = refused_changes(facts) {
        return format!("{refused}\n");
    }
    let are_published = there.filter_map(|planned| {
        let repository = stack[planned.id].repository.as_ref()?;
        let tags = planned.tags.iter();
        let found = tags.map(|tag| facts.tags.get(&(repository.clone(), tag.clone())));
        let found: Option<Vec<_>> = found.collect();
        Some(found.map(|found| found.iter().all(|digest| digest.is_some())))
    });
    let are_published: Option<Vec<bool>> = are_published.collect();
    let published = are_published.map(|all| published(&all)).unwrap_or_default();
    let tags = tags.into_iter().collect::<Vec<_>>().join(", ");
    let suffix = if plan.attempt > 1 {
        "these tags have a suffix, because the tags without it are already on other images\n"
    } else {
        ""
    };
    format!("tags: {tags}{published}\n{suffix}")
}

/// Returns whether images have their tags, in brackets; nothing if there are none.
fn published(images: &[bool]) -> String {
    let all = images.len();
    match images.iter().filter(|is_published| **is_published).count() {
        _ if all == 0 => String::new(),
        0 => " (not published)".to_owned(),
        n if n == all => " (published)".to_owned(),
        n => format!(" ({n} of {all} images published)"),
    }
}

/// Returns the plan for people.
pub(super) fn text(context: &Context, plan: &Plan, facts: &Facts) -> String {
    let mut text = table::plain(&HEADERS, &rows(&plan.images));
    text.push_str(&format!("\n{}\n", count(plan)));
    if let Some(commit) = facts.released_commit.as_ref().filter(|_| plan.builds()) {
        let short = commit.short();
        text.push_str(&format!("compared with the release of commit {short}\n"));
    }
    text.push_str(&tag_lines(&context.stack, plan, facts));
    for silence in uncovered(context) {
        text.push_str(&format!(
            "gate `{}` of channel `{}` does not cover {}\n",
            silence.gate,
            silence.channel,
            list::of(&silence.images)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Reference;
    use crate::plan::known_proofs;

    #[test]
    fn actions_are_counted() {
        let build = Action::Build {
            reasons: Vec::new(),
        };
        let reuse = Action::Reuse {
            digest: Digest::of(b"a"),
        };
        let skip = Action::Hold {
            because: HoldReason::NotSelected,
        };
        let images = vec![Reference::parse("debian:12").expect("a reference")];
        let unknown = Action::Hold {
            because: HoldReason::UnknownImages(images),
        };
        let counted = |actions: &[&Action]| counts(actions.iter().copied(), Runs::default());
        assert_eq!(counted(&[&reuse]), "nothing to build, 1 up to date");
        assert_eq!(counted(&[&build]), "1 image to build, 0 up to date");
        assert_eq!(
            counted(&[&build, &build, &reuse, &skip]),
            "2 images to build, 1 up to date, 1 skipped"
        );
        // Whether it must be built is unknown, so that it is not "nothing".
        assert_eq!(
            counted(&[&unknown, &skip]),
            "0 images to build, 0 up to date, 1 unknown, 1 skipped"
        );
        assert_eq!(action_shown(&unknown), "unknown");
    }

    #[test]
    fn what_runs_is_counted_with_the_images() {
        let reuse = Action::Reuse {
            digest: Digest::of(b"a"),
        };
        let counted = |suites, checks, info| {
            let runs = Runs {
                suites,
                checks,
                info,
            };
            counts([&reuse].into_iter(), runs)
        };
        for (text, expected) in [
            (counted(1, false, false), "1 suite to run"),
            (counted(0, true, false), "checks to run"),
            (counted(2, true, false), "2 suites and checks to run"),
            (counted(2, true, true), "2 suites, checks and info to run"),
        ] {
            assert_eq!(text, format!("nothing to build, {expected}, 1 up to date"));
        }
    }

    #[test]
    fn tags_are_published_if_all_images_have_them() {
        assert_eq!(published(&[]), "");
        assert_eq!(published(&[false, false]), " (not published)");
        assert_eq!(published(&[true, false]), " (1 of 2 images published)");
        assert_eq!(published(&[true, true]), " (published)");
    }

    #[test]
    fn an_image_with_nothing_to_run_has_an_empty_cell() {
        assert_eq!(proofs(&Proofs::default()), "");
    }

    #[test]
    fn a_row_has_the_reasons_of_what_runs_on_an_image_that_is_up_to_date() {
        let digest = Digest::of(b"a");
        let none = format!("up to date, {}", digest.short());
        assert_eq!(reused(&digest, &Proofs::default()), none);
        let suites = r#"{ "t": { "run": "x" } }"#;
        let spec = format!("stack: s\nimages: {{ i: {{ base: debian:12, tests: {suites} }} }}");
        let stack = crate::testing::stack(&spec);
        let proofs = known_proofs(&stack, &stack.images()[0], &digest, None);
        let expected = format!("{none}; suite t never ran on this digest");
        assert_eq!(reused(&digest, &proofs), expected);
    }
}
