//! `laminate graph`: the images of a stack as a tree, as a Mermaid flowchart, and as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::args::{Global, GraphArgs, GraphFormat};
use super::{Answer, Exit, Failure, context};
use crate::stack::{Base, ImageId, ImageSource, SCRATCH, Stack};

/// Loads the stack and draws it. Contacts nothing.
pub async fn run(global: &Global, args: &GraphArgs) -> Result<Answer, Failure> {
    let stack = context::load(global).await?.stack;
    let text = match args.format {
        GraphFormat::Text => tree(&stack),
        GraphFormat::Mermaid => mermaid(&stack),
    };
    Ok(Answer::new(Exit::Done, json(&stack), text))
}

fn base_name(stack: &Stack, base: &Base) -> String {
    match base {
        Base::Image(parent) => stack.label(*parent),
        Base::External(base) => base.reference.value.to_string(),
        Base::Scratch => SCRATCH.to_owned(),
    }
}

fn json(stack: &Stack) -> Value {
    let images: Vec<Value> = stack
        .images()
        .iter()
        .map(|image| {
            json!({
                "image": image.name.value.as_str(),
                "variant": stack.variants()[image.variant].name.as_ref().map(|name| name.as_str()),
                "base": match &image.base {
                    Base::Image(parent) => json!({ "image": stack[*parent].name.value.as_str() }),
                    Base::External(base) => json!({ "reference": base.reference.value.to_string() }),
                    Base::Scratch => Value::Null,
                },
                "copies": named(image.copy_sources()),
                "mounts": named(image.mounted_images()),
            })
        })
        .collect();
    json!({ "stack": stack.name().as_str(), "images": images })
}

fn named(sources: BTreeMap<String, &ImageSource>) -> Vec<Value> {
    let sources = sources.into_iter();
    let named = sources.map(|(name, source)| match source {
        ImageSource::InStack(_) => json!({ "image": name }),
        ImageSource::External(_) => json!({ "reference": name }),
    });
    named.collect()
}

fn tree(stack: &Stack) -> String {
    let mut children: BTreeMap<ImageId, Vec<ImageId>> = BTreeMap::new();
    let mut roots: BTreeMap<String, Vec<ImageId>> = BTreeMap::new();
    for (index, image) in stack.images().iter().enumerate() {
        match &image.base {
            Base::Image(parent) => children.entry(*parent).or_default().push(ImageId(index)),
            Base::External(_) | Base::Scratch => roots
                .entry(base_name(stack, &image.base))
                .or_default()
                .push(ImageId(index)),
        }
    }
    let mut text = String::new();
    for (reference, list) in &roots {
        text.push_str(&format!("{reference}\n"));
        branches(stack, list, &children, "", &mut text);
    }
    text
}

fn branches(
    stack: &Stack,
    list: &[ImageId],
    children: &BTreeMap<ImageId, Vec<ImageId>>,
    indent: &str,
    text: &mut String,
) {
    for (number, id) in list.iter().enumerate() {
        let last = number + 1 == list.len();
        let (branch, below) = if last {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        let name = stack.label(*id);
        let image = &stack[*id];
        let uses = [
            ("copies from", image.copied_images()),
            ("mounts", image.mounted_images()),
        ];
        let uses = uses.into_iter().filter(|(_, images)| !images.is_empty());
        let uses: Vec<String> = uses
            .map(|(verb, images)| {
                let names: Vec<String> = images.into_keys().collect();
                format!("{verb} {}", names.join(", "))
            })
            .collect();
        text.push_str(&format!("{indent}{branch}{name}"));
        if !uses.is_empty() {
            text.push_str(&format!(" ({})", uses.join("; ")));
        }
        text.push('\n');
        let next = children.get(id).map(Vec::as_slice).unwrap_or_default();
        branches(stack, next, children, &format!("{indent}{below}"), text);
    }
}

fn mermaid(stack: &Stack) -> String {
    let mut text = String::from("flowchart TD\n");
    let mut external: BTreeMap<String, usize> = BTreeMap::new();
    for image in stack.images() {
        for image in image.external_images() {
            let number = external.len();
            let name = image.reference.value.to_string();
            external.entry(name).or_insert_with_key(|name| {
                text.push_str(&format!("  o{number}([\"{name}\"])\n"));
                number
            });
        }
    }
    for (index, image) in stack.images().iter().enumerate() {
        text.push_str(&format!("  i{index}[\"{}\"]\n", stack.label_of(image)));
    }
    for (index, image) in stack.images().iter().enumerate() {
        match &image.base {
            Base::Image(parent) => text.push_str(&format!("  i{} --> i{index}\n", parent.0)),
            Base::External(_) => {
                let number = external[&base_name(stack, &image.base)];
                text.push_str(&format!("  o{number} --> i{index}\n"));
            }
            Base::Scratch => {}
        }
        let copied = image.copied_images().into_iter().map(|it| ("copy", it));
        let mounted = image.mounted_images().into_iter().map(|it| ("mount", it));
        for (verb, (name, source)) in copied.chain(mounted) {
            let from = match source {
                ImageSource::InStack(name) => format!("i{}", image.copied[&name.value].0),
                ImageSource::External(_) => format!("o{}", external[&name]),
            };
            text.push_str(&format!("  {from} -.->|{verb}| i{index}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"
stack: s
images:
  tool: { base: "debian:12" }
  app:
    base: "debian:12"
    steps:
      - copy: { /a: { image: tool, from: /a } }
      - run: x
        mounts: { /t: { image: tool }, /b: { image: "busybox:1" } }
"#;

    #[test]
    fn an_image_that_is_mounted_is_named_as_such() {
        let stack = crate::testing::stack(SPEC);
        let busybox = "docker.io/library/busybox:1";
        assert!(
            tree(&stack).contains(&format!("app (copies from tool; mounts {busybox}, tool)\n"))
        );
        let mermaid = mermaid(&stack);
        for line in [
            "  i0 -.->|copy| i1\n",
            "  i0 -.->|mount| i1\n",
            "  o1 -.->|mount| i1\n",
        ] {
            assert!(mermaid.contains(line), "{line} {mermaid}");
        }
        let mounts = json!([{ "reference": busybox }, { "image": "tool" }]);
        assert_eq!(json(&stack)["images"][1]["mounts"], mounts);
        assert_eq!(json(&stack)["images"][1]["copies"], mounts);
    }
}
