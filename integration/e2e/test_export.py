"""--export: one archive with every image by its tag, reused ones as well; skopeo copies each out of it. --load: docker and
podman get the selected images."""
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time

import pytest
from stack import default_signals

SPEC = """
    stack: exported
    tags: ["e-${commit7}"]
    images:
      ground:
        base: BASE
        steps: [{ run: echo ground >/ground }]
      top:
        base: ground
        steps: [{ run: echo top >/top }]
"""


@pytest.fixture
def stack(make_stack):
    return make_stack(SPEC)


def assert_complete(answer, archive, folder):
    with tarfile.open(archive) as whole:
        index = json.load(whole.extractfile("index.json"))
    found = {}
    for entry in index["manifests"]:
        found.setdefault(entry["digest"], []).append(entry["annotations"]["org.opencontainers.image.ref.name"])
    assert set(found) == {image["digest"] for image in answer.json["images"]}, "digests in the archive"
    for image in answer.json["images"]:
        names = found[image["digest"]]
        assert any(image["image"] in name for name in names), f"{image['image']} is not in {names}"
        for number, name in enumerate(names):
            out = folder / f"{image['image']}-{number}"
            result = subprocess.run(["skopeo", "copy", "--quiet", f"oci-archive:{archive}:{name}", f"dir:{out}"],
                                    capture_output=True, text=True)
            assert result.returncode == 0, result.stderr
            layers = json.loads((out / "manifest.json").read_text())["layers"]
            assert len(layers) == {"ground": 2, "top": 3}[image["image"]], f"layers of {image['image']}"


def test_without_push_every_image_is_in_the_archive(stack, tmp_path):
    archive = tmp_path / "fresh.tar"
    assert_complete(stack.laminate("build", "--export", f"oci:{archive}"), archive, tmp_path)


def test_reused_images_are_in_the_archive(stack, tmp_path):
    stack.laminate("build", "--push")
    stack.replace("specs.yml", "echo top", "echo changed")
    stack.commit()
    archive = tmp_path / "mixed.tar"
    answer = stack.laminate("build", "--push", "--export", f"oci:{archive}")
    assert answer.actions() == {"ground": "reused", "top": "built"}
    assert_complete(answer, archive, tmp_path)


def with_docker(folder, script):
    """Returns an environment with a program `docker` that is a script."""
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\ncd {folder}\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_selected_images_are_loaded_under_their_full_names(stack, tmp_path):
    env = with_docker(tmp_path, 'echo "$1" >>calls; [ "$1" = version ] || cat >loaded.tar')
    answer = stack.laminate("build", "ground", "--load=docker", env=env)
    name = f"{stack.registry}/ground:e-{stack.commit7}"
    assert answer.json["loaded"] == {"program": "docker", "images": [name]}
    assert (tmp_path / "calls").read_text() == "version\nload\n"
    with tarfile.open(tmp_path / "loaded.tar") as archive:
        entries = json.load(archive.extractfile("manifest.json"))
    assert [entry["RepoTags"] for entry in entries] == [[name]]
    assert not stack.tags("ground")
    text = stack.laminate("build", "ground", "--load=docker", env=env, json=False).out
    assert f"docker: {name}\n" in text
    # An image of the registry.
    stack.laminate("build", "--push")
    answer = stack.laminate("build", "top", "--load", "--push", env=env)
    assert answer.actions()["top"] == "reused"
    assert answer.json["loaded"]["images"] == [f"{stack.registry}/top:e-{stack.commit7}"]


def test_uncommitted_changes_do_not_get_the_tags_of_the_commit(stack, tmp_path):
    env = with_docker(tmp_path, '[ "$1" = version ] || cat >loaded.tar')
    stack.replace("specs.yml", "echo top", "echo changed")
    name = f"{stack.registry}/top:e-{stack.commit7}"
    for flags, names in (([], [f"{name}-dirty"]), (["--allow-dirty"], [name])):
        archive = tmp_path / "dirty.tar"
        answer = stack.laminate("build", "top", "--load", f"--export=oci:{archive}", *flags, env=env)
        assert answer.json["loaded"]["images"] == names
        with tarfile.open(archive) as whole:
            entries = json.load(whole.extractfile("manifest.json"))
        assert names in [entry["RepoTags"] for entry in entries]


def test_a_docker_that_does_not_read_is_reported_and_can_be_interrupted(stack, tmp_path):
    env = with_docker(tmp_path, '[ "$1" = version ] || { head -c 100 >/dev/null; echo no context; }')
    answer = stack.laminate("build", "--load", status=4, env=env)
    assert answer.json["error"]["text"] == "`docker load` ended before it had read all images: no context"
    env = with_docker(tmp_path, '[ "$1" = version ] || { touch begun; exec sleep 100; }')
    process = subprocess.Popen([stack.parts.binary, "build", "--load"], cwd=stack.folder, env=stack.environment(env=env),
                               preexec_fn=default_signals, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not (tmp_path / "begun").exists():
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=10)
    assert process.returncode == 130 and "interrupted; nothing was tagged" in messages


def test_a_docker_without_its_daemon_stops_the_build(stack, tmp_path, unused_engine):
    env = with_docker(tmp_path, "echo 'is the daemon running?' >&2; exit 1")
    answer = stack.laminate("build", "--load", status=4, env=env, engine=unused_engine.address)
    assert "is the daemon running?" in answer.json["error"]["text"]


@pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")
def test_podman_loads_and_runs_images(stack):
    answer = stack.laminate("build", "--load=podman")
    names = answer.json["loaded"]["images"]
    assert len(names) == 2
    try:
        for name in names:
            found = subprocess.run(["podman", "image", "inspect", name], capture_output=True, text=True)
            assert found.returncode == 0, found.stderr
    finally:
        subprocess.run(["podman", "image", "rm", "--force", *names], capture_output=True)
