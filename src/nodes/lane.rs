//! In which order a node pulls, so that no layer is fetched twice.
//!
//! A kubelet pulls the images of one pod one after the other (`SyncPod` of
//! `pkg/kubelet/kuberuntime/kuberuntime_manager.go`: init containers, volumes and containers alike), and
//! those of two pods at once where `serializeImagePulls` is false. So what should be pulled at once has to
//! be in two pods, and one pod alone never fetches a layer twice.
//!
//! With several, each lane begins with the images that its own share layers with, even if another lane
//! has them too. containerd lets a second pull wait for a layer that a first one is at (`OpenWriter` of
//! `content/helpers.go` waits for a locked ref), so the lanes wait for each other there, and go apart
//! after. CRI-O joins pulls of one image for one pod only (`pullArguments` of `server/image_pull.go` has
//! the pod's cgroup), and may fetch what lanes share once for each.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Image;
use crate::name::Digest;

/// What one pod pulls, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Indices of images.
    pub images: Vec<usize>,
    /// Of all its layers, each once.
    pub bytes: u64,
}

/// Splits images into at most `count` lanes of about the same size. Every image is in one, and behind
/// the image that it shares most with.
pub fn lanes(images: &[Image], count: usize) -> Vec<Lane> {
    let layers: Vec<BTreeMap<&Digest, u64>> = images
        .iter()
        .map(|image| {
            let layers = image.layers.iter();
            layers.map(|layer| (&layer.digest, layer.bytes)).collect()
        })
        .collect();
    let order = order(&layers);
    let after = after(&layers, &order);
    let path = |mut image: usize| {
        let mut path = vec![image];
        while let Some(before) = after[image] {
            path.push(before);
            image = before;
        }
        path
    };
    let mut paths: Vec<Vec<usize>> = order
        .iter()
        .filter(|image| !after.contains(&Some(**image)))
        .map(|image| path(*image))
        .collect();
    let bytes = |images: &BTreeSet<usize>| {
        let all: BTreeMap<&Digest, u64> = images
            .iter()
            .flat_map(|image| layers[*image].clone())
            .collect();
        total(all.values())
    };
    // The largest first, each to the lane that stays smallest with it.
    paths.sort_by_key(|path| Reverse(bytes(&path.iter().copied().collect())));
    let mut lanes = vec![BTreeSet::new(); count.clamp(1, paths.len().max(1))];
    for path in paths {
        let with = |lane: &BTreeSet<usize>| {
            let mut lane = lane.clone();
            lane.extend(&path);
            lane
        };
        let smallest = (0..lanes.len())
            .min_by_key(|lane| bytes(&with(&lanes[*lane])))
            .expect("there is one at least");
        lanes[smallest] = with(&lanes[smallest]);
    }
    lanes
        .iter()
        .filter(|lane| !lane.is_empty())
        .map(|lane| Lane {
            images: order
                .iter()
                .filter(|image| lane.contains(image))
                .copied()
                .collect(),
            bytes: bytes(lane),
        })
        .collect()
}

/// Returns a sum of sizes that manifests have; the largest number if it is larger than that.
fn total<'a>(sizes: impl IntoIterator<Item = &'a u64>) -> u64 {
    (sizes.into_iter()).fold(0, |sum, size| sum.saturating_add(*size))
}

/// Small before large: the base of an image is a part of it, and most images are there soonest.
fn order(layers: &[BTreeMap<&Digest, u64>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by_key(|image| total(layers[*image].values()));
    order
}

/// The image each one shares most bytes with, of those before it in the order.
fn after(layers: &[BTreeMap<&Digest, u64>], order: &[usize]) -> Vec<Option<usize>> {
    let mut after = vec![None; layers.len()];
    for (place, &image) in order.iter().enumerate() {
        let shared = |other: usize| {
            let own = layers[image].iter();
            let shared = own.filter(|(digest, _)| layers[other].contains_key(**digest));
            total(shared.map(|(_, bytes)| bytes))
        };
        // The earliest of equals: it has nothing else that one would wait for.
        after[image] = order[..place]
            .iter()
            .rev()
            .copied()
            .filter(|other| shared(*other) > 0)
            .max_by_key(|other| shared(*other));
    }
    after
}
