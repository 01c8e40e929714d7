//! The order of the images of a variant: each after those it needs. Reports dependency cycles.

use std::collections::HashMap;

use super::declare_image::DeclaredImage;
use super::image_source::{DeclaredBase, ImageSource};
use super::problems::Problems;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Returns indices such that each image comes after its base and the images it copies from.
pub fn order(images: &[DeclaredImage], problems: &Problems) -> Vec<usize> {
    let indices: HashMap<&str, usize> = images
        .iter()
        .enumerate()
        .map(|(index, image)| (image.name.as_str(), index))
        .collect();
    let needs: Vec<Vec<Need>> = images.iter().map(|image| needs(image, &indices)).collect();
    let mut order = Vec::new();
    let mut is_seen = vec![false; images.len()];
    for start in 0..images.len() {
        if is_seen[start] {
            continue;
        }
        is_seen[start] = true;
        // The images from `start` to the current one, each with how many of its needs were followed.
        let mut path = vec![(start, 0)];
        while let Some((index, followed)) = path.last_mut() {
            let Some(need) = needs[*index].get(*followed) else {
                order.push(*index);
                path.pop();
                continue;
            };
            *followed += 1;
            if let Some(from) = path.iter().position(|(other, _)| *other == need.image) {
                let members = path[from..].iter().map(|(index, followed)| {
                    let name = images[*index].name.as_str();
                    (name, needs[*index][followed - 1].span)
                });
                let members: Vec<(&str, Span)> = members.collect();
                problems.report(Diagnostic::cycle("dependency", &members));
            } else if !is_seen[need.image] {
                is_seen[need.image] = true;
                path.push((need.image, 0));
            }
        }
    }
    order
}

/// An image of the stack that another one needs.
struct Need {
    /// Its index.
    image: usize,
    /// Where it is named.
    span: Span,
}

/// Returns the images of the stack that an image needs, its base first.
fn needs(image: &DeclaredImage, indices: &HashMap<&str, usize>) -> Vec<Need> {
    let copied = image.steps.iter().flat_map(|step| step.copy_sources());
    let base = image.base.iter().filter_map(DeclaredBase::image);
    let sources = base.chain(copied);
    sources
        .filter_map(|source| match source {
            ImageSource::InStack(name) => Some(Need {
                image: *indices.get(name.value.as_str())?,
                span: name.span,
            }),
            ImageSource::External(_) => None,
        })
        .collect()
}
