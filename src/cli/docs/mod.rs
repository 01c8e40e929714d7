//! `laminate docs`: reads what there is of releases and channels, and writes their pages.

mod folder;
mod library;
mod remote;

use camino::Utf8PathBuf;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{DocsArgs, Global};
use super::interrupt::unless_cancelled;
use super::place::Place;
use super::refs::{self, Writes};
use super::{Answer, Exit, Failure};
use crate::event::{Event, Events};
use folder::{Changes, Folder};
use library::Library;
use remote::Remote;

pub async fn run(
    global: &Global,
    args: &DocsArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let place = Place::open(global, events)?;
    if args.push_wiki.is_some() && !args.dry_run {
        refs::may(&place.context, Writes::Docs).await?;
    }
    let here = global.directory.clone().unwrap_or_default();
    let work = async {
        let mut library = Library::open(&place, args).await?;
        let mut told = Told::default();
        if let Some(out) = args.out.as_ref().filter(|path| !path.as_str().is_empty()) {
            let changes = write(&mut library, args, here.join(out)).await?;
            told.add(&changes, args.dry_run);
        }
        let mut wiki = Value::Null;
        if let Some(url) = args.push_wiki.as_ref().filter(|url| !url.is_empty()) {
            events.send(Event::Phase {
                text: "asking the wiki's repository".to_owned(),
            });
            let remote = Remote::new(url, &here, args.branch.as_deref());
            wiki = push(&mut library, args, &place, &remote, &mut told).await?;
        }
        let release = library.shown().as_str();
        let mut json = told.json();
        json["release"] = json!(release);
        json["wiki"] = wiki;
        json["dry_run"] = json!(args.dry_run);
        Ok(Answer::new(Exit::Done, json, told.text))
    };
    unless_cancelled(cancel, work).await
}

/// Writes the pages that differ into a folder.
async fn write(
    library: &mut Library<'_>,
    args: &DocsArgs,
    path: Utf8PathBuf,
) -> Result<Changes, Failure> {
    let folder = Folder::open(path)?;
    let made = library
        .pages(args.links.into(), folder.written(), folder.links())
        .await?;
    let changes = folder.changes(made, args.links.into(), args.overwrite)?;
    if !args.dry_run {
        folder.write(&changes)?;
    }
    Ok(changes)
}

/// Commits and pushes the pages that differ. If somebody else has pushed meanwhile it is all done once
/// more on top of theirs: pages are made, so nothing is to be merged.
async fn push(
    library: &mut Library<'_>,
    args: &DocsArgs,
    place: &Place,
    remote: &Remote,
    told: &mut Told,
) -> Result<Value, Failure> {
    let message = format!("docs: release {}", library.commit7());
    let mut refused = None;
    for _ in 0..2 {
        let checkout = remote.checkout().await?;
        let changes = write(library, args, checkout.path()).await?;
        let json = |commit: Option<&str>| {
            json!({
                "branch": checkout.branch, "commit": commit, "pushed": commit.is_some(),
                "changed": changes.changed(), "removed": changes.removed,
            })
        };
        let is_new = match args.dry_run {
            true => false,
            false => checkout.add(&changes.files()).await?,
        };
        if !is_new {
            told.add(&changes, args.dry_run);
            return Ok(json(None));
        }
        let commit = checkout.commit(&place.context.folder, &message).await?;
        match checkout.push().await? {
            None => {
                told.add(&changes, false);
                let short = &commit[..commit.len().min(7)];
                told.text.push_str(&format!(
                    "pushed {short} to branch {} of the wiki\n",
                    checkout.branch
                ));
                return Ok(json(Some(&commit)));
            }
            Some(text) => refused = Some(text),
        }
    }
    let text = refused.unwrap_or_default();
    Err(Failure::new(
        Exit::Environment,
        format!("the wiki's repository refuses the push, twice: {text}"),
    )
    .help("if somebody else pushes all the time, run it again"))
}

/// What is said of pages, in each place they went to.
#[derive(Default)]
struct Told {
    pages: std::collections::BTreeMap<String, bool>,
    removed: std::collections::BTreeSet<String>,
    text: String,
}

impl Told {
    fn add(&mut self, changes: &Changes, dry_run: bool) {
        for (file, page) in &changes.pages {
            *self.pages.entry(file.clone()).or_default() |= page.is_changed;
        }
        self.removed.extend(changes.removed.iter().cloned());
        let changed = changes.changed();
        for file in &changed {
            self.text.push_str(&format!("write {file}\n"));
        }
        for file in &changes.removed {
            self.text.push_str(&format!("remove {file}\n"));
        }
        let would = if dry_run { " would be" } else { "" };
        self.text.push_str(&format!(
            "{} pages: {}{would} written, {}{would} removed\n",
            changes.pages.len(),
            changed.len(),
            changes.removed.len()
        ));
    }

    fn json(&self) -> Value {
        let pages = self.pages.iter();
        let pages: Vec<Value> = pages
            .map(|(path, changed)| json!({ "path": path, "changed": changed }))
            .collect();
        json!({ "pages": pages, "removed": self.removed })
    }
}
