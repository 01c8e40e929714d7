"""Writable paths: right in the layer that made them, no file stored twice, usable by another uid."""
import hashlib
import json
import os
import pathlib
import stat
import subprocess

import pytest
from parts import as_root

SPEC = """
    stack: writable
    tags: ["w-${commit7}"]
    compression: gzip    # umoci of Debian 12 reads no zstd
    writable: { gid: 100, paths: [/opt/conda, /home/jovyan] }
    images:
      venv:
        base: BASE
        user: jovyan
        env: { PATH: "/opt/conda/bin:${env:PATH}" }
        apt: [python3, python3-venv]
        steps:
          - run: |
              useradd --uid 1000 --gid 100 --create-home jovyan
              python3 -m venv /opt/conda
              chown -R jovyan /opt/conda
            as: root
          - pip: [six==1.16.0]
      more:
        base: venv
        pip: requirements.txt
        steps:
          - run: |
              umask 077
              mkdir -p /opt/conda/closed/deep
              echo closed >/opt/conda/closed/deep/file
              cp /bin/true /opt/conda/bin/tool
          - copy: { /opt/conda/etc/copied.txt: copied.txt }
          - run: echo root >/home/jovyan/by-root
            as: root
    """
FILES = {"images/more/requirements.txt": "idna==3.10\n", "images/more/copied.txt": "copied\n"}


@pytest.fixture(scope="module")
def built(make_stack):
    """The stack and its tag. No test changes it."""
    stack = make_stack(SPEC, FILES)
    stack.laminate("build", "--push")
    return stack, f"w-{stack.commit7}"


def test_no_layer_stores_a_file_of_another(built):
    stack, tag = built
    seen, twice = {}, []
    for layer in stack.layers("more", tag):
        with stack.open_layer("more", layer) as archive:
            for member in archive:
                if not member.isfile() or member.size == 0:
                    continue
                # useradd and apt rewrite some files with equal content.
                if member.name.lstrip("./").startswith(("etc/", "var/")):
                    continue
                name = member.name.lstrip("./")
                found = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
                if seen.get(name) == found:
                    twice.append(name)
                seen[name] = found
    assert any(name.startswith("opt/conda/lib/") for name in seen), "the environment is in no layer"
    assert twice == [], "paths stored twice"


def test_no_tool_and_no_cache_of_the_build_is_left(built):
    stack, tag = built
    names = set()
    for layer in stack.layers("more", tag)[1:]:
        with stack.open_layer("more", layer) as archive:
            names |= {member.name.lstrip("./") for member in archive if not member.isdir()}
    left = sorted(name for name in names if name.startswith((
        "run/laminate", "opt/conda/.lock", "tmp/", "var/lib/apt/lists/deb", "var/cache/apt/archives/", "root/.cache", "home/jovyan/.cache"))
        or name.endswith(("/bin/uv", "/bin/uvx")))
    assert left == [], "caches and tools in layers"


def test_another_user_of_the_group_can_install(built, parts):
    stack, tag = built
    layout, bundle = parts.scratch / "writable-layout", parts.scratch / "writable-bundle"
    subprocess.run(["skopeo", "copy", "--quiet", "--src-tls-verify=false",
                    f"docker://{stack.registry}/more:{tag}", f"oci:{layout}:more"], check=True)
    found = as_root("umoci", "unpack", "--image", f"{layout}:more", str(bundle))
    assert found.returncode == 0, found.stderr
    rootfs = bundle / "rootfs"
    wrong = []
    for folder in ("opt/conda", "home/jovyan"):
        for at, _, files in os.walk(rootfs / folder):
            for path in [pathlib.Path(at), *(pathlib.Path(at, name) for name in files)]:
                seen = path.lstat()
                if stat.S_ISLNK(seen.st_mode):
                    continue
                wanted = 0o2070 if stat.S_ISDIR(seen.st_mode) else 0o060
                if seen.st_gid != 100 or seen.st_mode & wanted != wanted:
                    wrong.append(f"{path.relative_to(rootfs)} {stat.filemode(seen.st_mode)} {seen.st_gid}")
    assert wrong == [], "not writable for the group"
    tool = (rootfs / "opt/conda/bin/tool").lstat()
    assert tool.st_mode & 0o010, "what its owner may run, the group may run"

    for name in ("null", "urandom"):
        as_root("cp", "-a", f"/dev/{name}", str(rootfs / "dev"))
    as_root("cp", "/etc/resolv.conf", str(rootfs / "etc/resolv.conf"))
    env = ["PATH=/opt/conda/bin:/usr/bin:/bin", "HOME=/home/jovyan", "PIP_DISABLE_PIP_VERSION_CHECK=1"]
    bundle_of_ca = os.environ.get("LAMINATE_CA")
    if bundle_of_ca:
        as_root("cp", bundle_of_ca, str(rootfs / "tmp/ca.pem"))
        as_root("chmod", "644", str(rootfs / "tmp/ca.pem"))
        env.append("PIP_CERT=/tmp/ca.pem")
    ran = as_root("chroot", "--userspec=4242:100", "--groups=100", str(rootfs), "/usr/bin/env", "-i", *env,
                  "pip", "install", "--no-cache-dir", "tomli==2.0.1", "six==1.17.0")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert list(rootfs.glob("opt/conda/lib/python3*/site-packages/tomli")), ran.stdout
    assert not (rootfs / "home/jovyan/.local").exists(), "something went to ~/.local"
    as_root("rm", "-rf", str(bundle), str(layout))


def test_other_tools_read_the_config(built, registry):
    stack, tag = built
    out = subprocess.run(["skopeo", "inspect", "--config", "--tls-verify=false",
                          f"docker://{stack.registry}/more:{tag}"], check=True, capture_output=True).stdout
    config = json.loads(out)["config"]
    assert config["User"] == "jovyan"
    path = next(pair for pair in config["Env"] if pair.startswith("PATH="))
    assert path.split(":")[0] == "PATH=/opt/conda/bin"
    assert registry.base not in json.dumps(config)


KEPT = """
    stack: kept
    tags: ["k-${commit7}"]
    writable: { gid: 100, paths: [/opt/c, /home/j, /srv] }
    images:
      kept:
        base: BASE
        apt: [libcap2-bin]
        steps:
          - run: |
              useradd --uid 1000 --gid 100 --create-home j
              mkdir -p /opt/c/d /home/j/.ssh
              cp /bin/true /opt/c/cap; setcap cap_net_raw+ep /opt/c/cap
              cp /bin/true /opt/c/suid; chmod 4755 /opt/c/suid
              echo k >/home/j/.ssh/id_rsa; chmod -R go= /home/j/.ssh
              mkfifo /srv/fifo
              umask 077; echo x >/srv/closed; mkdir /opt/c/d/e; echo x >/opt/c/d/e/f
          - run: "true"
          - run: echo y >>/opt/c/d/e/f; rm /srv/closed
          - copy:
              /opt/c/x/y/z: f
              /home/j/.ssh/id: { from: f, mode: "600", owner: j }
              /srv/t/: { from: t/, owner: j, mode: go-rwx }
              /: root/
          - link: { /opt/c/link: z }
          - group:
              - copy:
                  /opt/c/gx/y/z: f
                  /home/j/.ssh/gid: { from: f, mode: "600", owner: j }
                  /srv/g/: { from: t/, owner: j, mode: go-rwx }
              - run: "true"
            as: root
          - copy: &every
              /srv/new/.ssh/config: f
              /srv/new/d/: { from: d/, owner: "1000:1000" }
              /srv/new/setuid/: { from: d/, owner: "1000:1000", mode: "4755" }
              /srv/new/setgid: { from: f, owner: "1000:1000", mode: g+s }
              /srv/new/sticky: { from: f, owner: "1000:1000", mode: "1744" }
              /srv/new/all-sticky/: { from: t/, owner: "1000:1000", mode: "1744" }
          - run: rm -rf /srv/new
          - group:
              - copy: *every
              - run: "true"
            as: root
    """


@pytest.fixture(scope="module")
def kept(make_stack):
    """The layers of an image: for each, its entries by path."""
    stack = make_stack(KEPT, {"images/kept/f": "f", "images/kept/t/a/b": "b", "images/kept/t/c.key": "c",
                              "images/kept/d/.ssh/config": "f", "images/kept/d/x/y": "y", "images/kept/d/id_key": "k",
                              "images/kept/root/srv/k/l": "l", "images/kept/root/r/x": "x"}, name="kept")
    stack.laminate("build", "--push")
    layers = []
    for layer in stack.layers("kept", f"k-{stack.commit7}")[2:]:
        with stack.open_layer("kept", layer) as archive:
            layers.append({member.name.strip("./"): member for member in archive})
    return layers


def modes(layer, *paths):
    return {path: f"{layer[path].mode:o} {layer[path].uid}:{layer[path].gid}" for path in paths}


def test_keys_and_special_files_keep_their_modes(kept):
    assert modes(kept[0], "home/j/.ssh", "home/j/.ssh/id_rsa", "opt/c/suid", "opt/c/cap", "srv/closed", "opt/c/d/e/f") == {
        "home/j/.ssh": "700 0:0", "home/j/.ssh/id_rsa": "600 0:0", "opt/c/suid": "4755 0:0",
        "opt/c/cap": "775 0:100", "srv/closed": "660 0:100", "opt/c/d/e/f": "660 0:100"}
    assert "SCHILY.xattr.security.capability" in kept[0]["opt/c/cap"].pax_headers


def test_a_step_stores_what_it_changed_and_nothing_else(kept):
    assert [path for path in kept[1] if path.startswith(("opt", "home", "srv"))] == []
    found = [path for path in kept[2] if path.startswith(("opt", "home", "srv")) and not kept[2][path].isdir()]
    assert sorted(found) == ["opt/c/d/e/f", "srv/.wh.closed"]


def test_copies_are_the_groups_in_every_way(kept):
    assert modes(kept[3], "opt/c/x", "opt/c/x/y", "opt/c/x/y/z", "home/j/.ssh/id", "srv/t", "srv/t/a", "srv/t/a/b",
                 "srv/t/c.key", "srv/k", "srv/k/l", "r", "r/x") == {
        "opt/c/x": "2775 0:100", "opt/c/x/y": "2775 0:100", "opt/c/x/y/z": "664 0:100",
        "home/j/.ssh/id": "600 1000:100", "srv/t": "2775 1000:100", "srv/t/a": "2770 1000:100",
        "srv/t/a/b": "660 1000:100", "srv/t/c.key": "600 1000:100", "srv/k": "2775 0:100", "srv/k/l": "664 0:100",
        "r": "755 0:0", "r/x": "644 0:0"}
    assert modes(kept[5], "opt/c/gx", "opt/c/gx/y", "opt/c/gx/y/z", "home/j/.ssh/gid", "srv/g", "srv/g/a", "srv/g/a/b",
                 "srv/g/c.key") == {
        "opt/c/gx": "2775 0:100", "opt/c/gx/y": "2775 0:100", "opt/c/gx/y/z": "664 0:100",
        "home/j/.ssh/gid": "600 1000:100", "srv/g": "2775 1000:100", "srv/g/a": "2770 1000:100",
        "srv/g/a/b": "660 1000:100", "srv/g/c.key": "600 1000:100"}
    assert kept[4]["opt/c/link"].gid == 100


def test_what_keeps_its_mode_keeps_its_owner_in_every_way(kept):
    below = [{path: f"{entry.mode:o} {entry.uid}:{entry.gid}" for path, entry in layer.items() if path.startswith("srv/new/")}
             for layer in (kept[6], kept[8])]
    assert below[0] == below[1]
    found = {path.removeprefix("srv/new/"): seen for path, seen in below[0].items()}
    expected = {
        ".ssh": "2755 0:100", ".ssh/config": "644 0:0", "d": "2775 1000:100", "d/x/y": "664 1000:100",
        "d/.ssh/config": "644 1000:1000", "d/id_key": "664 1000:100", "setuid/x": "6775 1000:100",
        "setuid/x/y": "4755 1000:1000", "setgid": "2644 1000:1000", "sticky": "1774 1000:100",
        "all-sticky/a/b": "1774 1000:100"}
    assert {path: found[path] for path in expected} == expected
