"""Writable paths: right in the layer that made them, no file stored twice, usable by another uid."""
import hashlib
import json
import os
import pathlib
import stat
import subprocess

from world import BASE, REGISTRY, SCRATCH, Stack, as_root, equal, layers, main, test, tree

stack = Stack("""
    stack: writable
    tags: ["w-${commit7}"]
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
    """, {"images/more/requirements.txt": "idna==3.10\n", "images/more/copied.txt": "copied\n"})
tag = None


@test
def no_layer_stores_a_file_of_another_again():
    global tag
    stack.laminate("build", "--push")
    tag = f"w-{stack.commit7}"
    repository = f"{stack.namespace}/more"
    seen, twice = {}, []
    for layer in layers(repository, tag):
        with tree(repository, layer) as archive:
            for member in archive:
                if not member.isfile() or member.size == 0:
                    continue
                # What useradd and apt write anew with equal content is theirs.
                if member.name.lstrip("./").startswith(("etc/", "var/")):
                    continue
                name = member.name.lstrip("./")
                found = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
                if seen.get(name) == found:
                    twice.append(name)
                seen[name] = found
    assert any(name.startswith("opt/conda/lib/") for name in seen), "the environment is in no layer"
    equal(twice, [], "paths stored twice")


@test
def nothing_of_what_built_it_is_left():
    repository = f"{stack.namespace}/more"
    names = set()
    for layer in layers(repository, tag)[1:]:
        with tree(repository, layer) as archive:
            names |= {member.name.lstrip("./") for member in archive if not member.isdir()}
    left = sorted(name for name in names if name.startswith((
        "run/laminate", "opt/conda/.lock", "tmp/", "var/lib/apt/lists/deb", "var/cache/apt/archives/", "root/.cache", "home/jovyan/.cache"))
        or name.endswith(("/bin/uv", "/bin/uvx")))
    equal(left, [], "caches and tools in layers")


@test
def another_user_of_the_group_can_install():
    layout, bundle = SCRATCH / "writable-layout", SCRATCH / "writable-bundle"
    subprocess.run(["skopeo", "copy", "--quiet", "--src-tls-verify=false",
                    f"docker://{REGISTRY}/{stack.namespace}/more:{tag}", f"oci:{layout}:more"], check=True)
    found = as_root("umoci", "unpack", "--image", f"{layout}:more", str(bundle))
    equal(found.returncode, 0, found.stderr)
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
    equal(wrong, [], "not writable for the group")
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
    equal(ran.returncode, 0, ran.stdout + ran.stderr)
    assert list(rootfs.glob("opt/conda/lib/python3*/site-packages/tomli")), ran.stdout
    assert not (rootfs / "home/jovyan/.local").exists(), "something went to ~/.local"
    as_root("rm", "-rf", str(bundle), str(layout))


@test
def other_tools_read_the_config():
    out = subprocess.run(["skopeo", "inspect", "--config", "--tls-verify=false",
                          f"docker://{REGISTRY}/{stack.namespace}/more:{tag}"], check=True, capture_output=True).stdout
    config = json.loads(out)["config"]
    equal(config["User"], "jovyan")
    equal([pair for pair in config["Env"] if pair.startswith("PATH=")][0].split(":")[0], "PATH=/opt/conda/bin")
    assert BASE not in json.dumps(config)


if __name__ == "__main__":
    main()
