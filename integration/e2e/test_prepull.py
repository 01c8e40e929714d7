"""prepull: the manifests match Kubernetes' own schemas and the fields of Zero-to-JupyterHub, refer to every
image by its digest, and nodes that have old digests are found."""
import json
import re
import subprocess

import pytest

SPEC = """
    stack: cluster
    tags: ["${series}-${commit7}"]
    variants: { "1": { vars: { word: one } }, "2": { vars: { word: other }, skip: [side] } }
    channels:
      quarter: { tag: "${series}-quarter" }
      stable: { tag: "${series}-stable" }
    images:
      ground:
        base: BASE
        steps: [{ run: echo "$WORD" >/ground, env: { WORD: "${word}" } }]
      side: { base: ground, steps: [{ run: head -c 3000000 /dev/urandom >/side }] }
      leaf: { base: ground, steps: [{ run: echo leaf >/leaf }] }
    """


def promoted(stack):
    """Builds and promotes a release to both channels; returns the answer of the build."""
    built = stack.laminate("build", "--push")
    stack.laminate("promote", "--to", "stable")
    stack.laminate("promote", "--to", "quarter")
    return built


@pytest.fixture(scope="module")
def release(make_stack):
    """A stack with a release in both channels, and the answer of its build. No test changes it."""
    stack = make_stack(SPEC)
    return stack, promoted(stack)


def at(stack, answer, name, variant="1"):
    """The reference of an image of a build by digest."""
    return f"{stack.registry}/{name}@{answer.image(name, variant)['digest']}"


def pods(answer):
    return [manifest["spec"]["template"]["spec"] for manifest in answer.json["manifests"]]


def pulled(pod):
    return [container["image"] for container in pod["initContainers"]]


@pytest.fixture
def validate(parts, tmp_path):
    """Checks manifests against Kubernetes' own schemas, of an old and a new version."""

    def run(text, valid=True):
        path = tmp_path / "prepull.yaml"
        path.write_text(text)
        for version in ("1.27", "1.30"):
            result = subprocess.run(["kubectl-validate", "--version", version, path], capture_output=True, text=True)
            assert (result.returncode == 0) == valid, f"{version}: {result.stdout}{result.stderr}"

    return run


def test_a_channel_that_was_never_promoted_is_an_error(make_stack):
    stack = make_stack(SPEC)
    stack.laminate("build", "--push")
    assert "promoted" in stack.laminate("prepull", "stable", status=2, json=False).err


def test_a_channel_becomes_a_daemon_set_by_digest(release):
    stack, first = release
    answer = stack.laminate("prepull", "stable")
    pod, = pods(answer)
    found = pulled(pod)
    assert sorted(found) == sorted(at(stack, first, image["image"], image["variant"]) for image in first.json["images"])
    for variant, name in (("1", "side"), ("1", "leaf"), ("2", "leaf")):
        assert found.index(at(stack, first, "ground", variant)) < found.index(at(stack, first, name, variant)), found
    assert [container["image"] for container in pod["containers"]] == ["registry.k8s.io/pause:3.10"]
    for image in answer.json["images"]:
        assert image["digest"] == stack.digest(image["image"], image["tag"])
    assert answer.json["release"] == stack.laminate("status").json["channels"][1]["release"]


def test_the_manifests_match_kubernetes_schemas(release, validate):
    stack, _ = release
    text = stack.laminate("prepull", "stable", json=False).out
    validate(text)
    validate(stack.laminate("prepull", "stable", "--parallel", "3", "--namespace", "hub", "--pull-secret", "a.b",
                            "--node-selector", "pool=users", "--toleration", "gpu", "--toleration", "a/b=c:NoExecute",
                            "--pause", "example.org/pause:1", json=False).out)
    validate(text.replace("maxUnavailable", "maxUnavailabel"), valid=False)
    validate(text.replace("runAsUser: 65534", "runAsUser: unknown"), valid=False)
    assert "effect" in stack.laminate("prepull", "stable", "--toleration", "a:b", status=2, json=False).err


def test_pods_that_pull_at_once_begin_with_shared_layers(release):
    stack, first = release
    parts = pods(stack.laminate("prepull", "stable", "--parallel", "2", "--variant", "1"))
    assert sorted(pulled(part)[1] for part in parts) == sorted([at(stack, first, "side"), at(stack, first, "leaf")])
    assert [pulled(part)[0] for part in parts] == [at(stack, first, "ground")] * 2


def test_the_values_match_the_chart_and_kubespawner(release, registry, validate):
    stack, first = release[0].clone(), release[1]
    answer = stack.laminate("prepull", "stable", "--out", "made", "--variant", "1", json=False)
    assert answer.out.split() == ["made/prepull-stable.yaml", "made/values-stable.yaml"]
    values = (stack.folder / "made/values-stable.yaml").read_text()
    assert values == stack.laminate("prepull", "stable", "--values", "--variant", "1", json=False).out
    validate((stack.folder / "made/prepull-stable.yaml").read_text())
    values = stack.laminate("prepull", "stable", "--variant", "1").json["values"]
    assert set(values) == {"singleuser", "prePuller"}
    assert set(values["prePuller"]) == {"extraImages"}
    assert set(values["singleuser"]) == {"image", "profileList"}
    for image in (values["singleuser"]["image"], *values["prePuller"]["extraImages"].values()):
        assert {key: type(value) for key, value in image.items()} == {"name": str, "tag": str}
        whole = re.fullmatch(r"(.*):1-stable@(sha256:[0-9a-f]{64})", f"{image['name']}:{image['tag']}")
        assert registry.digest(whole[1].removeprefix(f"{registry.address}/"), "1-stable") == whole[2]
    kinds = {"display_name": str, "slug": str, "description": str, "default": bool, "kubespawner_override": dict}
    profiles = values["singleuser"]["profileList"]
    for profile in profiles:
        for key, value in profile.items():
            assert type(value) is kinds[key], key
    assert [profile["kubespawner_override"] for profile in profiles] == [{"image": at(stack, first, name)} for name in ("ground", "side", "leaf")]
    assert [profile.get("default") for profile in profiles] == [True, None, None]
    for name in values["prePuller"]["extraImages"]:
        assert re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) and len(name) <= 52, name


def test_nodes_with_old_digests_are_found(make_stack):
    stack = make_stack(SPEC, name="nodes")
    first = promoted(stack)
    stack.replace("specs.yml", "word: one", "word: two")
    stack.commit()
    second = stack.laminate("build", "--push")
    stack.laminate("promote", "--to", "stable")
    lists = stack.folder / "lists"
    lists.mkdir()
    (lists / "runtime.json").write_text(json.dumps({"images": [
        {"id": "sha256:1", "repoTags": [f"{stack.registry}/ground:1-stable"], "repoDigests": [at(stack, first, "ground")],
         "size": "1", "uid": None, "username": "", "pinned": False},
        {"id": "sha256:2", "repoTags": [], "repoDigests": [at(stack, second, "leaf")]},
        {"id": "sha256:3", "repoTags": [], "repoDigests": []}]}))

    def node(name, *images):
        return {"kind": "Node", "metadata": {"name": name},
                "status": {"images": [{"names": [image, "x:y"], "sizeBytes": 5} for image in images]}}

    whole = [at(stack, second, image["image"], image["variant"]) for image in second.json["images"]]
    (lists / "nodes.json").write_text(json.dumps({"kind": "List", "items": [
        node("fine", *whole, "docker.io/library/debian@sha256:" + "0" * 64), node("behind", *whole, at(stack, first, "side"))]}))
    command = ("prepull", "stable", "--stale", "lists/runtime.json", "--stale", "lists/nodes.json")
    # The other channel is still at the first release, so its images must stay.
    kept = stack.laminate(*command)
    assert [node["command"] for node in kept.json["nodes"]] == [None] * 3
    assert {image["state"] for image in kept.json["nodes"][2]["images"]} == {"current", "kept"}
    stack.laminate("promote", "--to", "quarter")
    answer = stack.laminate(*command, status=10)
    assert {node["node"]: node["command"] for node in answer.json["nodes"]} == {
        "runtime": ["crictl", "rmi", at(stack, first, "ground")], "fine": None,
        "behind": ["crictl", "rmi", at(stack, first, "side")]}
    states = {image["labels"][0]: image["state"] for image in answer.json["nodes"][0]["images"] if image["state"] != "stale"}
    assert states == {"1/ground": "missing", "1/side": "missing", "1/leaf": "current", "2/ground": "missing",
                   "2/leaf": "missing"}
    text = stack.laminate(*command, status=10, json=False).out
    assert f"on behind: crictl rmi {at(stack, first, 'side')}\n" in text and "fine" not in text, text
    stack.laminate("revert", "stable")
    back = stack.laminate("prepull", "stable", "--stale", "lists/runtime.json")
    assert [image["state"] for image in back.json["nodes"][0]["images"] if image["state"] != "missing"] == ["current", "kept"]
    (lists / "pods.json").write_text('{"kind": "PodList", "items": [{"kind": "Pod"}]}')
    assert "kubectl get nodes" in stack.laminate("prepull", "stable", "--stale", "lists/pods.json", status=2, json=False).err
