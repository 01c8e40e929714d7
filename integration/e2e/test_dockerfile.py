"""Images that are built from Dockerfiles, beside images of the spec and below and above them."""
import io
import os
import subprocess
import tarfile

import pytest

SPEC = """
    stack: dockerfiles
    tags: ["d-${commit7}"]
    vars: { greeting: hello }
    images:
      foundation:
        dockerfile: { args: { ROOT_IMAGE: "BASE", GREETING: "${greeting}" } }
      minimal:
        dockerfile: Dockerfile
        steps: [{ write: { /srv/top: "on top" } }]
        tests: { see: { run: 'cat /srv/files/a /srv/top && test "$GREETING" = hello' } }
      native: { base: minimal, steps: [{ run: cat /srv/greeting >/srv/again, as: root }] }
      top: { dockerfile: Dockerfile }
      tool: { dockerfile: { target: out, contexts: { extra: { folder: ../extra } } } }
"""
FILES = {
    "images/foundation/Dockerfile": """
        # syntax=docker/dockerfile:1
        ARG ROOT_IMAGE=debian:bookworm
        FROM $ROOT_IMAGE
        ARG GREETING=hi
        ENV GREETING=$GREETING
        RUN echo "$GREETING" >/srv/greeting
        COPY files/ /srv/files/
        LABEL org.opencontainers.image.title=mine
        ENTRYPOINT ["/start"]
        """,
    "images/foundation/.dockerignore": "**/*.md\n",
    "images/foundation/files/a": "one\n",
    "images/foundation/files/b.md": "ignored\n",
    "images/foundation/README": "no instruction names it\n",
    "images/minimal/Dockerfile": """
        ARG PARENT=foundation
        FROM $PARENT
        USER root
        RUN --network=none echo minimal >/srv/minimal
        USER 1000:100
        """,
    "images/top/Dockerfile": """
        FROM foundation AS tool-files
        RUN echo built >/x
        FROM native AS native
        USER root
        COPY --from=tool /x /srv/tool
        COPY --from=tool-files /x /srv/x
        RUN --mount=from=tool,target=/mnt cat /mnt/x /srv/again >/srv/all
        """,
    "images/tool/Dockerfile": """
        FROM foundation AS build
        RUN echo tool >/x
        FROM scratch AS out
        COPY --from=build /x /x
        COPY --from=extra value /value
        CMD ["/x"]
        FROM build
        RUN exit 1
        """,
    "images/extra/value": "of a folder\n",
}


def test_dockerfiles_and_other_images_are_built_on_each_other(make_stack, engine):
    stack = make_stack(SPEC, FILES)
    tag = f"d-{stack.commit7}"
    before = engine.solves()
    build = stack.laminate("build", "--push")
    assert engine.solves() == before + 1, "one solve"
    assert set(build.actions().values()) == {"built"}
    assert build.verdicts("minimal")["see"]["passed"]

    assert stack.content("foundation", tag, "/srv/files/a") == b"one\n"
    with pytest.raises(AssertionError):
        stack.content("foundation", tag, "/srv/files/b.md")
    assert stack.content("native", tag, "/srv/again") == b"hello\n"
    assert stack.content("top", tag, "/srv/all") == b"tool\nhello\n"
    assert stack.content("top", tag, "/srv/x") == b"built\n"
    assert len(stack.layers("tool", tag)) == 2, "based on nothing"
    assert stack.content("tool", tag, "/value") == b"of a folder\n"

    config = stack.config("top", tag)
    assert config["config"]["Entrypoint"] == ["/start"]
    assert config["config"]["Labels"]["org.opencontainers.image.title"] == "mine"
    assert "GREETING=hello" in config["config"]["Env"]
    steps = [entry for entry in config["history"] if not entry.get("empty_layer")]
    assert len(steps) == len(config["rootfs"]["diff_ids"]) == len(stack.layers("top", tag))

    plan = stack.laminate("plan")
    assert set(plan.actions().values()) == {"reuse"}
    for path in ("images/foundation/README", "images/foundation/files/b.md"):
        stack.write(path, "another text\n")
    assert set(stack.laminate("plan").actions().values()) == {"reuse"}, "nothing names these files"
    stack.write("images/extra/value", "another value\n")
    plan = stack.laminate("plan", status=10)
    assert plan.image("tool")["reasons"][0]["text"] == "images/extra/value changed"
    stack.write("images/extra/value", "of a folder\n")
    stack.replace("images/tool/Dockerfile", "echo tool", "echo another")
    plan = stack.laminate("plan", status=10)
    assert [name for name, action in plan.actions().items() if action == "build"] == ["tool", "top"]
    assert plan.image("tool")["reasons"][0]["text"] == "images/tool/Dockerfile changed"
    stack.commit()
    build = stack.laminate("build", "--push")
    assert build.actions() == {"foundation": "reused", "minimal": "reused", "native": "reused", "tool": "built",
                               "top": "built"}
    assert stack.content("top", f"d-{stack.commit7}", "/srv/all") == b"another\nhello\n"


def test_an_agent_is_forwarded_to_those_that_mount_it(make_stack, tmp_path):
    ask = ("RUN --mount=type=ssh,required=true perl -MIO::Socket::UNIX -e '"
           "$s = IO::Socket::UNIX->new($ENV{SSH_AUTH_SOCK}) or die; "
           'print $s pack("NC", 1, 11); $s->flush; read $s, $h, 4; read $s, $b, unpack("N", $h); print $b\' >/srv/answer\n')
    stack = make_stack("""
        stack: agents
        tags: ["a-${commit7}"]
        images: { asks: { dockerfile: Dockerfile } }
        """, {"images/asks/Dockerfile": "FROM BASE\nRUN --mount=type=ssh test ! -S \"$SSH_AUTH_SOCK\"\n"})
    stack.laminate("build")
    stack.write("images/asks/Dockerfile", f"FROM BASE\n{ask}")
    stack.commit()
    refused = stack.laminate("build", "--push", status=4)
    assert "missing SSH agents: default" in refused.err
    assert "pass --ssh default" in refused.err
    key, socket = tmp_path / "key", tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of the test", "-f", str(key)], check=True)
        subprocess.run(["ssh-add", "-q", str(key)], env=os.environ | {"SSH_AUTH_SOCK": str(socket)}, check=True)
        stack.laminate("build", "--push", "--ssh", f"default={socket}")
    finally:
        agent.terminate()
        agent.wait()
    # SSH_AGENT_IDENTITIES_ANSWER with one key (RFC of the agent protocol, 5.2).
    answer = stack.content("asks", f"a-{stack.commit7}", "/srv/answer")
    assert answer[:5] == b"\x0c\0\0\0\x01"
    assert b"of the test" in answer


def test_an_instruction_that_fails_is_shown_with_its_line(make_stack):
    stack = make_stack("""
        stack: failing
        images:
          fails: { dockerfile: Dockerfile }
          missing: { dockerfile: Dockerfile }
        """, {
        "images/fails/Dockerfile": "FROM BASE\nRUN true\n\nRUN echo written; \\\n  exit 3\n",
        "images/missing/Dockerfile": "FROM BASE\nARG NAME=nothing\nCOPY $NAME /x\n"})
    answer = stack.laminate("build", status=5)
    error = answer.image("fails")["error"]
    assert error["where"] == {"file": "images/fails/Dockerfile", "line": 4, "column": 1}
    assert error["exit_code"] == 3
    assert error["log_tail"] == ["written"]
    assert answer.image("missing")["error"]["where"]["line"] == 3
    assert "not found" in answer.image("missing")["error"]["text"]

    stack.replace("images/missing/Dockerfile", "$NAME", "nothing")
    for command in ["plan", "build"]:
        refused = stack.laminate(command, status=3, json=False)
        assert "images/missing/Dockerfile:3:6" in refused.err and "[fails" not in refused.err, refused.err


# The examples of BuildKit's and Docker's documentation that need no network. Those with a cache are left out: a cache is
# that of one stack, so its command is another one.
EXAMPLES = {
    "here-documents": """
        FROM BASE
        RUN <<EOT bash
          set -ex
          echo "one" >/one
        EOT
        RUN <<FILE1 cat >/file1 && <<FILE2 cat >/file2
        I am
        first
        FILE1
        I am
        second
        FILE2
        COPY <<-EOT /script.sh
          echo hello ${FOO}
        EOT
        """,
    "mounts": """
        FROM BASE
        RUN --mount=type=bind,source=files,target=/src cp /src/a /a
        RUN --mount=type=tmpfs,target=/tmp/x touch /tmp/x/y /made
        RUN --mount=type=secret,id=none cat /run/secrets/none 2>/dev/null || echo none >/none
        """,
    "copies": """
        FROM BASE AS build
        RUN mkdir /out && echo x >/out/x && ln -s x /out/link
        FROM BASE
        ARG WHERE=/opt
        WORKDIR $WHERE/app
        COPY --from=build --chown=1000:100 --link /out ./out
        COPY --chmod=640 files/*.txt files/a /opt/files/
        COPY --parents ./files/./deep/x /parents/
        ADD files/a.tar /unpacked/
        COPY --exclude=*.txt files /all
        """,
    "variables": """
        ARG NAME=app
        FROM BASE AS base
        ARG NAME
        ENV A=${NAME:-none} B=${MISSING:+x} PATH=/opt/bin:$PATH
        SHELL ["/bin/bash", "-o", "pipefail", "-c"]
        RUN [[ $A = app ]] && echo "$A" >/name
        FROM base AS final
        USER 1000:100
        LABEL multi.label1="value1" \\
              multi.label2="value2"
        EXPOSE 80/tcp
        VOLUME /data
        STOPSIGNAL SIGINT
        HEALTHCHECK --interval=5m --timeout=3s CMD true
        ENTRYPOINT ["top", "-b"]
        CMD ["-c"]
        """,
    "lines": r"""
        # escape=\
        FROM BASE
        RUN echo a \\
        ENV AFTER=1
        RUN cat << EOF > /blank
        FROM $AFTER
        EOF
        RUN cat <<\EOF >/escaped && echo 'a\b' | tr '\' / >/slash && cat <<E >/expanded
        $AFTER
        EOF
        $AFTER
        E
        """,
    "substitutions": """
        ARG IMAGE=v-BASE-rc.1
        ARG PLAIN='${IMAGE#v-}'
        ARG SHORT=${IMAGE%-rc*}
        FROM ${SHORT#"v-"} AS base
        FROM ${SHORT//v-/}
        COPY --from=base /etc/hostname /copied
        """,
    # If the commands ran again, their output would differ.
    "caches": """
        FROM BASE
        RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/scratch date +%N >/time
        RUN --mount=type=cache,id=own,target=/cache,sharing=locked,uid=1 date +%N >/locked
        """,
    "scratch": """
        FROM BASE AS build
        RUN echo static >/static
        FROM scratch
        COPY --from=build /static /
        CMD ["/static"]
        """,
}
CONTEXT = {"files/a": "a\n", "files/b.txt": "b\n", "files/deep/x": "x\n",
           # These two leave out files of any depth, and the class has `!` in it.
           ".dockerignore": "**.env\nfiles/**z*\nfiles/[!q]1\n../files/a\n",
           "files/deep/my.env": "a secret\n", "files/deep/z1": "z\n", "files/q1": "left out\n", "files/r1": "kept\n"}


def archive(path):
    """Returns a tar archive with one file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        entry = tarfile.TarInfo(path)
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"in\n"))
    return made.getvalue()


def test_layers_are_those_that_buildctl_makes(make_stack, parts, monkeypatch):
    # With certificates, commands are others than those of the Dockerfile.
    monkeypatch.delenv("LAMINATE_CA", raising=False)
    spec = "stack: examples\ntags: ['e-${commit7}']\nimages:\n"
    spec += "".join(f"  {name}: {{ dockerfile: Dockerfile }}\n" for name in EXAMPLES)
    files = {f"images/{name}/{path}": text for name in EXAMPLES for path, text in CONTEXT.items()}
    files |= {f"images/{name}/files/a.tar": archive("inner") for name in EXAMPLES}
    files |= {f"images/{name}/Dockerfile": text for name, text in EXAMPLES.items()}
    stack = make_stack(spec, files)
    stack.laminate("build", "--push")
    for name in EXAMPLES:
        ours = stack.config(name, f"e-{stack.commit7}")
        folder = stack.folder / "images" / name
        reference = f"{stack.registry}/{name}-by-buildctl:1"
        subprocess.run(
            ["buildctl", "--addr", parts.engine.address, "build", "--frontend", "dockerfile.v0", "--progress", "plain",
             "--local", f"context={folder}", "--local", f"dockerfile={folder}",
             "--opt", "build-arg:BUILDKIT_CACHE_MOUNT_NS=examples",
             "--output", f"type=image,name={reference},push=true,registry.insecure=true"],
            check=True, capture_output=True, text=True)
        theirs = parts.registry.config(f"{stack.namespace}/{name}-by-buildctl", "1")
        assert ours["rootfs"] == theirs["rootfs"], name
        assert ours["config"] == theirs["config"], name
        ours_by = [entry["created_by"] for entry in ours["history"]]
        assert ours_by == [entry["created_by"] for entry in theirs["history"]], name
