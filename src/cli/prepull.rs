//! `laminate prepull`: what a cluster needs to have a channel on its nodes, and what they have of it.

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, PrepullArgs};
use super::interrupt::unless_cancelled;
use super::platform_image::platform_image;
use super::workspace::Workspace;
use super::{Answer, Exit, Failure};
use crate::disk::write_atomically;
use crate::event::{Event, Events};
use crate::nodes::reported::{self, ChannelImages, Node, NodeImage, State};
use crate::nodes::{self, Image, Layer, Options, Pinned, Toleration};
use crate::oci;
use crate::record::{ADOPTED, LedgerEntry};
use crate::registry::{Locator, Registry};
use crate::release::{self, Target, targets};
use crate::table;

/// More than any image's config has.
const CONFIG_LIMIT: u64 = 8 << 20;

pub async fn run(
    global: &Global,
    args: &PrepullArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let workspace = Workspace::open(global, events, cancel).await?;
    workspace.declared(&args.channel)?;
    let work = async {
        let ledger = workspace.channel(&args.channel).look().await?;
        let none = || release::Error::NoChannel {
            channel: args.channel.clone(),
        };
        let (_, entry) = ledger.current.ok_or_else(none)?;
        if let Some((_, open)) = &ledger.open {
            events.send(Event::Warning {
                text: format!(
                    "channel {} has an unfinished {}; using the release before it",
                    args.channel, open.kind
                ),
            });
        }
        if args.stale.is_empty() {
            write(global, &workspace, args, &entry).await
        } else {
            stale(&workspace, args, &entry, events).await
        }
    };
    unless_cancelled(cancel, work).await
}

/// Writes the objects and values of a channel.
async fn write(
    global: &Global,
    workspace: &Workspace,
    args: &PrepullArgs,
    entry: &LedgerEntry,
) -> Result<Answer, Failure> {
    let wanted = |target: &Target| {
        let variant = target.label.split_once('/').map(|(variant, _)| variant);
        let mut wanted = global.variants.iter();
        global.variants.is_empty() || wanted.any(|name| Some(name.as_str()) == variant)
    };
    let all = targets(entry);
    let images = try_join_all(
        all.iter()
            .filter(|one| wanted(one))
            .map(|one| image(&workspace.staging.registry, one)),
    );
    let pinned = Pinned {
        channel: args.channel.clone(),
        release: entry.release.clone(),
        commit: entry.commit.clone(),
        images: images.await?,
    };
    if pinned.images.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            format!("channel `{}` has no image of that variant", args.channel),
        ));
    }
    let tolerations = if args.tolerations.is_empty() {
        Toleration::of_users()
    } else {
        args.tolerations.clone()
    };
    let options = Options {
        namespace: args.namespace.clone(),
        pause: args.pause.to_string(),
        tolerations,
        selector: args.node_selector.clone(),
        pull_secrets: args.pull_secret.clone(),
        parallel: args.parallel.into(),
    };
    let manifests = nodes::daemon_sets(&pinned, &options);
    let values = nodes::values(&pinned);
    let head = format!(
        "# Channel {} at release {}, {}.\n# Made by `laminate prepull`; re-run it when the channel has moved.\n",
        pinned.channel,
        pinned.release,
        match &pinned.commit {
            Some(commit) => format!("commit {commit}"),
            None => ADOPTED.to_owned(),
        }
    );
    let objects = format!("{head}{}", nodes::yaml(&manifests));
    let choices = format!("{head}{}", nodes::yaml(std::slice::from_ref(&values)));
    let mut files = Vec::new();
    let text = match &args.out {
        Some(folder) => {
            files = put(folder, &args.channel, &objects, &choices)
                .map_err(|error| Failure::new(Exit::Environment, error.to_string()))?;
            files.iter().map(|file| format!("{file}\n")).collect()
        }
        None if args.values => choices,
        None => objects,
    };
    let json = json!({
        "channel": pinned.channel,
        "release": pinned.release.as_str(),
        "commit": pinned.commit,
        "images": pinned.images.iter().map(image_json).collect::<Vec<_>>(),
        "manifests": manifests,
        "values": values,
        "files": files,
    });
    Ok(Answer::new(Exit::Done, json, text))
}

fn put(
    folder: &Utf8Path,
    channel: &str,
    objects: &str,
    values: &str,
) -> std::io::Result<Vec<Utf8PathBuf>> {
    fs_err::create_dir_all(folder)?;
    let mut files = Vec::new();
    for (what, text) in [("prepull", objects), ("values", values)] {
        let file = folder.join(format!("{what}-{channel}.yaml"));
        // A link there is replaced, not followed.
        write_atomically(&file, text.as_bytes())?;
        files.push(file);
    }
    Ok(files)
}

/// What its manifest and config say of an image.
async fn image(registry: &Registry, target: &Target) -> Result<Image, Failure> {
    let at = Locator::Digest(target.digest.clone());
    let unusable = |what: &str| {
        Failure::new(
            Exit::Environment,
            format!("{}@{} {what}", target.repository, target.digest),
        )
    };
    let manifest = registry.manifest(&target.repository, &at).await?;
    let manifest = manifest.ok_or_else(|| {
        unusable("is not in the registry any more, but the channel is at it")
            .help("promote the channel to a release that has all its images")
    })?;
    let found = platform_image(registry, &target.repository, &manifest).await?;
    let (image, is_only) = found.ok_or_else(|| unusable("cannot be read: it is not an image"))?;
    let config = registry
        .blob(&target.repository, &image.config.digest, CONFIG_LIMIT)
        .await?;
    let config: Value =
        serde_json::from_slice(&config).map_err(|_| unusable("has a config that is not JSON"))?;
    Ok(Image {
        label: target.label.clone(),
        repository: target.repository.clone(),
        tag: target.tag.clone(),
        digest: target.digest.clone(),
        // An index has images for others as well.
        architecture: (config["architecture"].as_str().filter(|_| is_only)).map(str::to_owned),
        layers: image
            .blobs()
            .into_iter()
            .skip(1)
            .map(|layer| Layer {
                digest: layer.digest.clone(),
                bytes: layer.size,
            })
            .collect(),
    })
}

fn image_json(image: &Image) -> Value {
    json!({
        "image": image.name(),
        "variant": image.variant(),
        "repository": image.repository.to_string(),
        "tag": image.tag.as_str(),
        "digest": image.digest.as_str(),
        "size": oci::total(image.layers.iter().map(|layer| layer.bytes)),
    })
}

/// Returns which nodes have old images of the channel.
async fn stale(
    workspace: &Workspace,
    args: &PrepullArgs,
    entry: &LedgerEntry,
    events: &Events,
) -> Result<Answer, Failure> {
    let mut all = Vec::new();
    for file in &args.stale {
        all.extend(read(file)?);
    }
    let history = workspace.channel(&args.channel).history().await?;
    let history: Vec<LedgerEntry> = history.into_iter().map(|(_, entry)| entry).collect();
    let declared = workspace.context.stack.channels().iter();
    let others = declared.filter(|channel| channel.name != args.channel);
    let others = try_join_all(others.map(|channel| async {
        let current = workspace.channel(&channel.name).current().await?;
        Ok::<_, release::Error>(current.map(|(_, entry)| entry))
    }));
    let others = others.await?;
    let known = ChannelImages::new(&history, others.iter().flatten());
    let nodes: Vec<(&Node, Vec<NodeImage>)> = all
        .iter()
        .map(|node| (node, reported::compare(&known, node)))
        .collect();
    let cut = all.iter().filter(|node| node.cut).count();
    if cut > 0 {
        events.send(Event::Warning {
            text: format!(
                "{cut} of {} nodes list the maximum number of images (nodeStatusMaxImages) and may have more; `crictl images -o json` lists all",
                all.len()
            ),
        });
    }
    let with_stale = nodes
        .iter()
        .filter(|(_, images)| reported::command(images).is_some())
        .count();
    let exit = match with_stale {
        0 => Exit::Done,
        _ => Exit::Difference,
    };
    let json = json!({
        "channel": args.channel,
        "release": entry.release,
        "commit": entry.commit,
        "stale": with_stale,
        "nodes": nodes.iter().map(|(node, images)| json!({
            "node": node.name,
            "complete": !node.cut,
            "images": images.iter().map(node_image_json).collect::<Vec<_>>(),
            "command": reported::command(images),
        })).collect::<Vec<_>>(),
    });
    Ok(Answer::new(
        exit,
        json,
        table(&args.channel, &nodes, with_stale),
    ))
}

/// The nodes of a file, or of stdin for `-`; a list that names none is of the file's own name.
fn read(file: &Utf8Path) -> Result<Vec<Node>, Failure> {
    let (text, name) = match file.as_str() {
        "-" => (std::io::read_to_string(std::io::stdin()), "stdin"),
        _ => (
            fs_err::read_to_string(file),
            file.file_stem().unwrap_or(file.as_str()),
        ),
    };
    let text = text.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    reported::nodes(name, &text).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

fn node_image_json(image: &NodeImage) -> Value {
    let mut json = json!({
        "labels": image.labels,
        "repository": image.repository.to_string(),
        "digest": image.digest.as_str(),
        "state": image.state.word(),
    });
    if let State::Kept(channels) = &image.state {
        json["channels"] = json!(channels);
    }
    json
}

fn table(channel: &str, all: &[(&Node, Vec<NodeImage>)], with_stale: usize) -> String {
    let mut rows = Vec::new();
    for (node, images) in all {
        for image in images {
            let state = match &image.state {
                State::Current => continue,
                State::Kept(channels) => format!("old, but used by {}", channels.join(", ")),
                State::Same => "old, but the same image as a current one".to_owned(),
                State::Stale => "old".to_owned(),
                State::Missing => "missing".to_owned(),
            };
            rows.push(vec![
                node.name.clone(),
                image.labels.join(", "),
                image.digest.short().to_owned(),
                state,
            ]);
        }
    }
    let mut text = String::new();
    if !rows.is_empty() {
        text = table::plain(&["NODE", "IMAGE", "DIGEST", "STATE"], &rows);
        text.push('\n');
    }
    let nodes = match all.len() {
        1 => "1 node".to_owned(),
        n => format!("{n} nodes"),
    };
    text.push_str(&match with_stale {
        0 => format!("{nodes}, none with old digests of channel {channel}\n"),
        n => format!("{n} of {nodes} have old digests of channel {channel}; to remove them:\n"),
    });
    for (node, images) in all {
        if let Some(command) = reported::command(images) {
            text.push_str(&format!("on {}: {}\n", node.name, command.join(" ")));
        }
    }
    text
}
