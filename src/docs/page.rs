//! The page of an image in a release, with all details.

use serde::Serialize;
use serde_json::Value;

use super::dockerfile::DockerfileView;
use super::parts::{Link, time};
use super::verdicts::{ChecksView, VerdictView, checks, suites};
use super::view::{self, Book, Row};
use super::{ImageDetails, Layer, Stored};
use crate::evidence::Info;
use crate::record::{self, GateVerdict, ReleaseImage, StoredRelease};
use crate::size::human as human_size;

/// The longest step of a layer that is shown, in characters.
const LONGEST: usize = 160;

/// The page of an image in a release.
#[derive(Serialize)]
pub struct Page {
    row: Row,
    /// One for each of its tags.
    references: Vec<String>,
    commit: String,
    release: String,
    run: String,
    git_ref: Option<String>,
    key: Option<String>,
    /// What it was adopted from, if laminate did not build it.
    adopted_from: Option<String>,
    lineage: Vec<Ancestor>,
    /// The images that files are copied from.
    copies: Vec<Ancestor>,
    outside: Vec<OutsideView>,
    verdicts: Vec<VerdictView>,
    dropped: Vec<Dropped>,
    checks: Option<ChecksView>,
    layers: Vec<LayerView>,
    /// Whether the registry has the image.
    is_stored: bool,
    config: Vec<Setting>,
    environment: String,
    labels: String,
    info: Vec<InfoView>,
    resolved: Option<String>,
    /// The last section; `None`: laminate did not build the image.
    dockerfile: Option<DockerfileView>,
}

#[derive(Serialize)]
struct Ancestor {
    /// The image itself and an external base have no page.
    link: Link,
    digest: Option<String>,
}

/// A verdict from outside.
#[derive(Serialize)]
struct OutsideView {
    gate: String,
    verdict: String,
    by: String,
    time: String,
    note: String,
}

#[derive(Serialize)]
struct Dropped {
    suite: String,
    reason: String,
}

#[derive(Serialize)]
struct LayerView {
    number: usize,
    size: String,
    step: String,
    from: String,
    digest: String,
}

#[derive(Serialize)]
struct Setting {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
struct InfoView {
    title: String,
    exit: i32,
    packages: Option<Vec<PackageView>>,
    text: String,
    error: String,
}

#[derive(Serialize)]
struct PackageView {
    name: String,
    version: String,
}

impl Book<'_> {
    /// Returns the page of the image at `index`. `details` is in the order of the release's images.
    pub fn release(&self, stored: &StoredRelease, index: usize, details: &[ImageDetails]) -> Page {
        let StoredRelease { digest, release } = stored;
        let image = &release.images[index];
        let nothing = ImageDetails::default();
        let known_of = |image: &ReleaseImage| {
            let mut all = release.images.iter();
            let at = all.position(|other| std::ptr::eq(other, image));
            at.and_then(|at| details.get(at)).unwrap_or(&nothing)
        };
        // From the external base up to the image.
        let mut chain: Vec<&ReleaseImage> = release.with_parents(image).collect();
        chain.reverse();
        let mut lineage = Vec::new();
        if let Some(base) = &chain[0].base {
            lineage.push(Ancestor {
                link: Link {
                    text: base.clone(),
                    page: None,
                },
                digest: chain[0].base_digest.as_ref().map(ToString::to_string),
            });
        }
        lineage.extend(chain.iter().map(|ancestor| Ancestor {
            link: Link {
                text: ancestor.label(),
                page: if std::ptr::eq(*ancestor, image) {
                    None
                } else {
                    self.page(digest, ancestor).map(str::to_owned)
                },
            },
            digest: Some(ancestor.digest.to_string()),
        }));
        let ours = known_of(image);
        let stored_image = ours.stored.as_ref();
        let evidence = ours.evidence.as_ref();
        let info = evidence.map(|evidence| evidence.info.values());
        let ancestors: Vec<(&str, Option<&Stored>)> = chain
            .iter()
            .map(|image| (image.image.as_str(), known_of(image).stored.as_ref()))
            .collect();
        let config = stored_image.map_or(&Value::Null, |stored| &stored.config["config"]);
        Page {
            row: self.row(stored, image),
            references: image
                .tags
                .iter()
                .map(|tag| format!("{}:{tag}", image.repository))
                .collect(),
            commit: view::whole(release.commit.as_ref()),
            release: digest.to_string(),
            run: release.run.clone(),
            git_ref: release.git_ref.clone(),
            key: image.key.as_ref().map(ToString::to_string),
            adopted_from: image.adopted_from.as_ref().map(ToString::to_string),
            lineage,
            copies: self.copies(stored, image),
            outside: ours.outside.iter().map(outside_view).collect(),
            verdicts: suites(image, evidence),
            dropped: image
                .dropped
                .iter()
                .map(|dropped| Dropped {
                    suite: dropped.suite.clone(),
                    reason: dropped.reason.clone(),
                })
                .collect(),
            checks: checks(image, evidence),
            layers: stored_image
                .map(|stored| layers(stored, &ancestors))
                .unwrap_or_default(),
            is_stored: stored_image.is_some(),
            config: settings(config),
            environment: lines(&config["Env"]),
            labels: lines(&config["Labels"]),
            info: info.into_iter().flatten().map(info_view).collect(),
            resolved: ours.resolved.as_ref().map(pretty),
            dockerfile: release.commit.as_ref().map(|commit| {
                let pinned = format!("{}@{}", image.repository, image.digest);
                DockerfileView::new(ours.dockerfile.as_ref(), &pinned, commit)
            }),
        }
    }
}

impl Book<'_> {
    /// Returns the images that files of an image are copied from.
    fn copies(&self, stored: &StoredRelease, image: &ReleaseImage) -> Vec<Ancestor> {
        let copies = image.copies.iter().map(|copied| {
            let page = match copied {
                record::Ancestor::External { .. } => None,
                record::Ancestor::Image { name, .. } => {
                    let mut all = stored.release.images.iter();
                    let is_it = |other: &&ReleaseImage| {
                        other.image == *name && other.variant == image.variant
                    };
                    all.find(is_it)
                        .and_then(|other| self.page(&stored.digest, other))
                }
            };
            Ancestor {
                link: Link {
                    text: copied.name().to_owned(),
                    page: page.map(str::to_owned),
                },
                digest: match copied {
                    record::Ancestor::External { digest, .. } => {
                        digest.as_ref().map(ToString::to_string)
                    }
                    record::Ancestor::Image { digest, .. } => Some(digest.to_string()),
                },
            }
        });
        copies.collect()
    }
}

fn outside_view(verdict: &GateVerdict) -> OutsideView {
    OutsideView {
        gate: verdict.gate.clone(),
        verdict: verdict.outcome(),
        by: verdict.by.clone(),
        time: time(verdict.time),
        note: verdict.note.clone().unwrap_or_default(),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("plain data")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Returns layers, lowest first. A layer belongs to the first of the `ancestors` that has it.
fn layers(stored: &Stored, ancestors: &[(&str, Option<&Stored>)]) -> Vec<LayerView> {
    let layers = stored.layers.iter().enumerate();
    let views = layers.map(|(index, layer)| {
        let has = |stored: &Stored| {
            let same = |own: &Layer| own.digest == layer.digest;
            stored.layers.get(index).is_some_and(same)
        };
        let first = ancestors
            .iter()
            .find(|(_, stored)| stored.is_some_and(has))
            .map_or("", |(name, _)| name);
        LayerView {
            number: index + 1,
            size: human_size(layer.size),
            step: cut(&layer.step),
            from: if layer.is_ours {
                first.to_owned()
            } else {
                "external base".to_owned()
            },
            digest: layer.digest.short().to_owned(),
        }
    });
    views.collect()
}

/// Returns the settings of a config, except environment and labels.
fn settings(config: &Value) -> Vec<Setting> {
    let names = [
        "User",
        "WorkingDir",
        "Entrypoint",
        "Cmd",
        "Shell",
        "ExposedPorts",
        "Volumes",
        "StopSignal",
        "Healthcheck",
    ];
    let set = names.into_iter().filter_map(|name| {
        let value = match &config[name] {
            Value::Null => return None,
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => text.clone(),
            // Ports and volumes are maps to empty objects.
            Value::Object(map)
                if map
                    .values()
                    .all(|value| *value == Value::Object(Default::default())) =>
            {
                let keys: Vec<&str> = map.keys().map(String::as_str).collect();
                keys.join(", ")
            }
            value => value.to_string(),
        };
        Some(Setting { name, value })
    });
    set.collect()
}

/// Returns a list or a map as lines.
fn lines(value: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let lines: Vec<String> = match value {
        Value::Array(list) => list.iter().map(text).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| format!("{key}={}", text(value)))
            .collect(),
        _ => Vec::new(),
    };
    lines.join("\n")
}

fn info_view(info: &Info) -> InfoView {
    let packages = info.packages.as_ref().map(|list| {
        let views = list.iter().map(|package| PackageView {
            name: package.name.clone(),
            version: package.version.clone(),
        });
        views.collect()
    });
    InfoView {
        title: info.title.clone(),
        exit: info.exit,
        packages,
        text: info.text.clone(),
        error: info.error.clone(),
    }
}
