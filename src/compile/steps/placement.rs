//! [`Placement`]: what a `copy`, `write` or `link` step brings to one path of an image. `file_actions`
//! and `file_commands` carry it out, with the same result (docs/spec.md, "How files are placed").

use std::collections::BTreeMap;

use super::paths::copy_target;
use crate::compile::command::{ROOT, user_of};
use crate::compile::tree::{Content, Entry};
use crate::stack::{Copy, CopyFrom, Files, ImageSource, Kind, Mode, Step};

/// Files that are brought to one path of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The files.
    pub what: What,
    /// Their absolute path, without a `/` at its end; empty for the root folder.
    pub target: String,
    /// `owner:`.
    pub owner: Option<String>,
    /// `mode:`.
    pub mode: Option<Mode>,
}

/// The files of a [`Placement`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One regular file.
    File(Entry),
    /// What is in a folder, by path relative to the target.
    Contents(BTreeMap<String, Entry>),
    /// A symbolic link.
    Link {
        /// Its text.
        text: String,
        /// Whether a folder at the target is removed.
        replace: bool,
    },
    /// A file, or what is in a folder, of another image.
    Image {
        /// The image.
        source: ImageSource,
        /// Absolute path of the file or folder.
        path: String,
    },
}

/// Returns the folder in which the image starts, as a placement.
pub fn workdir(path: &str, user: &str) -> Placement {
    Placement {
        what: What::Contents(BTreeMap::new()),
        target: path.trim_end_matches('/').to_owned(),
        owner: (user_of(user) != ROOT).then(|| user.to_owned()),
        mode: None,
    }
}

/// Returns what a step places, in order; `None` for kinds that do more than place files. `as:` of the step
/// is the owner unless a target has another one.
pub fn placements(step: &Step, files: &Files) -> Option<Vec<Placement>> {
    let mut list: Vec<Placement> = match &step.kind {
        Kind::Copy(copies) => {
            let parts = copies.iter().map(|copy| {
                let made = new_folder(copy).into_iter();
                made.chain([of_copy(copy, files)])
            });
            parts.flatten().collect()
        }
        Kind::Write(writes) => {
            let of_write = |write: &crate::stack::Write| Placement {
                what: What::File(Entry::File {
                    mode: 0o644,
                    content: Content::Text(write.text.clone()),
                }),
                target: write.to.clone(),
                owner: write.owner.clone(),
                mode: write.mode.clone(),
            };
            writes.iter().map(of_write).collect()
        }
        Kind::Link(links) => {
            let of_link = |link: &crate::stack::Link| Placement {
                what: What::Link {
                    text: link.target.clone(),
                    replace: link.replace,
                },
                target: link.path.clone(),
                owner: None,
                mode: None,
            };
            links.iter().map(of_link).collect()
        }
        _ => return None,
    };
    if let Some(user) = step.user.as_deref().filter(|user| user_of(user) != ROOT) {
        for placement in &mut list {
            placement.owner.get_or_insert_with(|| user.to_owned());
        }
    }
    Some(list)
}

fn of_copy(copy: &Copy, files: &Files) -> Placement {
    let (what, target) = match &copy.from {
        CopyFrom::Image { source, path } => {
            let what = What::Image {
                source: source.clone(),
                path: path.clone(),
            };
            let name = path.rsplit('/').next().unwrap_or_default();
            (what, copy_target(copy, into_folder(copy, name)))
        }
        CopyFrom::Files { entries, .. } => {
            let entry = |file| Entry::of_stack(file, files).expect("it can be copied");
            match entries.as_slice() {
                [one] if one.to.is_empty() && entry(&one.file) != Entry::Folder(0o755) => {
                    (What::File(entry(&one.file)), copy.to.clone())
                }
                all => {
                    let all = all.iter().filter(|one| !one.to.is_empty());
                    let all = all.map(|one| (one.to.clone(), entry(&one.file)));
                    (What::Contents(all.collect()), copy.to.clone())
                }
            }
        }
    };
    Placement {
        what,
        target: target.trim_end_matches('/').to_owned(),
        owner: copy.owner.clone(),
        mode: copy.mode.clone(),
    }
}

/// Returns the folder into which a file of another image is copied, which gets the mode if it is missing, as that for files of
/// the stack.
fn new_folder(copy: &Copy) -> Option<Placement> {
    let CopyFrom::Image { path, .. } = &copy.from else {
        return None;
    };
    let folder = copy.to.strip_suffix('/')?;
    let is_needed = copy.mode.is_some() && !path.ends_with('/') && !folder.is_empty();
    is_needed.then(|| Placement {
        what: What::Contents(BTreeMap::new()),
        target: folder.to_owned(),
        owner: copy.owner.clone(),
        mode: copy.mode.clone(),
    })
}

/// Returns the name that something has in the target if that is a folder to copy into, else nothing.
fn into_folder<'a>(copy: &Copy, name: &'a str) -> &'a str {
    if copy.to.ends_with('/') { name } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::tests::{stack, step};

    fn placed(yaml: &str) -> Vec<Placement> {
        let stack = stack(&format!("steps: [{yaml}]"));
        placements(&stack.images()[0].steps[0], stack.files()).expect("it places files")
    }

    fn targets(yaml: &str) -> Vec<(String, usize)> {
        let count = |placement: Placement| match placement.what {
            What::Contents(entries) => (placement.target, entries.len()),
            _ => (placement.target, 0),
        };
        placed(yaml).into_iter().map(count).collect()
    }

    #[test]
    fn a_file_is_placed_at_its_path_or_into_a_folder() {
        assert_eq!(targets("{ copy: { /a/x: x } }"), [("/a/x".to_owned(), 0)]);
        assert_eq!(targets("{ copy: { /a/: x } }"), [("/a".to_owned(), 1)]);
    }

    #[test]
    fn a_folder_is_placed_by_its_contents() {
        for (yaml, target, count) in [
            ("{ copy: { /a: checks } }", "/a", 1),
            ("{ copy: { /a: checks/ } }", "/a", 1),
            ("{ copy: { /a/: checks } }", "/a", 2),
            ("{ copy: { /: checks/ } }", "", 1),
        ] {
            assert_eq!(targets(yaml), [(target.to_owned(), count)], "{yaml}");
        }
    }

    #[test]
    fn a_path_of_an_image_keeps_its_name_in_a_folder() {
        for (to, from, target) in [
            ("/usr/bin/mm", "/bin/mm", "/usr/bin/mm"),
            ("/usr/bin/", "/bin/mm", "/usr/bin/mm"),
            ("/opt/", "/usr/go/", "/opt"),
            ("/opt/go", "/usr/go", "/opt/go"),
        ] {
            let yaml = format!("{{ copy: {{ {to}: {{ image: \"golang:1\", from: {from} }} }} }}");
            assert_eq!(placed(&yaml)[0].target, target, "{yaml}");
        }
    }

    #[test]
    fn a_folder_into_which_a_file_of_an_image_is_copied_gets_the_mode() {
        let targets = |to: &str, from: &str, mode: &str| {
            let yaml =
                format!("{{ copy: {{ {to}: {{ image: \"golang:1\", from: {from}{mode} }} }} }}");
            let targets = placed(&yaml).into_iter().map(|it| it.target);
            targets.collect::<Vec<_>>()
        };
        let mode = ", mode: \"700\"";
        assert_eq!(targets("/opt/", "/bin/mm", mode), ["/opt", "/opt/mm"]);
        assert_eq!(targets("/opt/", "/bin/mm", ""), ["/opt/mm"]);
        assert_eq!(targets("/opt/mm", "/bin/mm", mode), ["/opt/mm"]);
        assert_eq!(targets("/opt/", "/bin/", mode), ["/opt"]);
        assert_eq!(targets("/", "/bin/mm", mode), ["/mm"]);
    }

    #[test]
    fn commands_are_no_placements() {
        assert_eq!(placements(&step("{ run: a }"), stack("").files()), None);
    }
}
