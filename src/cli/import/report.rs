//! The report of an import.

use camino::Utf8Path;
use serde_json::{Value, json};

use super::originals::{Originals, listed};
use super::other_builds::OtherBuild;
use super::wrap::{WIDTH, wrapped};
use super::{command_in, next};
use crate::import::{Imported, ImportedImage, Note};
use crate::table;

/// Dockerfiles with more notes have them in lines of their own.
const MOST: usize = 2;

/// What a report shows.
pub struct Report<'a> {
    /// The text of the spec.
    pub spec: &'a str,
    /// What was imported.
    pub imported: &'a Imported,
    /// The files that copies and steps took the place of.
    pub originals: &'a Originals,
    /// Scripts and CI files that build images with another tool.
    pub other_builds: &'a [OtherBuild],
    /// The folder of the spec, if it is not that of the Dockerfiles.
    pub other_folder: Option<&'a Utf8Path>,
    /// The name of the stack, if it is that of the folder.
    pub folder_name: Option<&'a str>,
    /// Whether the spec keeps its keys beside `images`.
    pub keeps_keys: bool,
    /// The folder of the originals, if git can remove them.
    pub removal: Option<&'a Utf8Path>,
    /// Whether the files are written.
    pub is_written: bool,
    /// Whether no workflow runs laminate, and one can be written.
    pub lacks_workflow: bool,
}

impl Report<'_> {
    /// Returns the report for programs.
    pub fn json(&self) -> Value {
        let imported = self.imported;
        let copies = imported.copies.iter();
        let copies = copies.map(|copy| json!({ "from": copy.from, "to": copy.to }));
        let images = imported.images.iter().map(of_image);
        let notes = images.chain(imported.notes.iter().cloned()).map(|note| {
            json!({ "where": note.place, "found": note.found, "became": note.became, "open": note.is_open })
        });
        let tags = imported.tags.iter();
        let tags = tags.map(|it| json!({ "tag": it.tag, "images": it.images }));
        let lines = self.other_builds.iter().flat_map(|it| {
            let at = |(number, runs)| (format!("{}:{number}", it.path), runs);
            it.lines.iter().map(at)
        });
        let (builds, callers): (Vec<_>, Vec<_>) = lines.partition(|(_, runs)| runs.is_none());
        let builds = builds.into_iter().map(|(at, _)| at);
        let callers = callers.into_iter();
        let callers = callers.map(|(at, runs)| json!({ "where": at, "runs": runs }));
        json!({
            "spec": self.spec,
            "written": self.is_written,
            "copied": copies.collect::<Vec<_>>(),
            "dockerfiles": imported.written,
            "not_read": self.originals.files,
            "other_builds": builds.collect::<Vec<_>>(),
            "other_builds_run_by": callers.collect::<Vec<_>>(),
            "missing": imported.missing,
            "tags": tags.collect::<Vec<_>>(),
            "channel": self.channel(),
            "report": notes.collect::<Vec<_>>(),
        })
    }

    /// Returns the channel that the import added.
    fn channel(&self) -> Option<&str> {
        let channels = self.imported.spec.get("channels")?.as_object()?;
        channels.keys().next().map(String::as_str)
    }

    /// Returns the report for people, with the spec if it is not written.
    pub fn text(&self) -> String {
        let imported = self.imported;
        let mut text = String::new();
        if !self.is_written {
            text.push_str(self.spec);
            text.push('\n');
        }
        let notes = imported.notes.iter();
        let (open, done): (Vec<&Note>, Vec<&Note>) = notes.partition(|it| it.is_open);
        let mut rest = done;
        text.push_str(&self.images(&mut rest));
        for (title, notes) in [("Imported", rest), ("Left out, or to be checked", open)] {
            if notes.is_empty() {
                continue;
            }
            text.push_str(&format!("{title}:\n"));
            for (places, found, became) in grouped(&notes) {
                let line = format!("{}: {found} → {became}", places.join(", "));
                for line in wrapped(&line, WIDTH - 2, 2) {
                    text.push_str(&format!("  {line}\n"));
                }
            }
        }
        text.push_str(&self.written());
        text.push_str(&self.originals.text(self.is_written, self.removal));
        text.push_str(&self.other_builds());
        text.push_str(&self.missing());
        if self.is_written {
            text.push_str(&self.tags());
            let has_registry = imported.spec.get("registry").is_some();
            text.push_str(&next(has_registry, self.other_folder));
            if let Some(channel) = self.channel() {
                let of = |command: &str| command_in(self.other_folder, command);
                let (push, promote) = (of("build --push"), of(&format!("promote --to {channel}")));
                text.push_str(&format!(
                    "then: {push} gives all images the tag of the commit, and {promote} moves `{channel}` to them\n"
                ));
            }
            text.push_str(&self.automation());
        } else {
            text.push_str("dry run: nothing was written\n");
        }
        text
    }

    /// Returns the images, with notes that are taken out of `notes`.
    fn images(&self, notes: &mut Vec<&Note>) -> String {
        let images = &self.imported.images;
        let plural = if images.len() == 1 { "" } else { "s" };
        let mut text = format!("{} image{plural}", images.len());
        if let Some(name) = self.folder_name {
            let named = format!(
                " in stack `{name}`, named after the folder (`--stack NAME` sets another name)"
            );
            text.push_str(&named);
        }
        text.push_str(":\n");
        let longest = images.iter().map(|image| image.name.chars().count()).max();
        let left = WIDTH
            .saturating_sub(longest.unwrap_or(0) + 4)
            .max(WIDTH / 2);
        let mut rows = Vec::new();
        for image in images {
            let mut name = format!("  {}", image.name);
            for line in lines(image, self.imported, left, notes) {
                rows.push(vec![std::mem::take(&mut name), line]);
            }
        }
        text + &table::lines(&rows)
    }

    /// Returns which files were written.
    fn written(&self) -> String {
        let count = self.imported.copies.len();
        let files = if count == 1 { "file" } else { "files" };
        let copied = match (count, self.is_written) {
            (0, _) => String::new(),
            (_, true) => format!("{count} {files} copied below images/\n"),
            (_, false) => format!("{count} {files} would be copied below images/\n"),
        };
        let spec = if self.is_written {
            "wrote specs.yml\n"
        } else {
            ""
        };
        copied + spec
    }

    /// Returns which tags the images get, if no tag became a channel.
    fn tags(&self) -> String {
        if self.keeps_keys || self.channel().is_some() {
            return String::new();
        }
        "Images get the tag of the commit only. For a tag that moves, such as `latest`, add\n  channels: { latest: { tag: latest } }\nto specs.yml, and run `laminate promote --to latest` after `laminate build --push`.\n".to_owned()
    }

    /// Returns how to have CI build the stack.
    fn automation(&self) -> String {
        if !self.lacks_workflow {
            return String::new();
        }
        let init = command_in(self.other_folder, "init");
        let repository = env!("CARGO_PKG_REPOSITORY");
        format!(
            "for CI: {init} writes a workflow for GitHub Actions; other CI systems: {repository}/blob/main/docs/ci.md\n"
        )
    }

    /// Returns the files that build images with another tool.
    fn other_builds(&self) -> String {
        if self.other_builds.is_empty() {
            return String::new();
        }
        let files: Vec<String> = self.other_builds.iter().map(OtherBuild::shown).collect();
        format!(
            "These lines build images without laminate; call laminate there in its place:\n{}",
            listed(&files)
        )
    }

    /// Returns the files that Dockerfiles name and the stack does not have.
    fn missing(&self) -> String {
        let files: Vec<&String> = self.imported.missing.iter().collect();
        if files.is_empty() {
            return String::new();
        }
        format!(
            "Before you build, add these files to the contexts, or change the Dockerfiles that name them:\n{}",
            listed(&files)
        )
    }
}

fn of_image(image: &ImportedImage) -> Note {
    let name = &image.name;
    let became = match &image.based_on {
        Some(base) => format!("image `{name}`, based on `{base}`"),
        None => format!("image `{name}`"),
    };
    Note::done(&image.dockerfile, format!("image {}", image.target), became)
}

/// Returns the lines of an image. They have the notes about its Dockerfile if they are few, which are taken out of `notes`.
fn lines(
    image: &ImportedImage,
    imported: &Imported,
    width: usize,
    notes: &mut Vec<&Note>,
) -> Vec<String> {
    let file = &image.dockerfile;
    let mut first = file.clone();
    if let Some(base) = &image.based_on {
        first.push_str(&format!(", based on {base}"));
    }
    let mut lines = vec![first];
    let same = imported.images.iter().filter(|it| it.dockerfile == *file);
    let is_own = |note: &&Note| line_of(file, note).is_some();
    // Of a Dockerfile that two images have, it is not known whose they are.
    if same.count() > 1 || notes.iter().copied().filter(is_own).count() > MOST {
        return lines;
    }
    let (own, others): (Vec<&Note>, Vec<&Note>) = notes.iter().copied().partition(is_own);
    *notes = others;
    for note in own {
        let at = match line_of(file, note) {
            Some(number) if !number.is_empty() => format!("line {number}: "),
            _ => String::new(),
        };
        let line = format!("{at}{} → {}", note.found, note.became);
        lines.extend(wrapped(&line, width, 2));
    }
    lines
}

/// Returns the line of a note about a Dockerfile; empty if it has none.
fn line_of<'a>(file: &str, note: &'a Note) -> Option<&'a str> {
    let rest = note.place.strip_prefix(file)?;
    match rest.strip_prefix(':') {
        Some(number) => number.parse::<usize>().ok().map(|_| number),
        None => rest.is_empty().then_some(rest),
    }
}

/// Returns notes with the places that have the same one.
fn grouped<'a>(notes: &[&'a Note]) -> Vec<(Vec<&'a str>, &'a str, &'a str)> {
    let mut groups: Vec<(Vec<&str>, &str, &str)> = Vec::new();
    for note in notes {
        let (place, found, became) = (&*note.place, &*note.found, &*note.became);
        let same = groups.iter_mut().find(|it| (it.1, it.2) == (found, became));
        match same {
            Some((places, ..)) if places.contains(&place) => {}
            Some((places, ..)) => places.push(place),
            None => groups.push((vec![place], found, became)),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::originals::tests::nothing;
    use super::*;
    use crate::import::ImageTag;

    fn image(name: &str, based_on: Option<&str>) -> ImportedImage {
        ImportedImage {
            name: name.to_owned(),
            target: name.to_owned(),
            dockerfile: format!("{name}/Dockerfile"),
            based_on: based_on.map(str::to_owned),
            is_read: true,
        }
    }

    fn report<'a>(imported: &'a Imported, originals: &'a Originals) -> Report<'a> {
        Report {
            spec: "",
            imported,
            originals,
            other_builds: &[],
            other_folder: None,
            folder_name: Some("campus"),
            keeps_keys: false,
            removal: None,
            is_written: true,
            lacks_workflow: false,
        }
    }

    #[test]
    fn lines_are_short_and_no_note_is_lost() {
        let contexts =
            "`contexts: { \"ghcr.io/campus/datascience-notebook:latest\": datascience-notebook }`";
        let imported = Imported {
            images: vec![image("base", None), image("web", Some("base"))],
            notes: vec![
                Note::done(
                    "web/Dockerfile:2",
                    "ghcr.io/campus/datascience-notebook:latest",
                    contexts,
                ),
                Note::done("list: target web", "secret x", "`secrets: [x]`"),
                Note::open("list: target base", "platforms", "left out"),
                Note::open("list: target web", "platforms", "left out"),
                Note::open("web/Dockerfile:3", "file y", "missing"),
            ],
            ..nothing()
        };
        let originals = Originals::default();
        let mut shown = report(&imported, &originals);
        let expected = "\
2 images in stack `campus`, named after the folder (`--stack NAME` sets another name):
  base  base/Dockerfile
  web   web/Dockerfile, based on base
        line 2: ghcr.io/campus/datascience-notebook:latest →
          `contexts: { \"ghcr.io/campus/datascience-notebook:latest\": datascience-notebook }`
Imported:
  list: target web: secret x → `secrets: [x]`
Left out, or to be checked:
  list: target base, list: target web: platforms → left out
  web/Dockerfile:3: file y → missing
wrote specs.yml
Images get the tag of the commit only.";
        let text = shown.text();
        assert!(text.starts_with(expected), "{text}");
        shown.folder_name = None;
        assert!(shown.text().starts_with("2 images:\n"));
        shown.keeps_keys = true;
        assert!(!shown.text().contains("Images get"));
        let entries = shown.json()["report"].as_array().map(Vec::len);
        assert_eq!(entries, Some(7));
    }

    #[test]
    fn a_channel_is_moved_after_a_build() {
        let imported = Imported {
            spec: json!({ "channels": { "latest": { "tag": "latest" } } }),
            tags: vec![ImageTag {
                tag: "latest".to_owned(),
                images: vec!["base".to_owned()],
            }],
            ..nothing()
        };
        let originals = Originals::default();
        let shown = report(&imported, &originals);
        let text = shown.text();
        assert!(text.contains("`laminate promote --to latest`"), "{text}");
        assert!(!text.contains("Images get"), "{text}");
        let json = shown.json();
        assert_eq!(json["channel"], "latest");
        assert_eq!(
            json["tags"],
            json!([{ "tag": "latest", "images": ["base"] }])
        );
    }

    #[test]
    fn a_dry_run_tells_what_would_be_done() {
        let imported = Imported {
            copies: vec![crate::import::Copied {
                from: "a/x".to_owned(),
                to: "images/a/x".to_owned(),
            }],
            ..nothing()
        };
        let originals = Originals::of(&imported, &crate::import::Sources::default(), None, None);
        let shown = Report {
            is_written: false,
            ..report(&imported, &originals)
        };
        let text = shown.text();
        assert!(
            text.contains("1 file would be copied below images/\n"),
            "{text}"
        );
        assert!(text.contains("After an import, edit the copies"), "{text}");
        assert!(text.ends_with("dry run: nothing was written\n"), "{text}");
        assert!(!text.contains("next:") && !text.contains("wrote"), "{text}");
    }
}
