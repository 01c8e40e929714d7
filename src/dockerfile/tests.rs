//! Tests of Dockerfiles.

use std::collections::{BTreeMap, BTreeSet};

use super::lines::lines;
use super::{Dockerfile, Ignore, Root, Uses};

fn uses_of(text: &str, target: Option<&str>, args: &[(&str, &str)]) -> Uses {
    let file = Dockerfile::parse(text).expect("a Dockerfile");
    let args = args.iter();
    let args = args.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    file.uses(target, &args.collect(), &BTreeSet::new())
        .expect("it is known")
}

fn root(uses: &Uses) -> &str {
    match &uses.root {
        Root::Image(name) => &name.value,
        Root::Scratch => "scratch",
    }
}

fn images(uses: &Uses) -> Vec<&str> {
    uses.images.iter().map(|name| name.value.as_str()).collect()
}

#[test]
fn the_base_is_that_of_the_first_stage_of_the_target() {
    let text = "FROM debian:12 AS Base\nFROM golang:1 AS build\nRUN go build\nFROM base\nCOPY --from=build /x /x\n";
    let uses = uses_of(text, None, &[]);
    assert_eq!(root(&uses), "debian:12");
    assert_eq!(images(&uses), ["golang:1"]);
    let uses = uses_of(text, Some("BUILD"), &[]);
    assert_eq!((root(&uses), images(&uses).len()), ("golang:1", 0));
    let file = Dockerfile::parse(text).expect("a Dockerfile");
    let by_number = file.uses(Some("0"), &BTreeMap::new(), &BTreeSet::new());
    // The frontend finds it by name alone.
    assert_eq!(
        by_number.expect_err("unknown").message,
        "unknown target `0`"
    );
}

#[test]
fn a_base_can_be_a_variable_of_variables() {
    let text = "ARG REGISTRY=quay.io\nARG OWNER=jupyter\nARG BASE_IMAGE=$REGISTRY/$OWNER/foundation\nFROM $BASE_IMAGE\n";
    assert_eq!(
        root(&uses_of(text, None, &[])),
        "quay.io/jupyter/foundation"
    );
    let own = [("OWNER", "campus")];
    assert_eq!(
        root(&uses_of(text, None, &own)),
        "quay.io/campus/foundation"
    );
    let own = [("BASE_IMAGE", "base-notebook")];
    assert_eq!(root(&uses_of(text, None, &own)), "base-notebook");
}

#[test]
fn what_stages_take_from_outside_is_found() {
    let text = "FROM scratch AS files\nCOPY ./a/b* deps/ /x/\nADD https://host/x git@host:y /y/\n\
                FROM debian:12\nCOPY --from=0 /x /x\nCOPY --chown=1:1 [\"c d/e\", \"/e\"]\n\
                RUN --mount=type=bind,source=src,target=/src --mount=from=golang:1,target=/go make\n\
                RUN --mount=type=secret,id=token,required=true --mount=type=secret,id=other cat\n\
                COPY <<EOF /etc/motd\nhello\nEOF\n";
    let uses = uses_of(text, None, &[]);
    let context: Vec<&str> = uses.context.iter().map(String::as_str).collect();
    assert_eq!(context, ["a", "c d/e", "deps", "src"]);
    assert_eq!(images(&uses), ["golang:1"]);
    let secrets: Vec<&str> = uses.secrets.iter().map(|id| id.value.as_str()).collect();
    assert_eq!(secrets, ["token"]);
}

#[test]
fn stages_that_the_target_does_not_need_count_for_nothing() {
    let text = "FROM debian:12 AS a\nCOPY a /\nFROM alpine:3 AS b\nCOPY b /\nFROM a\n";
    let uses = uses_of(text, None, &[]);
    assert_eq!(uses.context, BTreeSet::from(["a".to_owned()]));
    assert!(uses.images.is_empty());
}

#[test]
fn a_trigger_uses_files_where_it_runs() {
    let own = "FROM debian:12 AS a\nONBUILD COPY x /\nONBUILD COPY --from=golang:1 /y /\n";
    let uses = uses_of(own, None, &[]);
    assert!(uses.has_triggers && uses.context.is_empty() && uses.images.is_empty());
    let uses = uses_of(&format!("{own}FROM a\n"), None, &[]);
    assert_eq!(uses.context, BTreeSet::from(["x".to_owned()]));
    assert_eq!(images(&uses), ["golang:1"]);
}

#[test]
fn a_name_that_cannot_be_known_is_a_fault_at_its_place() {
    let fault = |text: &str| {
        let file = Dockerfile::parse(text).expect("a Dockerfile");
        let fault = file.uses(None, &BTreeMap::new(), &BTreeSet::new());
        let fault = fault.expect_err("unknown");
        (fault.message, text[fault.range].to_owned())
    };
    let blank = "ARG X\nFROM ${X}\n";
    let expected = "the name of the base is unknown: `${X}`";
    assert_eq!(fault(blank), (expected.to_owned(), "${X}".to_owned()));
    for text in [
        "FROM base-$TARGETARCH\n",
        "FROM base-${TARGETARCH:-amd64}\n",
        "ARG TARGETARCH\nARG X=a-$TARGETARCH\nARG Y=${X}\nFROM base:$Y\n",
    ] {
        assert!(fault(text).0.contains("unknown"), "{text}");
    }
    assert!(
        fault("ARG X\nFROM ${X:?set-it}\n")
            .0
            .contains("missing value")
    );
}

#[test]
fn instructions_are_those_that_the_frontend_reads() {
    let text = "\u{feff}# Syntax = docker/dockerfile:1\n# escape=\\\n\n# a comment\nfrom a \\\n  # in between\n\n  as b\n\
                RUN <<ONE cat >/1 && <<-\"TWO\" cat >/2\nFROM x\nONE\n\tRUN y\n\tTWO\nARG A=1 B=\"x y\"\r\nCOPY [\"a b\", \"/c\"]\n";
    let read = lines(text).expect("valid");
    assert_eq!(
        read.syntax.expect("a directive").value,
        "docker/dockerfile:1"
    );
    let list: Vec<(&str, &str)> = (read.instructions.iter())
        .map(|it| (it.keyword.as_str(), it.arguments.as_str()))
        .collect();
    let run = "<<ONE cat >/1 && <<-\"TWO\" cat >/2";
    let expected = [
        ("FROM", "a   as b"),
        ("RUN", run),
        ("ARG", "A=1 B=\"x y\""),
        ("COPY", "[\"a b\", \"/c\"]"),
    ];
    assert_eq!(list, expected);
    assert_eq!(read.instructions[1].documents, ["FROM x\n", "RUN y\n"]);
    let words: Vec<String> = (read.instructions[2].words().into_iter())
        .map(|word| {
            assert_eq!(text[word.range].replace('"', ""), word.value);
            word.value
        })
        .collect();
    assert_eq!(words, ["A=1", "B=x y"]);
    assert_eq!(
        read.instructions[3].array(),
        Some(vec!["a b".to_owned(), "/c".to_owned()])
    );
}

#[test]
fn a_backquote_can_be_the_escape() {
    let read = lines("# escape=`\nFROM a `\n AS b\nRUN dir c:\\\n").expect("valid");
    assert_eq!(read.instructions[0].arguments, "a  AS b");
    assert_eq!(read.instructions[1].arguments, "dir c:\\");
}

#[test]
fn a_path_is_certain_up_to_a_variable_or_a_pattern() {
    for (path, expected) in [
        ("/a/./b/", "a/b"),
        ("a/../b", "b"),
        ("a/*/c", "a"),
        ("a/$X/c", "a"),
        ("a/*/../../b", ""),
    ] {
        let text = format!("FROM scratch\nCOPY {path} /x/\n");
        let file = Dockerfile::parse(&text).expect("valid");
        let uses = file.uses(None, &BTreeMap::new(), &BTreeSet::new());
        let uses = uses.expect("valid");
        assert_eq!(
            uses.context,
            BTreeSet::from([expected.to_owned()]),
            "{path}"
        );
    }
}

#[test]
fn an_invalid_file_is_a_fault_at_its_place() {
    let fault = Dockerfile::parse("FROM debian\nRUM x\n").expect_err("invalid");
    assert_eq!(fault.message, "unknown instruction `RUM`");
    assert_eq!(fault.help.as_deref(), Some("did you mean `RUN`?"));
    assert_eq!(fault.range, 12..15);
    for text in ["FROM", "FROM a b", "FROM a\nRUN <<EOF\nx\n"] {
        assert!(Dockerfile::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_name_of_a_stage_has_no_variables() {
    for name in ["${X}base", "1", "-a", "a/b"] {
        let text = format!("FROM debian:12 AS {name}\n");
        let fault = Dockerfile::parse(&text).expect_err(name);
        assert_eq!(fault.message, format!("invalid name of a stage: `{name}`"));
        assert_eq!(&text[fault.range.clone()], name);
        assert_eq!(fault.help.is_some(), name.contains('$'), "{name}");
    }
    for name in ["Base-1_x.y", "a"] {
        let text = format!("FROM debian:12 as {name}\n");
        assert!(Dockerfile::parse(&text).is_ok(), "{name}");
    }
}

#[test]
fn a_variable_of_the_platform_can_have_a_value_of_its_own() {
    let text = "ARG X=a-$TARGETARCH\nARG TARGET_IMAGE=b\nFROM $X-$TARGET_IMAGE\n";
    let uses = uses_of(text, None, &[("TARGETARCH", "arm64")]);
    assert_eq!(root(&uses), "a-arm64-b");
    assert!(uses.reads("TARGETARCH"));
    let text = "ARG TARGETARCH=amd64\nARG X='$Y'\nFROM a-$TARGETARCH:${X#?}\n";
    assert_eq!(root(&uses_of(text, None, &[])), "a-amd64:Y");
}

#[test]
fn a_stage_that_the_platform_chooses_is_each_that_it_can_be() {
    let text = "FROM debian:12 AS root\nFROM root AS final-amd64\nCOPY a /\nCOPY --from=x:1 /a /\nFROM root AS final-arm64\n\
                RUN --mount=type=secret,id=s,required=true x\nCOPY b /\nFROM root AS other\nCOPY c /\n";
    for base in ["final-${TARGETARCH}", "final-${BUILDARCH:-amd64}", "$X"] {
        let text = format!("ARG X=Final-$TARGETARCH\n{text}FROM {base}\nCOPY d /\n");
        let uses = uses_of(&text, None, &[]);
        assert_eq!(root(&uses), "debian:12");
        assert_eq!(uses.context, ["a", "b", "d"].map(str::to_owned).into());
        assert_eq!(uses.secrets.len(), 1);
        assert_eq!(uses.images[0].value, "x:1");
    }
    let uses = uses_of(
        &format!("{text}FROM final-$TARGETARCH\n"),
        None,
        &[("TARGETARCH", "amd64")],
    );
    assert_eq!(uses.context, ["a".to_owned()].into());

    let bases = "FROM a:1 AS base-linux\nFROM b:1 AS base-windows\nFROM base-$TARGETOS";
    let images = uses_of(
        &format!("{bases} AS x\nFROM c:1\nCOPY --from=x / /\n"),
        None,
        &[],
    )
    .images;
    let images: Vec<&str> = images.iter().map(|name| name.value.as_str()).collect();
    assert_eq!(images, ["a:1", "b:1"]);

    let fault = |text: &str, contexts: &[&str]| {
        let file = Dockerfile::parse(text).expect("a Dockerfile");
        let contexts = contexts.iter().map(|name| (*name).to_owned()).collect();
        let fault = file.uses(None, &BTreeMap::new(), &contexts);
        fault.expect_err("unknown").help.expect("a help")
    };
    assert_eq!(fault(bases, &[]), "set `args: { TARGETOS: linux }`");
    for (base, contexts) in [
        ("final-$TARGETARCH", ["final-arm64"].as_slice()),
        ("fin-$TARGETARCH", &[]),
        ("${TARGETARCH}", &[]),
        ("final-${TARGETARCH%64}64", &[]),
    ] {
        let help = fault(&format!("{text}FROM {base}\n"), contexts);
        assert_eq!(help, "set `args: { TARGETARCH: amd64 }`", "{base}");
    }
}

/// Lines after `FROM` and the instructions that the frontend reads there (parser.go, `Parse`), with their here-documents.
#[test]
fn lines_and_here_documents_end_where_the_frontend_ends_them() {
    for (text, expected) in [
        ("RUN a \\\nb", &["RUN a b"] as &[&str]),
        ("RUN a \\ \t\n  b", &["RUN a   b"]),
        ("RUN a \\\\\nUSER b", &["RUN a \\\\", "USER b"]),
        ("RUN a \\\\\\\nUSER b", &["RUN a \\\\\\", "USER b"]),
        ("RUN a \\\n\\\nb", &["RUN a b"]),
        ("\\\n\n# c\nRUN a", &["RUN a"]),
        ("RUN << E\nUSER\nE\nUSER b", &["RUN << E|USER\n", "USER b"]),
        ("RUN cat <<\t E >/x\nx\nE", &["RUN cat <<\t E >/x|x\n"]),
        ("RUN cat <<\\E\nx\nE", &["RUN cat <<\\E|x\n"]),
        ("RUN cat <<E\\OF\nx\nEOF", &["RUN cat <<E\\OF|x\n"]),
        (
            "RUN cat <<\"E\\OF\"\nx\nE\\OF",
            &["RUN cat <<\"E\\OF\"|x\n"],
        ),
        ("RUN cat <<'A B'\nx\nA B", &["RUN cat <<'A B'|x\n"]),
        ("RUN tr a '\\' <<E\nx\nE", &["RUN tr a '\\' <<E|x\n"]),
        ("RUN cat 3<<E\nx\nE", &["RUN cat 3<<E|x\n"]),
        ("ONBUILD RUN << E\nx\nE", &["ONBUILD RUN << E|x\n"]),
        // None of these has a here-document.
        ("RUN cat <<- E\nUSER x", &["RUN cat <<- E", "USER x"]),
        ("RUN cat <<<E\nUSER x", &["RUN cat <<<E", "USER x"]),
        ("RUN cat<<E\nUSER x", &["RUN cat<<E", "USER x"]),
        ("RUN cat \"<<E\"\nUSER x", &["RUN cat \"<<E\"", "USER x"]),
        ("RUN cat '<< E'\nUSER x", &["RUN cat '<< E'", "USER x"]),
        ("RUN cat \\<<E\nUSER x", &["RUN cat \\<<E", "USER x"]),
        (
            "RUN cat <<E # don't\nUSER x",
            &["RUN cat <<E # don't", "USER x"],
        ),
        ("USER a << E", &["USER a << E"]),
    ] {
        let read = lines(&format!("FROM a\n{text}\n"));
        let read = read.unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        let found = read.instructions[1..].iter();
        let found = found.map(|it| {
            let documents = it.documents.iter().map(|text| format!("|{text}"));
            format!(
                "{} {}{}",
                it.keyword,
                it.arguments,
                documents.collect::<String>()
            )
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn another_comment_ends_the_directives() {
    for (text, expected) in [
        ("# escape=`\nFROM a `\n AS b", "a  AS b"),
        ("# check=skip=all\n# escape=`\nFROM a `\n AS b", "a  AS b"),
        ("# other=x\n# escape=`\nFROM a `\nRUN b", "a `"),
    ] {
        assert_eq!(
            lines(text).expect("valid").instructions[0].arguments,
            expected
        );
    }
}

#[test]
fn ignored_files_are_those_that_docker_ignores() {
    let ignore =
        "# a comment\n*.md\n!README.md\n/build/\n**/*.pyc\ntmp?\n.git\nsecret/**\n!secret/ok\n";
    let ignore = Ignore::parse(ignore).expect("valid");
    for (path, is_ignored) in [
        ("x.md", true),
        ("README.md", false),
        ("docs/x.md", false),
        ("build", true),
        ("build/x/y", true),
        ("x.pyc", true),
        ("a/b/x.pyc", true),
        ("tmp1", true),
        ("tmp12", false),
        (".git/config", true),
        ("secret/x", true),
        ("secret/ok", false),
        ("x", false),
    ] {
        assert_eq!(ignore.matches(path), is_ignored, "{path}");
    }
    assert_eq!(Ignore::parse("a\n[x\n").expect_err("invalid"), "[x");
    assert!(Ignore::parse(&"[!x]".repeat(1000)).is_ok());
    assert!(Ignore::parse(&"[!x]".repeat(2000)).is_err());
}
