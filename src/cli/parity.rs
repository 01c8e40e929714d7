//! `laminate parity`: compares an image of the stack with the one it replaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek as _;
use std::ops::Range;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{DiffFormat, Global, ParityArgs};
use super::interrupt::unless_cancelled;
use super::{Answer, Exit, Failure, context, pretty};
use crate::event::{Event, Events};
use crate::name::{Digest, Reference, Repository};
use crate::oci;
use crate::parity::{self, Changed, Compressed, Differences, Files, Side};
use crate::plan::{Action, Request};
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
    })?;
    let registry = context::registry(Credentials::from_environment(), events, cancel)?;
    let first = match reference_of(&args.image) {
        Some(reference) => reference,
        None => built(global, &args.image, &registry, events, cancel).await?,
    };
    let second = Reference::parse(&args.with).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("invalid image reference `{}`: {error}", args.with),
        )
    })?;
    let reading = async {
        let one = described(&registry, &first).await?;
        let other = described(&registry, &second).await?;
        let layers = one.0.layers.iter().zip(&other.0.layers);
        let shared = layers.take_while(|(one, other)| one.digest == other.digest);
        let shared = shared.count();
        let base = read(
            &registry,
            &first,
            &one.0,
            0..shared,
            Files::default(),
            events,
        )
        .await?;
        let rest = shared..one.0.layers.len();
        let files = read(&registry, &first, &one.0, rest, base.clone(), events).await?;
        let one = Side {
            files,
            config: one.1,
        };
        let rest = shared..other.0.layers.len();
        let files = read(&registry, &second, &other.0, rest, base, events).await?;
        let other = Side {
            files,
            config: other.1,
        };
        Ok::<_, Failure>((one, other))
    };
    let (one, other) = unless_cancelled(cancel, reading).await?;
    let found = parity::compare(&one, &other, &ignored);
    let names = [args.image.as_str(), args.with.as_str()];
    let exit = if found.is_empty() {
        Exit::Done
    } else {
        Exit::Difference
    };
    let json = document(&found, &first, &second);
    let text = match args.format {
        DiffFormat::Text => text(&found, names),
        DiffFormat::Markdown => markdown(&found, names),
        DiffFormat::Json => pretty(&json),
    };
    Ok(Answer::new(exit, json, text))
}

/// Returns the reference that a text is, if it is not the name of an image of the stack.
fn reference_of(text: &str) -> Option<Reference> {
    let is_reference = text.contains(['/', '@']) && text.contains([':', '.']);
    Reference::parse(text).ok().filter(|_| is_reference)
}

/// Returns an image of the stack that is up to date, in staging.
async fn built(
    global: &Global,
    name: &str,
    registry: &Registry,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Reference, Failure> {
    let context = context::load(global).await?;
    let id = context.select_one(name)?;
    let (_, plan) = context
        .plan(Some(registry), &Request::default(), events, cancel)
        .await?;
    match (&plan.images[id.0].action, context.stack.staging()) {
        (Action::Reuse { digest }, Some(staging)) => Ok(Reference {
            repository: staging.clone(),
            tag: None,
            digest: Some(digest.clone()),
        }),
        _ => Err(
            Failure::new(Exit::Environment, format!("image `{name}` is not built"))
                .help("run `laminate build` with a registry, then compare"),
        ),
    }
}

/// Returns the manifest and the config of an image.
async fn described(
    registry: &Registry,
    reference: &Reference,
) -> Result<(oci::Image, Value), Failure> {
    let image = manifest(registry, reference).await?;
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
    reference: &Reference,
    image: &oci::Image,
    layers: Range<usize>,
    mut files: Files,
    events: &Events,
) -> Result<Files, Failure> {
    let count = image.layers.len();
    for number in layers {
        events.send(Event::Phase {
            text: format!("reading {reference}: layer {} of {count}", number + 1),
        });
        let layer = &image.layers[number];
        let compressed = Compressed::of(&layer.media_type);
        files = add(
            registry,
            &reference.repository,
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

fn document(found: &Differences, first: &Reference, second: &Reference) -> Value {
    let list = |changes: &[Changed]| -> Value {
        let value =
            |it: &Changed| json!({ "what": it.what, "first": it.first, "second": it.second });
        changes.iter().map(value).collect()
    };
    json!({
        "first": first.to_string(),
        "second": second.to_string(),
        "same": found.is_empty(),
        "config": list(&found.config),
        "packages": list(&found.packages),
        "files": list(&found.files),
        "ignored": found.ignored,
        "ignores": parity::IGNORED.iter().copied().collect::<BTreeMap<_, _>>(),
    })
}

fn parts(found: &Differences) -> [(&'static str, &Vec<Changed>); 3] {
    [
        ("config", &found.config),
        ("packages", &found.packages),
        ("files", &found.files),
    ]
}

/// Returns the number of differences, and what was left out.
fn summary(found: &Differences) -> String {
    let count: usize = parts(found).iter().map(|(_, list)| list.len()).sum();
    let mut text = match count {
        0 => "no differences".to_owned(),
        1 => "1 difference".to_owned(),
        count => format!("{count} differences"),
    };
    if found.ignored > 0 {
        let count = found.ignored;
        text.push_str(&format!(
            "; {count} files that differ from build to build are left out"
        ));
    }
    text
}

fn text(found: &Differences, names: [&str; 2]) -> String {
    let mut text = String::new();
    for (title, list) in parts(found) {
        if list.is_empty() {
            continue;
        }
        text.push_str(&format!("{title}\n"));
        for Changed {
            what,
            first,
            second,
        } in list
        {
            let line = match (first, second) {
                (Some(first), Some(second)) => format!("{what}: {first} → {second}"),
                (Some(only), None) => format!("{what}: only in {} ({only})", names[0]),
                (None, Some(only)) => format!("{what}: only in {} ({only})", names[1]),
                (None, None) => what.clone(),
            };
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str(&format!("{}\n", summary(found)));
    text
}

fn markdown(found: &Differences, names: [&str; 2]) -> String {
    let mut text = String::new();
    let cell = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("–");
        text.replace('|', "\\|").replace('\n', " ")
    };
    for (title, list) in parts(found) {
        if list.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "| {title} | {} | {} |\n|---|---|---|\n",
            names[0], names[1]
        ));
        for it in list {
            let what = it.what.replace('|', "\\|");
            text.push_str(&format!(
                "| `{what}` | {} | {} |\n",
                cell(&it.first),
                cell(&it.second)
            ));
        }
        text.push('\n');
    }
    text.push_str(&format!("{}\n", summary(found)));
    text
}
