use proptest::prelude::*;

use super::*;

/// Files by path; a text that begins with `->` is the target of a link.
fn files(list: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in list {
        let path = Utf8PathBuf::from(path);
        for folder in path.ancestors().skip(1).filter(|path| *path != IMAGES) {
            files.insert(folder, File::Folder);
        }
        let file = match text.strip_prefix("->") {
            Some(target) => File::Link {
                target: target.to_owned(),
            },
            None => File::Regular {
                content: text.as_bytes().into(),
                executable: false,
            },
        };
        files.insert(&path, file);
    }
    files
}

#[test]
fn paths_stay_below_images() {
    let clean = |path: &str| {
        let found = super::clean(Utf8Path::new("images/a"), path);
        found.map(|path| path.to_string())
    };
    assert_eq!(clean("x/./y").as_deref(), Some("images/a/x/y"));
    assert_eq!(clean("../shared/x").as_deref(), Some("images/shared/x"));
    assert_eq!(clean("../../x"), None);
    assert_eq!(clean("../../images/x"), None);
    assert_eq!(clean("/etc/passwd"), None);
}

#[test]
fn links_are_followed_wherever_they_are_on_the_way() {
    let files = files(&[
        ("images/shared/deep/base.txt", ""),
        ("images/shared/back", "->../a/own.txt"),
        ("images/a/own.txt", ""),
        ("images/a/common", "->../shared"),
        ("images/a/named.txt", "->common/deep/base.txt"),
        ("images/b", "->a"),
    ]);
    for (folder, path, found) in [
        (
            "images/a",
            "common/deep/base.txt",
            "images/shared/deep/base.txt",
        ),
        ("images/a", "common/deep", "images/shared/deep"),
        ("images/a", "named.txt", "images/shared/deep/base.txt"),
        ("images/a", "common/back", "images/a/own.txt"),
        ("images/a", "common/../shared/deep/", "images/shared/deep"),
        ("images/a", "none/../own.txt", "images/a/own.txt"),
        ("images/b", "own.txt", "images/a/own.txt"),
        ("images", "a/own.txt", "images/a/own.txt"),
    ] {
        let found = Ok(Utf8Path::new(found));
        assert_eq!(files.follow(Utf8Path::new(folder), path), found, "{path}");
    }
}

#[test]
fn the_reason_names_the_link() {
    let mut files = files(&[
        ("images/a/x", ""),
        ("images/a/out", "->../../secrets"),
        ("images/a/absolute", "->/etc"),
        ("images/a/dangling", "->nothing/here"),
        ("images/a/loop", "->loop"),
    ]);
    files.leave_out(Utf8Path::new("images/a/dist"), LeftOut::Ignored);
    let link = |name: &str, target: &str| {
        (
            Utf8PathBuf::from(format!("images/a/{name}")),
            target.to_owned(),
        )
    };
    let (outside, dangling) = (
        link("out", "../../secrets"),
        link("dangling", "nothing/here"),
    );
    let absolute = link("absolute", "/etc");
    let long = format!("{}{}../../x", "d/".repeat(3000), "../".repeat(3000));
    for (path, lost) in [
        ("../../x", Lost::Outside),
        ("/etc/passwd", Lost::Outside),
        ("y", Lost::Missing),
        ("x/y", Lost::Missing),
        (&long, Lost::Missing),
        (
            "out/x",
            Lost::LinkOutside {
                link: outside.0,
                target: outside.1,
            },
        ),
        (
            "absolute/passwd",
            Lost::LinkOutside {
                link: absolute.0,
                target: absolute.1,
            },
        ),
        (
            "dangling",
            Lost::Dangling {
                link: dangling.0,
                target: dangling.1,
            },
        ),
        ("loop", Lost::Loop),
        (
            "dist/x",
            Lost::LeftOut {
                reason: LeftOut::Ignored,
                path: Utf8PathBuf::from("images/a/dist"),
            },
        ),
    ] {
        assert_eq!(
            files.follow(Utf8Path::new("images/a"), path),
            Err(lost),
            "{path}"
        );
    }
}

#[test]
fn the_files_below_a_folder_are_its_own() {
    let files = files(&[
        ("images/a-b/x", ""),
        ("images/a/b/x", ""),
        ("images/a/y", ""),
        ("images/aa", ""),
    ]);
    let below = files.below(Utf8Path::new("images/a"));
    let paths: Vec<&str> = below.map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["images/a/b", "images/a/b/x", "images/a/y"]);
}

proptest! {
    #[test]
    fn a_link_elsewhere_changes_nothing(folder in "images(/[ab]){0,2}", path in "[ab./]{0,8}") {
        let mut list = vec![("images/a/a/b", ""), ("images/a/b", ""), ("images/b/a", "")];
        let without = files(&list);
        list.push(("images/link", "->a"));
        let with = files(&list);
        let folder = Utf8Path::new(&folder);
        prop_assert_eq!(without.follow(folder, &path), with.follow(folder, &path));
    }
}
