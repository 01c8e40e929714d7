//! The stack, its registry and its staging repository: what commands about releases start from.

use camino::Utf8Path;

use super::args::Global;
use super::context::{self, Context};
use super::{Exit, Failure};
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::git;
use crate::name::Digest;
use crate::record::Release;
use crate::registry::Credentials;
use crate::release::{self, Channel, Target};
use crate::stack;
use crate::staging::Staging;

/// Where releases and ledgers are.
pub struct Place {
    pub context: Context,
    pub staging: Staging,
}

impl Place {
    pub fn open(global: &Global, events: &Events) -> Result<Self, Failure> {
        let context = context::load(global)?;
        let repository = context.stack.staging.clone().ok_or_else(|| {
            Failure::new(Exit::Environment, "there is no registry with releases")
                .help("set `registry:` in specs.yml, --registry or LAMINATE_REGISTRY")
        })?;
        events.send(Event::Phase {
            text: "asking the registry".to_owned(),
        });
        let registry = context::registry(Credentials::from_environment())?;
        Ok(Self {
            staging: Staging::new(&registry, &repository),
            context,
        })
    }

    pub fn channel<'a>(&'a self, name: &'a str) -> Channel<'a> {
        Channel {
            staging: &self.staging,
            name,
        }
    }

    pub fn declared(&self, name: &str) -> Result<&stack::Channel, Failure> {
        let all = &self.context.stack.channels;
        all.iter()
            .find(|channel| channel.name == name)
            .ok_or_else(|| {
                let names = || all.iter().map(|channel| channel.name.as_str());
                let failure = Failure::new(Exit::Usage, format!("there is no channel `{name}`"));
                match nearest(name, names()) {
                    Some(near) => failure.help(format!("did you mean `{near}`?")),
                    None if all.is_empty() => {
                        failure.help("specs.yml declares none, under `channels:`")
                    }
                    None => failure.help(format!(
                        "there are: {}",
                        names().collect::<Vec<_>>().join(", ")
                    )),
                }
            })
    }

    /// The tags a channel moves, each to its image of the release.
    pub fn targets(
        &self,
        channel: &stack::Channel,
        release: &Release,
    ) -> Result<Vec<Target>, Failure> {
        let stack = &self.context.stack;
        let mut list = Vec::new();
        for image in &release.images {
            let variant = stack
                .variants
                .iter()
                .position(|v| v.name.as_ref().map(ToString::to_string) == image.variant);
            let Some(tag) = variant.and_then(|index| channel.tags.get(&index)) else {
                continue;
            };
            list.push(Target {
                label: image.label(),
                repository: image.repository.clone(),
                tag: tag.clone(),
                digest: image.digest.clone(),
                depth: image.depth,
            });
        }
        match list.is_empty() {
            false => Ok(list),
            true => Err(Failure::new(
                Exit::Usage,
                format!("the release has no image for channel `{}`", channel.name),
            )),
        }
    }

    /// Whether a release is newer than another.
    pub async fn is_newer(&self, one: &Release, than: &Release) -> bool {
        is_newer(&self.context.folder, one, than).await
    }

    /// The release a user means; by default that of the commit.
    pub async fn release(&self, name: Option<&str>) -> Result<(Digest, Release), Failure> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                let files = [self.context.file.as_str(), "specs.lock", "images"];
                match git::commit(&self.context.folder, &files).await? {
                    Some(commit) => commit.hash,
                    None => {
                        return Err(Failure::new(Exit::Usage, "which release?").help(
                            "this is no git repository, so name one; `laminate history` lists them",
                        ));
                    }
                }
            }
        };
        Ok(release::find(&self.staging, &name).await?)
    }
}

/// A release is newer if its commit stands on the other's. Where git does not know that, or neither
/// stands on the other, the later publication is newer.
async fn is_newer(folder: &Utf8Path, one: &Release, than: &Release) -> bool {
    if one.commit != than.commit {
        if git::is_ancestor(folder, &than.commit, &one.commit).await {
            return true;
        }
        if git::is_ancestor(folder, &one.commit, &than.commit).await {
            return false;
        }
    }
    one.time > than.time
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Commit;

    #[tokio::test]
    async fn the_newer_release_is_of_the_later_commit_or_else_the_later_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let git = |args: &[&str]| {
            let output = std::process::Command::new("git")
                .arg("-C")
                .arg(folder)
                .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
                .args(args)
                .output()
                .expect("git");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        git(&["init", "--quiet"]);
        let commit = |text: &str| {
            git(&["commit", "--quiet", "--allow-empty", "-m", text]);
            git(&["rev-parse", "HEAD"])
        };
        let (old, new) = (commit("old"), commit("new"));
        let release = |commit: &str, day: u32| Release {
            stack: "s".to_owned(),
            commit: Commit::parse(commit).expect("a hash"),
            time: format!("2026-11-{day}T12:00:00Z").parse().expect("a time"),
            run: "r".to_owned(),
            git_ref: None,
            spec: None,
            images: Vec::new(),
        };
        let elsewhere = "0".repeat(40);
        for (one, than, newer) in [
            ((&new, 10), (&old, 20), true),
            ((&old, 20), (&new, 10), false),
            ((&new, 10), (&new, 20), false),
            ((&new, 20), (&new, 10), true),
            // Git does not have it.
            ((&elsewhere, 20), (&new, 10), true),
            ((&new, 10), (&elsewhere, 20), false),
        ] {
            let (one, than) = (release(one.0, one.1), release(than.0, than.1));
            let found = is_newer(folder, &one, &than).await;
            assert_eq!(found, newer, "{one:?} {than:?}");
        }
    }
}
