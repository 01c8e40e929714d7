//! Which git refs may write what: `policy.refs`, and never a pull request.

use super::context::Context;
use super::{Exit, Failure};
use crate::gather;

/// What a command is about to write, beside staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Fixed tags.
    Publish,
    /// Channels.
    Promote,
    /// Pages.
    Docs,
}

impl Writes {
    fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Promote => "promote",
            Self::Docs => "docs",
        }
    }
}

/// What is known of where a command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    /// A pull or merge request.
    request: bool,
    /// `refs/heads/main`, `refs/tags/v1`.
    git_ref: Option<String>,
}

impl Place {
    /// Reads the variables of GitHub's and GitLab's runners.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let event = variable("GITHUB_EVENT_NAME").unwrap_or_default();
        let git_ref = variable("GITHUB_REF")
            .or_else(|| Some(format!("refs/tags/{}", variable("CI_COMMIT_TAG")?)))
            .or_else(|| Some(format!("refs/heads/{}", variable("CI_COMMIT_BRANCH")?)));
        let pull = git_ref
            .as_deref()
            .is_some_and(|r| r.starts_with("refs/pull/"));
        let request = matches!(event.as_str(), "pull_request" | "pull_request_target")
            || pull
            || variable("CI_MERGE_REQUEST_IID").is_some();
        Self { request, git_ref }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The ref a command runs for, if one is known.
pub async fn current(context: &Context) -> Option<String> {
    match Place::of(variable).git_ref {
        Some(git_ref) => Some(git_ref),
        None => gather::branch(&context.folder).await,
    }
}

/// Refuses what this ref may not write.
pub async fn may(context: &Context, writes: Writes) -> Result<(), Failure> {
    let place = Place::of(variable);
    let refs = &context.stack.refs;
    let patterns = match writes {
        Writes::Publish => &refs.publish,
        Writes::Promote => &refs.promote,
        Writes::Docs => &refs.docs,
    };
    let word = writes.word();
    if place.request {
        return Err(Failure::new(
            Exit::Publish,
            format!("a pull request writes nothing but staging, so it may not {word}"),
        )
        .help("`laminate build` without --push builds and proves everything"));
    }
    let Some(patterns) = patterns else {
        return Ok(());
    };
    let git_ref = match place.git_ref {
        Some(git_ref) => Some(git_ref),
        None => gather::branch(&context.folder).await,
    };
    match &git_ref {
        Some(git_ref) if patterns.iter().any(|pattern| matches(pattern, git_ref)) => Ok(()),
        other => Err(Failure::new(
            Exit::Publish,
            match other {
                Some(git_ref) => format!("`{git_ref}` may not {word}"),
                None => format!("no branch is checked out, and only some refs may {word}"),
            },
        )
        .help(match patterns.is_empty() {
            true => format!("`policy.refs.{word}` lets nobody"),
            false => format!("`policy.refs.{word}` lets: {}", patterns.join(", ")),
        })),
    }
}

/// A pattern is of a whole ref, or of a branch's or tag's name.
fn matches(pattern: &str, git_ref: &str) -> bool {
    let glob = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build();
    let Ok(glob) = glob.map(|glob| glob.compile_matcher()) else {
        return false;
    };
    let short = git_ref
        .strip_prefix("refs/heads/")
        .or_else(|| git_ref.strip_prefix("refs/tags/"));
    glob.is_match(git_ref) || short.is_some_and(|short| glob.is_match(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_a_branch_a_tag_or_a_whole_ref() {
        for (pattern, git_ref, fits) in [
            ("main", "refs/heads/main", true),
            ("main", "refs/heads/mainline", false),
            ("release/*", "refs/heads/release/1", true),
            ("release/*", "refs/heads/release/1/x", false),
            ("release/**", "refs/heads/release/1/x", true),
            ("refs/tags/v*", "refs/tags/v1", true),
            ("refs/tags/v*", "refs/heads/v1", false),
            ("v*", "refs/tags/v1", true),
        ] {
            assert_eq!(matches(pattern, git_ref), fits, "{pattern} {git_ref}");
        }
    }

    #[test]
    fn runners_say_where_they_are() {
        let place = |vars: &[(&str, &str)]| {
            let vars: Vec<(String, String)> = vars
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect();
            Place::of(move |name| {
                let found = vars.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            })
        };
        let pull = place(&[
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("GITHUB_REF", "refs/pull/3/merge"),
        ]);
        assert!(pull.request);
        assert!(
            place(&[
                ("GITHUB_EVENT_NAME", "pull_request_target"),
                ("GITHUB_REF", "refs/heads/main")
            ])
            .request
        );
        let main = place(&[
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_REF", "refs/heads/main"),
        ]);
        assert_eq!(
            (main.request, main.git_ref.as_deref()),
            (false, Some("refs/heads/main"))
        );
        assert!(place(&[("CI_MERGE_REQUEST_IID", "7")]).request);
        let lab = place(&[("CI_COMMIT_BRANCH", "main")]);
        assert_eq!(lab.git_ref.as_deref(), Some("refs/heads/main"));
        assert_eq!(place(&[]), Place::default());
    }
}
