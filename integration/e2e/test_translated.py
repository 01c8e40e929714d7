"""What the translated stacks of a campus need, in one stack: packages of a signed source and of two indexes, mounts,
copies, owners, the config, and the suites of an image whose base is not one of this stack.

Mounts and suites have more cases in test_mounts.py and test_suites.py. `conda` is in test_conda.py, with a channel that
is made there: those of conda-forge cannot be reached."""
import functools
import hashlib
import http.server
import subprocess
import threading
import zipfile

import pytest

SPEC = """\
stack: translated
tags: ["t-${commit7}"]
writable: { gid: 100, paths: [/opt/first] }
images:
  ground:
    base: BASE
    env: { APP_UID: "1234", GONE: "yes" }
    apt:
      packages: apt.txt
      sources: [{ uri: "INDEX/deb", suite: ./, key: key.asc, name: campus }]
    steps:
      - { run: "mkdir /made /opt/first; echo tool >/made/tool; echo other >/made/other; useradd --uid 1234 --gid 100 --create-home app", as: root }
      - { perms: { /opt/first: { owner: "0:100", mode: "2775" } } }
    config:
      labels: { kept: "1", removed: "1" }
      ports: [8080]
      volumes: [/data]
      healthcheck: { test: "test -e /opt/second/ready", interval: 1s }
  leaf:
    base: ground
    user: "${env:APP_UID}"
    env: { GONE: null, MAIN: "/opt/second/bin" }
    writable: { add: [/opt/second] }
    steps:
      - { run: "mkdir /opt/second; touch /opt/second/ready; chgrp -R 100 /opt/second", as: root }
      - copy:
          /srv/app/: [one.py, data/, "*.txt"]
          /srv/tools/: { image: ground, from: [/made/tool, /made/other], owner: ":100" }
      - pip: { packages: [unusual, needy], index: "INDEX/old", extra-index: ["INDEX/new"], index-strategy: first-index,
               no-deps: true, args: [--target, /opt/second/first] }
      - pip: { packages: [unusual], index: "INDEX/new", extra-index: ["INDEX/old"], index-strategy: unsafe-best-match,
               args: [--target, /opt/second/best] }
      - run: |
          cat data/a /mnt/tool >/opt/second/all; test -e /ground/etc/debian_version
          touch /mnt/cache/x /mem/x
        cwd: { path: /srv/app, must-exist: true }
        mounts:
          /srv/app/data: { bind: data/ }
          /mnt/tool: { image: ground, from: /made/tool }
          /ground: { image: "BASE" }
          /mnt/cache: { cache: kept, sharing: locked }
          /mem: { tmpfs: 1m }
    config:
      labels: { removed: null }
      ports: null
      volumes: null
      user: "${env:APP_UID}"
      entrypoint: exec python3 -m http.server --directory /srv "$PORT"
      env: { PORT: "8000" }
    tests:
      served: { serve: 8000, then: { run: "python3 -c 'import urllib.request as r; r.urlopen(\\"http://127.0.0.1:8000/app/one.py\\")'" } }
      healthy: { healthcheck: true }
      own: { pytest: own, select: "not absent", args: [-q], groups: [4000], only: here }
  child: { base: leaf }
  absent: { base: ground, steps: [{ run: "true", cwd: { path: /nowhere, must-exist: true } }] }
"""
OWN = """
    import os

    def test_it_is_started_with_its_groups(entrypoint):
        server = entrypoint(env={"PORT": "8123"})
        server.wait_for_port(8123)
        assert (os.getuid(), os.getgid(), os.getgroups()) == (1234, 100, [100, 4000])

    def test_absent():
        assert False
"""


def wheel(folder, name, version, needs=""):
    """Writes a package with one module, and a page that lists it."""
    file, info = f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    folder = folder / name
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / file, "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = '{version}'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f"<a href='{file}'>{file}</a>\n")


def deb(folder, name):
    """Makes a signed source with one package; returns the key that signs it."""
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: t\n")
    (tree / "usr/share/unusual").mkdir(parents=True)
    (tree / "usr/share/unusual/file").write_text("of the source\n")
    run = functools.partial(subprocess.run, check=True, capture_output=True)
    run(["dpkg-deb", "--root-owner-group", "--build", tree, folder / f"{name}.deb"])
    package = (folder / f"{name}.deb").read_bytes()
    control = (tree / "DEBIAN/control").read_text()
    packages = (f"{control}Filename: ./{name}.deb\nSize: {len(package)}\n"
                f"SHA256: {hashlib.sha256(package).hexdigest()}\n").encode()
    (folder / "Packages").write_bytes(packages)
    (folder / "Release").write_text(f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} Packages\n")
    home = folder / "gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
    try:
        run([*gpg, "--quick-generate-key", "t@example.org", "ed25519", "sign", "never"])
        run([*gpg, "--clearsign", "--output", folder / "InRelease", folder / "Release"])
        return run([*gpg, "--armor", "--export"]).stdout
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """The packages, on loopback: the address and the key of the source."""
    wheel(tmp_path / "old", "unusual", "1.0")
    wheel(tmp_path / "old", "needy", "1.0", "Requires-Dist: not-there\n")
    wheel(tmp_path / "new", "unusual", "2.0")
    (tmp_path / "deb").mkdir()
    key = deb(tmp_path / "deb", "unusual-data")
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", key
        server.shutdown()


def flattened(stack, image, tag):
    """Returns all files of an image, and a function that reads one."""
    entries, contents = {}, {}
    for layer in stack.layers(image, tag):
        with stack.open_layer(image, layer) as archive:
            for member in archive:
                path = "/" + member.name.strip("./")
                entries[path] = member
                if path.startswith(("/opt/", "/srv/", "/usr/share/unusual")) and member.isfile():
                    contents[path] = archive.extractfile(member).read().decode()
    return entries, contents


def test_the_translated_stack_holds(make_stack, served):
    address, key = served
    stack = make_stack(SPEC.replace("INDEX", address), {
        "images/ground/apt.txt": "python3\nunusual-data # of the source\n", "images/ground/key.asc": key,
        "images/leaf/one.py": "one\n", "images/leaf/data/a": "a\n", "images/leaf/b.txt": "b\n",
        "images/leaf/own/test_own.py": OWN})
    answer = stack.laminate("build", "--push", status=5)
    absent = answer.image("absent")["error"]
    assert absent["where"]["line"] == stack.line("/nowhere")
    assert "the folder of the step is missing: /nowhere" in "\n".join(absent["log_tail"]), absent
    assert {name: verdict["passed"] for name, verdict in answer.verdicts("leaf").items()} == {
        "served": True, "healthy": True, "own": True}, answer.err
    assert set(answer.verdicts("child")) == {"served", "healthy"}

    text = "".join(line for line in (stack.folder / "specs.yml").read_text().splitlines(True) if "/nowhere" not in line)
    stack.write("specs.yml", text)
    stack.commit()
    answer = stack.laminate("build", "--push")
    assert answer.actions() == {"ground": "reused", "leaf": "reused", "child": "reused"}
    tag = f"t-{stack.commit7}"
    entries, contents = flattened(stack, "leaf", tag)
    assert contents["/usr/share/unusual/file"] == "of the source\n"
    assert {path: contents[path] for path in contents if path.startswith("/srv/")} == {
        "/srv/app/one.py": "one\n", "/srv/app/a": "a\n", "/srv/app/b.txt": "b\n",
        "/srv/tools/tool": "tool\n", "/srv/tools/other": "other\n"}
    assert {entries[f"/srv/tools/{name}"].gid for name in ("tool", "other")} == {100}
    assert contents["/opt/second/first/unusual.py"] == "VERSION = '2.0'\n", "the extra index is asked first"
    assert "/opt/second/first/needy.py" in contents and contents["/opt/second/best/unusual.py"] == "VERSION = '2.0'\n"
    assert contents["/opt/second/all"] == "a\ntool\n"
    writable = [entries[f"/opt/{path}"] for path in ("first", "second", "second/first", "second/all")]
    assert [(it.gid, it.mode & 0o2070) for it in writable] == [(100, 0o2070)] * 3 + [(100, 0o60)]
    assert not [path for path in entries if path.startswith(("/mnt/", "/mem", "/ground/", "/srv/app/data"))]
    config = stack.config("leaf", tag)["config"]
    assert "ExposedPorts" not in config and "Volumes" not in config and "removed" not in config["Labels"]
    assert (config["User"], config["Labels"]["kept"]) == ("1234", "1")
    assert config["Entrypoint"][:2] == ["/bin/sh", "-c"] and not config.get("Cmd")
    assert not [text for text in config["Env"] if text.startswith("GONE")]

    keys = {image["image"]: image["key"] for image in stack.laminate("plan", status=None).json["images"]}
    stack.write("specs.yml", stack.laminate("plan", "--expand", json=False).out)
    again = stack.laminate("plan", status=None)
    assert {image["image"]: image["key"] for image in again.json["images"]} == keys
    assert set(again.actions().values()) == {"reuse"}
