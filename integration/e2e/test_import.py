"""Stacks of other tools: imported, then built in one solve."""
import json
import subprocess

import pytest
from stack import Stack

# The shape of docker-stacks: each image names its base by a variable.
DOCKER_STACKS = {
    "images/docker-stacks-foundation/Dockerfile": """
        ARG ROOT_IMAGE=BASE
        FROM $ROOT_IMAGE
        LABEL maintainer="A Project <project@example.org>"
        ARG NB_USER="jovyan"
        ARG NB_UID="1000"
        ARG NB_GID="100"
        SHELL ["/bin/bash", "-o", "pipefail", "-c"]
        USER root
        ENV DEBIAN_FRONTEND=noninteractive
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
            # a comment between two lines
            mkdir -p "${CONDA_DIR}" && \\
            chown "${NB_USER}:${NB_GID}" "${CONDA_DIR}" && \\
            fix-permissions "${CONDA_DIR}"
        USER ${NB_UID}
        RUN mkdir "/home/${NB_USER}/work"
        COPY --chown="${NB_UID}:${NB_GID}" initial-condarc "${CONDA_DIR}/.condarc"
        COPY run-hooks.sh start.sh /usr/local/bin/
        ENTRYPOINT ["start.sh"]
        USER ${NB_UID}
        WORKDIR "${HOME}"
        """,
    "images/docker-stacks-foundation/fix-permissions": "#!/bin/bash\nchmod -R g+rwX \"$@\"\n",
    "images/docker-stacks-foundation/initial-condarc": "channels: [conda-forge]\n",
    "images/docker-stacks-foundation/run-hooks.sh": "#!/bin/bash\n",
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
        RUN echo server >/usr/local/lib/server
        USER ${NB_UID}
        WORKDIR /tmp
        RUN echo "$NB_USER" >"${CONDA_DIR}/server"
        ENV JUPYTER_PORT=8888
        EXPOSE $JUPYTER_PORT
        CMD ["start-notebook.py"]
        COPY start-notebook.py /usr/local/bin/
        HEALTHCHECK --interval=3s --timeout=1s CMD true
        USER ${NB_UID}
        WORKDIR "${HOME}"
        """,
    "images/base-notebook/start-notebook.py": "#!/usr/bin/env python\n",
    "images/minimal-notebook/Dockerfile": """
        ARG HOST=quay.io
        ARG OWNER=jupyter
        ARG PARENT_IMAGE=$HOST/$OWNER/base-notebook
        FROM $PARENT_IMAGE
        USER root
        RUN echo minimal >/usr/local/lib/minimal
        COPY --chown=1000:100 setup-scripts/ /opt/setup-scripts/
        USER ${NB_UID}
        """,
    "images/minimal-notebook/setup-scripts/setup.py": "print()\n",
    "images/scipy-notebook/Dockerfile": """
        ARG HOST=quay.io
        ARG OWNER=jupyter
        ARG PARENT_IMAGE=$HOST/$OWNER/minimal-notebook
        FROM $PARENT_IMAGE
        USER ${NB_UID}
        RUN cat /usr/local/lib/minimal "${CONDA_DIR}/server" >"${CONDA_DIR}/scipy"
        WORKDIR "${HOME}"
        """,
}
BAKE = {
    "docker-bake.json": json.dumps({
        "target": {
            "_common": {"args": {"GREETING": "hello"}},
            "lib": {"inherits": ["_common"], "context": ".", "dockerfile": "docker/lib.Dockerfile", "tags": ["REGISTRY/lib:latest"]},
            "app": {"inherits": ["_common"], "context": "app", "contexts": {"parent": "target:lib"}, "target": "final",
                    "platforms": ["linux/amd64"], "tags": ["REGISTRY/app:latest"]}}}),
    "docker/lib.Dockerfile": "FROM BASE\nARG GREETING\nCOPY lib /srv/lib\nRUN echo $GREETING >/srv/greeting\n",
    "lib/x": "x\n",
    "app/Dockerfile": "FROM parent AS final\nRUN cat /srv/greeting /srv/lib/x >/srv/all\nFROM final\nRUN exit 1\n",
}
DATAHUB = {
    "images/spec.yml": """
        images:
          datascience-notebook:
            image_name: REGISTRY/datascience-notebook
            build_args: { GREETING: "3.10" }
            info_cmds: [VERSION]
          rstudio-notebook: { image_name: REGISTRY/rstudio-notebook, depend_on: datascience-notebook }
          scipy-ml-notebook: { image_name: REGISTRY/scipy-ml-notebook, depend_on: datascience-notebook }
        tag: { prefix: "2023.4" }
        all_info_cmds: { VERSION: { description: the version, command: cat /srv/greeting } }
        """,
    "images/datascience-notebook/Dockerfile": "FROM BASE\nARG GREETING\nRUN echo $GREETING >/srv/greeting\n",
    "images/rstudio-notebook/Dockerfile":
        "ARG PARENT_TAG=latest\nFROM REGISTRY/datascience-notebook:$PARENT_TAG\nRUN cp /srv/greeting /srv/r\n",
    "images/scipy-ml-notebook/Dockerfile":
        "ARG PARENT_TAG\nFROM REGISTRY/datascience-notebook:$PARENT_TAG\nRUN cp /srv/greeting /srv/ml\n",
}
COMPOSE = {
    "compose.yml": """
        services:
          web: { image: "REGISTRY/web:1", build: { context: web, args: [A=1], additional_contexts: { lib: "service:lib" } } }
          lib: { build: lib }
          db: { image: postgres }
        """,
    "web/Dockerfile": "ARG A\nFROM lib\nARG A\nRUN echo $A >>/srv/x\n",
    "lib/Dockerfile": "FROM BASE\nRUN echo lib >/srv/x\n",
}


@pytest.fixture
def imported(parts, request):
    """Imports the files of another tool in a repository, commits and builds them."""

    def make(files):
        stack = Stack(parts, "", {}, name=f"import-{request.node.name[5:25].strip('_').replace('_', '-')}")
        (stack.folder / "specs.yml").unlink()
        (stack.folder / "images").rmdir()
        for path, text in files.items():
            stack.write(path, text.replace("REGISTRY", stack.registry))
        subprocess.run(["chmod", "-R", "a+x", stack.folder], check=True)
        stack.commit("of another tool")
        answer = stack.laminate("import")
        stack.commit("imported")
        return stack, answer.json

    return make


def test_dockerfiles_that_name_each_other_by_variables(imported, engine):
    stack, answer = imported(DOCKER_STACKS)
    assert not answer["copied"], "the files are in place"
    assert not [note for note in answer["report"] if note["open"]], answer["report"]
    before = engine.solves()
    stack.laminate("build", "--push")
    assert engine.solves() == before + 1, "one solve"
    tag = stack.commit7
    assert stack.content("scipy-notebook", tag, "/opt/conda/scipy") == b"minimal\njovyan\n"
    config = stack.config("scipy-notebook", tag)["config"]
    assert (config["User"], config["WorkingDir"], config["Cmd"]) == ("1000", "/home/jovyan", ["start-notebook.py"])

    # Images of the spec on top, then an edit of one Dockerfile.
    with open(stack.folder / "specs.yml", "a") as spec:
        spec.write("  ml-notebook:\n    base: scipy-notebook\n    steps: [{ run: cp $CONDA_DIR/scipy $CONDA_DIR/ml }]\n")
    stack.replace("images/minimal-notebook/Dockerfile", "echo minimal", "echo edited")
    stack.commit()
    build = stack.laminate("build", "--push")
    assert build.actions() == {"docker-stacks-foundation": "reused", "base-notebook": "reused",
                               "minimal-notebook": "built", "scipy-notebook": "built", "ml-notebook": "built"}
    assert stack.content("ml-notebook", stack.commit7, "/opt/conda/ml") == b"edited\njovyan\n"


def test_a_bake_file(imported):
    stack, answer = imported(BAKE)
    found = {note["found"] for note in answer["report"] if note["open"]}
    assert found == {'platforms ["linux/amd64"]', "argument GREETING"}
    assert answer["channel"] == "latest"
    stack.laminate("build", "--push")
    stack.laminate("promote", "--to", "latest")
    assert stack.content("app", "latest", "/srv/all") == b"hello\nx\n"


def test_a_spec_of_datahub(imported):
    stack, _ = imported(DATAHUB)
    build = stack.laminate("build", "--push")
    tag = f"2023.4-{stack.commit7}"
    assert stack.content("rstudio-notebook", tag, "/srv/r") == b"3.10\n"
    assert stack.content("scipy-ml-notebook", tag, "/srv/ml") == b"3.10\n"
    assert set(build.actions().values()) == {"built"}


def test_a_compose_file(imported):
    stack, answer = imported(COMPOSE)
    assert {note["where"] for note in answer["report"] if note["open"]} == {"compose.yml: service db", "specs.yml"}
    stack.laminate("build", "--push")
    assert stack.content("web", stack.commit7, "/srv/x") == b"lib\n1\n"


def test_nothing_is_replaced_unasked(imported):
    stack, _ = imported(COMPOSE)
    before = (stack.folder / "specs.yml").read_text()
    error = stack.laminate("import", status=2).json["error"]
    assert "exists already" in error["text"] and "--force" in error["help"]
    answer = stack.laminate("import", "--dry-run", "--stack", "other")
    assert "stack: other" in answer.json["spec"] and not answer.json["written"]
    assert (stack.folder / "specs.yml").read_text() == before
