//! Tests of imports.

use std::collections::BTreeSet;

use serde_json::{Value, json};

mod bake_files;

use super::*;

/// Returns what is imported of files; those whose text is empty are not read.
pub fn import(found: Found, files: &[(&str, &str)]) -> Imported {
    let files = files.iter();
    let files = files.map(|(path, text)| {
        let text = (!text.is_empty()).then(|| (*text).to_owned());
        ((*path).to_owned(), text)
    });
    let settings = Settings {
        stack: "campus".to_owned(),
        registry: None,
        is_in_place: true,
        ..Settings::default()
    };
    let sources = Sources {
        files: files.collect(),
        ignored: BTreeSet::from(["dist".to_owned()]),
        ..Sources::default()
    };
    imported(found, &sources, &settings).expect("it can be imported")
}

fn copies(imported: &Imported) -> Vec<(&str, &str)> {
    let copies = imported.copies.iter();
    copies
        .map(|copy| (copy.from.as_str(), copy.to.as_str()))
        .collect()
}

/// Returns the target of a Dockerfile, named after its folder.
pub fn target(path: &str) -> Target {
    let (context, _) = path.rsplit_once('/').expect("it is in a folder");
    Target {
        name: context.rsplit('/').next().unwrap_or_default().to_owned(),
        context: context.to_owned(),
        dockerfile: path.to_owned(),
        ..Target::default()
    }
}

#[test]
fn files_that_a_trigger_of_the_base_copies_are_copied() {
    let copied = |trigger: &str| {
        let base = format!("FROM debian:12\n{trigger}\n");
        let files = [
            ("base/Dockerfile", base.as_str()),
            ("base/other", ""),
            ("app/Dockerfile", "FROM base\n"),
            ("app/src/main.py", ""),
        ];
        let found = Found {
            targets: vec![target("base/Dockerfile"), target("app/Dockerfile")],
            ..Found::default()
        };
        let made = import(found, &files);
        let copies = copies(&made);
        copies.iter().any(|(from, _)| *from == "app/src/main.py")
    };
    assert!(copied("ONBUILD COPY . /src/"));
    assert!(!copied("ONBUILD RUN true"));
}

#[test]
fn dockerfiles_that_name_each_other_are_linked() {
    let foundation = "images/docker-stacks-foundation/Dockerfile";
    let base = "images/base-notebook/Dockerfile";
    let child = "docker/Child/Dockerfile";
    let files = [
        (
            foundation,
            "ARG ROOT=ubuntu:24.04\nFROM $ROOT\nCOPY start.sh /\n",
        ),
        ("images/docker-stacks-foundation/start.sh", ""),
        (
            base,
            "ARG REGISTRY=quay.io\nARG OWNER=jupyter\nARG BASE_IMAGE=$REGISTRY/$OWNER/docker-stacks-foundation\nFROM $BASE_IMAGE\n",
        ),
        (
            child,
            "FROM quay.io/jupyter/base-notebook:latest\nCOPY a /a\n",
        ),
        ("docker/Child/a", ""),
        ("docker/Child/unused", ""),
    ];
    let found = Found {
        targets: vec![target(foundation), target(base), target(child)],
        ..Found::default()
    };
    let made = import(found, &files);
    assert_eq!(
        made.spec["images"],
        json!({
            "docker-stacks-foundation": { "dockerfile": "Dockerfile" },
            "base-notebook": { "dockerfile": { "args": { "BASE_IMAGE": "docker-stacks-foundation" } } },
            "child": { "dockerfile": { "contexts": { "quay.io/jupyter/base-notebook:latest": "base-notebook" } } },
        })
    );
    let expected = [
        ("docker/Child/Dockerfile", "images/child/Dockerfile"),
        ("docker/Child/a", "images/child/a"),
    ];
    assert_eq!(copies(&made), expected);
    assert_eq!(
        made.spec["channels"],
        json!({ "latest": { "tag": "latest" } })
    );
    let read: Vec<bool> = made.images.iter().map(|image| image.is_read).collect();
    assert_eq!(read, [true, true, false]);
    assert!(
        made.notes.iter().all(|note| !note.is_open),
        "{:#?}",
        made.notes
    );
}

#[test]
fn a_spec_of_datahub_keeps_its_arguments_and_commands() {
    let text = "images:\n  base:\n    image_name: ghcr.io/ucsd-ets/datascience-notebook\n    build_args: { PYTHON: \"3.10\" }\n    info_cmds: [PIP_LIST]\n  r:\n    image_name: ghcr.io/ucsd-ets/r\n    depend_on: base\n    integration_tests: true\ntag: { prefix: \"2023.4\" }\nall_info_cmds:\n  PIP_LIST: { description: packages, command: pip list }\n";
    let found = datahub("images/spec.yml", "images", text).expect("valid");
    let files = [
        ("images/base/Dockerfile", "FROM debian:12\nARG PYTHON\n"),
        (
            "images/r/Dockerfile",
            "ARG BASE_TAG\nFROM ghcr.io/ucsd-ets/datascience-notebook:$BASE_TAG\n",
        ),
    ];
    let made = import(found, &files);
    assert_eq!(made.spec["series"], "2023.4");
    assert_eq!(made.spec["tags"], json!(["${series}-${commit7}"]));
    assert_eq!(
        made.spec["images"],
        json!({
            "base": {
                "dockerfile": { "args": { "PYTHON": "3.10" } },
                "repository": "datascience-notebook",
                "info": { "pip-list": { "title": "packages", "run": "pip list" } },
            },
            "r": { "dockerfile": {
                "args": { "BASE_TAG": "latest" },
                "contexts": { "ghcr.io/ucsd-ets/datascience-notebook:latest": "base" },
            } },
        })
    );
    assert!(made.copies.is_empty(), "the files stay where they are");
    let open: Vec<&Note> = made.notes.iter().filter(|note| note.is_open).collect();
    assert_eq!(open.len(), 2, "{open:#?}");
}

#[test]
fn services_that_build_are_images() {
    let text = "services:\n  web:\n    image: campus/web:1\n    build: { context: web, args: [A=1, B], additional_contexts: { lib: \"service:lib\" }, shm_size: 1g }\n    ports: [\"80:80\"]\n  lib: { build: ./lib }\n  db: { image: postgres }\n";
    let found = compose("compose.yml", "", text, &DotEnv::default()).expect("valid");
    let lib = &found.targets[0].contexts["lib"];
    assert_eq!(lib, &Context::Target("lib".to_owned()));
    let files = [
        ("web/Dockerfile", "ARG A\nFROM lib\n"),
        ("lib/Dockerfile", "FROM debian:12\n"),
    ];
    let made = import(found, &files);
    let web = json!({ "dockerfile": { "args": { "A": "1" }, "contexts": { "lib": "lib" } } });
    assert_eq!(made.spec["images"]["web"], web);
    let open = made.notes.iter().filter(|note| note.is_open);
    let open: Vec<&str> = open.map(|note| note.found.as_str()).collect();
    assert_eq!(
        open,
        [
            "argument B without a value",
            "shm_size \"1g\"",
            "ports",
            "a service without `build`",
            "tag 1 of web"
        ]
    );
}

#[test]
fn folders_can_be_contexts() {
    let document = json!({ "target": {
        "a": { "context": "a", "contexts": { "shared": "./libs", "gone": "nowhere", "far": "https://host/x" } },
        "b": { "context": "b", "contexts": { "shared": "libs" } },
    } });
    let found = bake("docker-bake.json", "", &document).expect("valid");
    let files = [
        ("a/Dockerfile", "FROM debian:12\nCOPY --from=shared x /x\n"),
        ("b/Dockerfile", "FROM debian:12\nCOPY --from=shared x /x\n"),
        ("libs/x", ""),
        ("libs/y.md", ""),
        ("libs/.dockerignore", "*.md\n"),
    ];
    let made = import(found, &files);
    for name in ["a", "b"] {
        let contexts = json!({ "shared": { "folder": "../shared" } });
        let expected = json!({ "dockerfile": { "contexts": contexts } });
        assert_eq!(made.spec["images"][name], expected, "{name}");
    }
    assert!(copies(&made).contains(&("libs/x", "images/shared/x")));
    assert!(!copies(&made).iter().any(|(from, _)| *from == "libs/y.md"));
    let open = made.notes.iter().filter(|note| note.is_open);
    let open: Vec<&str> = open.map(|note| note.found.as_str()).collect();
    assert_eq!(
        open,
        ["context far: https://host/x", "context gone: nowhere"]
    );
}

#[test]
fn a_name_is_not_enough_to_be_an_image_of_the_stack() {
    let files = [
        ("images/base/Dockerfile", "FROM quay.io/jupyter/base:2024\n"),
        ("images/same/Dockerfile", "FROM quay.io/jupyter/base:2024\n"),
        ("images/own/Dockerfile", "FROM quay.io/campus/base\n"),
        (
            "images/tagged/Dockerfile",
            "FROM quay.io/campus/base:2024\n",
        ),
        (
            "images/pinned/Dockerfile",
            &format!("FROM quay.io/campus/base@sha256:{}\n", "a".repeat(64)),
        ),
    ];
    let found = Found {
        targets: files.iter().map(|(path, _)| target(path)).collect(),
        ..Found::default()
    };
    let made = import(found, &files);
    let base = |reference: &str| json!({ "dockerfile": { "contexts": { reference: "base" } } });
    let images = json!({
        "base": { "dockerfile": "Dockerfile" },
        // `base` itself is made from that image.
        "same": { "dockerfile": "Dockerfile" },
        "own": base("quay.io/campus/base"),
        "tagged": base("quay.io/campus/base:2024"),
        "pinned": { "dockerfile": "Dockerfile" },
    });
    assert_eq!(made.spec["images"], images);
    let open = made.notes.iter().filter(|note| note.is_open);
    let open: Vec<&str> = open.map(|note| note.place.as_str()).collect();
    let expected = ["images/tagged/Dockerfile:1", "images/pinned/Dockerfile:1"];
    assert_eq!(open, expected);
}

#[test]
fn ignored_files_are_not_copied_and_reported() {
    let files = [
        ("Dockerfile", "FROM debian:12\nCOPY dist/*.whl src /x/\n"),
        ("dist/x.whl", ""),
        ("dist/y.whl", ""),
        ("src/x", ""),
    ];
    let found = Found {
        targets: vec![Target {
            name: "app".to_owned(),
            dockerfile: "Dockerfile".to_owned(),
            ..Target::default()
        }],
        ..Found::default()
    };
    let made = import(found, &files);
    let expected = [
        ("Dockerfile", "images/app/Dockerfile"),
        ("src/x", "images/app/src/x"),
    ];
    assert_eq!(copies(&made), expected);
    let open = made.notes.iter().filter(|note| note.is_open);
    let open: Vec<&str> = open.map(|note| note.found.as_str()).collect();
    assert_eq!(open, ["file dist/x.whl and another one"]);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    assert!(bake("b", "", &json!({})).is_err());
    assert!(compose("c", "", "services: [", &DotEnv::default()).is_err());
    assert!(datahub("d", "", "x: 1").is_err());
    let document = json!({ "target": { "a": { "matrix": { "x": [1] } } } });
    assert!(bake("b", "", &document).is_err_and(|text| text.contains("--print")));
    let document: Value = json!({ "target": { "a": { "inherits": ["a"] } } });
    assert!(bake("b", "", &document).is_err());
}

#[test]
fn the_context_is_the_folder_that_has_the_files() {
    let target = |name: &str| Target {
        name: name.to_owned(),
        context: "docker".to_owned(),
        dockerfile: format!("docker/{name}.Dockerfile"),
        ..Target::default()
    };
    let found = Found {
        targets: vec![target("tool"), target("other")],
        ..Found::default()
    };
    let files = [
        ("docker/tool.Dockerfile", "FROM debian:12\nCOPY libs/x /x\n"),
        (
            "docker/other.Dockerfile",
            "FROM debian:12\nCOPY nowhere /x\n",
        ),
        ("libs/x", ""),
    ];
    let made = import(found, &files);
    let tool = &made.spec["images"]["tool"]["dockerfile"];
    assert_eq!(tool, "docker/tool.Dockerfile");
    assert!(copies(&made).contains(&("libs/x", "images/tool/libs/x")));
    let open: Vec<&str> = (made.notes.iter())
        .filter(|note| note.is_open)
        .map(|note| note.found.as_str())
        .collect();
    assert_eq!(open, ["file nowhere"]);
}

#[test]
fn a_dockerfile_that_is_a_text_becomes_a_file_beside_the_folders() {
    let document = json!({ "target": {
        "base": { "context": "base", "dockerfile-inline": "FROM debian:12\nCOPY a /\n" },
        "web": { "context": "images/web", "dockerfile-inline": "FROM base\n", "contexts": { "base": "target:base" } },
    } });
    let found = bake("docker-bake.json", "", &document).expect("a bake file");
    let files = [
        ("base/a", ""),
        ("images/web/x", ""),
        ("images/web.Dockerfile", "FROM other\n"),
    ];
    let made = import(found, &files);
    assert!(
        made.notes.iter().all(|note| !note.is_open),
        "{:?}",
        made.notes
    );
    assert_eq!(
        made.spec["images"]["base"]["dockerfile"],
        json!("../base.Dockerfile")
    );
    let web = &made.spec["images"]["web"]["dockerfile"];
    assert_eq!(web["file"], json!("../web-inline.Dockerfile"));
    let written: Vec<&str> = made.written.keys().map(String::as_str).collect();
    assert_eq!(
        written,
        ["images/base.Dockerfile", "images/web-inline.Dockerfile"]
    );
    assert_eq!(copies(&made), [("base/a", "images/base/a")]);
    assert_eq!(made.images[1].based_on.as_deref(), Some("base"));
}

#[test]
fn a_text_of_a_compose_file_has_one_dollar_for_two() {
    let text = "services:\n  a:\n    image: ghcr.io/me/a:${TAG:-1}\n    build:\n      dockerfile_inline: |\n        FROM debian:12\n        RUN echo $$HOME\n";
    let found = compose("compose.yaml", "", text, &DotEnv::default()).expect("a compose file");
    let made = import(found, &[]);
    let inline = &made.written["images/a.Dockerfile"];
    assert_eq!(inline, "FROM debian:12\nRUN echo $HOME\n");
    assert_eq!(made.spec["registry"], json!("ghcr.io/me"));
    let open: Vec<&Note> = made.notes.iter().filter(|note| note.is_open).collect();
    assert_eq!(open[0].found, "tag 1 of a");
    assert_eq!(open.len(), 1);
}

#[test]
fn values_of_a_compose_file_are_those_without_an_environment() {
    let text = "services:\n  a:\n    image: ghcr.io/me/a:$TAG\n    build:\n      context: ${DIR:-a}\n      args: { A: \"${X:-1}$$y\", B: $SHELLVAR, C: \"x$${z}\" }\n      labels: [\"l=$OTHER\"]\n";
    let found = compose("compose.yaml", "", text, &DotEnv::default()).expect("a compose file");
    let args = "ARG A\nARG B\nARG C\n";
    let made = import(
        found,
        &[("a/Dockerfile", &format!("FROM debian:12\n{args}"))],
    );
    let args = &made.spec["images"]["a"]["dockerfile"]["args"];
    assert_eq!(args, &json!({ "A": "1$y", "C": "x$${z}" }));
    let open = made.notes.iter().filter(|note| note.is_open);
    let open: Vec<&str> = open.map(|note| note.found.as_str()).collect();
    let expected = [
        "argument B: $SHELLVAR",
        "label l: $OTHER",
        "image ghcr.io/me/a:$TAG",
    ];
    assert_eq!(open, expected);

    let text = "services: { a: { build: $DIR } }\n";
    let error = compose("compose.yaml", "", text, &DotEnv::default()).expect_err("no default");
    assert!(
        error.contains("`context: $DIR` uses a variable without a default"),
        "{error}"
    );
}

#[test]
fn links_are_copied_with_what_they_lead_to() {
    let path = "a/Dockerfile";
    let sources = Sources {
        files: [
            (path, Some("FROM debian:12\nCOPY l /\nCOPY dl/f /\n")),
            ("a/l", None),
            ("a/t", None),
            ("a/dl", None),
            ("a/d/f", None),
            ("a/other", None),
        ]
        .map(|(path, text)| (path.to_owned(), text.map(str::to_owned)))
        .into(),
        links: [("a/l", "a/t"), ("a/dl", "a/d"), ("a/up", "b")]
            .map(|(link, to)| (link.to_owned(), to.to_owned()))
            .into(),
        ..Sources::default()
    };
    let found = Found {
        targets: vec![target(path)],
        ..Found::default()
    };
    let made = imported(found, &sources, &Settings::default()).expect("valid");
    let from: Vec<&str> = made.copies.iter().map(|copy| &*copy.from).collect();
    assert_eq!(from, [path, "a/d/f", "a/dl", "a/l", "a/t"]);
    assert!(made.missing.is_empty() && made.notes.is_empty(), "{made:?}");
}

#[test]
fn an_argument_that_a_stage_reads_too_keeps_its_value() {
    let base = "base/Dockerfile";
    let child = "child/Dockerfile";
    let text = "ARG BASE=ghcr.io/me/base:1\nFROM $BASE\nARG BASE\nLABEL base=$BASE\n";
    let found = Found {
        targets: vec![target(base), target(child)],
        ..Found::default()
    };
    let made = import(found, &[(base, "FROM debian:12\n"), (child, text)]);
    let expected = json!({ "contexts": { "ghcr.io/me/base:1": "base" } });
    assert_eq!(made.spec["images"]["child"]["dockerfile"], expected);
}

#[test]
fn files_that_git_ignores_are_noted_wherever_they_are_used() {
    let document = json!({ "target": { "a": { "context": "a", "contexts": { "data": "dist" } } } });
    let found = bake("docker-bake.json", "", &document).expect("a bake file");
    let files = [
        ("a/Dockerfile", "FROM debian:12\nCOPY --from=data / /\n"),
        ("dist/x", ""),
    ];
    let made = import(found, &files);
    let open = made.notes.iter().filter(|note| note.is_open);
    let open: Vec<&str> = open.map(|note| note.place.as_str()).collect();
    assert_eq!(open, ["a/Dockerfile: context data"]);
}
