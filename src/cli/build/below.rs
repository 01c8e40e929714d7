//! What `build` prints below its table: where the images are, or why nothing was published.

use std::fmt::Display;

use crate::build::{Ending, Recorded, ReleaseState};
use crate::cli::plan as plan_command;
use crate::evidence::Evidence;
use crate::name::{Commit, Digest, Repository};
use crate::plan::Facts;
use crate::run::Outcome;

/// Returns the lines below the table. The last one is what to know of a build that failed.
pub(super) fn text(recorded: &Recorded<'_>) -> String {
    let mut text = untagged(recorded);
    if let ReleaseState::Recorded(digest) = recorded.release() {
        let commit = recorded.gathered().facts.commit();
        let channels = recorded.stack().channels().iter();
        let channels: Vec<&str> = channels.map(|channel| channel.name.as_str()).collect();
        text.push_str(&released(digest, commit, &channels));
    }
    if let Some((archive, images)) = recorded.exported() {
        text.push_str(&names(archive.display(), images));
    }
    if let Some((program, images)) = recorded.loaded() {
        text.push_str(&names(program, images));
    }
    text + &refused(recorded)
}

/// Returns the line of the release that a build recorded, and how a channel gets to it.
fn released(digest: &Digest, commit: Option<&Commit>, channels: &[&str]) -> String {
    let release = digest.short();
    let commit = commit.map(|commit| format!(" of commit {}", commit.short()));
    let commit = commit.unwrap_or_default();
    let next = match channels {
        [] => String::new(),
        [one] => format!("; `laminate promote --to {one}` moves the channel to it"),
        all => format!(
            "; `laminate promote --to CHANNEL` moves a channel to it: {}",
            all.join(", ")
        ),
    };
    format!("\nrelease {release}{commit} is recorded{next}\n")
}

/// Returns a line for each image that was loaded, or is in an archive.
fn names(place: impl Display, images: &[String]) -> String {
    let lines = images.iter().map(|name| format!("{place}: {name}\n"));
    format!("\n{}", lines.collect::<String>())
}

/// Returns a line for each image that the user named, with what it can be pulled by: images of a build without `--push` have
/// no tags of their own.
fn untagged(recorded: &Recorded<'_>) -> String {
    if recorded.is_published() {
        return String::new();
    }
    let lines = recorded.plan().images.iter().filter_map(|planned| {
        let reference = recorded.staged_reference(planned)?;
        Some(format!("{}: {reference}\n", planned.label))
    });
    let lines: String = lines.collect();
    if !lines.is_empty() {
        return format!("\n{lines}");
    }
    match recorded.index() {
        // The reason why there are no tags follows.
        _ if recorded.options().push => String::new(),
        Some((staging, _, _)) => {
            let images = &recorded.plan().images;
            let built: Vec<&str> = images
                .iter()
                .filter(|image| recorded.digest(image).is_some())
                .map(|image| image.label.as_str())
                .collect();
            let mut what_now = what_now(&recorded.gathered().facts);
            if let Some(last) = built.last() {
                what_now.push_str(&format!("\n`laminate run {last}` runs one"));
            }
            let counts = (built.len(), images.len());
            kept(recorded.ending(), counts, staging, &what_now)
        }
        None => String::new(),
    }
}

/// Returns what the images of a build without `--push` are good for, up to three lines. `built`: how many images are there,
/// and how many the stack has.
fn kept(ending: Ending, built: (usize, usize), staging: &Repository, what_now: &str) -> String {
    let (built, all) = built;
    let built = match built {
        1 => format!("1 of {all} images is built; the next build reuses it"),
        _ => format!("{built} of {all} images are built; the next build reuses them"),
    };
    match ending {
        Ending::BuildFailed => format!("\n{built}\n"),
        Ending::ProofFailed => format!("\n{built}, and runs again what failed\n"),
        // What could not be stored is an error of its own.
        Ending::Faulty => String::new(),
        Ending::Complete => {
            format!("\nthe images that were built are in {staging}, without tags\n{what_now}\n")
        }
    }
}

/// Returns how images get tags, or why they do not.
fn what_now(facts: &Facts) -> String {
    let all = "`laminate build --push` tags all images";
    match plan_command::refused_changes(facts) {
        Some(refused) => refused,
        None if facts.commit().is_none() => format!("after a commit, {all}"),
        None => all.to_owned(),
    }
}

/// Returns why nothing was published, exported or loaded, if that was asked for and something failed.
fn refused(recorded: &Recorded<'_>) -> String {
    let options = recorded.options();
    let asked = [
        (options.push, "published"),
        (options.archive.is_some(), "exported"),
        (options.load.is_some(), "loaded"),
    ];
    let asked = asked.iter().filter(|(is_asked, _)| *is_asked);
    let asked: Vec<&str> = asked.map(|(_, verb)| *verb).collect();
    let planned = &recorded.plan().images;
    let failed: Vec<String> = match recorded.ending() {
        _ if asked.is_empty() => return String::new(),
        Ending::Complete | Ending::Faulty => return String::new(),
        Ending::BuildFailed => (planned.iter())
            .filter(|image| matches!(recorded.outcome(image.id), Some(Outcome::Failed(_))))
            .map(|image| format!("image {}", image.label))
            .collect(),
        Ending::ProofFailed => (planned.iter())
            .filter_map(|image| Some((image.label.as_str(), recorded.evidence(image.id)?)))
            .flat_map(|(label, evidence)| failed_proofs(label, evidence))
            .collect(),
    };
    refusal(&asked, &failed)
}

/// Returns the suites and the checks of an image that failed.
fn failed_proofs(label: &str, evidence: &Evidence) -> Vec<String> {
    let suites = evidence.suites.iter().filter(|(_, suite)| !suite.passed);
    let suites = suites.map(|(name, _)| format!("suite `{name}` of {label}"));
    let checks = evidence.checks.iter().filter(|checks| !checks.passed);
    let checks = checks.map(|_| format!("policy check of {label}"));
    suites.chain(checks).collect()
}

/// Returns a line such as "nothing was published: suite `geo` of web failed".
fn refusal(asked: &[&str], failed: &[String]) -> String {
    let asked = asked.join(" or ");
    match failed {
        [] => format!("\nnothing was {asked}\n"),
        [one] => format!("\nnothing was {asked}: {one} failed\n"),
        [first, rest @ ..] => {
            format!(
                "\nnothing was {asked}: {first} failed, and {} more\n",
                rest.len()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_without_push_counts_the_images_that_the_next_one_reuses() {
        let staging = Repository::parse("ghcr.io/campus/hub").expect("valid");
        let line = |ending, built| kept(ending, built, &staging, "tag them");
        assert_eq!(
            line(Ending::BuildFailed, (2, 4)),
            "\n2 of 4 images are built; the next build reuses them\n"
        );
        assert_eq!(
            line(Ending::ProofFailed, (1, 1)),
            "\n1 of 1 images is built; the next build reuses it, and runs again what failed\n"
        );
        assert_eq!(
            line(Ending::Complete, (4, 4)),
            "\nthe images that were built are in ghcr.io/campus/hub, without tags\ntag them\n"
        );
        assert_eq!(line(Ending::Faulty, (4, 4)), "");
    }

    #[test]
    fn a_release_is_recorded_for_channels() {
        let digest = Digest::of(b"a release");
        let commit = Commit::parse(&"0123456789".repeat(4)).expect("a commit");
        let start = format!(
            "\nrelease {} of commit 012345678901 is recorded",
            digest.short()
        );
        for (channels, end) in [
            (&[][..], ""),
            (
                &["stable"],
                "; `laminate promote --to stable` moves the channel to it",
            ),
            (
                &["next", "stable"],
                "; `laminate promote --to CHANNEL` moves a channel to it: next, stable",
            ),
        ] {
            let line = released(&digest, Some(&commit), channels);
            assert_eq!(line, format!("{start}{end}\n"));
        }
    }

    #[test]
    fn images_without_a_commit_can_get_no_tags() {
        let facts = Facts::default();
        assert_eq!(
            what_now(&facts),
            "after a commit, `laminate build --push` tags all images"
        );
    }

    #[test]
    fn a_failed_build_ends_with_what_was_not_done_and_why() {
        let geo = "suite `geo` of web".to_owned();
        assert_eq!(
            refusal(&["published"], std::slice::from_ref(&geo)),
            "\nnothing was published: suite `geo` of web failed\n"
        );
        assert_eq!(
            refusal(&["exported", "loaded"], &[geo.clone(), geo]),
            "\nnothing was exported or loaded: suite `geo` of web failed, and 1 more\n"
        );
    }
}
