use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use super::*;
use crate::checkout::{Committed, CommittedFile, CommittedKind};
use crate::name::Commit;
use crate::spec::{Hashing, find, hash};

/// A stack with a file, a link, a lock, and a file of git's that is not there.
struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().expect("a folder"));
        fs_err::create_dir(world.path("images")).expect("a folder");
        for path in ["specs.yml", "specs.lock", "images/x"] {
            fs_err::write(world.path(path), "old").expect("written");
        }
        symlink("x", world.path("images/link")).expect("a link");
        world
    }

    fn path(&self, path: &str) -> Utf8PathBuf {
        let folder = Utf8Path::from_path(self.0.path()).expect("UTF-8");
        folder.join(path)
    }

    /// Finds everything and reads it.
    fn found(&self) -> Found {
        let texts = ["specs.yml", "specs.lock"].map(|name| {
            let file = TextFile::find(&self.path(name));
            match fs_err::read_to_string(self.path(name)) {
                Ok(text) => file.with_text(&text),
                Err(_) => file,
            }
        });
        let tracked = ["images/x", "images/link", "images/gone"];
        let (found, files) = self.found_of(&tracked, texts.into());
        self.hash(&files).expect("read");
        found
    }

    /// Hashes files that are used.
    fn hash(&self, files: &Files) -> Result<(), crate::spec::Unreadable> {
        let hashing = Hashing {
            stack: &self.path(""),
            cache: None,
            begun: Timestamp::now(),
            format: None,
        };
        hash(files, &hashing)
    }

    /// Finds files that git tracks, and reads none.
    fn found_of(&self, tracked: &[&str], texts: Vec<TextFile>) -> (Found, Files) {
        let begun = Timestamp::now();
        let spec = self.path("specs.yml");
        let layout = Layout::read(&spec).expect("inside");
        let tree = WorkTree {
            files: tracked.iter().map(PathBuf::from).collect(),
            ..WorkTree::default()
        };
        let files = find(&spec, &layout, Some(&tree)).expect("read");
        let found = Found::new(&spec, &layout, &files, Arc::new(tree), texts, begun);
        (found, files)
    }
}

/// Something that is done to a stack.
type Act = fn(&World);

const CHANGES: [(&str, Act); 9] = [
    ("images/x", |world| {
        fs_err::write(world.path("images/x"), "new").expect("written");
    }),
    ("images/x", |world| {
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(world.path("images/x"), mode).expect("set");
    }),
    ("images/x", |world| {
        fs_err::remove_file(world.path("images/x")).expect("removed");
    }),
    ("images/link", |world| {
        fs_err::remove_file(world.path("images/link")).expect("removed");
        symlink("./x", world.path("images/link")).expect("a link");
    }),
    ("images/gone", |world| {
        fs_err::write(world.path("images/gone"), "").expect("written");
    }),
    ("specs.yml", |world| {
        fs_err::write(world.path("specs.yml"), "new").expect("written");
    }),
    ("specs.lock", |world| {
        fs_err::remove_file(world.path("specs.lock")).expect("removed");
    }),
    // The folder of the files is another one.
    ("specs.yml", |world| {
        fs_err::rename(world.path("images"), world.path("other")).expect("renamed");
        symlink("other", world.path("images")).expect("a link");
    }),
    ("specs.lock", |world| {
        fs_err::write(world.path("specs.lock"), "new").expect("written");
    }),
];

#[test]
fn what_changes_after_it_was_found_is_named() {
    for is_settled in [false, true] {
        let worlds = CHANGES.map(|_| World::new());
        if is_settled {
            std::thread::sleep(Duration::from_millis(2_100));
        }
        for ((path, change), world) in CHANGES.into_iter().zip(worlds) {
            let found = world.found();
            assert!(matches!(found.again(), Again::Same));
            change(&world);
            match found.again() {
                Again::Changed(changed) => assert_eq!(changed, world.path(path)),
                other => panic!("{path}: {other:?}"),
            }
        }
    }
}

/// Something that is done to a stack, and undone.
const ROUND_TRIPS: [(&str, Act, Act); 3] = [
    (
        "a link",
        |world| {
            fs_err::remove_file(world.path("images/link")).expect("removed");
            symlink("other", world.path("images/link")).expect("a link");
        },
        |world| {
            fs_err::remove_file(world.path("images/link")).expect("removed");
            symlink("x", world.path("images/link")).expect("a link");
        },
    ),
    (
        "a file that was not there",
        |world| fs_err::write(world.path("images/gone"), "").expect("written"),
        |world| fs_err::remove_file(world.path("images/gone")).expect("removed"),
    ),
    (
        "a lock that was not there",
        |world| fs_err::write(world.path("specs.lock"), "").expect("written"),
        |world| fs_err::remove_file(world.path("specs.lock")).expect("removed"),
    ),
];

#[test]
fn what_was_changed_and_put_back_was_written() {
    for (what, change, undo) in ROUND_TRIPS {
        let world = World::new();
        if what.contains("lock") {
            fs_err::remove_file(world.path("specs.lock")).expect("removed");
        }
        std::thread::sleep(Duration::from_millis(50));
        let found = world.found();
        assert!(matches!(found.again(), Again::Same), "{what}");
        std::thread::sleep(Duration::from_millis(50));
        change(&world);
        undo(&world);
        let Again::Written(found) = found.again() else {
            panic!("{what} was not noticed");
        };
        assert!(matches!(found.again(), Again::Same), "{what}");
    }
}

#[test]
fn what_nothing_uses_may_be_written() {
    let world = World::new();
    let (found, _) = world.found_of(&["images/x"], Vec::new());
    fs_err::write(world.path("images/x"), "new").expect("written");
    assert!(matches!(found.again(), Again::Same));
}

#[test]
fn a_file_behind_a_link_that_replaced_its_folder_is_another_one() {
    let world = World::new();
    fs_err::create_dir(world.path("images/new")).expect("a folder");
    fs_err::write(world.path("images/new/y"), "y").expect("written");
    symlink("new", world.path("images/old")).expect("a link");
    let tracked = ["images/old", "images/old/y", "images/new/y"];
    let (found, _) = world.found_of(&tracked, Vec::new());
    assert!(matches!(found.again(), Again::Same));
}

#[test]
fn a_lock_that_was_not_there_is_a_change() {
    let world = World::new();
    fs_err::remove_file(world.path("specs.lock")).expect("removed");
    let found = world.found();
    assert!(matches!(found.again(), Again::Same));
    fs_err::write(world.path("specs.lock"), "new").expect("written");
    assert!(matches!(found.again(), Again::Changed(_)));
}

#[test]
fn a_file_that_was_put_back_was_written() {
    let world = World::new();
    std::thread::sleep(Duration::from_millis(2_100));
    for path in ["images/x", "specs.yml"] {
        let found = world.found();
        for text in ["new", "old"] {
            fs_err::write(world.path(path), text).expect("written");
        }
        let Again::Written(found) = found.again() else {
            panic!("{path} was not written");
        };
        assert!(matches!(found.again(), Again::Same), "{path}");
    }
}

#[test]
fn a_folder_that_was_another_one_while_it_was_read_is_a_change() {
    let world = World::new();
    fs_err::create_dir(world.path("images/a")).expect("a folder");
    fs_err::write(world.path("images/a/y"), "found").expect("written");
    fs_err::create_dir(world.path("b")).expect("a folder");
    fs_err::write(world.path("b/y"), "other").expect("written");
    std::thread::sleep(Duration::from_millis(2_100));
    for reads_text in [false, true] {
        let (found, files) = world.found_of(&["images/a/y"], Vec::new());
        let swap = |from: &str, to: &str| {
            fs_err::rename(world.path(from), world.path(to)).expect("renamed");
        };
        swap("images/a", "c");
        swap("b", "images/a");
        if reads_text {
            let Some(File::Regular { content, .. }) = files.get("images/a/y".into()) else {
                panic!("expected a file");
            };
            assert_eq!(content.text().expect("read"), b"other");
        } else {
            world.hash(&files).expect("read");
        }
        swap("images/a", "b");
        swap("c", "images/a");
        assert!(matches!(found.again(), Again::Changed(_)));
    }
}

#[test]
fn a_file_that_could_not_be_read_is_a_change_even_if_it_is_there_again() {
    let world = World::new();
    let (found, files) = world.found_of(&["images/x"], Vec::new());
    assert_eq!(found.changed(), None);
    fs_err::rename(world.path("images/x"), world.path("x")).expect("renamed");
    assert!(world.hash(&files).is_err());
    fs_err::rename(world.path("x"), world.path("images/x")).expect("renamed");
    assert_eq!(found.changed(), Some(world.path("images/x").as_std_path()));
}

/// Returns a commit of these files: path, kind, content.
fn committed(files: &[(&str, CommittedKind, &str)]) -> Committed {
    let files = files.iter().map(|(path, kind, content)| {
        let blob = BlobId::of(ObjectFormat::Sha1, content.as_bytes());
        ((*path).to_owned(), CommittedFile { kind: *kind, blob })
    });
    Committed {
        commit: Commit::parse(&"a".repeat(40)).expect("a hash"),
        time: 0,
        files: files.collect(),
    }
}

const FILE: CommittedKind = CommittedKind::Regular { executable: false };
const PROGRAM: CommittedKind = CommittedKind::Regular { executable: true };

#[test]
fn what_was_read_is_compared_with_a_commit() {
    let world = World::new();
    let found = || {
        fs_err::write(world.path("images/unused"), "u").expect("written");
        let texts = ["specs.yml", "specs.lock"]
            .map(|name| TextFile::find(&world.path(name)).with_text("old"));
        let tracked = ["images/x", "images/link", "images/unused"];
        let (found, files) = world.found_of(&tracked, texts.into());
        found.hash(None);
        world.hash(&files).expect("read");
        found
    };
    let same = [
        ("specs.yml", FILE, "old"),
        ("specs.lock", FILE, "old"),
        ("images/x", FILE, "old"),
        ("images/link", CommittedKind::Link, "x"),
        ("images/unused", FILE, "u"),
    ];
    let is_same = |found: &Found, files: &[_]| {
        let committed = committed(files);
        found.is_named_in(&committed) && found.is_read_of(&committed)
    };
    assert!(is_same(&found(), &same));
    for number in 0..same.len() {
        let mut less = same.to_vec();
        let (path, kind, content) = less.remove(number);
        assert!(!is_same(&found(), &less), "without {path}");
        for (kind, content) in [(kind, "new"), (PROGRAM, content)] {
            let changed = [less.clone(), vec![(path, kind, content)]].concat();
            assert!(!is_same(&found(), &changed), "{path}");
        }
        let renamed = [less, vec![("images/other", kind, content)]].concat();
        assert!(!is_same(&found(), &renamed), "{path}");
    }
    let as_text = [&same[..3], &[("images/link", FILE, "x"), same[4]]].concat();
    assert!(!is_same(&found(), &as_text));
    // A file that is written after it was read is still what was read.
    let read = found();
    fs_err::write(world.path("images/x"), "new").expect("written");
    assert!(is_same(&read, &same));
    assert!(!is_same(&found(), &same));
}

#[test]
fn a_text_that_is_not_what_was_hashed_is_a_change() {
    let world = World::new();
    let (found, files) = world.found_of(&["images/x"], Vec::new());
    found.hash(None);
    fs_err::write(world.path("images/x"), "new").expect("written");
    let Some(File::Regular { content, .. }) = files.get("images/x".into()) else {
        panic!("expected a file");
    };
    assert_eq!(content.text().expect("read"), b"new");
    world.hash(&files).expect("hashed");
    assert!(found.is_other_read());
    assert!(matches!(found.again(), Again::Changed(_)));
}

#[test]
fn a_large_file_is_not_read_to_compare_it() {
    let world = World::new();
    let file = fs_err::File::create(world.path("images/x")).expect("made");
    file.file().set_len((16 << 20) + 1).expect("set");
    let (found, files) = world.found_of(&["images/x"], Vec::new());
    found.hash(None);
    let Some(File::Regular { content, .. }) = files.get("images/x".into()) else {
        panic!("expected a file");
    };
    assert!(!content.is_hashed(None));
    assert!(!found.is_named_in(&committed(&[("images/x", FILE, "")])));
}
