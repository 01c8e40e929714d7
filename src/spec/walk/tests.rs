use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::*;
use crate::spec::tree::Lost;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[&str]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for path in files {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs_err::write(path, "stack: x").expect("written");
        }
        folder
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).expect("UTF-8")
    }

    fn find(&self, tree: Option<&WorkTree>) -> Vec<String> {
        let spec = self.path().join("specs.yml");
        let layout = Layout::read(&spec).expect("inside");
        let found = find(&spec, &layout, tree).expect("read");
        let files: Vec<String> = found.iter().map(|(path, _)| path.to_string()).collect();
        let tracked = tree.and_then(|tree| find_tracked(&spec, &layout, tree));
        if let Some(tracked) = tracked {
            let tracked = tracked.iter().map(|(path, _)| path.to_string());
            assert_eq!(tracked.collect::<Vec<_>>(), files);
        }
        files
    }
}

fn paths<Paths: FromIterator<PathBuf>>(list: &[&str]) -> Paths {
    list.iter().map(PathBuf::from).collect()
}

#[test]
fn without_git_all_counts_but_what_tools_leave_behind() {
    let folder = Folder::new(&[
        "specs.yml",
        "images/.pytest_cache/x",
        "images/a/.bashrc",
        "images/a/.git/config",
        "images/a/__pycache__/x.pyc",
    ]);
    fs_err::create_dir(folder.path().join("images/a/empty")).expect("made");
    let expected = ["images/a", "images/a/.bashrc", "images/a/empty"];
    assert_eq!(folder.find(None), expected);
}

#[test]
fn with_git_its_files_count() {
    let folder = Folder::new(&[
        "specs.yml",
        "images/a/.env",
        "images/a/dist/x",
        "images/a/new",
        "images/a/x.pyc",
        "images/b/.cache/x",
    ]);
    let tree = WorkTree {
        files: paths(&["images/a/x.pyc", "images/a/new"]),
        ignored: paths(&["images/a/.env", "images/a/dist/"]),
        modes: [(PathBuf::from("images/a/new"), true)].into(),
        ..WorkTree::default()
    };
    let expected = ["images/a", "images/a/new", "images/a/x.pyc"];
    assert_eq!(folder.find(Some(&tree)), expected);
}

#[test]
fn only_a_folder_without_other_files_has_what_git_tracks() {
    let tree = WorkTree {
        files: paths(&["images/a/x", "images/a/link"]),
        ..WorkTree::default()
    };
    let folder = Folder::new(&["specs.yml", "images/a/x"]);
    let inside = folder.path().join("images/a");
    std::os::unix::fs::symlink("x", inside.join("link")).expect("a link");
    let spec = folder.path().join("specs.yml");
    let is_tracked = || {
        let found = find_tracked(&spec, &Layout::default(), &tree);
        found.is_some_and(|found| found.iter().count() == 3)
    };
    assert!(is_tracked());
    // A file that is tracked and not there is not another one.
    fs_err::remove_file(inside.join("x")).expect("removed");
    assert!(find_tracked(&spec, &Layout::default(), &tree).is_some());
    fs_err::write(inside.join("x"), "").expect("written");
    let bad = OsStr::from_bytes(b"\xff");
    for name in ["y", ".git", "y.pyc"]
        .map(OsStr::new)
        .into_iter()
        .chain([bad])
    {
        let path = inside.as_std_path().join(name);
        fs_err::write(&path, "").expect("written");
        assert!(!is_tracked(), "{name:?}");
        fs_err::remove_file(&path).expect("removed");
        fs_err::create_dir(&path).expect("made");
        assert!(!is_tracked(), "{name:?}");
        fs_err::remove_dir(&path).expect("removed");
        std::os::unix::fs::symlink("x", &path).expect("a link");
        assert!(!is_tracked(), "{name:?}");
        fs_err::remove_file(&path).expect("removed");
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        assert!(!is_tracked(), "{name:?}");
        fs_err::remove_file(&path).expect("removed");
    }
    assert!(is_tracked());
}

#[test]
fn what_is_left_out_has_a_reason() {
    let folder = Folder::new(&[
        "specs.yml",
        "images/a/.env",
        "images/a/none/.env",
        "images/a/x.pyc",
        "images/a/y",
    ]);
    fs_err::create_dir(folder.path().join("images/a/empty")).expect("made");
    let tree = WorkTree {
        files: paths(&["images/a/y"]),
        ignored: paths(&["images/a/.env", "images/a/none/.env"]),
        ..WorkTree::default()
    };
    let spec = folder.path().join("specs.yml");
    let found = find(&spec, &Layout::default(), Some(&tree)).expect("read");
    let none = found.follow(Utf8Path::new("images/a"), "none");
    let lost = Lost::LeftOut {
        path: "images/a/none/.env".into(),
        reason: LeftOut::Ignored,
    };
    assert_eq!(none, Err(lost));
    let found: Vec<_> = (found.left_out())
        .map(|(path, reason)| (path.as_str(), reason))
        .collect();
    let expected = [
        ("images/a/.env", LeftOut::Ignored),
        ("images/a/empty", LeftOut::Empty),
        ("images/a/none/.env", LeftOut::Ignored),
        ("images/a/x.pyc", LeftOut::LeftBehind),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_link_of_the_stack_may_stay_in_its_folder_only() {
    let folder = Folder::new(&["specs.yml", "files/a/x"]);
    let link = folder.path().join("images");
    std::os::unix::fs::symlink("files", &link).expect("a link");
    assert_eq!(folder.find(None), ["images/a", "images/a/x"]);
    let layout = Layout::read(&folder.path().join("specs.yml")).expect("inside");
    assert_eq!(layout.all, ["specs.yml", "specs.lock", "images", "files"]);
    fs_err::remove_file(&link).expect("removed");
    // Over a link, and a folder that is one.
    std::os::unix::fs::symlink("b/c", &link).expect("a link");
    std::os::unix::fs::symlink(".", folder.path().join("b")).expect("a link");
    std::os::unix::fs::symlink("files", folder.path().join("c")).expect("a link");
    let layout = Layout::read(&folder.path().join("specs.yml")).expect("inside");
    let all = ["specs.yml", "specs.lock", "images", "b", "c", "files"];
    assert_eq!(
        BTreeSet::from(all.map(str::to_owned)),
        layout.all.iter().cloned().collect()
    );
    fs_err::remove_file(&link).expect("removed");
    for name in ["images", "specs.lock"] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink("/etc", &link).expect("a link");
        let error = Layout::read(&folder.path().join("specs.yml")).expect_err("outside");
        let text = format!("link `{name}` leads out of the folder of the spec, to `/etc`");
        assert_eq!(error.to_string(), text);
        fs_err::remove_file(&link).expect("removed");
    }
}

#[test]
fn what_cannot_be_copied_is_known_as_such() {
    let folder = Folder::new(&["specs.yml", "images/a/x"]);
    let path = folder.path().join("images/a/socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let spec = folder.path().join("specs.yml");
    let found = find(&spec, &Layout::default(), None).expect("read");
    let socket = found.get(Utf8Path::new("images/a/socket"));
    assert!(matches!(socket, Some(File::Special(Special::Socket))));
}

#[test]
fn a_folder_of_what_git_does_not_track_is_empty() {
    let folder = Folder::new(&["specs.yml", "images/a/x"]);
    let empty = folder.path().join("images/a/empty");
    fs_err::create_dir(&empty).expect("made");
    let socket = std::os::unix::net::UnixListener::bind(empty.join("socket"));
    let _listener = socket.expect("a socket");
    let tree = WorkTree {
        files: paths(&["images/a/x"]),
        ..WorkTree::default()
    };
    let spec = folder.path().join("specs.yml");
    let path = Utf8Path::new("images/a/empty");
    let found = find(&spec, &Layout::default(), Some(&tree)).expect("read");
    assert!(found.get(path).is_none(), "a clone does not have it");
    let lost = Lost::LeftOut {
        path: path.to_owned(),
        reason: LeftOut::Empty,
    };
    assert_eq!(found.follow(Utf8Path::new("images/a"), "empty"), Err(lost));
    // It is said of what is copied that the socket is not.
    assert!(found.get(&path.join("socket")).is_some());
    let found = find(&spec, &Layout::default(), None).expect("read");
    assert!(found.get(path).is_some());
}
