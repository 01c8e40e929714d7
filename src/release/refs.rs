//! Which git refs may write what: `policy.refs`, and never a pull request.
//!
//! A [`Runner`] is read from the variables of CI, becomes a [`Caller`] with what git has checked out, and is
//! checked by `build`, by promotions and by `docs`. This prevents accidents, not attacks: anyone with the
//! registry token can also claim to be on another branch.

use crate::stack::{Pattern, Refs};

/// A kind of write outside staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Immutable tags.
    Publish,
    /// Tags of channels.
    Promote,
    /// Pages of a wiki.
    Docs,
}

impl Writes {
    /// Returns the key of `policy.refs` that allows it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Promote => "promote",
            Self::Docs => "docs",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Promote => "promote",
            Self::Docs => "publish docs",
        }
    }

    fn patterns(self, refs: &Refs) -> Option<&[String]> {
        match self {
            Self::Publish => refs.publish.as_deref(),
            Self::Promote => refs.promote.as_deref(),
            Self::Docs => refs.docs.as_deref(),
        }
    }
}

/// Why a write is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The command runs for a pull or merge request.
    #[error("a pull request may not {}: it may write to staging only", .0.verb())]
    Request(Writes),
    /// A pull request adds evidence.
    #[error("a pull request may not add evidence: it would prove its own gate")]
    RequestEvidence,
    /// The ref matches no pattern of `policy.refs`.
    #[error("`{git_ref}` may not {}", .writes.verb())]
    Ref {
        /// What was to be written.
        writes: Writes,
        /// The ref the command runs for.
        git_ref: String,
        /// Patterns of refs that may.
        allowed: Vec<String>,
    },
    /// Only some refs may, and no branch is checked out.
    #[error("no branch is checked out, and only some refs may {}", .writes.verb())]
    NoRef {
        /// What was to be written.
        writes: Writes,
        /// Patterns of refs that may.
        allowed: Vec<String>,
    },
}

/// What CI's variables report about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runner {
    is_request: bool,
    git_ref: RunnerRef,
}

/// The git ref a runner reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum RunnerRef {
    /// `refs/heads/main`, `refs/tags/v1`.
    Known(String),
    /// The runner reports none: git is asked.
    #[default]
    Unknown,
    /// Valid only if this commit is checked out: the event was about another one, whose ref is not
    /// reported.
    OfCommit { commit: String, git_ref: String },
}

/// What git is asked to complete a [`Runner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The branch that is checked out.
    Branch,
    /// The commit that is checked out.
    Head,
}

/// Set for a pull or merge request, and not to `false`: GitLab's runners for its own and for those of
/// GitHub or Bitbucket it mirrors, Woodpecker, Drone, Jenkins, Azure Pipelines, Buildkite, CircleCI, Bitbucket, Travis CI,
/// AppVeyor, Cirrus CI, Prow.
const REQUESTS: [&str; 13] = [
    "CI_MERGE_REQUEST_IID",
    "CI_EXTERNAL_PULL_REQUEST_IID",
    "CI_COMMIT_PULL_REQUEST",
    "DRONE_PULL_REQUEST",
    "CHANGE_ID",
    "SYSTEM_PULLREQUEST_PULLREQUESTID",
    "BUILDKITE_PULL_REQUEST",
    "CIRCLE_PULL_REQUEST",
    "BITBUCKET_PR_ID",
    "TRAVIS_PULL_REQUEST",
    "APPVEYOR_PULL_REQUEST_NUMBER",
    "CIRRUS_PR",
    "PULL_NUMBER",
];

/// The variables of runners with a tag and with a branch. Most check out a commit, so git knows no branch. For a request, the
/// branch of some is the one that it is to be merged into.
const NAMES: [(&str, &str); 6] = [
    // GitLab, Woodpecker.
    ("CI_COMMIT_TAG", "CI_COMMIT_BRANCH"),
    ("DRONE_TAG", "DRONE_BRANCH"),
    ("BUILDKITE_TAG", "BUILDKITE_BRANCH"),
    ("CIRCLE_TAG", "CIRCLE_BRANCH"),
    ("BITBUCKET_TAG", "BITBUCKET_BRANCH"),
    ("TRAVIS_TAG", "TRAVIS_BRANCH"),
];

impl Runner {
    /// Reads the variables of CI; `variable` returns the value of one that is set and not empty.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let event = variable("GITHUB_EVENT_NAME").unwrap_or_default();
        let named = |(tag, branch): &(&str, &str)| {
            let tag = variable(tag).map(|tag| format!("refs/tags/{tag}"));
            tag.or_else(|| Some(format!("refs/heads/{}", variable(branch)?)))
        };
        let git_ref = variable("GITHUB_REF")
            // Azure Pipelines.
            .or_else(|| variable("BUILD_SOURCEBRANCH"))
            .or_else(|| NAMES.iter().find_map(named))
            // The names of Jenkins are those of others as well.
            .or_else(|| {
                variable("JENKINS_URL")?;
                named(&("TAG_NAME", "BRANCH_NAME"))
            });
        let is_pull = git_ref
            .as_deref()
            .is_some_and(|r| r.starts_with("refs/pull/"));
        let is_set = |name: &&str| variable(name).is_some_and(|value| value != "false");
        let pipeline = variable("CI_PIPELINE_EVENT").unwrap_or_default();
        let is_request = event.starts_with("pull_request")
            || pipeline.starts_with("pull_request")
            || is_pull
            || REQUESTS.iter().any(is_set);
        // These run for the default branch, and are often made to check out a request's head.
        let is_about_another = matches!(event.as_str(), "workflow_run" | "issue_comment");
        let git_ref = match (git_ref, variable("GITHUB_SHA")) {
            (Some(git_ref), Some(commit)) if is_about_another => {
                RunnerRef::OfCommit { commit, git_ref }
            }
            (Some(git_ref), _) => RunnerRef::Known(git_ref),
            (None, _) => RunnerRef::Unknown,
        };
        Self {
            is_request,
            git_ref,
        }
    }

    /// Returns what git must be asked; `None` if the variables are enough.
    pub fn question(&self) -> Option<Question> {
        match self.git_ref {
            RunnerRef::Known(_) => None,
            RunnerRef::Unknown => Some(Question::Branch),
            RunnerRef::OfCommit { .. } => Some(Question::Head),
        }
    }

    /// Completes the facts with git's answer to [`Runner::question`].
    pub fn caller(self, answer: Option<String>) -> Caller {
        let (is_request, git_ref) = match self.git_ref {
            RunnerRef::Known(git_ref) => (self.is_request, Some(git_ref)),
            RunnerRef::Unknown => (self.is_request, answer),
            RunnerRef::OfCommit { commit, git_ref } if answer.as_ref() == Some(&commit) => {
                (self.is_request, Some(git_ref))
            }
            RunnerRef::OfCommit { .. } => (true, None),
        };
        Caller {
            is_request,
            git_ref,
        }
    }
}

/// For what a command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// For a pull or merge request.
    pub is_request: bool,
    /// For this ref, `refs/heads/main`, if one is known.
    pub git_ref: Option<String>,
}

impl Caller {
    /// Refuses what the ref may not write.
    pub fn check(&self, refs: &Refs, writes: Writes) -> Result<(), Denied> {
        if self.is_request {
            return Err(Denied::Request(writes));
        }
        let Some(patterns) = writes.patterns(refs) else {
            return Ok(());
        };
        let allowed = patterns.to_vec();
        match &self.git_ref {
            Some(git_ref) if patterns.iter().any(|pattern| matches(pattern, git_ref)) => Ok(()),
            Some(git_ref) => Err(Denied::Ref {
                writes,
                git_ref: git_ref.clone(),
                allowed,
            }),
            None => Err(Denied::NoRef { writes, allowed }),
        }
    }

    /// Refuses evidence from a pull request.
    pub fn check_evidence(&self) -> Result<(), Denied> {
        if self.is_request {
            return Err(Denied::RequestEvidence);
        }
        Ok(())
    }
}

/// Whether a pattern matches a ref: the name of a branch, or the whole ref if the pattern begins with
/// `refs/`.
fn matches(pattern: &str, git_ref: &str) -> bool {
    Pattern::parse(pattern).is_ok_and(|glob| is_ref_of(pattern, &glob, git_ref))
}

fn is_ref_of(pattern: &str, glob: &Pattern, git_ref: &str) -> bool {
    if pattern.starts_with("refs/") {
        return glob.is_match(git_ref);
    }
    git_ref
        .strip_prefix("refs/heads/")
        .is_some_and(|name| glob.is_match(name))
}

/// Inputs of fuzzers; see `fuzzing`.
#[cfg(any(test, fuzzing))]
pub mod fuzz {
    /// Patterns of git refs.
    pub fn patterns<'a>(pattern: &str, refs: impl Iterator<Item = &'a str>) {
        // Once, as a command does: to compile a long pattern takes a millisecond.
        if let Ok(glob) = super::Pattern::parse(pattern) {
            for name in refs.take(100) {
                let _matches = super::is_ref_of(pattern, &glob, name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(variables: &[(&str, &str)]) -> Runner {
        Runner::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn caller(git_ref: Option<&str>) -> Caller {
        Caller {
            is_request: false,
            git_ref: git_ref.map(str::to_owned),
        }
    }

    #[test]
    fn a_pattern_matches_a_branch_or_a_whole_ref() {
        for (pattern, git_ref, expected) in [
            ("main", "refs/heads/main", true),
            ("main", "refs/heads/mainline", false),
            ("release/*", "refs/heads/release/1", true),
            ("release/*", "refs/heads/release/1/x", false),
            ("release/**", "refs/heads/release/1/x", true),
            ("refs/tags/v*", "refs/tags/v1", true),
            ("refs/tags/v*", "refs/heads/v1", false),
            ("v*", "refs/heads/v1", true),
            // Other people may be allowed to push a tag of that name.
            ("v*", "refs/tags/v1", false),
            ("main", "refs/tags/main", false),
            ("*", "refs/tags/v1", false),
            ("**", "refs/tags/v1", false),
            ("**", "refs/pull/1/merge", false),
        ] {
            assert_eq!(matches(pattern, git_ref), expected, "{pattern} {git_ref}");
        }
    }

    #[test]
    fn requests_are_recognized_in_every_ci() {
        for variables in [
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
            // The branch is the one to merge into.
            &[
                ("CI_COMMIT_PULL_REQUEST", "7"),
                ("CI_COMMIT_BRANCH", "main"),
            ],
            &[
                ("CI_PIPELINE_EVENT", "pull_request_closed"),
                ("CI_COMMIT_BRANCH", "main"),
            ],
            &[("DRONE_PULL_REQUEST", "7"), ("DRONE_BRANCH", "main")],
            &[("TRAVIS_PULL_REQUEST", "7"), ("TRAVIS_BRANCH", "main")],
            &[("APPVEYOR_PULL_REQUEST_NUMBER", "7")],
            &[("CIRRUS_PR", "7")],
            &[("PULL_NUMBER", "7")],
            &[("BUILD_SOURCEBRANCH", "refs/pull/7/merge")],
        ] {
            let caller = runner(variables).caller(None);
            assert!(caller.is_request, "{variables:?}");
        }
    }

    #[test]
    fn a_push_has_the_ref_the_runner_reports() {
        for variables in [
            &[
                ("GITHUB_EVENT_NAME", "push"),
                ("GITHUB_REF", "refs/heads/main"),
                ("GITHUB_SHA", "1"),
            ] as &[(&str, &str)],
            &[
                ("CI_COMMIT_BRANCH", "main"),
                ("BUILDKITE_PULL_REQUEST", "false"),
            ],
            &[("DRONE_BRANCH", "main")],
            &[("BUILDKITE_BRANCH", "main")],
            &[("CIRCLE_BRANCH", "main")],
            &[("BITBUCKET_BRANCH", "main")],
            &[("TRAVIS_BRANCH", "main"), ("TRAVIS_PULL_REQUEST", "false")],
            &[("BUILD_SOURCEBRANCH", "refs/heads/main")],
            &[("JENKINS_URL", "https://ci"), ("BRANCH_NAME", "main")],
        ] {
            let runner = runner(variables);
            assert_eq!(runner.question(), None);
            assert_eq!(runner.caller(None), caller(Some("refs/heads/main")));
        }
    }

    #[test]
    fn without_a_runner_git_reports_the_branch() {
        let other = &[("BRANCH_NAME", "main")];
        assert_eq!(super::tests::runner(other), Runner::default());
        let runner = runner(&[]);
        assert_eq!(runner, Runner::default());
        assert_eq!(runner.question(), Some(Question::Branch));
        let branch = Some("refs/heads/x".to_owned());
        assert_eq!(runner.caller(branch), caller(Some("refs/heads/x")));
    }

    #[test]
    fn the_ref_of_an_event_about_another_commit_holds_for_that_commit_only() {
        for event in ["workflow_run", "issue_comment"] {
            let runner = runner(&[
                ("GITHUB_EVENT_NAME", event),
                ("GITHUB_REF", "refs/heads/main"),
                ("GITHUB_SHA", "1"),
            ]);
            assert_eq!(runner.question(), Some(Question::Head));
            let same = runner.clone().caller(Some("1".to_owned()));
            assert_eq!(same, caller(Some("refs/heads/main")), "{event}");
            for head in [Some("2".to_owned()), None] {
                let other = runner.clone().caller(head);
                assert_eq!((other.is_request, other.git_ref), (true, None), "{event}");
            }
        }
    }

    #[test]
    fn without_a_policy_every_ref_may_write_and_a_request_may_not() {
        let refs = Refs::default();
        assert_eq!(caller(None).check(&refs, Writes::Publish), Ok(()));
        let request = Caller {
            is_request: true,
            ..Caller::default()
        };
        let denied = request.check(&refs, Writes::Docs).expect_err("a request");
        assert_eq!(denied, Denied::Request(Writes::Docs));
        assert_eq!(
            denied.to_string(),
            "a pull request may not publish docs: it may write to staging only"
        );
        assert_eq!(request.check_evidence(), Err(Denied::RequestEvidence));
        assert_eq!(caller(None).check_evidence(), Ok(()));
    }

    #[test]
    fn each_write_has_patterns_of_its_own() {
        let refs = Refs {
            publish: Some(vec!["main".to_owned()]),
            promote: Some(Vec::new()),
            docs: None,
        };
        let main = caller(Some("refs/heads/main"));
        assert_eq!(main.check(&refs, Writes::Publish), Ok(()));
        assert_eq!(main.check(&refs, Writes::Docs), Ok(()));
        let denied = main.check(&refs, Writes::Promote).expect_err("no pattern");
        assert_eq!(denied.to_string(), "`refs/heads/main` may not promote");
        let denied = caller(None).check(&refs, Writes::Publish);
        let allowed = vec!["main".to_owned()];
        let writes = Writes::Publish;
        assert_eq!(denied, Err(Denied::NoRef { writes, allowed }));
    }
}
