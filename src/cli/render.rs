//! `laminate render`: Dockerfiles that build the images of the stack without laminate.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, RenderArgs};
use super::interrupt::unless_cancelled;
use super::{Answer, Exit, Failure, context};
use crate::compile::BaseConfig;
use crate::event::Events;
use crate::gather::{self, Gathered, Needs};
use crate::name::{Digest, Reference};
use crate::plan::Request;
use crate::registry::{Credentials, Registry};
use crate::render::{self, Content, Facts, File, Rendered, Target};
use crate::stack::{Base, ImageId, Stack};

/// Folders of an image that hold only what was rendered.
const OWN: [&str; 6] = [
    "files",
    "shared",
    "steps",
    "context",
    "contexts",
    "dockerfile",
];

/// Renders the stack and writes the files.
pub async fn run(
    global: &Global,
    args: &RenderArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let folder = match &global.directory {
        Some(directory) => directory.join(&args.dockerfile),
        None => args.dockerfile.clone(),
    };
    if !args.dry_run && !args.force {
        ensure_empty(&folder)?;
    }
    let context = context::load_to_plan(global).await?;
    let registry = context::registry(Credentials::from_environment(), events, cancel)?;
    let (gathered, _) = context
        .plan(Some(&registry), &Request::default(), events, cancel)
        .await?;
    let reading = async { Ok::<_, Failure>(facts(&context.stack, gathered, &registry).await) };
    let facts = unless_cancelled(cancel, reading).await?;
    let made = render::render(&context.stack, &facts)
        .map_err(|problems| Failure::spec(context.stack.sources().as_ref().clone(), problems))?;
    if !args.dry_run {
        write(&folder, &made)?;
    }
    let json = json!({
        "folder": folder,
        "written": !args.dry_run,
        "files": made.files.0.iter().filter(|(_, file)| !matches!(file, File::Folder(_))).map(|(path, _)| path).collect::<Vec<_>>(),
        "targets": made.targets.iter().map(|target| document(target, &made)).collect::<Vec<_>>(),
        "differences": made.notes.iter().map(|note| json!({ "image": note.image, "text": note.text })).collect::<Vec<_>>(),
    });
    let text = text(&folder, &made, args.dry_run);
    Ok(Answer::new(Exit::Done, json, text))
}

fn document(target: &Target, made: &Rendered) -> Value {
    let contexts: BTreeMap<&String, Value> = target
        .contexts
        .iter()
        .map(|(name, context)| {
            let value = match context {
                render::Context::Target(name) => json!({ "target": name }),
                render::Context::Image(reference) => json!({ "image": reference }),
                render::Context::Folder(path) => json!({ "folder": path }),
            };
            (name, value)
        })
        .collect();
    json!({
        "target": target.name,
        "image": target.label,
        "context": target.context,
        "dockerfile": target.dockerfile,
        "contexts": contexts,
        "args": target.args,
        "stage": target.stage,
        "secrets": target.secrets,
        "ssh": target.agents,
        "text": shown(made, target),
    })
}

/// Returns the Dockerfile of a target.
pub(super) fn shown(made: &Rendered, target: &Target) -> Option<String> {
    match made.files.0.get(&target.dockerfile) {
        Some(File::Regular {
            content: Content::Bytes(bytes),
            ..
        }) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

/// Returns what was written, and what differs.
fn text(folder: &Utf8Path, made: &Rendered, dry_run: bool) -> String {
    let mut text = String::new();
    if dry_run {
        for target in &made.targets {
            if let Some(file) = shown(made, target) {
                text.push_str(&format!("==> {} <==\n{file}\n", target.dockerfile));
            }
        }
    }
    if !made.notes.is_empty() {
        text.push_str("Different from the images that laminate builds:\n");
        for note in &made.notes {
            text.push_str(&format!("  {}: {}\n", note.image, note.text));
        }
    }
    if !dry_run {
        let images = made.targets.len();
        let plural = if images == 1 { "" } else { "s" };
        text.push_str(&format!(
            "wrote {images} Dockerfile{plural} and docker-bake.json to {folder}\nnext: cd {folder} && docker buildx bake\n"
        ));
    }
    text
}

/// Reads the configs that decide the user and the shell of steps. One that cannot be read is missing.
pub(super) async fn facts(stack: &Stack, gathered: Gathered, registry: &Registry) -> Facts {
    let external = gathered.external;
    let bases = stack.images().iter().filter_map(|image| match &image.base {
        Base::External(base) => Some(&base.reference.value),
        Base::Image(_) | Base::Scratch => None,
    });
    let mut needed: BTreeMap<Reference, (Digest, Needs)> = bases
        .filter_map(|reference| {
            Some((
                reference.clone(),
                (external.get(reference)?.clone(), Needs::Config),
            ))
        })
        .collect();
    let mut built: BTreeMap<ImageId, Reference> = BTreeMap::new();
    for id in stack.ids() {
        let stored = gathered
            .keys
            .get(id)
            .and_then(|keyed| gathered.facts.stored.get(&keyed.key));
        if let (true, Some(digest), Some(staging)) =
            (stack[id].dockerfile().is_some(), stored, stack.staging())
        {
            let reference = Reference {
                repository: staging.clone(),
                tag: None,
                digest: Some(digest.clone()),
            };
            needed.insert(reference.clone(), (digest.clone(), Needs::Config));
            built.insert(id, reference);
        }
    }
    let found = gather::external_images(registry, needed, &context::platform_name()).await;
    let configs: BTreeMap<Reference, BaseConfig> = found
        .configs
        .into_iter()
        .filter_map(|(reference, bytes)| Some((reference, BaseConfig::parse(&bytes).ok()?)))
        .collect();
    let built = built.into_iter();
    Facts {
        external,
        dockerfiles: built
            .filter_map(|(id, reference)| Some((id, configs.get(&reference)?.clone())))
            .collect(),
        bases: configs,
    }
}

/// Fails if there is something in the folder.
fn ensure_empty(folder: &Utf8Path) -> Result<(), Failure> {
    let is_empty = match fs_err::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => {
            if error.kind() == std::io::ErrorKind::NotFound {
                true
            } else {
                return Err(Failure::new(Exit::Environment, error.to_string()));
            }
        }
    };
    if is_empty {
        return Ok(());
    }
    Err(
        Failure::new(Exit::Usage, format!("folder `{folder}` is not empty"))
            .help("use another folder, or add --force to replace what an earlier run wrote"),
    )
}

/// Writes all files. What an earlier run wrote into the same folders is removed first.
fn write(folder: &Utf8Path, made: &Rendered) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Environment, error.to_string());
    let tops: BTreeSet<Utf8PathBuf> = made
        .targets
        .iter()
        .filter(|target| target.is_image)
        .map(|target| folder.join(&target.label))
        .collect();
    for top in &tops {
        for own in OWN {
            match fs_err::remove_dir_all(top.join(own)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(error));
                }
                _ => {}
            }
        }
        fs_err::create_dir_all(top).map_err(failed)?;
    }
    for (path, file) in &made.files.0 {
        write_file(&folder.join(path), file).map_err(failed)?;
    }
    // At last: a folder may allow no new files in it.
    for (path, file) in made.files.0.iter().rev() {
        if let File::Folder(mode) = file {
            set_mode(&folder.join(path), *mode).map_err(failed)?;
        }
    }
    Ok(())
}

fn write_file(path: &Utf8Path, file: &File) -> std::io::Result<()> {
    if let File::Folder(_) = file {
        return fs_err::create_dir_all(path);
    }
    if let Some(above) = path.parent() {
        fs_err::create_dir_all(above)?;
    }
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match file {
        File::Folder(_) => Ok(()),
        File::Link(text) => symlink(text, path),
        File::Regular { mode, content } => {
            match content {
                Content::Bytes(bytes) => fs_err::write(path, bytes)?,
                Content::Disk(from) => {
                    fs_err::copy(from, path)?;
                }
            }
            set_mode(path, *mode)
        }
    }
}

fn set_mode(path: &Utf8Path, mode: u32) -> std::io::Result<()> {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode))
}
