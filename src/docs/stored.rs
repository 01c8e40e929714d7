//! What the registry has of an image: its layers, and its config.

use serde::Deserialize;
use serde_json::Value;

use crate::name::Digest;

/// An image as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Lowest first.
    pub layers: Vec<Layer>,
    pub config: Value,
}

/// A layer, and what made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub digest: String,
    /// As stored, bytes.
    pub size: u64,
    /// The step's title, or what the base says of it; empty if nothing is said.
    pub step: String,
    /// A step of the stack made it.
    pub is_ours: bool,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    size: u64,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// Where the config of a manifest is; `None` for an index, and for what is no manifest.
pub fn config(manifest: &[u8]) -> Option<Digest> {
    let manifest: Manifest = serde_json::from_slice(manifest).ok()?;
    Digest::parse(&manifest.config.digest).ok()
}

impl Stored {
    /// Reads a manifest and its config; `None` if they are none.
    pub fn parse(manifest: &[u8], config: &[u8]) -> Option<Self> {
        let manifest: Manifest = serde_json::from_slice(manifest).ok()?;
        let config: Value = serde_json::from_slice(config).ok()?;
        let told: Vec<&Value> = match &config["history"] {
            Value::Array(list) => list
                .iter()
                .filter(|entry| entry["empty_layer"] != Value::Bool(true))
                .collect(),
            _ => Vec::new(),
        };
        // A base may tell too little or too much; what is ours is uppermost.
        let layers = manifest.layers.into_iter().rev().enumerate();
        let mut layers: Vec<Layer> = layers
            .map(|(depth, layer)| {
                let entry = told.iter().rev().nth(depth);
                let said = |name: &str| entry.and_then(|entry| entry[name].as_str());
                let step = said("created_by").or_else(|| said("comment"));
                Layer {
                    digest: layer.digest,
                    size: layer.size,
                    step: step.unwrap_or_default().to_owned(),
                    is_ours: said("comment") == Some("laminate"),
                }
            })
            .collect();
        layers.reverse();
        Some(Self { layers, config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn steps(history: Value) -> Vec<(String, bool)> {
        let layer = |size: u64| json!({ "digest": format!("sha256:{size:064}"), "size": size });
        let manifest = json!({
            "config": { "digest": Digest::of(b"{}").as_str(), "size": 2 },
            "layers": [layer(1), layer(2)],
        });
        let manifest = manifest.to_string();
        assert_eq!(config(manifest.as_bytes()), Some(Digest::of(b"{}")));
        let config = json!({ "history": history }).to_string();
        let stored = Stored::parse(manifest.as_bytes(), config.as_bytes()).expect("an image");
        assert_eq!(stored.layers[0].size, 1);
        let layers = stored.layers.into_iter();
        layers.map(|layer| (layer.step, layer.is_ours)).collect()
    }

    #[test]
    fn a_layer_has_its_step() {
        let ours = json!({ "created_by": "apt git", "comment": "laminate" });
        let git = ("apt git".to_owned(), true);
        assert_eq!(
            steps(json!([
                { "created_by": "ADD rootfs.tar /" },
                { "created_by": "ENV x", "empty_layer": true },
                ours
            ])),
            [("ADD rootfs.tar /".to_owned(), false), git.clone()]
        );
        assert_eq!(steps(json!([ours])), [(String::new(), false), git.clone()]);
        assert_eq!(
            steps(json!([{ "comment": "a" }, { "comment": "b" }, ours])),
            [("b".to_owned(), false), git]
        );
        assert_eq!(steps(json!("x")), vec![(String::new(), false); 2]);
    }

    #[test]
    fn an_index_is_no_image() {
        let index = json!({ "manifests": [] }).to_string();
        assert_eq!(config(index.as_bytes()), None);
        assert_eq!(Stored::parse(index.as_bytes(), b"{}"), None);
    }
}
