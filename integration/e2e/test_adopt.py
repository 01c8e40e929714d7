"""Tags from before laminate are adopted: the first promotion can be reverted to what users had."""
import itertools
import json
import shutil
import subprocess
import time

from registry import MANIFEST

INDEX = "application/vnd.oci.image.index.v1+json"
SPEC = """
    stack: adopted
    tags: ["a-${commit7}"]
    channels: { stable: { tag: stable }, quarter: { tag: quarter, auto: true } }
    images:
      base: { base: BASE, steps: [{ run: echo base >/own }] }
      index: { base: base, steps: [{ run: echo index >/own }] }
      missing: { base: base, steps: [{ run: echo missing >/own }] }
"""


def put_index(registry, repository, tag):
    """Puts an index of two platforms; returns its digest."""
    entries = []
    for architecture in ("amd64", "arm64"):
        digest = registry.put_image(repository, architecture, lambda config, a=architecture: {**config, "architecture": a})
        _, _, body = registry.request("GET", f"{repository}/manifests/{digest}")
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": len(body),
                        "platform": {"os": "linux", "architecture": architecture}})
    return registry.put_manifest(repository, tag, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def put_tags(registry, stack, tag="stable"):
    """Puts what an older tool made; returns the digests."""
    namespace = stack.namespace
    return {"base": registry.put_image(f"{namespace}/base", tag), "index": put_index(registry, f"{namespace}/index", tag)}


def at(stack, tag="stable"):
    return {image: stack.digest(image, tag) for image in ("base", "index", "missing")}


def collected(stack, folder):
    """Deletes what has no tag in a copy of the registry; returns the digests of the manifests that a repository keeps."""
    storage = folder / "storage"
    shutil.copytree(stack.parts.scratch / "registry", storage)
    config = folder / "registry.yml"
    config.write_text((stack.parts.scratch / "registry.yml").read_text().replace(
        f"{stack.parts.scratch}/registry", str(storage)))
    subprocess.run(["registry", "garbage-collect", "-m", config], check=True, capture_output=True)
    repositories = storage / "docker/registry/v2/repositories" / stack.namespace
    return {image: {f"sha256:{link.parent.name}" for link in repositories.glob(f"{image}/_manifests/revisions/sha256/*/link")}
            for image in ("base", "index")}


def test_the_first_promotion_is_reverted_to_the_tags_from_before(make_stack, registry, tmp_path):
    stack = make_stack(SPEC)
    before = put_tags(registry, stack)
    with registry.recorded() as refused:
        partly = stack.laminate("adopt", "--channel", "stable", "--from-tags", status=7, json=False)
        dry = stack.laminate("adopt", "--channel", "stable", "--from-tags", "--partial", "--dry-run").json
    assert "missing:stable does not exist" in partly.err and "--partial" in partly.err
    assert (refused.writes, dry["release"], dry["missing"], len(dry["images"])) == ([], None, ["missing"], 2)

    with registry.recorded() as requests:
        adopted = stack.laminate("adopt", "--channel", "stable", "--from-tags", "--partial", "--reason", "the old CI").json
    assert not [path for _, path, _ in requests.writes if path.endswith("/manifests/stable")], "a tag is moved"
    assert at(stack) == {**before, "missing": None}
    for image in adopted["images"]:
        assert stack.digest(image["image"], image["kept_as"]) == image["digest"] == before[image["image"]]
    again = stack.laminate("adopt", "--channel", "stable", "--from-tags", "--partial").json
    assert (again["adopted"], again["images"]) == (False, adopted["images"])

    reads_everywhere(stack, adopted["release"])

    built = stack.laminate("build", "--push")
    assert stack.laminate("history").json["releases"][-1]["release"] == adopted["release"], "it is the oldest"
    stack.laminate("promote", "--to", "stable")
    assert at(stack) == {image["image"]: image["digest"] for image in built.json["images"]}
    lost = registry.put_image(f"{stack.namespace}/base", "gone", lambda config: {**config, "author": "another"})
    registry.retag(f"{stack.namespace}/base", "gone", "stable")
    kept = collected(stack, tmp_path)
    assert lost not in kept["base"], "it has no tag"
    assert all(before[image] in kept[image] for image in before), "no garbage collector deletes what is adopted"
    difference = stack.laminate("diff", adopted["release"], "stable", status=10).json
    assert (difference["from"]["commit"], len(difference["changed"]), len(difference["added"])) == (None, 2, 1)
    assert not stack.laminate("why", "base").json["images"][0]["reasons"]
    moved = stack.laminate("adopt", "--channel", "stable", "--from-tags", status=7, json=False)
    assert "has been moved before" in moved.err and "before its first promotion" in moved.err
    reverted = stack.laminate("revert", "stable").json
    assert [left["tag"] for left in reverted["left"]] == ["stable"]
    assert at(stack) == {**before, "missing": built.image("missing")["digest"]}
    stack.laminate("promote", "--to", "stable")
    assert stack.laminate("status").json["channels"][0]["drift"] == []
    stack.laminate("promote", "--auto")
    moves = stack.laminate("history").json["moves"]
    assert [move["kind"] for move in moves if move["channel"] == "stable"] == ["promote", "revert", "promote", "adopt"]


def reads_everywhere(stack, release):
    """Every command that reads releases reads one that is adopted."""
    status = stack.laminate("status", json=False).out
    assert f"stable: release {release[7:19]} (adopted), move 1" in status
    assert "adopted" in stack.laminate("history", json=False).out
    listed = stack.laminate("history", "index").json["releases"]
    assert [(one["commit"], one["images"][0]["key"]) for one in listed] == [(None, None)]
    shown = stack.laminate("show", "stable").json
    assert (shown["release"], shown["commit"], shown["moves"][0]["kind"]) == (release, None, "adopt")
    assert all(image["adopted_from"].endswith(":stable") for image in shown["images"])
    assert "adopted-" in stack.laminate("show", "stable", json=False).out
    images = stack.laminate("prepull", "stable").json["images"]
    assert all(image["size"] > 0 for image in images)
    stack.laminate("evidence", "list", release)
    stack.laminate("docs", "--out", "wiki")
    wiki = stack.folder / "wiki"
    assert "| adopted |" in (wiki / "Stable.md").read_text()
    pages = [page.read_text() for page in wiki.glob("index--adopted-*.md")]
    assert len(pages) == 1 and "Adopted from: `" in pages[0] and "## Config" in pages[0] and "Cache key" not in pages[0]
    refused = stack.laminate("rebuild", "stable", status=2, json=False)
    assert "was adopted: laminate did not build it" in refused.err


def test_a_list_adopts_images_from_other_repositories_and_creates_the_tags(make_stack, registry):
    stack = make_stack(SPEC)
    old = f"{stack.namespace}-old"
    base, index = registry.put_image(f"{old}/b", "2025"), put_index(registry, f"{old}/i", "fall")
    address = registry.address
    text = json.dumps({"base": f"{address}/{old}/b:2025", "index": f"{address}/{old}/i@{index}"})
    wrong = stack.laminate("adopt", "--channel", "stable", "gone.yml", status=2, json=False)
    assert "gone.yml" in wrong.err
    stack.write("tags.yml", text.replace('"base"', '"bass"'))
    wrong = stack.laminate("adopt", "--channel", "stable", "tags.yml", status=3, json=False)
    assert "tags.yml:1:2" in wrong.err and "did you mean `base`?" in wrong.err
    result = subprocess.run([stack.parts.binary, "--json", "adopt", "--channel", "stable", "--partial", "-"], input=text,
                            cwd=stack.folder, env=stack.environment(), text=True, capture_output=True, check=True)
    adopted = json.loads(result.stdout)
    assert [(image["created"], image["copied"]) for image in adopted["images"]] == [(True, True)] * 2
    there = {"base": base, "index": index, "missing": None}
    assert at(stack) == there
    child = registry.manifest(f"{stack.namespace}/index", "stable")[1]["manifests"][1]["digest"]
    assert registry.config(f"{stack.namespace}/index", child)["architecture"] == "arm64"
    built = stack.laminate("build", "--push")
    stack.laminate("promote", "--to", "stable")
    stack.laminate("revert", "stable")
    assert at(stack) == {**there, "missing": built.image("missing")["digest"]}


def test_killed_anywhere_it_is_adopted_or_not(make_stack, registry):
    stack = make_stack(SPEC)
    args = ("adopt", "--from-tags", "--partial", "--channel")
    for number in itertools.count():
        # Each kill has tags of its own.
        stack.replace("specs.yml", "tag: stable" + (f"-{number - 1}" if number else ""), f"tag: stable-{number}")
        stack.replace("specs.yml", "{ stable" + (f"-{number - 1}:" if number else ":"), f"{{ stable-{number}:")
        tag = f"stable-{number}"
        before = {**put_tags(registry, stack, tag), "missing": None}
        process = stack.start(*args, tag, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(registry.log, "rb") as log:
            log.seek(0, 2)
            seen = 0
            while process.poll() is None and seen < 4 * number:
                time.sleep(0.001)
                seen += log.read().count(b"\n")
        is_over = process.poll() is not None
        process.kill()
        process.wait()
        assert at(stack, tag) == before
        stack.laminate(*args, tag)
        status = stack.laminate("status").json["channels"][0]
        assert (status["seq"], status["drift"], status["pending"], at(stack, tag)) == (1, [], None, before)
        if is_over:
            break
    assert number > 2
