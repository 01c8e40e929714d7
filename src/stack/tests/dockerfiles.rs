//! Images with a Dockerfile.

use super::*;
use crate::stack::{Base, ImageId, Overrides};
use crate::testing::{parse, stack_with};

const SPEC: &str = "stack: x\nregistry: ghcr.io/campus\nvars: { version: \"3\" }\nimages:\n";

/// Returns the stack of some images; `a` has this Dockerfile.
pub(super) fn of(
    images: &str,
    text: &str,
    files: &[(&str, &str)],
) -> Result<crate::stack::Stack, String> {
    let mut all = vec![("images/a/Dockerfile", text)];
    all.extend(files);
    parse(&format!("{SPEC}{images}"), &all, &Overrides::default())
}

#[test]
fn names_of_the_stack_are_dependencies_and_others_are_external() {
    let images = "  a: { dockerfile: { args: { BASE: base } } }\n  base: { base: debian:12 }\n  tool: { base: debian:12 }\n";
    let text = "ARG BASE=debian\nFROM python AS build\nFROM $BASE\nCOPY --from=build / /\nCOPY --from=ghcr.io/campus/tool /x /x\n";
    let stack = of(images, text, &[]).expect("valid");
    assert_eq!(labels(&stack), ["base", "tool", "a"]);
    let a = image(&stack, "a");
    assert_eq!(a.base, Base::Image(ImageId(0)));
    let copied: Vec<String> = a.copy_sources().into_keys().collect();
    assert_eq!(copied, ["docker.io/library/python:latest", "tool"]);
    assert_eq!(a.copied.len(), 1);
    let external: Vec<String> = (stack.external_images().into_iter())
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        external,
        [
            "docker.io/library/debian:12",
            "docker.io/library/python:latest"
        ]
    );
}

#[test]
fn files_are_those_that_instructions_name_and_nothing_ignores() {
    let files = [
        ("images/a/src/x", "x"),
        ("images/a/src/x.md", "x"),
        ("images/a/other", "x"),
        ("images/a/.dockerignore", "**/*.md\n"),
    ];
    let used = |text: &str| {
        let stack = of("  a: { dockerfile: Dockerfile }\n", text, &files).expect("valid");
        let file = image(&stack, "a")
            .dockerfile()
            .cloned()
            .expect("it has one");
        file.files.into_keys().collect::<Vec<String>>()
    };
    assert_eq!(used("FROM debian:12\nRUN true\n"), [""; 0]);
    assert_eq!(used("FROM debian:12\nCOPY src /x\n"), ["src", "src/x"]);
    assert_eq!(used("FROM debian:12\nCOPY s* /x\n"), ["src", "src/x"]);
    assert_eq!(used("FROM debian:12\nCOPY ./[no]th?r /x/\n"), ["other"]);
    assert_eq!(used("FROM debian:12\nCOPY s*/x /x\n"), ["src/x"]);
    // What a pattern of another form matches is not known.
    assert_eq!(used("FROM debian:12\nCOPY **/x /x/\n").len(), 5);
    assert_eq!(used("FROM debian:12\nCOPY s$X* /x/\n").len(), 5);
    assert_eq!(
        used("FROM debian:12 AS b\nCOPY . /\nFROM debian:12\n"),
        [""; 0]
    );
}

#[test]
fn a_trigger_of_a_base_that_copies_gets_all_files_of_the_context() {
    let files = [
        ("images/a/one", "x"),
        ("images/a/left.out", "x"),
        ("images/a/.dockerignore", "*.out\nDockerfile\n"),
        ("images/base/Dockerfile", ""),
    ];
    let used = |trigger: &str| {
        let base = format!("FROM debian:12\n{trigger}\n");
        let mut files = files;
        files[3].1 = &base;
        let images = "  a: { dockerfile: Dockerfile }\n  base: { dockerfile: Dockerfile }\n";
        let stack = of(images, "FROM base\n", &files).expect("valid");
        let file = image(&stack, "a").dockerfile().cloned();
        file.expect("it has one")
            .files
            .into_keys()
            .collect::<Vec<String>>()
    };
    for trigger in ["ONBUILD COPY . /src/", "ONBUILD RUN --mount=target=/x true"] {
        assert_eq!(used(trigger), [".dockerignore", "one"], "{trigger}");
    }
    for trigger in [
        "ONBUILD RUN true",
        "COPY . /",
        "ONBUILD COPY --from=busybox / /",
    ] {
        assert_eq!(used(trigger), [""; 0], "{trigger}");
    }
}

#[test]
fn a_file_that_no_instruction_names_is_not_checked() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";
    let built = |trigger: &str| {
        let base = format!("FROM debian:12\n{trigger}\n");
        let files = [
            ("images/a/data.bin", pointer),
            ("images/base/Dockerfile", base.as_str()),
        ];
        let images = "  a: { dockerfile: Dockerfile }\n  base: { dockerfile: Dockerfile }\n";
        of(images, "FROM base\n", &files)
    };
    assert!(built("RUN true").is_ok());
    let shown = built("ONBUILD COPY . /src/").expect_err("it would be copied");
    assert!(shown.contains("Git LFS has not fetched it"), "{shown}");
}

#[test]
fn an_agent_is_needed_if_its_mount_requires_it() {
    let text = "FROM debian:12\nRUN --mount=type=ssh x\nRUN --mount=type=ssh,required x\n\
                RUN --mount=type=ssh,id=other,required=true x\n";
    let stack = of("  a: { dockerfile: Dockerfile }\n", text, &[]).expect("valid");
    let a = image(&stack, "a");
    let agents = &a.dockerfile().expect("it has one").agents;
    assert_eq!(agents.iter().collect::<Vec<_>>(), ["default", "other"]);
}

#[test]
fn a_folder_can_have_a_name_in_the_dockerfile() {
    let images = "  a:\n    dockerfile: { contexts: { shared: { folder: ../shared }, other: { folder: . } } }\n";
    let files = [
        ("images/shared/x", "x"),
        ("images/shared/y.md", "y"),
        ("images/shared/.dockerignore", "*.md\n"),
    ];
    let of_text = |text: &str| of(images, text, &files).expect("valid");
    let stack = of_text("FROM debian:12\nCOPY --from=shared /x /x\n");
    let a = image(&stack, "a");
    let file = a.dockerfile().cloned().expect("it has one");
    let used: Vec<&String> = file.folders["shared"].files.keys().collect();
    assert_eq!(used, [".dockerignore", "x"]);
    assert!(
        file.folders["other"].files.is_empty(),
        "no instruction names it"
    );
    assert!(file.images.is_empty());
    let key = a.steps[0].canonical();
    let without = of_text("FROM debian:12\n");
    assert_ne!(key, image(&without, "a").steps[0].canonical());
    let ids = stack.ids().collect();
    let expanded = crate::stack::expanded(&stack, &ids).to_string();
    let text = "FROM debian:12\nCOPY --from=shared /x /x\n";
    let mut all = vec![("images/a/Dockerfile", text)];
    all.extend(files);
    let again = stack_with(&expanded, &all);
    assert_eq!(image(&again, "a").steps[0].canonical(), key);
    assert_eq!(image(&of_text("FROM shared\n"), "a").base, Base::Scratch);
}

#[test]
fn an_image_with_the_name_of_a_stage_gets_another_one() {
    let images = "  a: { dockerfile: Dockerfile }\n  base: { base: debian:12 }\n";
    let text = "FROM base AS base\nRUN --mount=from=debian:12,target=/m true\nFROM base\n";
    let stack = of(images, text, &[]).expect("valid");
    let file = image(&stack, "a")
        .dockerfile()
        .cloned()
        .expect("it has one");
    assert_eq!(file.base.as_deref(), Some("base-image"));
    let renamed = text.replacen("FROM base", "FROM base-image", 1);
    assert_eq!(file.renamed, Some(renamed));
}

#[test]
fn a_base_can_be_empty() {
    let stack = of(
        "  a: { dockerfile: Dockerfile }\n",
        "FROM scratch\nCMD [\"/x\"]\n",
        &[],
    );
    assert_eq!(image(&stack.expect("valid"), "a").base, Base::Scratch);
}

#[test]
fn an_expanded_spec_has_the_same_dockerfile() {
    let images = "  a:\n    dockerfile: { target: t, args: { V: \"${version}\" }, contexts: { c: base }, secrets: [s] }\n    steps: [{ run: x }]\n  base: { base: debian:12 }\n";
    let text = "FROM c AS t\n";
    let stack = of(images, text, &[]).expect("valid");
    let ids = stack.ids().collect();
    let expanded = crate::stack::expanded(&stack, &ids).to_string();
    let again = stack_with(&expanded, &[("images/a/Dockerfile", text)]);
    let (first, second) = (image(&stack, "a"), image(&again, "a"));
    assert_eq!(first.steps[0].canonical(), second.steps[0].canonical());
    assert_eq!(first.steps.len(), second.steps.len());
}

/// Checks the first lines of faults: images, the Dockerfile of `a`, the message, and the place.
fn assert_faults(list: &[(&str, &str, &str, &str)]) {
    let fault = |images: &str, text: &str| {
        let shown = of(images, text, &[]).expect_err("it has a fault");
        let mut lines = shown.lines();
        let message = lines.next().unwrap_or_default().to_owned();
        let place = lines.next().unwrap_or_default().trim();
        (message, place.trim_start_matches("--> ").to_owned())
    };
    for (images, text, message, place) in list {
        assert_eq!(
            fault(images, text),
            ((*message).to_owned(), (*place).to_owned()),
            "{text}"
        );
    }
}

const PLAIN: &str = "  a: { dockerfile: Dockerfile }\n";

#[test]
fn faults_are_on_their_place() {
    assert_faults(&[
        (
            PLAIN,
            "FROM debian:12\nRUM x\n",
            "error: unknown instruction `RUM`",
            "images/a/Dockerfile:2:1",
        ),
        (
            PLAIN,
            "FROM $X\n",
            "error: the name of the base is unknown: `$X`",
            "images/a/Dockerfile:1:6",
        ),
        (
            PLAIN,
            "FROM UPPER\n",
            "error: invalid image reference `UPPER`",
            "images/a/Dockerfile:1:6",
        ),
        (
            PLAIN,
            "# syntax=me/mine:1\nFROM debian:12\n",
            "error: unsupported frontend `me/mine:1`",
            "images/a/Dockerfile:1:10",
        ),
        (
            "  a: { dockerfile: { target: t } }\n",
            "FROM debian:12\n",
            "error: unknown target `t`",
            "specs.yml:5:30",
        ),
        (
            "  a: { dockerfile: None }\n",
            "",
            "error: missing file `images/a/None`",
            "specs.yml:5:20",
        ),
        (
            "  a: { dockerfile: Dockerfile }\n  b: { base: a }\n",
            "FROM debian:12\nONBUILD RUN x\n",
            "error: unsupported ONBUILD triggers in base `a`",
            "specs.yml:6:3",
        ),
        (
            "  a: { dockerfile: Dockerfile, base: debian:12 }\n",
            "FROM debian:12\n",
            "error: `dockerfile` and `base` cannot be used together in image `a`",
            "specs.yml:5:32",
        ),
        (
            "  a: { dockerfile: Dockerfile }\n  b: { base: a }\n",
            "FROM b\n",
            "error: dependency cycle: a → b → a",
            "images/a/Dockerfile:1:6",
        ),
    ]);
}

#[test]
fn faults_of_names_and_files_are_at_the_text_that_has_them() {
    assert_faults(&[
        // Of a name with a variable, the text that has it.
        (
            PLAIN,
            "ARG X=y\nARG BASE=UPPER\nFROM $BASE\n",
            "error: invalid image reference `UPPER`",
            "images/a/Dockerfile:2:10",
        ),
        (
            PLAIN,
            "ARG X=\"UPPER\"\nARG BASE=${X}\nFROM ${BASE} AS x\n",
            "error: invalid image reference `UPPER`",
            "images/a/Dockerfile:1:7",
        ),
        (
            "  a: { dockerfile: { args: { X: UPPER } } }\n",
            "ARG X=b\nARG BASE=$X\nFROM $BASE\n",
            "error: invalid image reference `UPPER`",
            "specs.yml:5:33",
        ),
        (
            PLAIN,
            "ARG X=UPPER\nFROM quay.io/$X\n",
            "error: invalid image reference `quay.io/UPPER`",
            "images/a/Dockerfile:2:6",
        ),
        // Of a file that is not named, the key.
        (
            "  a: { dockerfile: { context: ../none } }\n",
            "",
            "error: missing file `images/none`",
            "specs.yml:5:31",
        ),
        (
            "  a: { dockerfile: { args: { X: y }, file: None } }\n",
            "",
            "error: missing file `images/a/None`",
            "specs.yml:5:44",
        ),
        (
            PLAIN,
            "FROM debian:12\nCOPY data\n",
            "error: `COPY` requires at least two arguments",
            "images/a/Dockerfile:2:1",
        ),
    ]);
}

#[test]
fn credentials_in_a_url_are_an_error() {
    let text = "FROM debian:12\nRUN git clone https://me:word@host/x\n";
    let shown = of("  a: { dockerfile: Dockerfile }\n", text, &[]).expect_err("a fault");
    assert!(
        shown.starts_with("error: user name or password in a URL\n --> images/a/Dockerfile:2:23"),
        "{shown}"
    );
    assert!(shown.contains("--mount=type=secret,id=netrc"), "{shown}");
}

#[test]
fn a_context_is_found_by_the_name_that_the_frontend_looks_up() {
    let image = "  tool: { base: debian:12 }\n";
    for (context, name) in [
        ("quay.io/x/d", "quay.io/x/d:latest"),
        ("quay.io/x/d:latest", "quay.io/x/d"),
        ("debian:bookworm", "docker.io/library/debian:bookworm"),
        ("docker.io/library/debian:bookworm", "debian:bookworm"),
        ("alpine", "alpine:latest"),
        ("x/y", "docker.io/x/y:latest"),
    ] {
        let images =
            format!("{image}  a: {{ dockerfile: {{ contexts: {{ \"{context}\": tool }} }} }}\n");
        for text in [
            format!("FROM {name}\n"),
            format!("FROM scratch\nCOPY --from={name} / /\n"),
            format!("FROM scratch\nRUN --mount=from={name},target=/m true\n"),
        ] {
            let stack = of(&images, &text, &[]).expect("valid");
            assert_eq!(labels(&stack), ["tool", "a"], "{context} {text}");
            let external = stack.external_images().into_iter();
            let external: Vec<String> = external.map(ToString::to_string).collect();
            assert_eq!(
                external,
                ["docker.io/library/debian:12"],
                "{context} {text}"
            );
            assert!(stack.warnings().is_empty(), "{context} {text}");
        }
    }
    // Others are images of their own.
    let images = format!("{image}  a: {{ dockerfile: {{ contexts: {{ quay.io/x/d: tool }} }} }}\n");
    let stack = of(&images, "FROM quay.io/y/notebook:1\n", &[]).expect("valid");
    let warnings = stack.warnings().iter().map(|it| it.message.as_str());
    let warnings: Vec<&str> = warnings.collect();
    assert_eq!(warnings, ["unused context `quay.io/x/d`"]);
}

#[test]
fn names_that_the_frontend_does_not_tell_apart_are_one_image() {
    let images = "  a: { dockerfile: Dockerfile }\n  tool: { base: debian:12 }\n";
    let text = "FROM debian:12\nCOPY --from=tool / /\nCOPY --from=tool:latest / /\n";
    let error = of(images, text, &[]).expect_err("two images");
    assert!(
        error.contains("`tool` and `tool:latest` are different images"),
        "{error}"
    );
    let images = "  tool: { base: debian:12 }\n  a: { dockerfile: { contexts: { alpine: tool, \"alpine:latest\": tool } } }\n";
    let error = of(images, "FROM alpine\n", &[]).expect_err("two contexts");
    assert!(error.contains("duplicate context `alpine`"), "{error}");
}

#[test]
fn an_option_that_the_engine_refuses_is_an_error_at_its_place() {
    let images = "  a: { dockerfile: Dockerfile }\n";
    for option in ["--network=host", "--security=insecure"] {
        let text = format!("FROM debian:12\nRUN {option} true\n");
        let error = of(images, &text, &[]).expect_err("refused");
        let first = format!("error: unsupported option `{option}`\n --> images/a/Dockerfile:2:5");
        assert!(error.starts_with(&first), "{error}");
        let text = format!("FROM debian:12 AS other\nRUN {option} true\nFROM debian:12\n");
        assert!(of(images, &text, &[]).is_ok(), "no stage of the target");
    }
    let text = "FROM debian:12\nRUN --network=none --security=sandbox true\n";
    assert!(of(images, text, &[]).is_ok());
}
