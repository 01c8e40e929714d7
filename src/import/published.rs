//! Where the images are published: `registry:` and `repository:`.

use std::collections::{BTreeMap, BTreeSet};

use super::link::repository_of;
use super::{Note, Target};
use crate::name::Repository;

/// Where the images of the stack are published.
pub struct Published {
    /// `registry:`.
    pub registry: Option<String>,
    /// `repository:` of the images whose repository has another name than they have.
    pub repositories: BTreeMap<String, String>,
}

impl Published {
    /// Finds where targets are published. With `registry`, all images are published there.
    pub fn of(
        targets: &[Target],
        names: &BTreeMap<String, String>,
        registry: Option<&str>,
        notes: &mut Vec<Note>,
    ) -> Self {
        let usual = usual_namespace(targets);
        let mut published = Vec::new();
        let mut owners: BTreeMap<String, usize> = BTreeMap::new();
        for target in targets {
            note_other_repositories(target, notes);
            let name = &names[&target.name];
            let repository = published_in(target).map_or_else(
                || name.clone(),
                |repository| match last_part(&repository, usual.as_deref()) {
                    Some(last) => last.to_owned(),
                    None if registry.is_some() => {
                        let path = repository.path();
                        let last = path.rsplit('/').next().unwrap_or(path).to_owned();
                        let became = format!("`{last}` in the registry of the stack");
                        let found = format!("repository {repository}");
                        notes.push(Note::open(&target.dockerfile, found, became));
                        last
                    }
                    None => repository.to_string(),
                },
            );
            *owners.entry(repository.clone()).or_default() += 1;
            published.push((target, name, repository));
        }
        let images: BTreeSet<&String> = names.values().collect();
        let mut repositories = BTreeMap::new();
        for (target, name, repository) in published {
            if repository == *name {
                continue;
            }
            // A repository belongs to one image: the commit's tag is the same for all.
            if owners[&repository] > 1 || images.contains(&repository) {
                let first = target.published.first();
                let found = format!("tag {}", first.map_or("", String::as_str));
                let became = format!(
                    "repository `{name}`, with the tags of the spec: other targets are published in `{repository}` too"
                );
                notes.push(Note::open(&target.dockerfile, found, became));
                continue;
            }
            repositories.insert(name.clone(), repository);
        }
        Self {
            registry: registry.map(str::to_owned).or(usual),
            repositories,
        }
    }
}

/// Returns the repository of the first tag of a target. `web:1` alone is a name on the machine that builds it: it stands for
/// a repository of Docker's own.
fn published_in(target: &Target) -> Option<Repository> {
    let repository = repository_of(target.published.first()?)?;
    let is_local = repository.host() == "docker.io" && repository.path().starts_with("library/");
    (!is_local).then_some(repository)
}

/// Returns the registry and namespace that most targets are published in.
fn usual_namespace(targets: &[Target]) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for repository in targets.iter().filter_map(published_in) {
        if let Some((namespace, _)) = repository.path().rsplit_once('/') {
            let registry = format!("{}/{namespace}", repository.host());
            *counts.entry(registry).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(most.0)
}

/// Returns the last part of a repository that is in a registry and namespace.
fn last_part<'a>(repository: &'a Repository, namespace: Option<&str>) -> Option<&'a str> {
    let (host, path) = namespace?.split_once('/')?;
    let rest = repository.path().strip_prefix(path)?.strip_prefix('/')?;
    (repository.host() == host && !rest.contains('/')).then_some(rest)
}

/// Notes the repositories beside the first one.
fn note_other_repositories(target: &Target, notes: &mut Vec<Note>) {
    let repository = target.published.first().and_then(|it| repository_of(it));
    let others = target.published.iter().skip(1);
    for other in others.filter(|other| repository_of(other) != repository) {
        let became = "left out: an image of laminate is published in one repository";
        let found = format!("tag {other}");
        notes.push(Note::open(&target.dockerfile, found, became));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(tags: &[(&str, &str)], registry: Option<&str>) -> (Published, Vec<String>) {
        let targets = tags.iter().map(|(name, tag)| Target {
            name: (*name).to_owned(),
            published: vec![(*tag).to_owned()],
            ..Target::default()
        });
        let targets: Vec<Target> = targets.collect();
        let names = targets
            .iter()
            .map(|it| (it.name.clone(), it.name.clone()))
            .collect();
        let mut notes = Vec::new();
        let published = Published::of(&targets, &names, registry, &mut notes);
        (
            published,
            notes.into_iter().map(|note| note.found).collect(),
        )
    }

    #[test]
    fn images_of_one_namespace_have_names_in_it() {
        let tags = [
            ("base", "ghcr.io/campus/base:1"),
            ("web", "ghcr.io/campus/site:1"),
            ("local", "local:1"),
            ("tool", "quay.io/other/tool:1"),
        ];
        let (made, notes) = published(&tags, None);
        assert_eq!(made.registry.as_deref(), Some("ghcr.io/campus"));
        let of = |name: &str| made.repositories.get(name).map(String::as_str);
        let found = tags.map(|(name, _)| of(name));
        assert_eq!(
            found,
            [None, Some("site"), None, Some("quay.io/other/tool")]
        );
        assert!(notes.is_empty(), "{notes:?}");

        let (made, notes) = published(&tags, Some("localhost:5000/x"));
        assert_eq!(made.registry.as_deref(), Some("localhost:5000/x"));
        assert_eq!(made.repositories["web"], "site");
        assert_eq!(made.repositories.len(), 1);
        assert_eq!(notes, ["repository quay.io/other/tool"]);
    }

    #[test]
    fn images_of_one_repository_get_their_own() {
        let tags = [
            ("py-3-11", "ghcr.io/campus/py:3.11"),
            ("py-3-12", "ghcr.io/campus/py:3.12"),
            ("web", "ghcr.io/campus/py-3-11:1"),
        ];
        let (made, notes) = published(&tags, None);
        assert!(made.repositories.is_empty(), "{:?}", made.repositories);
        assert_eq!(notes, tags.map(|(_, tag)| format!("tag {tag}")));
    }
}
