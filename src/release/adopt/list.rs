//! What is adopted: the channel's tags as they stand, or a list that a user wrote.

use std::collections::BTreeMap;

use super::Wanted;
use crate::diagnostic::Diagnostic;
use crate::name::Reference;
use crate::source::{SourceId, Sources, Span};
use crate::spec::node::{self, Entry, Value};
use crate::stack::{Channel, ImageId, Stack};

/// Returns every image that a channel moves a tag of, with that tag as what is adopted.
pub fn from_tags(stack: &Stack, channel: &Channel) -> Vec<Wanted> {
    stack
        .ids()
        .filter_map(|id| of_channel(stack, channel, id, None))
        .collect()
}

/// Returns the images that a list has, each with its reference: a mapping, in YAML or JSON, of `IMAGE` or `VARIANT/IMAGE`
/// to a reference with a tag or a digest. Returns all faults at once.
pub fn from_list(
    stack: &Stack,
    channel: &Channel,
    sources: &Sources,
    source: SourceId,
) -> Result<Vec<Wanted>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let root = node::parse(sources, source, &mut problems);
    let mut list = List {
        stack,
        channel,
        found: BTreeMap::new(),
        problems,
    };
    match root {
        Some(root) => match &root.value {
            Value::Map(entries) => entries.iter().for_each(|entry| list.read(entry)),
            _ => list.problems.push(
                Diagnostic::expected("a list to adopt", "a mapping", root.span, root.describe())
                    .help("write an image and a reference a line, for example `base: ghcr.io/campus/base:stable`"),
            ),
        },
        None if list.problems.is_empty() => {
            list.problems.push(Diagnostic::error("the list is empty"));
        }
        None => {}
    }
    if !list.problems.is_empty() {
        return Err(list.problems);
    }
    let found = list.found.into_iter();
    let wanted = found.filter_map(|(id, (_, from))| of_channel(stack, channel, id, Some(from)));
    Ok(wanted.collect())
}

/// Returns an image as the channel has it; `None` if the channel has no tag for it, or it has no repository.
fn of_channel(
    stack: &Stack,
    channel: &Channel,
    id: ImageId,
    from: Option<Reference>,
) -> Option<Wanted> {
    let image = &stack[id];
    let tag = channel.tags.get(&image.variant)?;
    let repository = image.repository.clone()?;
    let variant = stack.variants()[image.variant].name.as_ref();
    Some(Wanted {
        label: stack.label(id),
        image: image.name.value.to_string(),
        variant: variant.map(ToString::to_string),
        tag: tag.clone(),
        depth: stack.ancestors(id).count(),
        from: from.unwrap_or_else(|| Reference {
            repository: repository.clone(),
            tag: Some(tag.clone()),
            digest: None,
        }),
        repository,
    })
}

/// A list while it is read.
struct List<'a> {
    stack: &'a Stack,
    channel: &'a Channel,
    found: BTreeMap<ImageId, (Span, Reference)>,
    problems: Vec<Diagnostic>,
}

impl List<'_> {
    fn read(&mut self, entry: &Entry) {
        let reference = self.reference(entry);
        let (Some(id), Some(reference)) = (self.image(entry), reference) else {
            return;
        };
        if let Some((first, _)) = self.found.get(&id) {
            let label = self.stack.label(id);
            let second = Diagnostic::duplicate("image", &label, entry.key.span, *first);
            self.problems.push(second);
            return;
        }
        self.found.insert(id, (entry.key.span, reference));
    }

    /// Returns the image that a key means: by its label, or by its name if the channel has it in one variant alone.
    fn image(&mut self, entry: &Entry) -> Option<ImageId> {
        let (text, span) = (&entry.key.text, entry.key.span);
        let (stack, channel) = (self.stack, self.channel);
        let is_meant =
            |id: &ImageId| stack.label(*id) == *text || stack[*id].name.value.as_str() == text;
        let meant: Vec<ImageId> = stack.ids().filter(is_meant).collect();
        let moved = |id: &&ImageId| channel.tags.contains_key(&stack[**id].variant);
        let moved: Vec<ImageId> = meant.iter().filter(moved).copied().collect();
        let problem = match (&meant[..], &moved[..]) {
            (_, [id]) => return Some(*id),
            ([], _) => {
                let labels: Vec<String> = stack.ids().map(|id| stack.label(id)).collect();
                let labels = labels.iter().map(String::as_str);
                Diagnostic::unknown("image", text, span, labels)
            }
            (_, []) => Diagnostic::error(format!(
                "channel `{}` has no tag for image `{text}`",
                channel.name
            ))
            .at(span, "the channel does not move this image")
            .help("remove this line"),
            (_, several) => {
                let labels: Vec<String> = several.iter().map(|id| stack.label(*id)).collect();
                Diagnostic::error(format!("image `{text}` is in several variants"))
                    .at(span, "expected a variant before it")
                    .help(format!("write one of: {}", labels.join(", ")))
            }
        };
        self.problems.push(problem);
        None
    }

    fn reference(&mut self, entry: &Entry) -> Option<Reference> {
        let node = &entry.value;
        let text = match &node.value {
            Value::Scalar { text, .. } if !node.is_null() => text,
            _ => {
                let what = format!("the reference of image `{}`", entry.key.text);
                let found = node.describe();
                let problem = Diagnostic::expected(&what, "a string", node.span, found);
                self.problems.push(problem);
                return None;
            }
        };
        let problem = match Reference::parse(text) {
            Ok(reference) if Reference::is_exact(text) => return Some(reference),
            Ok(_) => Diagnostic::error(format!("missing tag or digest in `{text}`"))
                .at(node.span, "expected REPOSITORY:TAG or REPOSITORY@DIGEST"),
            Err(error) => {
                Diagnostic::invalid("image reference", text, node.span, error.to_string())
            }
        };
        self.problems.push(problem);
        None
    }
}
