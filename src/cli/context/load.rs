//! Loads a stack from the disk, with what git knows of its files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};

use super::{Context, cache_folder};
use crate::checkout::WorkTree;
use crate::cli::{Exit, Failure, Global, paths};
use crate::gather::{self, Comparison};
use crate::git;
use crate::source::Sources;
use crate::spec::lock::Lock;
use crate::stack::{Files, Found, Layout, LoadFailure, Overrides, TextFile};
use crate::trace::{self, Track};

/// Reads the spec, images/ and the lock, and asks git for the files it tracks. Nothing is contacted.
pub async fn load(global: &Global) -> Result<Context, Failure> {
    load_for(global, Purpose::Read).await
}

/// Reads what [`load`] reads; git compares the files with the commit meanwhile.
pub async fn load_to_plan(global: &Global) -> Result<Context, Failure> {
    load_for(global, Purpose::Plan).await
}

/// What a stack is loaded for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Plan,
}

async fn load_for(global: &Global, purpose: Purpose) -> Result<Context, Failure> {
    let _span = trace::span(Track::Command, || "load the stack".to_owned());
    let path = spec_path(global)?;
    let folder = folder_of(&path);
    let overrides = Overrides {
        vars: vars(global)?,
        registry: global.registry.clone().filter(|text| !text.is_empty()),
        staging: global.staging.clone().filter(|text| !text.is_empty()),
        variants: global.variants.clone(),
    };
    let layout =
        Layout::read(&path).map_err(|error| Failure::new(Exit::Spec, error.to_string()))?;
    let file = path.file_name().unwrap_or_default().to_owned();
    let files = layout.all.clone();
    let here = std::env::current_dir().unwrap_or_default();
    let shown_folder = paths::from(&here, folder.as_std_path());
    let shown_folder = shown_folder.to_string_lossy();
    // All that git compares is looked at before it does.
    let begun = jiff::Timestamp::now();
    let (lock_text, lock_found) = lock_text(&folder)?;
    let spec_found = TextFile::find(&path);
    let text = crate::stack::read(&path);
    let text = text.map_err(|failure| load_failure(failure, &shown_folder))?;
    let spec_found = spec_found.with_text(&text);
    // While this thread parses: what the main thread allocates takes fewer calls of the kernel.
    let git_warnings = git::Warnings::default();
    let cache = cache_folder("digests");
    let finding = tokio::spawn({
        let (path, layout, warnings) = (path.clone(), layout.clone(), git_warnings.clone());
        let (folder, files, cache) = (folder.clone(), files.clone(), cache.clone());
        async move {
            let finding = find(&path, &file, &layout, &warnings).await?;
            let found = match (&finding.files, &finding.tree) {
                (Ok(files), Some(tree)) => {
                    let texts = vec![spec_found, lock_found];
                    let tree = Arc::clone(tree);
                    let found = Found::new(&path, &layout, files, tree, texts, begun);
                    Some(Arc::new(found))
                }
                _ => None,
            };
            let compared = found.clone().filter(|_| purpose == Purpose::Plan);
            let comparison =
                compared.map(|found| Comparison::begin(&folder, &files, found, cache, &warnings));
            Ok::<_, Failure>((finding, found, comparison))
        }
    });
    let spec = crate::stack::parse(&path, &text);
    let (finding, found, comparison) = finding.await.expect("finding files does not panic")?;
    let compared = found.as_ref().filter(|_| purpose == Purpose::Plan);
    let loaded = finding.files.and_then(|found| {
        let compared = compared.map(Arc::as_ref);
        let cache = cache.as_deref();
        crate::stack::load(spec, found, &path, &overrides, cache, begun, compared)
    });
    let stack = match (loaded, &found) {
        (Ok(stack), _) => stack.with_folder(&shown_folder),
        (Err(failure), None) => return Err(load_failure(failure, &shown_folder)),
        // A file that is being saved is empty for a moment, or missing.
        (Err(failure), Some(found)) => {
            let change = gather::change(&folder, found).await;
            return Err(change.map_or_else(|| load_failure(failure, &shown_folder), Failure::from));
        }
    };
    let lock = lock_text.map(|text| lock(text, &shown_folder));
    Ok(Context {
        vars: (overrides.vars.into_iter())
            .filter(|(name, _)| stack.used_vars().contains(name))
            .collect(),
        stack,
        folder,
        files,
        warnings: finding.warnings,
        git_warnings,
        lock: lock.transpose()?,
        found,
        comparison: Mutex::new(comparison),
    })
}

/// The files of a stack.
struct Finding {
    files: Result<Files, LoadFailure>,
    /// `None`: they are in no repository.
    tree: Option<Arc<WorkTree>>,
    warnings: Vec<String>,
}

/// Finds the files under `images/`, and asks git which of them count. `file`: the name of the spec.
async fn find(
    path: &Utf8Path,
    file: &str,
    layout: &Layout,
    git_warnings: &git::Warnings,
) -> Result<Finding, Failure> {
    let folder = folder_of(path);
    let mut warnings = Vec::new();
    let tree = match git::read_tracked(&folder, file, &layout.images, git_warnings).await {
        Ok(tracked) => tracked.map(WorkTree::from),
        Err(error @ git::Error::NotFound) => {
            let text = format!("{error}; files that git ignores count as files of the stack");
            warnings.push(text);
            None
        }
        Err(error) => return Err(error.into()),
    };
    // A new clone has no other files: nothing is ignored, and git need not look.
    let tracked = tree.as_ref();
    let tracked = tracked.and_then(|tree| crate::stack::find_tracked(path, layout, tree));
    let tree = match (&tracked, tree) {
        (None, Some(_)) => git::read_work_tree(&folder, file, &layout.images, git_warnings).await?,
        (_, tree) => tree,
    };
    let files = match tracked {
        Some(files) => Ok(files),
        None => crate::stack::find(path, layout, tree.as_ref()),
    };
    Ok(Finding {
        files,
        tree: tree.map(Arc::new),
        warnings,
    })
}

/// Returns the folder of a spec.
fn folder_of(path: &Utf8Path) -> Utf8PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_str().is_empty() => parent.to_owned(),
        _ => Utf8PathBuf::from("."),
    }
}

/// Returns the failure to load a stack; `shown` is how the user gets to its folder.
fn load_failure(failure: LoadFailure, shown: &str) -> Failure {
    match failure {
        LoadFailure::Files(error) => Failure::new(Exit::Spec, error.to_string()),
        LoadFailure::Spec {
            mut sources,
            problems,
        } => {
            sources.set_folder(shown);
            Failure::spec(sources, problems)
        }
    }
}

/// Reads `specs.lock` of a folder, if it has one.
fn lock_text(folder: &Utf8Path) -> Result<(Option<String>, TextFile), Failure> {
    let path = folder.join("specs.lock");
    let found = TextFile::find(&path);
    match crate::spec::read_text(&path) {
        Ok(text) => {
            let found = found.with_text(&text);
            Ok((Some(text), found))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((None, found)),
        Err(error) => Err(Failure::new(Exit::Spec, error.to_string())),
    }
}

/// Parses the text of `specs.lock`; `shown` is how the user gets to its folder.
fn lock(text: String, shown: &str) -> Result<Lock, Failure> {
    let mut sources = Sources::default();
    sources.set_folder(shown);
    let source = sources.add("specs.lock", text);
    match Lock::parse(&sources, source) {
        Ok(lock) => Ok(lock),
        Err(problems) => Err(Failure::spec(sources, problems)),
    }
}

/// The file `-f` names, else the nearest `specs.yml` from here upwards.
pub fn spec_path(global: &Global) -> Result<Utf8PathBuf, Failure> {
    let start = match &global.directory {
        Some(folder) => folder.clone(),
        None => Utf8PathBuf::new(),
    };
    if let Some(file) = &global.spec {
        return Ok(start.join(file));
    }
    let here = std::env::current_dir()
        .ok()
        .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
        .ok_or_else(|| {
            Failure::new(Exit::Environment, "the current folder has no readable name")
        })?;
    let start = here.join(start);
    if !start.is_dir() {
        let (text, help) = if start.exists() {
            ("is not a folder", "pass a spec with -f")
        } else {
            ("does not exist", "-C takes the folder of a stack")
        };
        return Err(Failure::new(Exit::Spec, format!("`{start}` {text}")).help(help));
    }
    let found = start
        .ancestors()
        .map(|folder| folder.join("specs.yml"))
        .find(|p| p.is_file());
    found.ok_or_else(|| {
        Failure::new(
            Exit::Spec,
            format!("cannot find `specs.yml` in `{start}` or a folder above it"),
        )
        .help("change to the folder of the stack, or pass the file with -f")
    })
}

/// `LAMINATE_VAR_<name>`, and `--var` over it.
fn vars(global: &Global) -> Result<BTreeMap<String, String>, Failure> {
    let mut vars: BTreeMap<String, String> = std::env::vars()
        .filter_map(|(name, value)| Some((name.strip_prefix("LAMINATE_VAR_")?.to_owned(), value)))
        .collect();
    for text in &global.vars {
        let Some((name, value)) = text.split_once('=') else {
            return Err(
                Failure::new(Exit::Usage, format!("--var {text}: there is no `=`"))
                    .help("write --var NAME=VALUE"),
            );
        };
        vars.insert(name.to_owned(), value.to_owned());
    }
    Ok(vars)
}
