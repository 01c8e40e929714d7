//! What git prints of remote repositories.

/// The branches of a remote repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteBranches {
    /// The branch a clone checks out; `None` in a repository without commits.
    pub default: Option<String>,
    /// All branches.
    pub names: Vec<String>,
}

/// Reads `git ls-remote --symref URL HEAD refs/heads/*`: lines of a value, a tab and a name.
pub fn parse_remote_branches(output: &str) -> RemoteBranches {
    let mut found = RemoteBranches::default();
    for (value, name) in output.lines().filter_map(|line| line.split_once('\t')) {
        if let Some(branch) = name.strip_prefix("refs/heads/") {
            found.names.push(branch.to_owned());
        } else if name == "HEAD"
            && let Some(branch) = value.strip_prefix("ref: refs/heads/")
        {
            found.default.get_or_insert_with(|| branch.to_owned());
        }
    }
    found
}

/// Reads `git push --porcelain`: why a ref was rejected; `None` if none was. `!` marks a rejected
/// ref, and the reason comes last (git-push(1), "OUTPUT").
pub fn parse_rejection(output: &str) -> Option<&str> {
    let line = output.lines().find_map(|line| line.strip_prefix("!\t"))?;
    Some(line.rsplit('\t').next().unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_branch_is_the_one_head_points_to() {
        let output =
            "ref: refs/heads/main\tHEAD\nabc\tHEAD\nabc\trefs/heads/main\nabd\trefs/heads/a/b\n";
        let expected = RemoteBranches {
            default: Some("main".to_owned()),
            names: vec!["main".to_owned(), "a/b".to_owned()],
        };
        assert_eq!(parse_remote_branches(output), expected);
    }

    #[test]
    fn a_repository_without_commits_has_no_branches() {
        assert_eq!(parse_remote_branches(""), RemoteBranches::default());
    }

    #[test]
    fn a_detached_head_is_not_a_branch() {
        let found = parse_remote_branches("abc\tHEAD\nabc\trefs/heads/main\n");
        assert_eq!((found.default, found.names.len()), (None, 1));
    }

    #[test]
    fn a_rejected_push_has_its_reason() {
        let output = "To /x\n!\tHEAD:refs/heads/main\t[rejected] (fetch first)\nDone\n";
        assert_eq!(parse_rejection(output), Some("[rejected] (fetch first)"));
        let accepted = "To /x\n \tHEAD:refs/heads/main\tabc..def\nDone\n";
        assert_eq!(parse_rejection(accepted), None);
        assert_eq!(parse_rejection(""), None);
    }
}
