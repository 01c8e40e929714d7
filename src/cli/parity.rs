//! `laminate parity`: compares an image of the stack with the one it replaces.

mod groups;
mod images;
mod shown;

use std::fs::File;
use std::io::Seek as _;
use std::ops::Range;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::images::Compared;
use super::args::{DiffFormat, Global, ParityArgs};
use super::interrupt::unless_cancelled;
use super::{Answer, Exit, Failure, context, pretty};
use crate::event::{Event, Events};
use crate::name::{Digest, Reference, Repository};
use crate::oci;
use crate::parity::{self, Compressed, Files, Side};
use crate::registry::{Credentials, Locator, Registry};

/// The largest config of an image that is read, bytes.
const LARGEST_CONFIG: u64 = 8 << 20;

/// Reads both images, layer by layer, and compares them.
pub async fn run(
    global: &Global,
    args: &ParityArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let ignored = parity::patterns(&args.ignore).map_err(|pattern| {
        Failure::new(
            Exit::Usage,
            format!("invalid pattern `{pattern}` of --ignore"),
        )
        .help("write a pattern as in .gitignore, for example `/opt/**/*.log`")
    })?;
    let registry = context::registry(Credentials::from_environment(), events, cancel)?;
    let sides = images::find(global, args, &registry, events, cancel).await?;
    let [first, second] = sides.each_ref().map(|side| &side.reference);
    let reading = async {
        let one = described(&registry, &sides[0]).await?;
        let other = described(&registry, &sides[1]).await?;
        let layers = one.0.layers.iter().zip(&other.0.layers);
        let shared = layers.take_while(|(one, other)| one.digest == other.digest);
        let shared = shared.count();
        let base = read(
            &registry,
            &sides[0],
            &one.0,
            0..shared,
            Files::default(),
            events,
        )
        .await?;
        let rest = shared..one.0.layers.len();
        let files = read(&registry, &sides[0], &one.0, rest, base.clone(), events).await?;
        let one = Side {
            files,
            config: one.1,
        };
        let rest = shared..other.0.layers.len();
        let files = read(&registry, &sides[1], &other.0, rest, base, events).await?;
        let other = Side {
            files,
            config: other.1,
        };
        Ok::<_, Failure>((one, other))
    };
    let (one, other) = unless_cancelled(cancel, reading).await?;
    let found = parity::compare(&one, &other, &ignored);
    let exit = if found.is_empty() {
        Exit::Done
    } else {
        Exit::Difference
    };
    let json = shown::document(&found, first, second);
    let text = match args.format {
        DiffFormat::Text => shown::text(&found, &sides),
        DiffFormat::Markdown => shown::markdown(&found, &sides),
        DiffFormat::Json => pretty(&json),
    };
    Ok(Answer::new(exit, json, text))
}

/// Returns the manifest and the config of an image.
async fn described(registry: &Registry, side: &Compared) -> Result<(oci::Image, Value), Failure> {
    let reference = &side.reference;
    let image = manifest(registry, reference).await;
    let image = image.map_err(|failure| side.explain(failure))?;
    let config = registry
        .blob(&reference.repository, &image.config.digest, LARGEST_CONFIG)
        .await?;
    let config = serde_json::from_slice(&config).map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("invalid config of `{reference}`: {error}"),
        )
    })?;
    Ok((image, config))
}

/// Adds the files of some layers of an image to those of the layers below.
async fn read(
    registry: &Registry,
    side: &Compared,
    image: &oci::Image,
    layers: Range<usize>,
    mut files: Files,
    events: &Events,
) -> Result<Files, Failure> {
    let count = image.layers.len();
    for number in layers {
        events.send(Event::Phase {
            text: format!("reading {}: layer {} of {count}", side.name, number + 1),
        });
        let layer = &image.layers[number];
        let compressed = Compressed::of(&layer.media_type);
        files = add(
            registry,
            &side.reference.repository,
            &layer.digest,
            compressed,
            files,
        )
        .await?;
    }
    Ok(files)
}

/// Returns the manifest of an image; of an index, that of this machine's platform.
async fn manifest(registry: &Registry, reference: &Reference) -> Result<oci::Image, Failure> {
    let missing = || {
        let host = reference.repository.host();
        let text = format!("`{reference}` is not in registry `{host}`");
        Failure::new(Exit::Environment, text)
    };
    let digest = reference.digest.clone().map(Locator::Digest);
    let at = digest.or(reference.tag.clone().map(Locator::Tag));
    let at = at.ok_or_else(missing)?;
    let repository = &reference.repository;
    let found = registry
        .manifest(repository, &at)
        .await?
        .ok_or_else(missing)?;
    let invalid =
        |error: oci::Error| Failure::new(Exit::Environment, format!("`{reference}`: {error}"));
    let Ok(index) = oci::Index::parse(&found.bytes) else {
        return oci::Image::parse(&found.bytes).map_err(invalid);
    };
    let platform = context::platform();
    let fitting = index
        .digest_for(&platform.os, &platform.architecture)
        .ok_or_else(missing)?;
    let found = registry
        .manifest(repository, &Locator::Digest(fitting))
        .await?;
    oci::Image::parse(&found.ok_or_else(missing)?.bytes).map_err(invalid)
}

/// Adds the files of a layer. The layer is kept in a file while it is read.
async fn add(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    compressed: Compressed,
    mut files: Files,
) -> Result<Files, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Exit::Environment,
            format!("cannot read the layer {digest}: {error}"),
        )
    };
    let mut file: File = tempfile::tempfile().map_err(unreadable)?;
    registry
        .download(repository, digest, &mut file)
        .await?
        .map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let reading = tokio::task::spawn_blocking(move || {
        let layer = std::io::BufReader::new(file);
        parity::add_layer(&mut files, layer, compressed).map(|()| files)
    });
    let read = reading
        .await
        .map_err(std::io::Error::other)
        .and_then(|read| read);
    read.map_err(unreadable)
}
