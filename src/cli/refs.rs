//! Which git refs may write what: `policy.refs`, and never a pull request.
//!
//! This guards against accidents: who can start laminate with the registry's token can also say that he
//! is on another branch.

use super::context::Context;
use super::{Exit, Failure};
use crate::git;

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
    git_ref: Ref,
}

/// The ref a command runs for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Ref {
    /// `refs/heads/main`, `refs/tags/v1`.
    Known(String),
    /// The runner says nothing of it: git is asked.
    #[default]
    Unsaid,
    /// The runner's is true only if this commit is checked out: the event was about another, of which
    /// the ref says nothing.
    If { commit: String, git_ref: String },
}

/// Set for a pull or merge request, and not to `false`: GitLab's runners for its own and for those of
/// GitHub or Bitbucket it mirrors, Jenkins, Azure Pipelines, Buildkite, CircleCI, Bitbucket.
const REQUESTS: [&str; 7] = [
    "CI_MERGE_REQUEST_IID",
    "CI_EXTERNAL_PULL_REQUEST_IID",
    "CHANGE_ID",
    "SYSTEM_PULLREQUEST_PULLREQUESTID",
    "BUILDKITE_PULL_REQUEST",
    "CIRCLE_PULL_REQUEST",
    "BITBUCKET_PR_ID",
];

impl Place {
    /// Reads the variables of runners.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let event = variable("GITHUB_EVENT_NAME").unwrap_or_default();
        let git_ref = variable("GITHUB_REF")
            .or_else(|| Some(format!("refs/tags/{}", variable("CI_COMMIT_TAG")?)))
            .or_else(|| Some(format!("refs/heads/{}", variable("CI_COMMIT_BRANCH")?)));
        let pull = git_ref
            .as_deref()
            .is_some_and(|r| r.starts_with("refs/pull/"));
        let set = |name: &&str| variable(name).is_some_and(|value| value != "false");
        let request = event.starts_with("pull_request") || pull || REQUESTS.iter().any(set);
        // These run for the default branch, and are often made to check out a request's head.
        let about_another = matches!(event.as_str(), "workflow_run" | "issue_comment");
        let git_ref = match (git_ref, variable("GITHUB_SHA")) {
            (Some(git_ref), Some(commit)) if about_another => Ref::If { commit, git_ref },
            (Some(git_ref), _) => Ref::Known(git_ref),
            (None, _) => Ref::Unsaid,
        };
        Self { request, git_ref }
    }

    /// With what is checked out: whether this is a request, and the ref if there is one.
    fn with(self, head: Option<&str>, branch: Option<String>) -> (bool, Option<String>) {
        match self.git_ref {
            Ref::Known(git_ref) => (self.request, Some(git_ref)),
            Ref::Unsaid => (self.request, branch),
            Ref::If { commit, git_ref } if head == Some(commit.as_str()) => {
                (self.request, Some(git_ref))
            }
            Ref::If { .. } => (true, None),
        }
    }
}

/// Whether a command runs for a request, and the ref it runs for.
async fn here(context: &Context) -> (bool, Option<String>) {
    let place = Place::of(variable);
    let folder = &context.folder;
    let (head, branch) = match &place.git_ref {
        Ref::Known(_) => (None, None),
        Ref::Unsaid => (None, git::branch(folder).await),
        Ref::If { .. } => {
            let commit = git::commit(folder, &["."]).await;
            (commit.ok().flatten().map(|commit| commit.hash), None)
        }
    };
    place.with(head.as_deref(), branch)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The ref a command runs for, if one is known.
pub async fn current(context: &Context) -> Option<String> {
    here(context).await.1
}

/// Refuses to let a pull request prove its own gates.
pub async fn may_prove(context: &Context) -> Result<(), Failure> {
    match here(context).await {
        (false, _) => Ok(()),
        (true, _) => Err(Failure::new(
            Exit::Publish,
            "a pull request may not add evidence: it would prove its own gate",
        )),
    }
}

/// Refuses what this ref may not write.
pub async fn may(context: &Context, writes: Writes) -> Result<(), Failure> {
    let (request, git_ref) = here(context).await;
    let refs = &context.stack.refs;
    let patterns = match writes {
        Writes::Publish => &refs.publish,
        Writes::Promote => &refs.promote,
        Writes::Docs => &refs.docs,
    };
    let word = writes.word();
    if request {
        return Err(Failure::new(
            Exit::Publish,
            format!("a pull request writes nothing but staging, so it may not {word}"),
        )
        .help("`laminate build` without --push builds and proves everything"));
    }
    let Some(patterns) = patterns else {
        return Ok(());
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

/// A pattern is of a branch's name, or of a whole ref if it begins with `refs/`.
fn matches(pattern: &str, git_ref: &str) -> bool {
    let glob = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build();
    let Ok(glob) = glob.map(|glob| glob.compile_matcher()) else {
        return false;
    };
    match pattern.starts_with("refs/") {
        true => glob.is_match(git_ref),
        false => (git_ref.strip_prefix("refs/heads/")).is_some_and(|name| glob.is_match(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_a_branch_or_a_whole_ref() {
        for (pattern, git_ref, fits) in [
            ("main", "refs/heads/main", true),
            ("main", "refs/heads/mainline", false),
            ("release/*", "refs/heads/release/1", true),
            ("release/*", "refs/heads/release/1/x", false),
            ("release/**", "refs/heads/release/1/x", true),
            ("refs/tags/v*", "refs/tags/v1", true),
            ("refs/tags/v*", "refs/heads/v1", false),
            ("v*", "refs/heads/v1", true),
            // Who may push a tag of that name is somebody else.
            ("v*", "refs/tags/v1", false),
            ("main", "refs/tags/main", false),
            ("*", "refs/tags/v1", false),
            ("**", "refs/tags/v1", false),
            ("**", "refs/pull/1/merge", false),
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
        for request in [
            &[("GITHUB_REF", "refs/pull/3/merge")] as &[(&str, &str)],
            &[("GITHUB_EVENT_NAME", "pull_request")],
            &[
                ("GITHUB_EVENT_NAME", "pull_request_target"),
                ("GITHUB_REF", "refs/heads/main"),
            ],
            &[
                ("GITHUB_EVENT_NAME", "pull_request_review"),
                ("GITHUB_REF", "refs/heads/main"),
            ],
            &[("CI_MERGE_REQUEST_IID", "7")],
            &[("CI_EXTERNAL_PULL_REQUEST_IID", "7")],
            &[("CHANGE_ID", "7")],
            &[("SYSTEM_PULLREQUEST_PULLREQUESTID", "7")],
            &[("BUILDKITE_PULL_REQUEST", "7")],
            &[("CIRCLE_PULL_REQUEST", "https://example.org/7")],
            &[("BITBUCKET_PR_ID", "7")],
        ] {
            assert!(place(request).request, "{request:?}");
        }
        let main = Ref::Known("refs/heads/main".to_owned());
        for push in [
            &[
                ("GITHUB_EVENT_NAME", "push"),
                ("GITHUB_REF", "refs/heads/main"),
                ("GITHUB_SHA", "1"),
            ] as &[(&str, &str)],
            &[
                ("CI_COMMIT_BRANCH", "main"),
                ("BUILDKITE_PULL_REQUEST", "false"),
            ],
        ] {
            let push = place(push);
            assert_eq!((push.request, push.git_ref), (false, main.clone()));
        }
        assert_eq!(place(&[]), Place::default());
        let branch = Some("refs/heads/x".to_owned());
        assert_eq!(
            place(&[]).with(None, branch.clone()),
            (false, branch.clone())
        );
        // The event's commit is main's; it says nothing of another that is checked out.
        for event in ["workflow_run", "issue_comment"] {
            let place = place(&[
                ("GITHUB_EVENT_NAME", event),
                ("GITHUB_REF", "refs/heads/main"),
                ("GITHUB_SHA", "1"),
            ]);
            let known = Some("refs/heads/main".to_owned());
            assert_eq!(
                place.clone().with(Some("1"), None),
                (false, known),
                "{event}"
            );
            assert_eq!(
                place.clone().with(Some("2"), branch.clone()),
                (true, None),
                "{event}"
            );
            assert_eq!(place.with(None, None), (true, None), "{event}");
        }
    }
}
