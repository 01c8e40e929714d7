//! An image as the registry stores it: its layers and its config.

use serde_json::Value;

use crate::name::Digest;
use crate::oci::Image;

/// An image as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// The OCI image config.
    pub config: Value,
}

/// A layer, and the step that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its digest.
    pub digest: Digest,
    /// Its size as stored, in bytes.
    pub size: u64,
    /// The title of the step, or the text in the base's history; empty if there is none.
    pub step: String,
    /// Whether a step of the stack made it.
    pub is_ours: bool,
}

impl Stored {
    /// Returns an image with the bytes of its config read; `None` if they are not JSON.
    pub fn parse(image: &Image, config: &[u8]) -> Option<Self> {
        let config: Value = serde_json::from_slice(config).ok()?;
        let history: Vec<&Value> = match &config["history"] {
            Value::Array(list) => list
                .iter()
                .filter(|entry| entry["empty_layer"] != Value::Bool(true))
                .collect(),
            _ => Vec::new(),
        };
        // The history of a base can have too few or too many entries. Our layers are on top.
        let layers = image.layers.iter().rev().enumerate();
        let mut layers: Vec<Layer> = layers
            .map(|(depth, layer)| {
                let entry = history.iter().rev().nth(depth);
                let text = |name: &str| entry.and_then(|entry| entry[name].as_str());
                let step = text("created_by").or_else(|| text("comment"));
                Layer {
                    digest: layer.digest.clone(),
                    size: layer.size,
                    step: step.unwrap_or_default().to_owned(),
                    is_ours: text("comment") == Some("laminate"),
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
    use crate::oci::Descriptor;
    use serde_json::json;

    fn steps(history: Value) -> Vec<(String, bool)> {
        let image = Image {
            config: Descriptor::of("c", b"{}"),
            layers: vec![Descriptor::of("l", b"1"), Descriptor::of("l", b"22")],
        };
        let config = json!({ "history": history }).to_string();
        let stored = Stored::parse(&image, config.as_bytes()).expect("JSON");
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
}
