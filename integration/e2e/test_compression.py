"""`compression:`: how new layers are stored, also on an engine that has them in another form."""
import json
import subprocess
import tarfile

import pytest

SPEC = """
    stack: stored
    tags: ["s-${commit7}"]
    compression: zstd
    images:
      ground:
        base: BASE
        steps: [{ write: { /ground: text } }, { run: seq 100000 >/numbers }]
      top:
        base: ground
        steps: [{ run: echo top >/top }]
"""
OCI = "application/vnd.oci.image.layer.v1.tar"
TYPES = {"zstd": f"{OCI}+zstd", "gzip": f"{OCI}+gzip", "estargz": f"{OCI}+gzip", "uncompressed": OCI}


@pytest.fixture(scope="module")
def stack(make_stack):
    return make_stack(SPEC)


def own_layers(stack, parts, image):
    """Returns an image's layers but those of the base, which must be as the base has them."""
    layers = parts.registry.manifest(stack.repository(image), f"s-{stack.commit7}")[1]["layers"]
    repository, tag = parts.registry.base.split("/", 1)[1].rsplit(":", 1)
    base = parts.registry.manifest(repository, tag)[1]["layers"]
    assert layers[:len(base)] == base, "the layers of the base stay as they are"
    return layers[len(base):]


def test_an_edit_changes_all_new_layers_and_none_of_the_base(stack, parts):
    before, digests = None, {}
    for kind in TYPES:
        if before:
            stack.replace("specs.yml", f"compression: {before}", f"compression: {kind}")
            stack.commit()
        before = kind
        answer = stack.laminate("build", "--push")
        assert set(answer.actions().values()) == {"built"}, kind
        layers = own_layers(stack, parts, "top")
        assert [layer["mediaType"] for layer in layers] == [TYPES[kind]] * 3, kind
        has_index = "containerd.io/snapshot/stargz/toc.digest" in layers[1].get("annotations", {})
        assert has_index == (kind == "estargz"), kind
        assert stack.content("top", f"s-{stack.commit7}", "/numbers").endswith(b"\n100000\n"), kind
        digests[kind] = answer.image("top")["digest"]
    # Back to the first one: it is known.
    stack.replace("specs.yml", f"compression: {before}", "compression: zstd")
    stack.commit()
    answer = stack.laminate("build", "--push")
    assert set(answer.actions().values()) == {"reused"}
    assert answer.image("top")["digest"] == digests["zstd"]


def test_an_archive_has_the_same_layers_and_other_tools_read_them(stack, parts, tmp_path):
    archive = tmp_path / "fresh.tar"
    stack.laminate("build", "--no-reuse", "--export", f"oci:{archive}")
    with tarfile.open(archive) as whole:
        entries = json.load(whole.extractfile("index.json"))["manifests"]
    names = [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries]
    name = next(name for name in names if "/top:" in name)
    out = tmp_path / "plain"
    subprocess.run(["skopeo", "copy", "--quiet", "--dest-decompress", f"oci-archive:{archive}:{name}", f"dir:{out}"],
                   check=True)
    files = set()
    for layer in json.loads((out / "manifest.json").read_text())["layers"]:
        with tarfile.open(out / layer["digest"].removeprefix("sha256:")) as layer_files:
            files |= {file.strip("./") for file in layer_files.getnames()}
    assert {"ground", "numbers", "top"} <= files
