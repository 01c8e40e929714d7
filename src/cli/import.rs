//! `laminate import`: a stack from Dockerfiles, a bake file, a compose file or a `spec.yml`.

mod copies;
mod find;
mod list;
mod originals;
mod other_builds;
mod report;
mod unread;
mod wrap;

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use self::find::{Form, Place, find};
use self::list::first;
use super::args::{Global, ImportArgs};
use super::paths::below;
use super::{Answer, Exit, Failure, workflow};
use crate::git;
use crate::import::{self, ExistingSpec, Imported, Note, Settings, Sources};

/// Files larger than this are copied, but not read for Dockerfiles, bytes.
const LARGEST: u64 = 1 << 20;

/// Writes a spec, and copies the files that its images need.
pub async fn run(global: &Global, args: &ImportArgs) -> Result<Answer, Failure> {
    let from = args.from.as_deref().unwrap_or(Utf8Path::new("."));
    let base = global.directory.as_deref().unwrap_or(Utf8Path::new("."));
    let to = match &args.to {
        Some(to) => below(base, to),
        None => base.to_owned(),
    };
    let places = find(base, from)?;
    let spec_path = below(&to, "specs.yml");
    if spec_path.exists() && !args.force && !args.dry_run {
        let text = format!("`{spec_path}` exists already");
        return Err(Failure::new(Exit::Usage, text)
            .help("add --force to replace all of `images:`, with the `tests:` and other keys that images have there, and to keep the rest; --to FOLDER to write into another folder"));
    }
    let name = stack_name(&places[0].folder);
    let (place, sources, mut found) = first(places).await?;
    let Place {
        folder, list, form, ..
    } = place;
    if (form, list.as_str()) == (Form::Tree, "images") {
        found.notes.extend(unread::notes(&found.targets, &sources));
    }
    found.notes.extend(unread_files(&folder, &to, &sources));
    if found.targets.is_empty() {
        let text = format!("no Dockerfile found below `{from}`");
        return Err(Failure::new(Exit::Usage, text));
    }
    let replaced = fs_err::read_to_string(&spec_path).ok();
    let existing = replaced.as_deref().and_then(ExistingSpec::read);
    let kept = |key: &str| Some(existing.as_ref()?.get(key)?.to_owned());
    let stack = args.stack.clone().or_else(|| kept("stack"));
    let is_named = stack.is_some();
    let settings = Settings {
        stack: stack.unwrap_or(name),
        registry: global.registry.clone().or_else(|| kept("registry")),
        is_in_place: same(&folder, &to),
        is_native: args.native,
        has_spec: existing.is_some(),
    };
    let imported = import::imported(found, &sources, &settings);
    let mut imported = imported.map_err(|text| Failure::new(Exit::Spec, text))?;
    copies::settle(&mut imported, &folder, &to)?;
    let text = with_kept(
        &mut imported,
        existing.as_ref(),
        replaced.is_some(),
        global,
        args,
    );
    let spec = header(&list, &imported) + &text;
    let mut is_tracked = false;
    if !args.dry_run {
        copies::write(&folder, &to, &spec, &imported)?;
        is_tracked = note_ignored(&to, &mut imported).await?;
    }
    let other = (!settings.is_in_place)
        .then_some(args.to.as_deref())
        .flatten();
    let elsewhere = (!settings.is_in_place).then_some(folder.as_path());
    let originals = originals::Originals::of(&imported, &sources, other, elsewhere);
    let removal = settings.is_in_place && is_tracked;
    let other_builds = other_builds::find(&folder, &sources);
    let report = report::Report {
        spec: &spec,
        imported: &imported,
        originals: &originals,
        other_builds: &other_builds,
        other_folder: other,
        folder_name: (!is_named).then_some(settings.stack.as_str()),
        keeps_keys: settings.has_spec,
        removal: removal.then_some(folder.as_path()),
        is_written: !args.dry_run,
        lacks_workflow: matches!(workflow::Place::find(&to), workflow::Place::Free(_)),
    };
    Ok(Answer::new(Exit::Done, report.json(), report.text()))
}

/// Returns the text of the spec, with the keys that an existing one keeps. `is_replaced`: there is one, perhaps an invalid one.
fn with_kept(
    imported: &mut Imported,
    existing: Option<&ExistingSpec>,
    is_replaced: bool,
    global: &Global,
    args: &ImportArgs,
) -> String {
    let text = imported.text.clone();
    let Some(existing) = existing else {
        if is_replaced {
            let became = "replaced with all its keys: it is not valid YAML";
            let note = Note::open("specs.yml", "its text", became);
            imported.notes.push(note);
        }
        return text;
    };
    let mut set = Vec::new();
    set.extend(args.stack.is_some().then_some("stack"));
    set.extend(global.registry.is_some().then_some("registry"));
    existing.kept_in(&text, &set, &mut imported.notes)
}

/// Returns notes of what an import into a folder leaves out.
fn unread_files(folder: &Utf8Path, to: &Utf8Path, sources: &Sources) -> Vec<Note> {
    let mut notes = Vec::new();
    if !same(folder, to) && folder.join("specs.yml").exists() {
        notes.push(Note::open(
            "specs.yml",
            "the spec of this folder",
            "not read, because --to writes a new one: copy `tests:`, `channels:` and other keys that you need",
        ));
    }
    notes.extend(sources.unnamed.iter().map(|path| {
        Note::open(
            path,
            "a name that is not valid UTF-8",
            "left out: rename the file, and import again",
        )
    }));
    notes.extend(sources.git_warnings.iter().map(|warning| {
        let became =
            "files that git ignores may be part of the import: correct this, and import again";
        Note::open("git", warning, became)
    }));
    notes
}

/// Returns a command of laminate for a stack. `folder`: where it is, if it is in another one.
pub(super) fn command_in(folder: Option<&Utf8Path>, command: &str) -> String {
    match folder {
        Some(folder) => format!(
            "`laminate -C {} {command}`",
            originals::quoted(folder.as_str())
        ),
        None => format!("`laminate {command}`"),
    }
}

/// Returns what to do with a new spec. `folder`: where it is, if it is in another one.
pub(super) fn next(has_registry: bool, folder: Option<&Utf8Path>) -> String {
    let of = |command: &str| command_in(folder, command);
    let (build, plan) = (of("build"), of("plan"));
    if has_registry {
        format!("next: commit the files, then run {build} ({plan} shows what it would build)\n")
    } else {
        let export = of("build --export oci:stack.tar");
        let spec = folder.map_or_else(|| "specs.yml".into(), |folder| folder.join("specs.yml"));
        format!(
            "next: set `registry:` in {spec}, commit the files, then run {build} ({plan} shows what it would build); without a registry, {export}\n"
        )
    }
}

fn header(list: &str, imported: &Imported) -> String {
    let list = if list == "." { "Dockerfiles" } else { list };
    let repository = env!("CARGO_PKG_REPOSITORY");
    let mut text =
        format!("# Imported from {list}. All keys: {repository}/blob/main/docs/spec.md\n");
    if imported.spec.get("registry").is_none() {
        text.push_str("# To publish images, add `registry: HOST/NAMESPACE`.\n");
    }
    text
}

fn same(one: &Utf8Path, other: &Utf8Path) -> bool {
    let real = |path: &Utf8Path| fs_err::canonicalize(path).ok();
    real(one).is_some_and(|path| Some(path) == real(other))
}

/// Returns a name for the stack, made of that of a folder.
pub(super) fn stack_name(folder: &Utf8Path) -> String {
    let real = folder
        .canonicalize_utf8()
        .unwrap_or_else(|_| folder.to_owned());
    let name = real.file_name().unwrap_or("stack").to_lowercase();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let name: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    match name.trim_matches('-') {
        "" => "stack".to_owned(),
        name => name.to_owned(),
    }
}

/// Returns the files below a folder, with the texts of Dockerfiles, `.dockerignore`s, scripts and files that can be requirements.
async fn read(folder: &Utf8Path) -> Result<Sources, Failure> {
    let mut files = BTreeMap::new();
    let (mut links, mut unclear) = (BTreeMap::new(), BTreeSet::new());
    let mut unnamed = Vec::new();
    let warnings = git::Warnings::default();
    let ignored = ignored(folder, &warnings).await?;
    let mut open = vec![Utf8PathBuf::new()];
    while let Some(inner) = open.pop() {
        let entries = fs_err::read_dir(folder.join(&inner)).map_err(unreadable)?;
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    unnamed.push(inner.join(name.to_string_lossy().as_ref()).to_string());
                    continue;
                }
            };
            let kind = entry.file_type().map_err(unreadable)?;
            let path = inner.join(&name);
            // A program has made these folders, unless git has them.
            let is_made = matches!(name.as_str(), "node_modules" | "__pycache__");
            let is_made = is_made && ignored.as_ref().is_none_or(|it| it.contains(path.as_str()));
            if name == ".git" || is_made {
                continue;
            }
            if kind.is_dir() {
                open.push(path);
                continue;
            }
            let is_text = name.to_lowercase().contains("dockerfile")
                || name.ends_with(".dockerignore")
                || name.contains("Containerfile")
                || name == "fix-permissions"
                || [".txt", ".in", ".sh"].iter().any(|end| name.ends_with(end));
            let whole = below(folder, &path);
            if kind.is_symlink() {
                let (target, is_clear) = link_target(&path, &whole);
                if !is_clear {
                    unclear.insert(path.to_string());
                }
                links.extend(target.map(|target| (path.to_string(), target)));
            }
            let text = if is_text {
                text_of(&whole, LARGEST)
            } else {
                None
            };
            files.insert(path.to_string(), text);
        }
    }
    Ok(Sources {
        ignored: ignored.unwrap_or_default(),
        git_warnings: warnings.take(),
        files,
        links,
        unclear,
        unnamed,
    })
}

/// Returns where a link leads to, relative to the folder of the import, and whether this is the same in a context.
fn link_target(path: &Utf8Path, whole: &Utf8Path) -> (Option<String>, bool) {
    let folder = path.parent().map_or("", Utf8Path::as_str);
    let Some(target) = whole.read_link_utf8().ok().filter(|it| it.is_relative()) else {
        return (None, false);
    };
    let inside = import::inside(folder, target.as_str());
    let is_clear = inside.is_some() && import::is_direct(folder, target.as_str());
    (inside, is_clear)
}

/// Notes files that git ignores where they were copied to, although it tracks them where they are from. Returns whether there
/// is a git repository.
async fn note_ignored(to: &Utf8Path, imported: &mut Imported) -> Result<bool, Failure> {
    // In the folder itself they were reported when it was read.
    let ignored = ignored(to, &git::Warnings::default()).await?;
    let is_tracked = ignored.is_some();
    let sources = Sources {
        ignored: ignored.unwrap_or_default(),
        ..Sources::default()
    };
    let became = "git ignores it there, and ignored files are not part of a stack: add it with `git add --force`";
    let copies = imported.copies.iter();
    let copies = copies.map(|copy| (&copy.from, "copied", &copy.to));
    let written = imported.written.keys().map(|path| (path, "written", path));
    let ignored = copies
        .chain(written)
        .filter(|(_, _, to)| sources.is_ignored(to));
    let notes: Vec<Note> = ignored
        .map(|(from, done, to)| Note::open(from, format!("{done} to {to}"), became))
        .collect();
    imported.notes.extend(notes);
    Ok(is_tracked)
}

/// Returns the files and folders that git ignores, `None` without git.
async fn ignored(
    folder: &Utf8Path,
    warnings: &git::Warnings,
) -> Result<Option<BTreeSet<String>>, Failure> {
    let tree = git::read_work_tree(folder, "specs.yml", Utf8Path::new("."), warnings);
    let tree = match tree.await {
        Ok(tree) => tree,
        Err(git::Error::NotFound) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(tree.map(|tree| {
        let ignored = tree.ignored.iter();
        let paths =
            ignored.filter_map(|path| Some(path.to_str()?.trim_end_matches('/').to_owned()));
        paths.collect()
    }))
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::from_error(Exit::Environment, error)
}

/// Returns the text of a file, unless it is larger than so many bytes.
fn text_of(path: &Utf8Path, largest: u64) -> Option<String> {
    let size = fs_err::metadata(path).ok()?.len();
    (size <= largest).then(|| fs_err::read_to_string(path).ok())?
}
