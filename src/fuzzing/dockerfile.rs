//! Dockerfiles that are imported.

use crate::dockerfile::lines;
use crate::import::{Found, Imported, Settings, Sources, Target, imported};
use crate::source::Sources as Texts;
use crate::spec::node::parse;

/// Where it is.
const PATH: &str = "images/app/Dockerfile";

/// Files that Dockerfiles of the corpus copy.
const FILES: [&str; 7] = [
    "images/app/a",
    "images/app/b.txt",
    "images/app/requirements.txt",
    "images/app/environment.yml",
    "images/app/fix-permissions",
    "images/app/src/x",
    "images/app/src/y.sh",
];

/// A Dockerfile: it is a fault, or gives a spec that can be read. If it becomes steps, the report has each of its
/// instructions.
pub fn dockerfile(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for is_native in [false, true] {
        let Ok(made) = import(&text, is_native) else {
            continue;
        };
        let written = &made.text;
        let mut sources = Texts::default();
        let source = sources.add("specs.yml".to_owned(), written.clone());
        let mut problems = Vec::new();
        let node = parse(&sources, source, &mut problems);
        assert!(
            node.is_some() && problems.is_empty(),
            "{problems:?}\n{written}"
        );
        let image = &made.spec["images"]["app"];
        if image["dockerfile"].is_null() {
            ensure_reported(&text, &made);
        }
    }
}

fn import(text: &str, is_native: bool) -> Result<Imported, String> {
    let target = Target {
        name: "app".to_owned(),
        context: "images/app".to_owned(),
        dockerfile: PATH.to_owned(),
        ..Target::default()
    };
    let found = Found {
        targets: vec![target],
        ..Found::default()
    };
    let files = FILES.map(|path| (path.to_owned(), None)).into_iter();
    let files = files.chain([(PATH.to_owned(), Some(text.to_owned()))]);
    let settings = Settings {
        stack: "t".to_owned(),
        is_in_place: true,
        is_native,
        ..Settings::default()
    };
    imported(
        found,
        &Sources {
            files: files.collect(),
            ..Sources::default()
        },
        &settings,
    )
}

/// Fails if an instruction of the only stage is not in the report.
fn ensure_reported(text: &str, made: &Imported) {
    let read = lines(text).expect("it was imported");
    let stages = read.instructions.iter();
    if stages.filter(|it| it.keyword == "FROM").count() != 1 {
        return;
    }
    for instruction in &read.instructions {
        let line = text[..instruction.range.start].matches('\n').count() + 1;
        let place = format!("{PATH}:{line}");
        let is_reported = made.notes.iter().any(|note| note.place == place);
        assert!(
            is_reported || instruction.keyword == "ARG",
            "{place} is not in the report:\n{text}"
        );
    }
}
