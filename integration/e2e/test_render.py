"""Dockerfiles that laminate renders build the same images with BuildKit alone."""
import json
import os
import pathlib
import subprocess

from channel import served

SPEC = """
    stack: render
    tags: ["r-${commit7}"]
    images:
      tool:
        base: BASE
        steps:
          - run: mkdir -p /opt/tool/lib && echo tool >/opt/tool/bin && ln -s ../bin /opt/tool/lib/link && chmod 4755 /opt/tool/bin
      app:
        base: BASE
        env: { PATH: "/opt/app/bin:${env:PATH}", QUOTED: 'a "b" $C \\', HOME: /srv/home }
        user: "1000:100"
        shell: [/bin/bash, -o, pipefail, -c]
        copy: { /srv/one: one, /srv/folder/: [one, two], /srv/tree: tree/, "/srv/with blank": one }
        steps:
          - copy:
              /srv/owned/a/b: { from: one, owner: "1000:100", mode: "2750" }
              /srv/all: { from: tree, owner: "7", mode: "g+w" }
              /srv/tool: { image: tool, from: /opt/tool }
              /srv/single: { image: tool, from: /opt/tool/bin, owner: daemon }
          - write:
              /srv/text: "one\\nEOF\\n$HOME\\n"
              /srv/no-end: { text: "no end", mode: "600", owner: daemon }
              /new/above/key: { text: "x\\n", mode: "600", owner: "1000:100" }
              /new/beside/suid: { text: "x\\n", mode: "4711" }
          - copy: { /new/plain/script: { from: script.sh, mode: "644" }, /etc/script: { from: script.sh, mode: "440" } }
          - append: { /srv/text: "more\\n" }
          - link: { /srv/links/to: ../text }
          - perms: { /srv/tree: { owner: daemon, recursive: true }, /srv/text: { mode: a-w } }
          - run: |
              # of two lines, with a \\
              echo "$HOME" "$QUOTED" | tee -a /srv/ran
              [[ $(id -u) = 0 ]]; touch "$HOME/of-root"
            as: root
          - run: echo "$A" >x
            cwd: /srv/made/here
            env: { A: "1 2", spark.x: y }
          - exec: [sh, -c, 'echo "$0" >/srv/made/exec', "a b"]
          - script: script.sh
          - group:
              - run: id >/srv/group
              - copy: { /srv/of-group: one }
              - run: cat /srv/of-group >>/srv/group
            as: root
          - run: mkdir /srv/new; echo >/srv/new/x
            as: root
            finish: { /srv/new: { owner: "1000:100", mode: "770", recursive: true } }
          - run: cat /m/bind/a /m/one /m/tool /m/secret >/srv/mounted && touch /m/tmp/x /m/cache/x /m/rw/x
            as: root
            secrets: { token: /m/secret }
            mounts:
              /m/bind: { bind: tree }
              /m/one: { bind: one }
              /m/tool: { image: tool, from: /opt/tool/bin }
              /m/tmp: { tmpfs: 1M }
              /m/cache: { cache: render-test, sharing: locked }
              /m/rw: { bind: tree, rw: true }
        config:
          workdir: /home/new/folder
          entrypoint: [start, "$X"]
          cmd: "a string"
          env: { HOME: /home/new, LATE: "${env:PATH}" }
          labels: { a.b: 'c "d" $E' }
          ports: [8888, 53/udp]
          volumes: [/data]
          stop-signal: SIGINT
          healthcheck: { test: "curl -f http://localhost || exit 1", interval: 30s, retries: 2 }
      child:
        base: app
        env: { QUOTED: { append: x, sep: ":" } }
        steps:
          - run: touch ~/of-root && whoami
            as: root
          - write: { /srv/child: "of the child\\n" }
            as: daemon
          - run: install -d -o daemon /srv/daemon
            as: root
          - run: echo "$HOME" "${A-}" "${LATE-none}" >/srv/daemon/ran
            as: daemon
            env: { LATE: null }
          - exec: [sh, -c, 'echo "$HOME" "$QUOTED." >/srv/daemon/exec']
            as: daemon
            env: { QUOTED: null }
      writable:
        base: tool
        writable: { gid: 100, paths: [/opt/w, /home/w] }
        user: "1000:100"
        steps:
          - copy: { /opt/w/new/: one, /etc/copied: one }
          - write: { /home/w/a/b: text, /home/w/a/key: { text: k, mode: "600" } }
          - run: "mkdir /opt/w/new/mine && echo x >/opt/w/new/mine/x"
            as: root
          - run: id >/home/w/a/of-user
          - run: echo y >/opt/w/y
            as: root
            cwd: /opt/w/new
            env: { A: b }
          - link: { /opt/w/link: y }
        config: { workdir: /home/w/start }
"""
FILES = {
    **{f"images/app/{path}": f"{path}\n" for path in ("one", "two", "tree/a", "tree/deep/b", "tree/deep/.hidden")},
    "images/app/script.sh": "#!/bin/sh\nid >/srv/made/of-script\n",
    "images/writable/one": "one\n",
}


# Packages of each kind, an image whose name is a number, and steps on a Dockerfile whose user, folder and environment
# `config:` replaces.
PACKAGES = """
    stack: render
    tags: ["r-${commit7}"]
    images:
      ground:
        base: BASE
        apt: [python3, python3-pip]
        steps: [{ run: rm /usr/lib/python3*/EXTERNALLY-MANAGED }]CA
      "7": { base: ground, copy: { /srv/seven: seven } }
      packages:
        base: "7"
        writable: { gid: 100, paths: [/opt/conda] }
        pip: requirements.txt
        copy: { /srv/of/7: { image: "7", from: /srv/seven } }
        steps:
          - apt: { packages: [less], recommends: true }
          - pip: { packages: [idna==3.10], tool: pip }
          - conda: { packages: [tool=1], channels: ["CHANNEL"], prefix: /opt/conda }
          - group: [{ apt: [file] }, { pip: [colorama==0.4.6] }, { copy: { /opt/conda/etc/x: seven } }]
            as: root
          - copy: { /etc/plain: seven, /etc/suid: { from: seven, mode: "4755" } }
      based:
        dockerfile: { ignore: patterns }
        env: { PATH: { prepend: /opt/based, sep: ":" } }
        steps:
          - run: id >ran && echo "$PATH" "$HOME" "$A" >>ran
          - apt: [tini]
          - copy: { /srv/of: { image: "7", from: /srv/seven } }
        config:
          user: daemon
          workdir: /work
          env: { PATH: { append: /late, sep: ":" }, A: late }
          labels: { a: b }
          ports: [80]
          cmd: [start]
      child: { base: based, steps: [{ run: id >x && echo "$PATH" "$A" >>x }] }
"""
PACKAGE_FILES = {
    "images/7/seven": "7\n",
    "images/packages/seven": "7\n",
    "images/packages/requirements.txt": "six==1.16.0\n",
    "images/based/Dockerfile":
        "FROM ground\nENV A=early\nWORKDIR /home/here\nRUN chown 1000:100 .\nCOPY . /ctx\nUSER 1000:100\n",
    "images/based/patterns": "left-out\npatterns\n",
    "images/based/left-out": "x\n",
    "images/based/.dockerignore": "kept\n",
    "images/based/kept": "kept\n",
}


def built_by_buildkit(stack, parts, folder, python=None):
    """Builds what was rendered image by image and pushes it; returns target → reference. `python` is the image that
    tools are installed with."""
    targets = json.loads((folder / "docker-bake.json").read_text())["target"]
    built, secret = {}, stack.folder / "secret.txt"
    secret.write_text("secret\n")
    while len(built) < len(targets):
        for name, target in targets.items():
            contexts = target.get("contexts", {})
            needs = {value.removeprefix("target:") for value in contexts.values() if value.startswith("target:")}
            if name in built or not needs <= set(built):
                continue
            context = folder / target["context"]
            built[name] = f"{stack.registry}/rendered-{name}:1"
            options = []
            for key, value in contexts.items():
                value = f"docker-image://{built[value.removeprefix('target:')]}" if value.startswith("target:") else value
                options += ["--opt", f"context:{key}={value}"]
            for key, value in target.get("args", {}).items():
                options += ["--opt", f"build-arg:{key}={value}"]
            for variable in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
                if os.environ.get(variable):
                    options += ["--opt", f"build-arg:{variable}={os.environ[variable]}"]
            if python:
                options += ["--opt", f"context:python:3.13-slim=docker-image://{python}"]
            for given in target.get("secret", []):
                options += ["--secret", f"{given},src={secret}"]
            dockerfile = (context / target["dockerfile"]).resolve()
            subprocess.run(
                ["buildctl", "--addr", parts.engine.address, "build", "--frontend", "dockerfile.v0", "--progress", "plain",
                 "--local", f"context={context}", "--local", f"dockerfile={dockerfile.parent}", *options,
                 "--output", f"type=image,name={built[name]},push=true,registry.insecure=true"],
                check=True, text=True)
    return built


def ensure_same(stack, parts, folder, python=None):
    """Builds what was rendered, and compares each image with that of laminate."""
    built = built_by_buildkit(stack, parts, folder, python)
    for image in stack.laminate("plan").json["images"]:
        name = f"{image['variant']}/{image['image']}" if image.get("variant") else image["image"]
        target = name.replace("/", "-").replace(".", "-")
        found = stack.laminate("parity", name, "--with", built[target], "--format", "text", status=None, json=False)
        assert found.status == 0, f"{name}: {found.out}{found.err}"


def test_rendered_dockerfiles_build_the_same_images(make_stack, parts, monkeypatch):
    monkeypatch.delenv("LAMINATE_CA", raising=False)
    stack = make_stack(SPEC, FILES, executable=["images/app/script.sh"])
    (stack.folder / "secret.txt").write_text("secret\n")
    stack.write(".gitignore", "secret.txt\nout\n")
    stack.commit()
    stack.laminate("build", "--push", "--secret", "token=secret.txt")
    rendered = stack.laminate("render", "--dockerfile", "out").json
    assert rendered["written"] and rendered["differences"] == []
    assert [target["image"] for target in rendered["targets"]] == ["tool", "app", "child", "writable"]
    # As a clone has it: git keeps neither other modes nor empty folders.
    stack.git("add", "--force", "out")
    stack.git("commit", "--quiet", "--message", "what was rendered")
    clone = stack.clone()
    ensure_same(stack, parts, clone.folder / "out")

    error = stack.laminate("render", "--dockerfile", "out", status=2).json["error"]
    assert "is not empty" in error["text"] and "--force" in error["help"]
    again = stack.laminate("render", "--dockerfile", "out", "--force").json
    assert again["targets"] == rendered["targets"]
    shown = stack.laminate("render", "--dockerfile", "elsewhere", "--dry-run", json=False).out
    assert "COPY files/one /srv/one" in shown and not (stack.folder / "elsewhere").exists()


def test_packages_and_steps_on_a_dockerfile_are_the_same(make_stack, parts, monkeypatch, tmp_path):
    # Plain BuildKit has no certificates but those of the image.
    bundle = os.environ.get("LAMINATE_CA")
    monkeypatch.delenv("LAMINATE_CA", raising=False)
    files, keys = dict(PACKAGE_FILES), ""
    if bundle:
        files["images/ground/ca.pem"] = pathlib.Path(bundle).read_text()
        keys = "\n        copy: { /etc/ca.pem: ca.pem }\n        env: { SSL_CERT_FILE: /etc/ca.pem, PIP_CERT: /etc/ca.pem }"
    with served(tmp_path) as channel:
        stack = make_stack(PACKAGES.replace("CHANNEL", channel.url).replace("CA\n", f"{keys}\n"), files, name="packages")
        stack.laminate("build", "--push")
        rendered = stack.laminate("render", "--dockerfile", "out").json
        assert rendered["differences"] == []
        ensure_same(stack, parts, stack.folder / "out", f"{stack.registry}/ground:r-{stack.commit7}")
