"""--export: one archive with every image by its tag, reused ones as well; skopeo copies each out of it."""
import json
import subprocess
import tarfile

import pytest

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
