//! The channels that `promote --auto` moves: in which order, and whether it is a channel's turn.

use std::cmp::Ordering;

use camino::Utf8Path;

use super::Error;
use super::promote::{Promoter, Refusal};
use crate::git;
use crate::name::Commit;
use crate::record::Release;
use crate::stack::{Channel, Stack};

/// What `promote --auto` does with a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is promoted to.
    Due,
    /// It is at a newer release, of this commit, and stays.
    AtNewer(Commit),
    /// The channel it takes releases from is not at the release.
    Waits {
        /// That channel.
        from: String,
    },
}

impl Promoter<'_> {
    /// Returns whether it is a channel's turn. `moved` are the channels that are at the release now, `folder`
    /// is in the stack's git repository.
    pub async fn turn(
        &self,
        channel: &Channel,
        moved: &[&str],
        folder: &Utf8Path,
    ) -> Result<Turn, Error> {
        let release = &self.order.release;
        if let Some(current) = self.current(&channel.name).await?
            && current != *release
            // A release that was cleaned away does not count as newer.
            && let Some(current) = self.staging.release(&current).await?
            && is_newer(folder, &current.release, self.release).await?
            && let Some(commit) = current.release.commit
        {
            return Ok(Turn::AtNewer(commit));
        }
        if let Some(from) = &channel.from
            && !moved.contains(&from.as_str())
            && self.current(from).await?.as_ref() != Some(release)
        {
            return Ok(Turn::Waits { from: from.clone() });
        }
        Ok(Turn::Due)
    }
}

/// Checks that each gate in `waive` is one of a channel with `auto: true`, or in `require`.
pub fn check_waived(stack: &Stack, waive: &[String], require: &[String]) -> Result<(), Refusal> {
    let channels = auto_order(stack.channels());
    let is_known = |gate: &String| {
        let mut gates = channels.iter().flat_map(|channel| &channel.gates);
        gates.any(|known| known.name == *gate) || require.contains(gate)
    };
    match waive.iter().find(|gate| !is_known(gate)) {
        None => Ok(()),
        Some(gate) => Err(Refusal::UnknownAutoGate { gate: gate.clone() }),
    }
}

/// Returns the channels with `auto: true`, each after the one it takes releases from.
pub fn auto_order(all: &[Channel]) -> Vec<&Channel> {
    let mut list: Vec<&Channel> = Vec::new();
    let mut open: Vec<&Channel> = all.iter().filter(|channel| channel.auto).collect();
    while !open.is_empty() {
        let waits = |channel: &Channel| {
            let mut others = open.iter();
            others.any(|other| channel.from.as_ref() == Some(&other.name))
        };
        let (later, now): (Vec<_>, Vec<_>) = open.iter().copied().partition(|c| waits(c));
        if now.is_empty() {
            // Channels that take from each other have no order.
            list.extend(&later);
            break;
        }
        list.extend(&now);
        open = later;
    }
    list
}

/// Returns whether a release is newer than another: its commit descends from the other's. If neither commit
/// descends from the other, the later publication is newer. An adopted release is older than all others. Fails if git
/// cannot tell.
async fn is_newer(folder: &Utf8Path, release: &Release, than: &Release) -> Result<bool, Error> {
    let (Some(commit), Some(than_commit)) = (&release.commit, &than.commit) else {
        return Ok(!release.is_adopted());
    };
    if commit != than_commit {
        let ordered = order(folder, than_commit, commit).await;
        let ordered = ordered.map_err(|reason| Error::Ancestry {
            commit: commit.clone(),
            other: than_commit.clone(),
            reason,
        })?;
        match ordered {
            Some(Ordering::Less) => return Ok(true),
            Some(_) => return Ok(false),
            None => {}
        }
    }
    Ok(release.time > than.time)
}

/// Returns which of two commits is an ancestor of the other; `None` if neither is. Fails with the reason if git
/// does not know.
async fn order(
    folder: &Utf8Path,
    first: &Commit,
    second: &Commit,
) -> Result<Option<Ordering>, String> {
    let reason = |error: git::Error| error.to_string();
    if git::is_ancestor(folder, first, second)
        .await
        .map_err(reason)?
    {
        return Ok(Some(Ordering::Less));
    }
    if git::is_ancestor(folder, second, first)
        .await
        .map_err(reason)?
    {
        return Ok(Some(Ordering::Greater));
    }
    if git::is_shallow(folder).await.map_err(reason)? {
        return Err("the clone is shallow".to_owned());
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newer_release_has_the_later_commit_or_else_the_later_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let git = |args: &[&str]| run_git(folder, args);
        git(&["init", "--quiet"]);
        let commit = |text: &str| {
            git(&["commit", "--quiet", "--allow-empty", "-m", text]);
            git(&["rev-parse", "HEAD"])
        };
        let (old, new) = (commit("old"), commit("new"));
        git(&["checkout", "--quiet", "--orphan", "another"]);
        let diverged = commit("another");
        let elsewhere = "0".repeat(40);
        for (one, than, newer) in [
            ((&new, 10), (&old, 20), Some(true)),
            ((&old, 20), (&new, 10), Some(false)),
            ((&new, 10), (&new, 20), Some(false)),
            ((&new, 20), (&new, 10), Some(true)),
            ((&diverged, 20), (&new, 10), Some(true)),
            ((&new, 10), (&diverged, 20), Some(false)),
            // Git does not have it.
            ((&elsewhere, 20), (&new, 10), None),
            ((&new, 10), (&elsewhere, 20), None),
        ] {
            let (one, than) = (release(one.0, one.1), release(than.0, than.1));
            let found = is_newer(folder, &one, &than).await;
            assert_eq!(found.ok(), newer, "{one:?} {than:?}");
        }
        let built = release(&old, 10);
        let adopted = Release {
            commit: None,
            ..release(&new, 20)
        };
        assert_eq!(is_newer(folder, &built, &adopted).await.ok(), Some(true));
        assert_eq!(is_newer(folder, &adopted, &built).await.ok(), Some(false));
    }

    fn release(commit: &str, day: u32) -> Release {
        Release {
            stack: "s".to_owned(),
            version: 1,
            commit: Commit::parse(commit).ok(),
            time: format!("2026-11-{day}T12:00:00Z").parse().expect("a time"),
            run: "r".to_owned(),
            git_ref: None,
            spec: None,
            manifests: None,
            images: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_shallow_clone_does_not_order_commits() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let git = |args: &[&str]| run_git(folder, args);
        git(&["init", "--quiet", "full"]);
        let commit = |text: &str| {
            git(&[
                "-C",
                "full",
                "commit",
                "--quiet",
                "--allow-empty",
                "-m",
                text,
            ]);
            git(&["-C", "full", "rev-parse", "HEAD"])
        };
        let (old, _, new) = (commit("old"), commit("between"), commit("new"));
        let url = format!("file://{folder}/full");
        git(&["clone", "--quiet", "--depth=1", &url, "shallow"]);
        // Both commits are there, and what connects them is not.
        git(&[
            "-C",
            "shallow",
            "fetch",
            "--quiet",
            "--depth=1",
            "origin",
            &old,
        ]);
        let (old, new) = (release(&old, 20), release(&new, 10));
        assert_eq!(
            is_newer(&folder.join("full"), &old, &new).await.ok(),
            Some(false)
        );
        let error = is_newer(&folder.join("shallow"), &old, &new).await;
        let error = error.expect_err("unknown").to_string();
        assert!(error.ends_with("the clone is shallow"), "{error}");
    }

    fn run_git(folder: &Utf8Path, args: &[&str]) -> String {
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
            .args(["-c", "uploadpack.allowAnySHA1InWant=true"])
            .args(args)
            .output()
            .expect("git");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn auto_channels(channels: &[(&str, bool, Option<&str>)]) -> Vec<String> {
        let channels = channels.iter().map(|(name, auto, from)| Channel {
            name: (*name).to_owned(),
            gates: Vec::new(),
            auto: *auto,
            from: from.map(str::to_owned),
            tags: Default::default(),
        });
        let channels: Vec<Channel> = channels.collect();
        let order = auto_order(&channels).into_iter();
        order.map(|channel| channel.name.clone()).collect()
    }

    #[test]
    fn a_channel_comes_after_the_one_it_takes_from() {
        let channels = [
            ("c", true, Some("b")),
            ("b", true, Some("a")),
            ("a", true, None),
        ];
        assert_eq!(auto_channels(&channels), ["a", "b", "c"]);
    }

    #[test]
    fn channels_without_auto_are_left_out_and_waited_for_by_none() {
        let channels = [
            ("b", true, Some("a")),
            ("a", false, None),
            ("c", true, None),
        ];
        assert_eq!(auto_channels(&channels), ["b", "c"]);
    }

    #[test]
    fn channels_that_take_from_each_other_are_all_there() {
        let channels = [
            ("a", true, Some("b")),
            ("b", true, Some("a")),
            ("c", true, None),
        ];
        assert_eq!(auto_channels(&channels), ["c", "a", "b"]);
    }
}
