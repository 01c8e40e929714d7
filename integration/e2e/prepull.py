"""prepull: what a cluster is given is what Kubernetes' own schemas and the fields of Zero-to-JupyterHub
allow, names every image by its digest, and nodes that hold old digests are found."""
import json
import pathlib
import re
import subprocess

from world import SCRATCH, Stack, digest, equal, main, test

stack = Stack("""
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
    """)
first = second = None


def at(answer, name, variant="1"):
    return f"{stack.registry}/{name}@{answer.image(name, variant)['digest']}"


def pods(answer):
    return [manifest["spec"]["template"]["spec"] for manifest in answer.json["manifests"]]


def pulled(pod):
    return [container["image"] for container in pod["initContainers"]]


def validate(text, status=0):
    """Kubernetes' own schemas, of an old and a new version."""
    path = SCRATCH / "prepull.yaml"
    path.write_text(text)
    for version in ("1.27", "1.30"):
        result = subprocess.run(["kubectl-validate", "--version", version, path], capture_output=True, text=True)
        assert (result.returncode == 0) == (status == 0), f"{version}: {result.stdout}{result.stderr}"


@test
def a_channel_becomes_a_daemon_set_by_digest():
    global first
    first = stack.laminate("build", "--push")
    assert "promoted" in stack.laminate("prepull", "stable", status=2, json=False).err
    stack.laminate("promote", "--to", "stable")
    stack.laminate("promote", "--to", "quarter")
    answer = stack.laminate("prepull", "stable")
    pod, = pods(answer)
    found = pulled(pod)
    equal(sorted(found), sorted(at(first, image["image"], image["variant"]) for image in first.json["images"]))
    for variant, name in (("1", "side"), ("1", "leaf"), ("2", "leaf")):
        assert found.index(at(first, "ground", variant)) < found.index(at(first, name, variant)), found
    equal([container["image"] for container in pod["containers"]], ["registry.k8s.io/pause:3.10"])
    for image in answer.json["images"]:
        equal(image["digest"], digest(f"{stack.namespace}/{image['image']}", image["tag"]))
    equal(answer.json["release"], stack.laminate("status").json["channels"][1]["release"])


@test
def kubernetes_schemas_allow_it():
    text = stack.laminate("prepull", "stable", json=False).out
    validate(text)
    validate(stack.laminate("prepull", "stable", "--parallel", "3", "--namespace", "hub", "--pull-secret", "a.b",
                            "--node-selector", "pool=users", "--toleration", "gpu", "--toleration", "a/b=c:NoExecute",
                            "--pause", "example.org/pause:1", json=False).out)
    validate(text.replace("maxUnavailable", "maxUnavailabel"), status=1)
    validate(text.replace("runAsUser: 65534", "runAsUser: nobody"), status=1)
    assert "effect" in stack.laminate("prepull", "stable", "--toleration", "a:b", status=2, json=False).err


@test
def pods_that_pull_at_once_begin_with_what_they_share():
    parts = pods(stack.laminate("prepull", "stable", "--parallel", "2", "--variant", "1"))
    equal(sorted(pulled(part)[1] for part in parts), sorted([at(first, "side"), at(first, "leaf")]))
    equal([pulled(part)[0] for part in parts], [at(first, "ground")] * 2)


@test
def a_hub_offers_a_channel():
    """The fields of the chart's values, and of KubeSpawner's profile_list."""
    answer = stack.laminate("prepull", "stable", "--out", "made", "--variant", "1", json=False)
    equal(answer.out.split(), ["made/prepull-stable.yaml", "made/values-stable.yaml"])
    values = (stack.folder / "made/values-stable.yaml").read_text()
    equal(values, stack.laminate("prepull", "stable", "--values", "--variant", "1", json=False).out)
    validate((stack.folder / "made/prepull-stable.yaml").read_text())
    values = stack.laminate("prepull", "stable", "--variant", "1").json["values"]
    equal(set(values), {"singleuser", "prePuller"})
    equal(set(values["prePuller"]), {"extraImages"})
    equal(set(values["singleuser"]), {"image", "profileList"})
    for image in (values["singleuser"]["image"], *values["prePuller"]["extraImages"].values()):
        equal({key: type(value) for key, value in image.items()}, {"name": str, "tag": str})
        whole = re.fullmatch(r"(.*):1-stable@(sha256:[0-9a-f]{64})", f"{image['name']}:{image['tag']}")
        equal(digest(whole[1].removeprefix(f"{stack.registry.split('/')[0]}/"), "1-stable"), whole[2])
    kinds = {"display_name": str, "slug": str, "description": str, "default": bool, "kubespawner_override": dict}
    profiles = values["singleuser"]["profileList"]
    for profile in profiles:
        for key, value in profile.items():
            equal(type(value), kinds[key], key)
    equal([profile["kubespawner_override"] for profile in profiles],
          [{"image": at(first, name)} for name in ("ground", "side", "leaf")])
    equal([profile.get("default") for profile in profiles], [True, None, None])
    for name in values["prePuller"]["extraImages"]:
        assert re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) and len(name) <= 52, name


@test
def nodes_that_hold_old_digests_are_found():
    global second
    stack.replace("specs.yml", "word: one", "word: two")
    stack.commit()
    second = stack.laminate("build", "--push")
    stack.laminate("promote", "--to", "stable")
    lists = pathlib.Path(stack.folder, "lists")
    lists.mkdir()
    (lists / "runtime.json").write_text(json.dumps({"images": [
        {"id": "sha256:1", "repoTags": [f"{stack.registry}/ground:1-stable"], "repoDigests": [at(first, "ground")],
         "size": "1", "uid": None, "username": "", "pinned": False},
        {"id": "sha256:2", "repoTags": [], "repoDigests": [at(second, "leaf")]},
        {"id": "sha256:3", "repoTags": [], "repoDigests": []}]}))

    def node(name, *images):
        return {"kind": "Node", "metadata": {"name": name},
                "status": {"images": [{"names": [image, "x:y"], "sizeBytes": 5} for image in images]}}

    whole = [at(second, image["image"], image["variant"]) for image in second.json["images"]]
    (lists / "nodes.json").write_text(json.dumps({"kind": "List", "items": [
        node("fine", *whole, "docker.io/library/debian@sha256:" + "0" * 64), node("behind", *whole, at(first, "side"))]}))
    asked = ("prepull", "stable", "--stale", "lists/runtime.json", "--stale", "lists/nodes.json")
    # The other channel is still at the first release, whose images must stay.
    kept = stack.laminate(*asked)
    equal([node["command"] for node in kept.json["nodes"]], [None] * 3)
    equal({image["state"] for image in kept.json["nodes"][2]["images"]}, {"current", "kept"})
    stack.laminate("promote", "--to", "quarter")
    answer = stack.laminate(*asked, status=10)
    equal({node["node"]: node["command"] for node in answer.json["nodes"]}, {
        "runtime": ["crictl", "rmi", at(first, "ground")], "fine": None,
        "behind": ["crictl", "rmi", at(first, "side")]})
    states = {image["labels"][0]: image["state"] for image in answer.json["nodes"][0]["images"] if image["state"] != "stale"}
    equal(states, {"1/ground": "missing", "1/side": "missing", "1/leaf": "current", "2/ground": "missing",
                   "2/leaf": "missing"})
    text = stack.laminate(*asked, status=10, json=False).out
    assert f"on behind: crictl rmi {at(first, 'side')}\n" in text and "fine" not in text, text
    stack.laminate("revert", "stable")
    back = stack.laminate("prepull", "stable", "--stale", "lists/runtime.json")
    equal([image["state"] for image in back.json["nodes"][0]["images"] if image["state"] != "missing"],
          ["current", "kept"])
    (lists / "pods.json").write_text('{"kind": "PodList", "items": [{"kind": "Pod"}]}')
    assert "kubectl get nodes" in stack.laminate("prepull", "stable", "--stale", "lists/pods.json", status=2, json=False).err


if __name__ == "__main__":
    main()
