//! `layers:`: the number and the size of an image's layers, and files that they store twice.

use super::fault::{Fault, FaultKind};
use super::tree::{Kind, Tree};
use crate::evidence::{LayerLimit, Rule};
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
            duplicates.bytes = duplicates.bytes.saturating_add(old.size);
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
    let fault = |limit: LayerLimit, path: &str, text: String| Fault {
        rule: Rule::Layers,
        kind: FaultKind::Layers(limit),
        path: path.to_owned(),
        text,
    };
    if let Some(most) = limits.count.filter(|most| count > *most) {
        let are = if most == 1 { "is" } else { "are" };
        let text = format!("it has {count} layers, and {most} {are} allowed");
        list.push((fault(LayerLimit::Count, "", text), None));
    }
    let twice = duplicates.iter().map(|step| step.bytes);
    let twice = twice.fold(0, u64::saturating_add);
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
        list.push((
            fault(LayerLimit::Twice, &worst.largest, text),
            Some(worst.step),
        ));
    }
    list
}

/// Returns a fault if the layers of an image, as stored, are larger than the limit, bytes.
pub fn size_fault(limits: &LayerLimits, size: u64) -> Option<Fault> {
    let most = limits.size.filter(|most| size > *most)?;
    let (size, most) = size::human_pair(size, most);
    Some(Fault {
        rule: Rule::Layers,
        kind: FaultKind::Layers(LayerLimit::Size),
        path: String::new(),
        text: format!("its layers are {size}, and {most} are allowed"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Entry;
    use crate::checks::tests::span;

    fn limits(count: Option<usize>, size: Option<u64>, twice: Option<u64>) -> LayerLimits {
        LayerLimits {
            count,
            size,
            twice,
            span: span(),
        }
    }

    fn step(step: usize, bytes: u64) -> Duplicates {
        Duplicates {
            step,
            bytes,
            largest: format!("/{step}"),
        }
    }

    fn file(path: &str, size: u64) -> (String, Entry) {
        let entry = Entry {
            kind: Kind::Regular,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size,
            capabilities: 0,
        };
        (path.to_owned(), entry)
    }

    #[test]
    fn a_limit_is_the_most_that_is_allowed() {
        let limits = limits(Some(2), Some(5), Some(7));
        assert_eq!(layer_faults(&limits, 2, &[step(0, 7)]), []);
        assert_eq!(layer_faults(&limits, 3, &[step(0, 8)]).len(), 2);
        assert_eq!(size_fault(&limits, 5), None);
        assert!(size_fault(&limits, 6).is_some());
    }

    #[test]
    fn without_limits_nothing_is_a_fault() {
        let limits = limits(None, None, None);
        assert_eq!(layer_faults(&limits, 1000, &[step(0, u64::MAX)]), []);
        assert_eq!(size_fault(&limits, u64::MAX), None);
    }

    #[test]
    fn the_step_that_stores_most_again_is_reported() {
        let limits = limits(None, None, Some(1));
        let faults = layer_faults(&limits, 1, &[step(0, 1), step(1, 3), step(2, 2)]);
        let (fault, step) = &faults[0];
        assert_eq!((fault.path.as_str(), *step), ("/1", Some(1)));
    }

    #[test]
    fn one_step_alone_is_reported_without_others() {
        let limits = limits(None, None, Some(1));
        let faults = layer_faults(&limits, 1, &[step(0, 0), step(1, 3)]);
        assert!(
            faults[0]
                .0
                .text
                .ends_with("a second time: 3 B in all, and 1 B are allowed")
        );
    }

    #[test]
    fn a_layer_hides_the_older_sizes_of_its_files() {
        let mut tree = Tree([file("/a", 5), file("/b", 7), file("/c", 9)].into());
        let layer = Tree([file("/a", 1), file("/b", 1), file("/d", 1)].into());
        let duplicates = apply_layer(&mut tree, &layer, 4);
        assert_eq!((duplicates.step, duplicates.bytes), (4, 12));
        assert_eq!(duplicates.largest, "/b");
        assert_eq!((tree.0.len(), tree.0["/a"].size), (4, 1));
    }
}
