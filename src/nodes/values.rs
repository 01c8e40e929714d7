//! Values for the Helm chart of Zero-to-JupyterHub: the images of a channel as choices of its users.
//!
//! The fields are those of the chart's `values.schema.yaml` (4.x): `singleuser.image`,
//! `singleuser.profileList`, which is KubeSpawner's `profile_list`, and `prePuller.extraImages`.

use serde_json::{Map, Value, json};

use super::{Image, Pinned, dns_labels};
use crate::record::ADOPTED;

/// The chart puts `image-pull-` before the name of an extra image and makes a container's name of it.
const LONGEST: usize = 63 - "image-pull-".len();

/// One choice for each image, the first by default; all pinned.
pub fn values(pinned: &Pinned) -> Value {
    let slugs = dns_labels(&pinned.images, LONGEST);
    let origin = match &pinned.commit {
        Some(commit) => format!("from commit {}", commit.abbreviated()),
        None => ADOPTED.to_owned(),
    };
    let mut profiles = Vec::new();
    let mut extra = Map::new();
    for (image, slug) in pinned.images.iter().zip(&slugs) {
        let title = match image.variant() {
            Some(variant) => format!("{} ({variant})", image.name()),
            None => image.name().to_owned(),
        };
        let mut profile = json!({
            "display_name": title,
            "slug": slug,
            "description": format!("{}:{}, {origin}", image.repository, image.tag),
        });
        if profiles.is_empty() {
            profile["default"] = json!(true);
        }
        profile["kubespawner_override"] = json!({ "image": image.by_digest() });
        profiles.push(profile);
        extra.insert(slug.clone(), by_tag_and_digest(image));
    }
    let mut user = Map::new();
    if let Some(first) = pinned.images.first() {
        user.insert("image".to_owned(), by_tag_and_digest(first));
    }
    user.insert("profileList".to_owned(), json!(profiles));
    // The chart pulls the images of profiles by itself. Helm replaces lists and merges maps, so these
    // are pulled also where another file has a list of its own.
    json!({ "singleuser": user, "prePuller": { "extraImages": extra } })
}

/// The chart joins `name` and `tag` with a colon, and `REPOSITORY:TAG@DIGEST` is pulled by its digest.
fn by_tag_and_digest(image: &Image) -> Value {
    json!({
        "name": image.repository.to_string(),
        "tag": format!("{}@{}", image.tag, image.digest),
    })
}
