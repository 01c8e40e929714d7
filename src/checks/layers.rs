//! `layers:`: the number and the size of an image's layers, and files that they store twice.

use super::fault::{Fault, FaultKind};
use super::tree::{Kind, Tree};
use crate::evidence::Rule;
use crate::size;
use crate::stack::LayerLimits;

/// Regular files that a step's layer stores although a layer below it has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// The step, by its index from 0 in its image.
    pub step: usize,
    /// Size of the hidden copies in the layers below, bytes.
    pub bytes: u64,
    /// The path of the largest hidden copy.
    pub largest: String,
}

/// Puts a step's layer on the tree before it, and returns the files that the layer stores again.
pub fn apply_layer(before: &mut Tree, layer: &Tree, step: usize) -> Duplicates {
    let mut duplicates = Duplicates {
        step,
        ..Duplicates::default()
    };
    let mut most = 0;
    for (path, entry) in &layer.0 {
        if let Some(old) = before.0.insert(path.clone(), *entry)
            && old.kind == Kind::Regular
        {
            duplicates.bytes += old.size;
            if old.size > most {
                most = old.size;
                duplicates.largest.clone_from(path);
            }
        }
    }
    duplicates
}

/// Returns the faults of an image's layers, each with its step: their number, and files they store twice.
pub fn layer_faults(
    limits: &LayerLimits,
    count: usize,
    duplicates: &[Duplicates],
) -> Vec<(Fault, Option<usize>)> {
    let mut list = Vec::new();
    let fault = |path: &str, text: String| Fault {
        rule: Rule::Layers,
        kind: FaultKind::Image,
        path: path.to_owned(),
        text,
    };
    if let Some(most) = limits.count.filter(|most| count > *most) {
        let are = if most == 1 { "is" } else { "are" };
        let text = format!("it has {count} layers, and {most} {are} allowed");
        list.push((fault("", text), None));
    }
    let twice: u64 = duplicates.iter().map(|step| step.bytes).sum();
    if let Some(most) = limits.twice.filter(|most| twice > *most)
        && let Some(worst) = duplicates.iter().max_by_key(|step| step.bytes)
    {
        let (all, most) = size::human_pair(twice, most);
        let here = size::human(worst.bytes);
        let amount = if worst.bytes == twice {
            format!("{all} in all")
        } else {
            format!("{here} in all, {all} with what other steps do")
        };
        let text = format!(
            "is the largest file of what this step stores a second time: {amount}, and {most} are allowed"
        );
        list.push((fault(&worst.largest, text), Some(worst.step)));
    }
    list
}

/// Returns a fault if the layers of an image, as stored, are larger than the limit, bytes.
///
/// A stored finding is compared with this one by its text, so the text must not change.
pub fn size_fault(limits: &LayerLimits, size: u64) -> Option<Fault> {
    let most = limits.size.filter(|most| size > *most)?;
    let (size, most) = size::human_pair(size, most);
    Some(Fault {
        rule: Rule::Layers,
        kind: FaultKind::Image,
        path: String::new(),
        text: format!("its layers are {size}, and {most} are allowed"),
    })
}
