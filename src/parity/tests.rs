//! Tests of comparisons.

use serde_json::json;

use super::*;

/// A tar archive of files with their texts; a name that ends in `/` is a folder.
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        let (kind, mode) = if path.ends_with('/') {
            (tar::EntryType::Directory, 0o755)
        } else {
            (tar::EntryType::Regular, 0o644)
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(text.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        let added = builder.append_data(&mut header, path, text.as_bytes());
        added.expect("in memory");
    }
    builder.into_inner().expect("in memory")
}

fn side(layers: &[&[(&str, &str)]], config: Value) -> Side {
    let mut files = Files::default();
    for files_of_layer in layers {
        let bytes = layer(files_of_layer);
        add_layer(&mut files, bytes.as_slice(), Compressed::No).expect("a layer");
    }
    Side { files, config }
}

fn lines(list: &[Changed]) -> Vec<String> {
    let line = |it: &Changed| {
        let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
        format!("{} {} | {}", it.what, text(&it.first), text(&it.second))
    };
    list.iter().map(line).collect()
}

#[test]
fn spellings_of_root_and_of_the_root_folder_are_equal() {
    let config = |user: &str, folder: &str| {
        let config = json!({ "config": { "User": user, "WorkingDir": folder } });
        side(&[], config)
    };
    let plain = config("", "");
    let none = Gitignore::empty();
    for user in ["root", "0", "0:0", "root:root"] {
        assert!(
            compare(&plain, &config(user, "/"), &none).is_empty(),
            "{user}"
        );
    }
    assert!(!compare(&plain, &config("0:100", "/"), &none).is_empty());
}

#[test]
fn layers_are_applied_one_on_the_other() {
    let image = side(
        &[
            &[
                ("a/", ""),
                ("a/x", "1"),
                ("a/y", "1"),
                ("b/", ""),
                ("b/z", "1"),
            ],
            &[
                ("a/.wh.x", ""),
                ("b/.wh..wh..opq", ""),
                ("b/new", "2"),
                ("./a/y", "2"),
            ],
        ],
        Value::Null,
    );
    let paths: Vec<&str> = image.files.entries.keys().map(String::as_str).collect();
    assert_eq!(paths, ["a", "a/y", "b", "b/new"]);
    let other = side(
        &[&[("a/", ""), ("a/y", "2"), ("b/", ""), ("b/new", "2")]],
        Value::Null,
    );
    assert_eq!(
        compare(&image, &other, &patterns(&[]).expect("valid")),
        Differences::default()
    );
}

#[test]
fn files_that_differ_are_listed_and_folders_stand_for_what_is_in_them() {
    let one = side(
        &[&[
            ("etc/", ""),
            ("etc/x", "one"),
            ("opt/", ""),
            ("opt/a", "1"),
            ("opt/b", "1"),
            ("var/log/x", "1"),
        ]],
        Value::Null,
    );
    let other = side(
        &[&[("etc/", ""), ("etc/x", "two"), ("srv", "1")]],
        Value::Null,
    );
    let found = compare(
        &one,
        &other,
        &patterns(&["/srv".to_owned()]).expect("valid"),
    );
    let shown = lines(&found.files);
    assert_eq!(shown.len(), 2, "{shown:#?}");
    assert!(
        shown[0].starts_with("/etc/x file of 3 bytes ("),
        "{shown:#?}"
    );
    assert_eq!(
        shown[1],
        "/opt folder, 0:0, mode 755, with 2 files and folders | -"
    );
    assert_eq!(found.ignored, 2);
}

#[test]
fn settings_are_compared_one_by_one() {
    let one = json!({ "os": "linux", "config": { "Env": ["A=1", "B=2"], "Cmd": ["x"], "Labels": { "l": "1" }, "User": "" } });
    let other = json!({ "os": "linux", "config": { "Env": ["B=2", "A=3"], "ExposedPorts": { "80/tcp": {} }, "Labels": { "l": "1" } } });
    let found = compare(
        &side(&[], one),
        &side(&[], other),
        &patterns(&[]).expect("valid"),
    );
    assert_eq!(
        lines(&found.config),
        [
            "Cmd [\"x\"] | -",
            "Env A 1 | 3",
            "ExposedPorts 80/tcp - | set"
        ]
    );
}

#[test]
fn packages_are_those_of_all_managers() {
    let status = "Package: git\nStatus: install ok installed\nVersion: 1:2.39\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
    let one = side(
        &[&[
            ("var/lib/dpkg/status", status),
            (
                "usr/lib/python3/dist-packages/Foo_Bar-1.2.dist-info/METADATA",
                "",
            ),
            ("opt/conda/conda-meta/python-3.13.1-h1_0.json", "{}"),
            ("usr/lib/python3/dist-packages/Foo_Bar-1.2.dist-info/", ""),
        ]],
        Value::Null,
    );
    let found = compare(&one, &Side::default(), &patterns(&[]).expect("valid"));
    assert_eq!(
        lines(&found.packages),
        [
            "apt git 1:2.39 | -",
            "conda python 3.13.1 h1_0 | -",
            "pip foo-bar 1.2 | -"
        ]
    );
}

#[test]
fn compressed_layers_are_read() {
    use std::io::Write as _;
    let plain = layer(&[("x", "1")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).expect("in memory");
    let mut files = Files::default();
    let compressed = gzip.finish().expect("in memory");
    add_layer(
        &mut files,
        compressed.as_slice(),
        Compressed::of("application/vnd.oci.image.layer.v1.tar+gzip"),
    )
    .expect("a layer");
    assert_eq!(files.entries.len(), 1);
    assert!(add_layer(&mut files, &b"nonsense"[..], Compressed::Zstd).is_err());
}

#[test]
fn a_folder_of_which_all_entries_are_left_out_is_left_out() {
    let one = side(
        &[&[
            ("opt/", ""),
            ("opt/venv/", ""),
            ("opt/venv/x", "1"),
            ("opt/venv-2", "1"),
            ("opt/empty/", ""),
        ]],
        Value::Null,
    );
    let other = side(&[&[("opt/", "")]], Value::Null);
    let shown = |pattern: &str| {
        let ignored = patterns(&[pattern.to_owned()]).expect("valid");
        let found = compare(&one, &other, &ignored);
        let paths = found.files.iter().map(|it| it.what.clone());
        (paths.collect::<Vec<_>>(), found.ignored)
    };
    let rest = vec!["/opt/empty".to_owned(), "/opt/venv-2".to_owned()];
    for pattern in [
        "/opt/venv",
        "opt/venv/",
        "opt/venv/**",
        "opt/venv/*",
        "venv",
    ] {
        assert_eq!(shown(pattern), (rest.clone(), 2), "{pattern}");
    }
    let patterns_of = ["/opt/*".to_owned(), "!/opt/venv-2".to_owned()];
    let kept = compare(&one, &other, &patterns(&patterns_of).expect("valid"));
    let kept: Vec<&str> = kept.files.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(kept, ["/opt/venv-2"]);
    assert_eq!(shown("opt/*"), (Vec::new(), 4));
    for pattern in ["/venv", "o*/x", "opt/venv-2/"] {
        assert_eq!(shown(pattern).1, 0, "{pattern}");
    }
    for pattern in ["", "/", "# x", "//", "[z-a]"] {
        assert!(patterns(&[pattern.to_owned()]).is_err(), "{pattern}");
    }
}
