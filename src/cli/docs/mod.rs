//! `laminate docs`: reads releases and channels, and writes their pages into a folder or a wiki.

mod dockerfiles;
mod folder;
mod library;
mod remote;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{DocsArgs, Global};
use super::interrupt::unless_cancelled;
use super::workspace::Workspace;
use super::{Answer, Exit, Failure};
use crate::event::{Event, Events};
use crate::release::refs::Writes;
use folder::{Changes, Folder};
use library::Library;
use remote::{Remote, WikiClone};

/// How often pages are pushed if another writer pushes at the same time.
const PUSHES: usize = 2;

/// Runs the command.
pub async fn run(
    global: &Global,
    args: &DocsArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let workspace = Workspace::open(global, events, cancel).await?;
    if args.push_wiki.is_some() && !args.dry_run {
        let caller = workspace.context.caller().await;
        caller.check(workspace.context.stack.refs(), Writes::Docs)?;
    }
    let folder = global.directory.clone().unwrap_or_default();
    let work = async {
        let mut library = Library::open(&workspace, args, events).await?;
        let mut summary = Summary::default();
        if let Some(out) = args.out.as_ref().filter(|path| !path.as_str().is_empty()) {
            let changes = write(&mut library, args, folder.join(out)).await?;
            summary.add(&changes, args.dry_run);
        }
        let mut wiki = Value::Null;
        if let Some(url) = args.push_wiki.as_ref().filter(|url| !url.is_empty()) {
            events.send(Event::Phase {
                text: "reading the wiki's repository".to_owned(),
            });
            let remote = Remote::new(url, &folder, args.branch.as_deref());
            wiki = push(&mut library, args, &workspace, &remote, &mut summary).await?;
        }
        let mut json = summary.json();
        json["release"] = json!(library.shown().as_str());
        json["wiki"] = wiki;
        json["dry_run"] = json!(args.dry_run);
        Ok(Answer::new(Exit::Done, json, summary.text))
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

/// Commits and pushes the pages that differ. If another writer has pushed meanwhile, the pages are made
/// once more on top of that commit: they are generated, so there is nothing to merge.
async fn push(
    library: &mut Library<'_>,
    args: &DocsArgs,
    workspace: &Workspace,
    remote: &Remote,
    summary: &mut Summary,
) -> Result<Value, Failure> {
    let message = format!("docs: release {}", library.commit());
    let mut rejection = String::new();
    for _ in 0..PUSHES {
        let wiki = remote.clone_branch().await?;
        let changes = write(library, args, wiki.path()).await?;
        let is_new = !args.dry_run && wiki.add(&changes.files()).await?;
        if !is_new {
            summary.add(&changes, args.dry_run);
            return Ok(wiki_json(&wiki, &changes, None));
        }
        let commit = wiki.commit(&workspace.context.folder, &message).await?;
        let Some(reason) = wiki.push().await? else {
            summary.add(&changes, false);
            summary.add_push(&wiki.branch, &commit);
            return Ok(wiki_json(&wiki, &changes, Some(&commit)));
        };
        rejection = reason;
    }
    Err(Failure::new(
        Exit::Environment,
        format!("the wiki's repository refuses the push, {PUSHES} times: {rejection}"),
    )
    .help("run the command again when no one else pushes"))
}

fn wiki_json(wiki: &WikiClone<'_>, changes: &Changes, commit: Option<&str>) -> Value {
    json!({
        "branch": wiki.branch,
        "commit": commit,
        "pushed": commit.is_some(),
        "changed": changes.changed(),
        "removed": changes.removed,
    })
}

/// The changes of a run, in all places.
#[derive(Default)]
struct Summary {
    /// By file: whether it was changed.
    pages: BTreeMap<String, bool>,
    removed: BTreeSet<String>,
    /// The same for people.
    text: String,
}

impl Summary {
    /// Adds the changes of one workspace.
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

    /// Adds a commit that was pushed.
    fn add_push(&mut self, branch: &str, commit: &str) {
        let short = commit.get(..7).unwrap_or(commit);
        self.text.push_str(&format!(
            "pushed {short} to branch `{branch}` of the wiki\n"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_commit_is_shown_in_short() {
        let mut summary = Summary::default();
        summary.add_push("master", &"0123456789".repeat(4));
        assert_eq!(
            summary.text,
            "pushed 0123456 to branch `master` of the wiki\n"
        );
    }

    #[test]
    fn pages_in_the_answer_have_their_path_and_state() {
        let mut summary = Summary::default();
        summary.pages.insert("Home.md".to_owned(), true);
        summary.removed.insert("a.md".to_owned());
        let expected = json!({
            "pages": [{ "path": "Home.md", "changed": true }],
            "removed": ["a.md"],
        });
        assert_eq!(summary.json(), expected);
    }
}
