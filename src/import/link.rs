//! Which targets are based on which, and what their images are called.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::format;
use super::texts::{Text, Texts, invalid, line};
use super::{Context, Note, Target};
use crate::dockerfile::{Dockerfile, Root, Uses, Word};
use crate::name::{ImageName, Reference, Repository};

/// What a target uses, in the words of the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// `args:`.
    pub args: BTreeMap<String, String>,
    /// `contexts:`.
    pub contexts: BTreeMap<String, String>,
    /// Folders of `contexts:`, relative to that of the import.
    pub folders: BTreeMap<String, String>,
    /// The image of the stack that it is based on.
    pub based_on: Option<String>,
    /// Images of the stack with the tags that it names them by.
    pub tags: BTreeSet<(String, String)>,
    /// Paths in the context that its instructions name.
    pub context: BTreeSet<String>,
    /// Those that must be there.
    pub required: Vec<String>,
    /// Whether an `ONBUILD` of it copies files of the context of the image that is based on it.
    pub triggers_copy: bool,
}

/// Returns the name of the image of each target.
pub fn names(targets: &[Target], notes: &mut Vec<Note>) -> BTreeMap<String, String> {
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for target in targets {
        let lower = target.name.to_lowercase();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let plain: String = lower
            .chars()
            .map(|c| if allowed(c) { c } else { '-' })
            .collect();
        let mut name = plain.trim_matches(['.', '_', '-']).to_owned();
        if ImageName::parse(&name).is_err() {
            name = format!("image-{}", names.len() + 1);
        }
        while !taken.insert(name.clone()) {
            name.push_str("-2");
        }
        if name != target.name {
            let found = format!("name {}", target.name);
            notes.push(Note::done(
                &target.dockerfile,
                found,
                format!("image `{name}`"),
            ));
        }
        names.insert(target.name.clone(), name);
    }
    names
}

/// Returns the repository of a reference.
pub fn repository_of(reference: &str) -> Option<Repository> {
    Reference::parse(reference)
        .ok()
        .map(|reference| reference.repository)
}

/// Returns the tag that a reference stands for; `None` for a name alone, which an engine has for itself.
pub fn tag_of(reference: &str) -> Option<String> {
    if !reference.contains(['/', ':']) {
        return None;
    }
    let reference = Reference::parse(reference).ok()?;
    reference.tag.map(|tag| tag.to_string())
}

/// Adds the whole context of an image if a trigger of its base copies files: which ones is not known.
pub fn add_triggered(parts: &mut [(Target, Linked)], names: &BTreeMap<String, String>) {
    let triggering = parts.iter().filter(|(_, linked)| linked.triggers_copy);
    let triggering: BTreeSet<String> = triggering
        .filter_map(|(target, _)| names.get(&target.name).cloned())
        .collect();
    for (_, linked) in parts {
        let base = linked.based_on.as_ref();
        if base.is_some_and(|base| triggering.contains(base)) {
            linked.context.insert(String::new());
        }
    }
}

/// Finds what a target uses of other targets.
pub fn link(
    target: &Target,
    all: &[Target],
    names: &BTreeMap<String, String>,
    texts: &Texts,
    notes: &mut Vec<Note>,
) -> Result<Linked, String> {
    let path = &target.dockerfile;
    let Text {
        text, file: parsed, ..
    } = texts.dockerfile(target);
    let mut linked = Linked {
        args: target.args.clone(),
        ..Linked::default()
    };
    for (name, context) in &target.contexts {
        let image = match context {
            Context::Target(other) => names.get(other).cloned(),
            Context::Image(reference) => Some(with_tag(reference)),
            Context::Folder(folder) => {
                linked.folders.insert(name.clone(), folder.clone());
                continue;
            }
        };
        match image {
            Some(image) => {
                linked.contexts.insert(name.clone(), image);
            }
            None => {
                let found = format!("context {name}");
                notes.push(Note::open(path, found, "left out: unknown target"));
            }
        }
    }
    // A base without a tag where a variable is empty.
    let unset = parsed.unset_args(&linked.args);
    let has_tags = unset.is_empty();
    for name in unset {
        let became = format!("`args: {{ {name}: latest }}`: set the value you need");
        notes.push(Note::open(
            path,
            format!("ARG {name} without a value in FROM"),
            became,
        ));
        linked.args.insert(name, "latest".to_owned());
    }
    let contexts = linked.contexts.keys().chain(linked.folders.keys());
    let contexts: BTreeSet<String> = contexts.cloned().collect();
    let uses = parsed
        .uses(target.target.as_deref(), &linked.args, &contexts)
        .map_err(|fault| invalid(path, text, &fault))?;
    if let Root::Image(root) = &uses.root {
        linked.based_on = linked.contexts.get(&root.value).cloned();
        linked.based_on = linked
            .based_on
            .filter(|name| names.values().any(|it| it == name));
    }
    linked.args.retain(|name, _| {
        let is_read = uses.reads(name);
        if !is_read {
            let became = "left out: the Dockerfile has no `ARG` of this name";
            notes.push(Note::open(path, format!("argument {name}"), became));
        }
        is_read
    });
    let known = Known {
        target,
        all,
        names,
        texts,
        text,
    };
    known.bases(parsed, &uses, &mut linked, notes);
    if !has_tags {
        linked.tags.clear();
    }
    linked.context = uses.context;
    linked.triggers_copy = uses.triggers_copy;
    let required = uses.required.into_iter();
    linked.required = required.map(|word| word.value).collect();
    Ok(linked)
}

/// What names of a Dockerfile are looked up in.
struct Known<'a> {
    target: &'a Target,
    all: &'a [Target],
    names: &'a BTreeMap<String, String>,
    texts: &'a Texts<'a>,
    text: &'a str,
}

impl Known<'_> {
    /// Has names that stand for other targets mean their images.
    fn bases(&self, parsed: &Dockerfile, uses: &Uses, linked: &mut Linked, notes: &mut Vec<Note>) {
        let path = &self.target.dockerfile;
        let root = match &uses.root {
            Root::Image(root) => Some(root),
            Root::Scratch => None,
        };
        for word in uses.images.iter().chain(root) {
            let name = &word.value;
            if linked.contexts.contains_key(name) || linked.folders.contains_key(name) {
                continue;
            }
            let Some((other, by)) = self.published_as(&word.value) else {
                continue;
            };
            let image = &self.names[&other.name];
            let written = &self.text[word.range.clone()];
            let place = place(path, self.text, word);
            if by == Evidence::PinnedName {
                let became = format!(
                    "an external image; for the image of the stack, set {}",
                    context_shown(&word.value, image)
                );
                notes.push(Note::open(place, written, became));
                continue;
            }
            if root == Some(word) {
                linked.based_on = Some(image.clone());
            }
            if by != Evidence::TaggedName {
                let tag = tag_of(&word.value).map(|tag| (image.clone(), tag));
                linked.tags.extend(tag);
            }
            if word.value == *image {
                continue;
            }
            // In a stage that declares the argument as well, it has the value that the Dockerfile gives it.
            let variable = whole_variable(written).filter(|name| parsed.has_arg(name));
            let is_free = |name: &&str| word.value.is_empty() || !parsed.has_stage_arg(name);
            let became = match variable.filter(is_free) {
                Some(name) => {
                    linked.args.insert(name.to_owned(), image.clone());
                    format!("`args: {{ {name}: {image} }}`")
                }
                None => {
                    linked.contexts.insert(word.value.clone(), image.clone());
                    context_shown(&word.value, image)
                }
            };
            notes.push(match by {
                Evidence::TaggedName => {
                    let why = format!("{became}, because of its name: remove this if `{}` is not an image of the stack", word.value);
                    Note::open(place, written, why)
                }
                _ => Note::done(place, written, became),
            });
        }
    }

    /// Returns the other target that a reference names: by where it is published, or by the last part of its repository.
    fn published_as(&self, reference: &str) -> Option<(&Target, Evidence)> {
        let others = || {
            self.all
                .iter()
                .filter(|other| other.name != self.target.name)
        };
        let Reference {
            repository,
            tag,
            digest,
        } = Reference::parse(reference).ok()?;
        let is_published = |other: &&Target| {
            let mut published = other.published.iter();
            published.any(|it| repository_of(it).as_ref() == Some(&repository))
        };
        if let Some(other) = others().find(is_published) {
            return Some((other, Evidence::Repository));
        }
        let last = repository.path().rsplit('/').next().unwrap_or_default();
        // What one of them is made from is another image of that name.
        let is_called = |other: &&Target| {
            other.name.eq_ignore_ascii_case(last) && !self.is_made_from(other, &repository)
        };
        let other = others().find(is_called)?;
        let evidence = match (tag, digest) {
            (_, Some(_)) => Evidence::PinnedName,
            (Some(tag), None) if tag.as_str() != "latest" => Evidence::TaggedName,
            _ => Evidence::Name,
        };
        Some((other, evidence))
    }

    /// Whether the root of a target's image is in a repository.
    fn is_made_from(&self, target: &Target, repository: &Repository) -> bool {
        let parsed = &self.texts.dockerfile(target).file;
        let contexts = target.contexts.keys().cloned().collect();
        let uses = parsed.uses(target.target.as_deref(), &target.args, &contexts);
        match uses.map(|uses| uses.root) {
            Ok(Root::Image(root)) => repository_of(&root.value).as_ref() == Some(repository),
            _ => false,
        }
    }
}

/// Why a reference is taken for an image of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// The image is published there.
    Repository,
    /// The last part is the image's name; there is no tag, or `latest`.
    Name,
    /// The same with another tag: it can be an image that others publish.
    TaggedName,
    /// The same with a digest, which the image of the stack cannot have.
    PinnedName,
}

/// Returns a named context as the spec writes it.
fn context_shown(name: &str, image: &str) -> String {
    let contexts = Map::from_iter([(name.to_owned(), json!(image))]);
    let contexts = format::flow(&Value::Object(contexts)).unwrap_or_default();
    format!("`contexts: {contexts}`")
}

fn place(path: &str, text: &str, word: &Word) -> String {
    format!("{path}:{}", line(text, word.range.start))
}

/// Returns the variable that a word is: `$X` or `${X}`.
fn whole_variable(word: &str) -> Option<&str> {
    let name = word.trim_matches('"').strip_prefix('$')?;
    let name = name
        .strip_prefix('{')
        .and_then(|name| name.strip_suffix('}'))
        .unwrap_or(name);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(is_name).then_some(name)
}

/// Returns a reference with its tag, as the spec needs it.
pub fn with_tag(reference: &str) -> String {
    if Reference::is_exact(reference) {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}
