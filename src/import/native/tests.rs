//! Tests of Dockerfiles as steps: Dockerfiles, then the spec and the report that they become.

mod files;

use std::collections::BTreeMap;

use crate::import::tests::target;
use crate::import::{Found, Settings, Sources, imported};

/// Returns the spec and the report of Dockerfiles: `# FILE: path` begins a file, `# LINK: path target` is a link.
fn native(text: &str) -> String {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut links = BTreeMap::new();
    for line in text.trim_start().lines() {
        if let Some(path) = line.strip_prefix("# FILE: ") {
            files.push((path.to_owned(), String::new()));
        } else if let Some((path, to)) = line
            .strip_prefix("# LINK: ")
            .and_then(|it| it.split_once(' '))
        {
            files.push((path.to_owned(), String::new()));
            links.insert(path.to_owned(), to.to_owned());
        } else if let Some((_, text)) = files.last_mut() {
            text.push_str(&format!("{line}\n"));
        }
    }
    let dockerfiles = files
        .iter()
        .filter(|(path, _)| path.ends_with("Dockerfile"));
    let found = Found {
        targets: dockerfiles.map(|(path, _)| target(path)).collect(),
        ..Found::default()
    };
    let sources = files.into_iter().map(|(path, text)| (path, Some(text)));
    let settings = Settings {
        stack: "t".to_owned(),
        is_in_place: true,
        is_native: true,
        ..Settings::default()
    };
    let sources = Sources {
        files: sources.collect(),
        links,
        ..Sources::default()
    };
    let imported = match imported(found, &sources, &settings) {
        Ok(imported) => imported,
        Err(error) => return error,
    };
    let images = imported.images.iter().map(|image| {
        let based_on = image.based_on.as_ref();
        let based_on = based_on.map(|base| format!(", based on `{base}`"));
        format!(
            "{}: image {} → image `{}`{}\n",
            image.dockerfile,
            image.target,
            image.name,
            based_on.unwrap_or_default()
        )
    });
    let images: String = images.collect();
    let notes = imported.notes.iter().map(|note| {
        let mark = if note.is_open { "! " } else { "" };
        format!("{mark}{}: {} → {}\n", note.place, note.found, note.became)
    });
    let notes: String = notes.collect();
    format!("{}\n{images}{notes}", imported.text)
}

/// Returns the spec and the report of one Dockerfile with the files `a`, `b.txt`, `requirements.txt`, `src/x` and `src/y.sh`.
fn one(dockerfile: &str) -> String {
    let files: String = ["a", "b.txt", "requirements.txt", "src/x", "src/y.sh"]
        .map(|path| format!("# FILE: images/app/{path}\n"))
        .concat();
    native(&format!(
        "{files}# FILE: images/app/Dockerfile\n{dockerfile}"
    ))
}

#[test]
fn packages_become_short_keys() {
    insta::assert_snapshot!(one(r#"FROM debian:12
USER root
# Tools.
RUN apt-get update --yes && \
    apt-get install --yes --no-install-recommends \
    git \
    # a comment
    g++ && \
    apt-get clean && rm -rf /var/lib/apt/lists/*
RUN --mount=type=cache,target=/root/.cache/pip pip install --no-cache-dir 'numpy<3' six==1.16
COPY a b.txt /srv/
COPY --chown=1000:100 src /opt/src
COPY requirements.txt /tmp/
RUN pip install -r /tmp/requirements.txt
ENV LEVEL=4
USER 1000
CMD ["start", "${LEVEL}"]
"#));
}

#[test]
fn parts_of_a_chain_become_a_group() {
    insta::assert_snapshot!(one(r#"FROM debian:12
RUN apt-get update && apt-get install -y locales curl && locale-gen && rm -rf /var/lib/apt/lists/*
RUN apt-get update && apt-get install -y gcc && cd /srv && make && apt-get purge -y gcc
RUN mamba install -y -c conda-forge 'python=3.12' && mamba clean --all -f -y && echo ready
"#));
}

#[test]
fn the_environment_holds_where_it_held() {
    insta::assert_snapshot!(one(r#"FROM debian:12
ARG VERSION=1
ARG TOOL=tool-$VERSION
ENV EARLY=1 PATH=/opt/bin:$PATH
RUN echo $VERSION >/x
ENV LATE=$EARLY-2 BOTH="a b"
RUN echo $LATE
ENV BOTH=c
ENV old style value
"#));
}

#[test]
fn a_path_that_is_set_twice_is_set_on_the_steps() {
    insta::assert_snapshot!(one(r#"FROM debian:12
ENV PATH=/a:$PATH
RUN one
ENV PATH=/b:$PATH
RUN two
"#));
}

#[test]
fn a_step_that_makes_the_folder_of_a_number_gives_it_the_number_as_its_group() {
    insta::assert_snapshot!(one(r#"FROM debian:12
ARG NB_UID=1000
USER ${NB_UID}
WORKDIR /opt/w
COPY a sub/
USER 0
WORKDIR /opt/z
COPY a sub/
USER jo
WORKDIR /opt/y
COPY a sub/
"#));
}

#[test]
fn users_and_folders_hold_where_they_held() {
    insta::assert_snapshot!(one(r#"FROM debian:12
RUN as-base
USER root
WORKDIR /app
COPY src .
RUN make
USER 1000:100
WORKDIR /data/work
USER root
RUN touch x
WORKDIR sub
COPY --chown=1000 a .
USER 1000:100
WORKDIR /home/me
"#));
}

#[test]
fn shells_hold_where_they_held() {
    insta::assert_snapshot!(one(r#"FROM debian:12
RUN a | b
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN a; b
RUN for x in 1 2; do echo $x; done && c
RUN set -eux; a; b
SHELL ["/bin/bash", "--login", "-c"]
RUN a && b
RUN ["/bin/tool", "${X}"]
"#));
}

#[test]
fn here_documents_become_write_and_run() {
    insta::assert_snapshot!(one(r#"FROM debian:12
ARG NAME=me
COPY <<EOF /etc/x
name=$NAME
cost=\$5
EOF
COPY --chmod=755 <<'A' <<"B" /srv/
$NAME
A
b ${B}
B
RUN <<EOF
one
two
EOF
RUN python3 <<EOF
print(1)
EOF
"#));
}

#[test]
fn mounts_and_secrets_are_kept() {
    insta::assert_snapshot!(one(r#"FROM debian:12
USER 1000
RUN --mount=type=cache,id=go,target=/root/.cache/go,sharing=locked --mount=type=bind,source=src,target=/src,rw go build
RUN --mount=type=secret,id=token,target=/run/token --mount=type=tmpfs,target=/tmp/x,size=64m --network=none cat /run/token
RUN --mount=from=golang:1.24,source=/usr/local/go,target=/go /go/bin/go version
"#));
}

#[test]
fn the_config_is_the_same() {
    insta::assert_snapshot!(one(r#"FROM debian:12
LABEL org.example.title="A title" "b"=c
EXPOSE 8888 9000-9001/udp
VOLUME ["/data", "/logs"]
STOPSIGNAL SIGINT
ENTRYPOINT exec start $HOME
HEALTHCHECK --interval=1m30s --retries=5 CMD curl -f http://localhost/ || exit 1
MAINTAINER somebody
"#));
}

#[test]
fn files_of_images_are_copied_where_it_is_certain() {
    insta::assert_snapshot!(native(
        r#"
# FILE: images/tool/Dockerfile
FROM debian:12
RUN make
# FILE: images/app/Dockerfile
FROM debian:12 AS first
RUN one
FROM first
COPY --from=tool /opt/tool /opt/tool
COPY --from=ghcr.io/x/uv:1 /uv /uvx /usr/local/bin/
COPY --from=tool /bin/x /usr/local/bin/
# FILE: images/unsure/Dockerfile
FROM debian:12
COPY --from=tool /bin/x /srv/new/
"#
    ));
}

#[test]
fn children_know_what_their_base_sets() {
    insta::assert_snapshot!(native(
        r#"
# FILE: images/base/fix-permissions
chmod +6000 x
# FILE: images/base/start.sh
# FILE: images/base/Dockerfile
ARG ROOT_IMAGE=debian:12
FROM $ROOT_IMAGE
ARG NB_USER="jovyan"
ARG NB_UID="1000"
ARG NB_GID="100"
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
USER root
ENV CONDA_DIR=/opt/conda NB_USER="${NB_USER}" NB_UID=${NB_UID} NB_GID=${NB_GID}
ENV PATH="${CONDA_DIR}/bin:${PATH}" HOME="/home/${NB_USER}"
COPY fix-permissions /usr/local/bin/
RUN useradd --uid "${NB_UID}" "${NB_USER}" && mkdir -p "${CONDA_DIR}" && fix-permissions "${CONDA_DIR}"
USER ${NB_UID}
RUN mkdir "/home/${NB_USER}/work" && \
    fix-permissions "/home/${NB_USER}"
COPY --chown="${NB_UID}:${NB_GID}" start.sh "${CONDA_DIR}/start.sh"
USER ${NB_UID}
WORKDIR "${HOME}"
# FILE: images/child/Dockerfile
ARG REGISTRY=quay.io
ARG BASE_IMAGE=$REGISTRY/jupyter/base
FROM $BASE_IMAGE
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
USER root
RUN apt-get update && apt-get install -y --no-install-recommends git && apt-get clean && rm -rf /var/lib/apt/lists/*
USER ${NB_UID}
WORKDIR /tmp
RUN mamba install --yes 'jupyterlab' && \
    jupyter lab clean --all && \
    mamba clean --all -f -y && \
    fix-permissions "${CONDA_DIR}" && \
    fix-permissions "/home/${NB_USER}"
RUN fix-permissions /srv/new "$CONDA_DIR"
ENV JUPYTER_PORT=8888
EXPOSE $JUPYTER_PORT
USER root
RUN chmod 755 "$HOME"
USER ${NB_UID}
WORKDIR $HOME
"#
    ));
}

#[test]
fn a_mode_is_kept_where_buildkit_sets_it_on_the_same_files() {
    let missing = |folder: &str| {
        format!("`--chmod` also sets the mode of `{folder}` if it is missing, and `copy` does not")
    };
    let other = |mode: &str| format!("`copy` applies the mode `{mode}` in another way");
    let kept = |from: &str, target: &str, mode: &str| {
        format!("copy: {{ {target}: {{ from: {from}, mode: {mode} }} }}")
    };
    let kept_of_image = |from: &str, target: &str, mode: &str| {
        format!("copy: {{ {target}: {{ image: \"x:1\", from: {from}, mode: {mode} }} }}")
    };
    for (instruction, expected) in [
        (
            "COPY --chmod=644 a.txt /etc/a",
            kept("a.txt", "/etc/a", "644"),
        ),
        (
            "COPY --chmod=644 a.txt /etc/",
            kept("a.txt", "/etc/", "644"),
        ),
        ("COPY --chmod=750 d /dd", kept("d/", "/dd/", "750")),
        ("COPY --chmod=644 a.txt /new/deep/a", missing("/new/deep")),
        (
            "COPY --chmod=644 a.txt /new/",
            kept("a.txt", "/new/", "644"),
        ),
        ("COPY --chmod=644 a.txt /new/deep/", missing("/new")),
        ("COPY --chmod=750 d /new/d", missing("/new")),
        (
            "COPY --chmod=755 --from=x:1 /a /b /new/",
            kept_of_image("[/a, /b]", "/new/", "755"),
        ),
        (
            "COPY --chmod=755 --from=x:1 /a /b /new/deep/",
            missing("/new"),
        ),
        ("COPY --chmod=755 <<E /new/x\na\nE", missing("/new")),
        ("COPY --chmod=u=rwx,g=rx,o= d /dd", other("u=rwx,g=rx,o=")),
        ("ADD --chmod=+x a.txt /a", other("+x")),
    ] {
        assert_eq!(copied(instruction), expected, "{instruction}");
    }
    let made = one("FROM debian:12\nUSER root\nWORKDIR /app\nCOPY --chmod=600 a .\n");
    assert!(
        made.contains("run: true") && made.contains("from: a, mode"),
        "{made}"
    );
}

/// Returns what the `copy` of an instruction becomes, or the reason why the Dockerfile is kept.
fn copied(instruction: &str) -> String {
    let files =
        ["a.txt", "d/sub/s", "d/f", "z.tar", "v2/x"].map(|it| format!("# FILE: app/{it}\n"));
    let links = [
        "sl app/d/sub",
        "al app/a.txt",
        "d/up app/v2",
        "zl app/z.tar",
        "out b",
        "no app/gone",
    ];
    let links = links.map(|link| format!("# LINK: app/{link}\n"));
    let head = format!("{}{}# FILE: b/x\n", files.concat(), links.concat());
    let made = native(&format!(
        "{head}# FILE: app/Dockerfile\nFROM debian:12\n{instruction}\n"
    ));
    let shown = |line: &&str| line.contains("copy: ") || line.contains(", because ");
    let line = made.lines().find(shown).unwrap_or_default();
    let reason = line.split_once(", because ").map(|(_, reason)| reason);
    reason.unwrap_or(line).trim().to_owned()
}

#[test]
fn a_source_that_is_a_link_is_what_it_leads_to() {
    let out = "is a link, or leads through one, that may lead out of the context";
    for (instruction, expected) in [
        ("COPY sl /x/", "copy: { /x/: d/sub/ }"),
        ("COPY sl a.txt /x/", "copy: { /x/: [d/sub/, a.txt] }"),
        ("ADD sl/ /x", "copy: { /x/: d/sub/ }"),
        ("COPY d/up /x/", "copy: { /x/: v2/ }"),
        ("COPY d/up/x /x", "copy: { /x: d/up/x }"),
        ("COPY al /x", "copy: { /x: al }"),
        ("COPY a* /x/", "copy: { /x/: a* }"),
        (
            "COPY s[l] /x/",
            "`s[l]` matches the link `sl` to a folder, whose contents are copied",
        ),
        ("COPY out /x/", &format!("`out` {out}")),
        ("COPY out/x /x/", &format!("`out/x` {out}")),
        ("COPY no /x", "`no` is missing in the context"),
        ("ADD zl /x", "`ADD` extracts `zl`, and `copy` does not"),
        ("COPY d/sub/../f ./d/f /x/", "copy: { /x/: [d/f, d/f] }"),
        (
            "COPY d/../../b/x /x/",
            "`d/../../b/x` leads out of the context",
        ),
    ] {
        assert_eq!(copied(instruction), expected, "{instruction}");
    }
}

#[test]
fn what_steps_cannot_say_keeps_the_dockerfile() {
    for (text, reason) in [
        ("FROM scratch\nCOPY a /", "needs a base"),
        (
            "FROM debian:12 AS x\nFROM debian:12\nCOPY --from=x /a /b",
            "the stage `x`",
        ),
        ("FROM --platform=linux/amd64 debian:12", "platform"),
        ("FROM debian:12\nADD https://h/x /x", "cannot fetch"),
        ("FROM debian:12\nADD x.tar.gz /x", "extracts"),
        ("FROM debian:12\nONBUILD RUN x", "ONBUILD"),
        ("FROM debian:12\nCOPY --parents a /x", "--parents"),
        ("FROM debian:12\nCOPY missing /x", "missing in the context"),
        ("FROM debian:12\nCOPY s* /x/", "the folder `src`"),
        ("FROM debian:12\nCOPY a $HOME/x", "environment of the base"),
        (
            "FROM debian:12\nCOPY a x",
            "relative to the folder of the base",
        ),
        (
            "FROM debian:12\nRUN --mount=type=ssh,target=/x git clone x",
            "type `ssh`",
        ),
        ("FROM debian:12\nRUN --security=insecure x", "--security"),
        (
            "FROM debian:12\nRUN <<EOF\n#!/usr/bin/env python\nEOF",
            "interpreter",
        ),
        (
            "FROM debian:12\nARG TARGETARCH\nRUN x",
            "variable of the engine",
        ),
        ("FROM debian:12\nENV X=${Y:-z}", "environment of the base"),
        ("# escape=`\nFROM debian:12", "escape"),
        (
            "FROM debian:12\nRUN apt-get update && apt-get install -y git\nRUN apt-get install -t x y",
            "lists",
        ),
        (
            "FROM debian:12\nUSER $OTHER\nRUN x\nUSER 1000",
            "variable of the base",
        ),
    ] {
        let made = one(text);
        assert!(
            made.contains("    dockerfile: Dockerfile\n"),
            "{text}\n{made}"
        );
        let open = made
            .lines()
            .filter(|line| line.starts_with("! ") && line.contains("keeps its `dockerfile:`"));
        let open: Vec<&str> = open.collect();
        assert!(
            open.len() == 1 && open[0].contains(reason),
            "{text}\n{open:#?}"
        );
    }
}

#[test]
fn no_part_of_a_dockerfile_is_a_panic() {
    let text = "ARG A=1\nFROM debian:$A AS x\nARG B=\"${A:-é}\"\nENV P=/x:$P 'Q'=\"a\\\"b\" R='$B'\nUSER ${B}\nWORKDIR \"/w/$A\"\n\
                RUN --mount=type=cache,target=/c,id=i apt-get update && apt-get install -y git=${A}* && (a; \"b $(c)\") && rm -rf /var/lib/apt/lists/*\n\
                COPY --from=y --chown=1:2 [\"a\", \"/b/\"]\nCOPY <<E 'b' /z/\nx $A\nE\nRUN <<'F' <<G\né\nF\n\nG\n\
                HEALTHCHECK --interval=1m5s CMD [\"é\"]\nEXPOSE 1-3/udp\nLABEL a b c\nSHELL [\"sh\", \"-lc\"]\nCMD é $x\nRUN fix-permissions /\n";
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    for at in &starts {
        let _read = one(&text[..*at]);
        let mut rest = text[*at..].chars();
        rest.next();
        let _read = one(&format!("{}{}", &text[..*at], rest.as_str()));
    }
}

#[test]
fn a_secret_that_is_mounted_twice_is_not_dropped() {
    let twice =
        "RUN --mount=type=secret,id=a,target=/x --mount=type=secret,id=a,target=/y cat /x /y";
    let made = one(&format!("FROM debian:12\n{twice}\n"));
    assert!(made.contains("it mounts the secret `a` twice"), "{made}");
}

#[test]
fn a_name_that_is_too_long_for_a_key_keeps_the_dockerfile() {
    let name = "A".repeat(2000);
    let made = one(&format!("FROM debian:12\nENV {name}=1\n"));
    assert!(made.contains("too long for a spec"), "{made}");
}
