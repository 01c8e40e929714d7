//! What `build` prints below its table: where the images are, or why nothing was published.

use std::fmt::Display;

use crate::build::{Ending, Recorded};
use crate::cli::plan as plan_command;
use crate::evidence::Evidence;
use crate::run::Outcome;

/// Returns the lines below the table. The last one is what to know of a build that failed.
pub(super) fn text(recorded: &Recorded<'_>) -> String {
    let mut text = untagged(recorded);
    if let Some((archive, images)) = recorded.exported() {
        text.push_str(&names(archive.display(), images));
    }
    if let Some((program, images)) = recorded.loaded() {
        text.push_str(&names(program, images));
    }
    text + &refused(recorded)
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
    match recorded.index() {
        _ if !lines.is_empty() => format!("\n{lines}"),
        // The reason why there are no tags follows.
        _ if recorded.options().push => String::new(),
        Some((staging, _, _)) => {
            let mut text = format!(
                "\nthe images that were built are in {staging}, without tags; `laminate build --push` tags all images\n"
            );
            let refused = plan_command::refused_changes(recorded.gathered());
            text.extend(refused.map(|refused| format!("{refused}\n")));
            text
        }
        None => String::new(),
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
