"""Dockerfiles as steps: imported with `--native`, built in one solve, and compared with what the Dockerfiles build."""
import json
import os
import subprocess

import pytest
from channel import served
from stack import Stack
from test_import import BAKE, COMPOSE, DATAHUB

FIX_PERMISSIONS = """#!/bin/bash
set -e
for d in "$@"; do
    find "${d}" ! \\( -group "${NB_GID}" -a -perm -g+rwX \\) -exec chgrp "${NB_GID}" -- {} \\+ -exec chmod g+rwX -- {} \\+
    find "${d}" \\( -type d -a ! -perm -6000 \\) -exec chmod +6000 -- {} \\+
done
"""
# The images of docker-stacks, with a virtual environment in the place of conda.
DOCKER_STACKS = {
    "images/docker-stacks-foundation/Dockerfile": """
        ARG ROOT_IMAGE=BASE
        FROM $ROOT_IMAGE
        LABEL maintainer="A Project <project@example.org>"
        ARG NB_USER="jovyan"
        ARG NB_UID="1000"
        ARG NB_GID="100"
        # Fail in pipes as well.
        SHELL ["/bin/bash", "-o", "pipefail", "-c"]
        USER root
        ENV DEBIAN_FRONTEND=noninteractive
        # Packages of the system.
        RUN apt-get update --yes && \\
            apt-get upgrade --yes && \\
            apt-get install --yes --no-install-recommends \\
            python3-venv && \\
            apt-get clean && rm -rf /var/lib/apt/lists/*
        ENV CONDA_DIR=/opt/conda \\
            SHELL=/bin/bash \\
            NB_USER="${NB_USER}" \\
            NB_UID=${NB_UID} \\
            NB_GID=${NB_GID}
        ENV PATH="${CONDA_DIR}/bin:${PATH}" \\
            HOME="/home/${NB_USER}"
        COPY fix-permissions /usr/local/bin/fix-permissions
        RUN chmod a+rx /usr/local/bin/fix-permissions
        RUN useradd --no-log-init --create-home --shell /bin/bash --uid "${NB_UID}" --no-user-group "${NB_USER}" && \\
            mkdir -p "${CONDA_DIR}" && \\
            chown "${NB_USER}:${NB_GID}" "${CONDA_DIR}" && \\
            chmod g+w /etc/passwd && \\
            fix-permissions "${CONDA_DIR}" && \\
            fix-permissions "/home/${NB_USER}"
        USER ${NB_UID}
        ARG PYTHON_VERSION=default
        RUN mkdir "/home/${NB_USER}/work" && \\
            fix-permissions "/home/${NB_USER}"
        COPY --chown="${NB_UID}:${NB_GID}" initial-condarc "${CONDA_DIR}/.condarc"
        RUN set -x && \\
            if [[ "${PYTHON_VERSION}" == "default" ]]; then echo "any" >"${CONDA_DIR}/version"; fi && \\
            python3 -m venv "${CONDA_DIR}" && \\
            fix-permissions "${CONDA_DIR}" && \\
            fix-permissions "/home/${NB_USER}"
        COPY run-hooks.sh start.sh /usr/local/bin/
        ENTRYPOINT ["start.sh"]
        USER root
        RUN mkdir /usr/local/bin/start-notebook.d && \\
            mkdir /usr/local/bin/before-notebook.d
        COPY hook.sh /usr/local/bin/before-notebook.d/
        USER ${NB_UID}
        WORKDIR "${HOME}"
        """,
    "images/docker-stacks-foundation/fix-permissions": FIX_PERMISSIONS,
    "images/docker-stacks-foundation/initial-condarc": "channels: [conda-forge]\n",
    "images/docker-stacks-foundation/run-hooks.sh": "#!/bin/bash\n",
    "images/docker-stacks-foundation/hook.sh": "#!/bin/bash\n",
    "images/docker-stacks-foundation/start.sh": "#!/bin/bash\nexec \"$@\"\n",
    "images/docker-stacks-foundation/.dockerignore": "README.md\n",
    "images/docker-stacks-foundation/README.md": "# Foundation\n",
    "images/base-notebook/Dockerfile": """
        ARG HOST=quay.io
        ARG OWNER=jupyter
        ARG PARENT_IMAGE=$HOST/$OWNER/docker-stacks-foundation
        FROM $PARENT_IMAGE
        SHELL ["/bin/bash", "-o", "pipefail", "-c"]
        USER root
        RUN apt-get update --yes && \\
            apt-get install --yes --no-install-recommends \\
            tini && \\
            apt-get clean && rm -rf /var/lib/apt/lists/*
        USER ${NB_UID}
        WORKDIR /tmp
        RUN pip install --no-cache-dir 'six==1.16.0' && \\
            mkdir -p "${CONDA_DIR}/share/jupyter/lab" && \\
            echo "$NB_USER" >"${CONDA_DIR}/share/server" && \\
            fix-permissions "${CONDA_DIR}" && \\
            fix-permissions "/home/${NB_USER}"
        ENV JUPYTER_PORT=8888
        EXPOSE $JUPYTER_PORT
        CMD ["start-notebook.py"]
        COPY start-notebook.py start-singleuser.py /usr/local/bin/
        COPY jupyter_server_config.py /etc/jupyter/
        USER root
        RUN fix-permissions /etc/jupyter/
        HEALTHCHECK --interval=3s --timeout=1s --start-period=3s --retries=3 CMD true
        USER ${NB_UID}
        WORKDIR "${HOME}"
        """,
    "images/base-notebook/start-notebook.py": "#!/usr/bin/env python\n",
    "images/base-notebook/start-singleuser.py": "#!/usr/bin/env python\n",
    "images/base-notebook/jupyter_server_config.py": "c = 1\n",
    "images/minimal-notebook/Dockerfile": """
        ARG HOST=quay.io
        ARG OWNER=jupyter
        ARG PARENT_IMAGE=$HOST/$OWNER/base-notebook
        FROM $PARENT_IMAGE
        SHELL ["/bin/bash", "-o", "pipefail", "-c"]
        USER root
        RUN apt-get update --yes && \\
            apt-get install --yes --no-install-recommends less && \\
            ln -s /bin/less /usr/local/bin/more && \\
            apt-get clean && rm -rf /var/lib/apt/lists/*
        RUN update-alternatives --install /usr/bin/nano nano /bin/less 10
        USER ${NB_UID}
        COPY --chown=${NB_UID}:${NB_GID} setup-scripts/ /opt/setup-scripts/
        COPY <<-EOF /etc/minimal
        \tuser=$NB_USER
        \tEOF
        """,
    "images/minimal-notebook/setup-scripts/setup.py": "print()\n",
    "images/scipy-notebook/Dockerfile": """
        ARG HOST=quay.io
        ARG OWNER=jupyter
        ARG PARENT_IMAGE=$HOST/$OWNER/minimal-notebook
        FROM $PARENT_IMAGE
        SHELL ["/bin/bash", "-o", "pipefail", "-c"]
        COPY requirements.txt /tmp/requirements.txt
        USER root
        RUN rm -f /usr/local/bin/more; true
        USER ${NB_UID}
        RUN pip install --no-cache-dir -r /tmp/requirements.txt && \\
            fix-permissions "${CONDA_DIR}" && \\
            fix-permissions "/home/${NB_USER}"
        WORKDIR /tmp
        RUN --mount=type=bind,source=facets,target=/src cp -r /src "${CONDA_DIR}/facets" && \\
            fix-permissions "${CONDA_DIR}"
        USER ${NB_UID}
        WORKDIR "${HOME}"
        """,
    "images/scipy-notebook/requirements.txt": "idna==3.6\n",
    "images/scipy-notebook/facets/x": "x\n",
}
# Every kind of instruction that has a key; the tool is of another image, and one image keeps its Dockerfile.
KINDS = {
    "tool/Dockerfile": "FROM BASE\nRUN echo tool >/opt/tool && chmod 755 /opt/tool\n",
    "app/Dockerfile": """
        FROM BASE AS first
        WORKDIR /app
        COPY src .
        RUN echo one >one; echo "$PWD" >two
        FROM first
        ARG NAME=me
        COPY --from=tool /opt/tool /usr/local/bin/
        COPY --chown=1000:100 --chmod=640 a b* /srv/files/
        COPY <<EOF /etc/app.conf
        name=$NAME
        cost=\\$5
        EOF
        RUN <<EOF
        echo "$NAME $LATE" >/srv/name
        false
        echo on >>/srv/name
        EOF
        ENV LATE=late PATH=/app/bin:$PATH
        RUN --mount=type=cache,target=/var/cache/x --mount=type=bind,from=tool,source=/opt,target=/mnt/tool \\
            cat /mnt/tool/tool >/var/cache/x/y && echo "$LATE $PATH" >/srv/late
        USER 1000:100
        WORKDIR /data/work
        USER root
        RUN ["/bin/sh", "-c", "stat -c %u . >/srv/owner"]
        LABEL "org.example.a"="b c"
        VOLUME /data
        STOPSIGNAL SIGINT
        ENTRYPOINT exec start
        USER 1000
        """,
    "app/src/x": "x\n",
    "app/a": "a\n",
    "app/b1": "b\n",
    "compiled/Dockerfile": "FROM BASE AS build\nRUN echo made >/made\nFROM BASE\nCOPY --from=build /made /srv/made\n",
}
MOUNTS = {
    "app/Dockerfile": """
        FROM BASE
        RUN install -d -o 1000 -g 100 /srv/own && ls /sys/class/net >/srv/nets
        RUN --mount=type=secret,id=token cat /run/secrets/token >/srv/secret && stat -c '%a %u:%g' /run/secrets/token >>/srv/secret
        RUN --mount=type=secret,id=token,target=/m/t,mode=0440,gid=100 stat -c '%a %u:%g' /m/t >/srv/mode
        RUN --mount=type=tmpfs,target=/m/tmp,size=1m stat -f -c '%T %b' /m/tmp >/srv/tmpfs && touch /m/tmp/x
        RUN --network=none ls /sys/class/net >/srv/net
        RUN --security=sandbox --mount=type=bind,source=src,target=/m/b,rw touch /m/b/new && ls /m/b >/srv/bind
        USER 1000:100
        RUN --mount=type=cache,target=/m/c,id=of-user,uid=1000,gid=100,mode=0700 \\
            touch /m/c/x && stat -c '%a %u:%g' /m/c >/srv/own/cache
        RUN --mount=type=cache,target=/m/d,sharing=locked stat -c '%a %u:%g' /m/d >/srv/own/root
        """,
    "app/src/x": "x\n",
}
# What `buildx bake --print` 0.38.2 makes of a file with a matrix, contexts and a target that others inherit from.
MATRIX = {
    "docker-bake.json": json.dumps({
        "group": {"app": {"targets": ["app-3", "app-4"]}, "default": {"targets": ["app", "lib"]}},
        "target": {
            **{f"app-{n}": {"context": "app", "contexts": {"parent": "target:lib"}, "dockerfile": "Dockerfile",
                            "args": {"GREETING": "hello", "PYTHON": n}, "tags": [f"REGISTRY/app-{n}:1"], "target": "final"}
               for n in "34"},
            "lib": {"context": ".", "dockerfile": "docker/lib.Dockerfile", "args": {"GREETING": "hello"},
                    "tags": ["REGISTRY/lib:1"]}}}),
    "docker/lib.Dockerfile": BAKE["docker/lib.Dockerfile"],
    "lib/x": "x\n",
    "app/Dockerfile": "FROM parent AS final\nARG PYTHON\nRUN cat /srv/greeting >/srv/$PYTHON\nFROM final\nRUN exit 1\n",
}

@pytest.fixture
def both(parts, request):
    """Imports files as Dockerfiles and as steps, and builds both stacks."""

    def make(files, *options):
        stacks = []
        for form in ("dockerfiles", "steps"):
            name = f"native-{form}"
            stack = Stack(parts, "", {}, name=name)
            (stack.folder / "specs.yml").unlink()
            (stack.folder / "images").rmdir()
            for path, text in files.items():
                stack.write(path, text.replace("REGISTRY", stack.registry))
            subprocess.run(["chmod", "-R", "a+x", stack.folder], check=True)
            stack.commit("of another tool")
            answer = stack.laminate("import", *(["--native"] if form == "steps" else []))
            stack.commit("imported")
            stack.laminate("build", "--push", *options)
            stacks.append(stack)
        return *stacks, answer.json

    return make


def differences(old, new, image, tag=None):
    """Returns what `parity` reports for an image of steps and the one of its Dockerfile."""
    tag = tag or old.commit7
    found = new.laminate("parity", image, "--with", f"{old.registry}/{image}:{tag}", status=None)
    assert found.status in (0, 10), found.err
    return {kind: {it["what"]: (it["first"], it["second"]) for it in found.json[kind]}
            for kind in ("config", "packages", "files")}


def kept(report):
    return {note["where"] for note in report if note["open"]}


def test_docker_stacks(both, engine):
    before = engine.solves()
    old, new, answer = both(DOCKER_STACKS)
    assert engine.solves() == before + 2, "one solve for each stack"
    assert not kept(answer["report"]), answer["report"]
    spec = (new.folder / "specs.yml").read_text()
    assert "dockerfile:" not in spec
    assert "apt: [tini]" in spec and "# Packages of the system." in spec
    # Each instruction has its line in the report.
    for path, text in DOCKER_STACKS.items():
        if path.endswith("/Dockerfile"):
            starts = [line.split()[0] for line in text.splitlines() if line.startswith(" " * 8) and line[8:9].isupper()]
            lines = [note for note in answer["report"] if note["where"].startswith(f"{path}:")]
            assert len(lines) >= len(starts) - 3, (path, lines)
    for image in ("docker-stacks-foundation", "base-notebook", "minimal-notebook", "scipy-notebook"):
        found = differences(old, new, image)
        assert not found["config"] and not found["packages"], (image, found)
        # fix-permissions also sets setuid on folders, and the report says that steps do not.
        others = {path: it for path, it in found["files"].items() if not is_listed(path, *it)}
        assert not others, (image, others)


def is_listed(path, first, second):
    """Whether the report lists a difference: setuid of folders, and how uv and pip note what they installed."""
    if path.endswith((".dist-info/RECORD", ".dist-info/INSTALLER", ".dist-info/REQUESTED")):
        return True
    below = any(path.startswith(folder) for folder in ("/opt/conda", "/home/jovyan", "/etc/jupyter"))
    return below and first and second and "mode 2775" in first and "mode 6775" in second


def test_every_kind_of_instruction(both):
    old, new, answer = both(KINDS)
    assert kept(answer["report"]) == {"compiled/Dockerfile:4"}
    for image in ("tool", "app", "compiled"):
        found = differences(old, new, image)
        assert not any(found.values()), (image, found)


def test_mounts_and_networks_of_run(both, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    old, new, answer = both(MOUNTS, "--secret", f"token={tmp_path}/token")
    assert not kept(answer["report"])
    found = differences(old, new, "app")
    assert not any(found.values()), found
    assert new.content("app", new.commit7, "srv/net") == b"lo\n"


def test_conda_is_installed_without_conda(parts, tmp_path):
    with served(tmp_path) as channel:
        stack = Stack(parts, "", {}, name="native-conda")
        (stack.folder / "specs.yml").unlink()
        (stack.folder / "images").rmdir()
        stack.write("ground/Dockerfile", "FROM BASE\nRUN apt-get update && apt-get install -y --no-install-recommends python3\n")
        stack.write("app/Dockerfile", f"""
            FROM ground
            ENV PATH=/opt/conda/bin:$PATH
            RUN mamba install --yes -p /opt/conda -c {channel.url} leaf tool=1 && mamba clean --all -f -y
            RUN tool >/srv/tool && leaf >>/srv/tool
            """)
        stack.commit("of another tool")
        answer = stack.laminate("import", "--native").json
        assert not kept(answer["report"]), answer["report"]
        stack.commit("imported")
        stack.laminate("build", "--push")
    assert stack.content("app", stack.commit7, "srv/tool") == b"tool 1.0 /opt/conda\nleaf 2.0\n"


@pytest.mark.parametrize("files", [BAKE, MATRIX, DATAHUB, COMPOSE], ids=["bake", "matrix", "datahub", "compose"])
def test_other_lists(both, files):
    old, new, _ = both(files)
    spec = json.loads(new.laminate("plan").out)
    tag = f"2023.4-{old.commit7}" if files is DATAHUB else None
    for image in {image["image"] for image in spec["images"]}:
        found = differences(old, new, image, tag)
        assert not any(found.values()), (image, found)


def test_a_bake_file_in_hcl(parts):
    """buildx prints all targets, also those that are in no group, and the one that others inherit from."""
    stack = Stack(parts, "", {}, name="bake-hcl")
    for path, text in MATRIX.items():
        stack.write(path, text)
    printed = json.loads(MATRIX["docker-bake.json"])
    printed["target"]["_common"] = {"context": ".", "dockerfile": "Dockerfile", "args": {"GREETING": "hello"}}
    (stack.folder / "docker-bake.json").unlink()
    stack.write("docker-bake.hcl", 'target "app" { matrix = { python = ["3", "4"] } }\n')
    stack.write(".bin/printed.json", json.dumps(printed))
    stack.write(".bin/buildx", f"#!/bin/sh\n[ \"$*\" = 'bake --print --allow=fs=* --file docker-bake.hcl *' ] && cat {stack.folder}/.bin/printed.json\n")
    (stack.folder / ".bin/buildx").chmod(0o755)
    env = {"PATH": f"{stack.folder}/.bin:{os.environ['PATH']}"}
    answer = stack.laminate("import", "--native", "--dry-run", env=env).json
    assert [line.strip() for line in answer["spec"].splitlines() if line.startswith("  ") and line.endswith(":") and line[2] != " "] \
        == ["app-3:", "app-4:", "lib:"], answer["spec"]
    assert [note["found"] for note in answer["report"] if "inherit" in note["became"]] == ["target _common"]
