"""Releases are found, explained, compared and restored from the registry alone."""
import json
import os
import subprocess

from world import BINARY, ENGINE, REGISTRY, SCRATCH, Nobody, Requests, Stack, equal, main, put_image, test

SPEC = """
    stack: telling
    tags: ["s-${commit7}"]
    vars: { word: one }
    channels: { stable: { tag: stable } }
    images:
      ground:
        base: OUTSIDE
        env: { LANG: C }
        steps: [{ run: echo "$WORD" >/ground, env: { WORD: "${word}" } }]
      leaf:
      side: { base: ground, steps: [{ run: echo side >/side }] }
"""
LEAF = """
    base: ground
    steps: [{ copy: { /list: list.txt } }, { run: sort /list >/sorted }]
"""
BASE_NAME = "releases-outside/base"
OUTSIDE = f"{REGISTRY}/{BASE_NAME}:1"

put_image(BASE_NAME, "1", lambda config: config)
stack = Stack(SPEC.replace("OUTSIDE", OUTSIDE), {"images/leaf/image.yml": LEAF, "images/leaf/list.txt": "b\na\n"})
releases = []


def tell(*args, status=0, text=False):
    """Reads with no git, no engine, no spec, and writes nothing."""
    empty = SCRATCH / "nothing"
    empty.mkdir(exist_ok=True)
    with Nobody() as engine, Requests() as requests:
        answer = stack.laminate("-C", str(empty), "--staging", f"{stack.registry}/telling", *args, status=status, json=not text,
                                engine=engine.address, env={"PATH": ""})
    equal(engine.came, 0, "who asked the engine")
    equal({line[0] for line in requests.all} - {"GET", "HEAD"}, set(), "what is written")
    return answer


def digests(number):
    return {image["image"]: image["digest"] for image in releases[number].json["images"]}


@test
def a_release_is_told_by_any_of_its_names():
    releases.append(stack.laminate("--var", "word=it's", "build", "--push"))
    stack.laminate("promote", "--to", "stable")
    commit = releases[0].json["commit"]
    release = stack.laminate("history").json["releases"][0]["release"]
    for name in (release, release[:19], commit, commit[:7], releases[0].json["run"], f"s-{commit[:7]}", "stable"):
        shown = tell("show", name).json
        equal(shown["release"], release, name)
    equal(shown["channels"], ["stable"])
    equal({image["image"]: image["digest"] for image in shown["images"]}, digests(0))
    leaf = next(image for image in shown["images"] if image["image"] == "leaf")
    equal(leaf["base"], {"image": "ground", "digest": digests(0)["ground"]})
    equal(leaf["size"], releases[0].image("leaf")["size"])
    text = tell("show", "stable", text=True).out
    assert f"{stack.registry}/leaf@{digests(0)['leaf']}" in text, text
    tell("show", "elsewhere", status=2)


@test
def a_difference_is_named_with_its_reasons():
    stack.write("images/leaf/list.txt", "c\nb\na\n")
    stack.commit()
    releases.append(stack.laminate("--var", "word=it's", "build", "--push"))
    put_image(BASE_NAME, "1", lambda config: config | {"config": {**config.get("config", {}), "Labels": {"is": "newer"}}})
    stack.replace("specs.yml", "LANG: C", "LANG: C.UTF-8")
    stack.commit()
    releases.append(stack.laminate("--var", "word=it's", "build", "--push"))
    first, second, third = (answer.json["commit"] for answer in releases)

    seen = tell("diff", first, second, status=10).json
    equal((seen["added"], seen["removed"], seen["unchanged"]), ([], [], 2))
    equal([image["image"] for image in seen["changed"]], ["leaf"])
    equal([reason["what"] for reason in seen["changed"][0]["reasons"]], ["images/leaf/list.txt"])
    equal(tell("diff", "stable", second, status=10).json, seen, "a channel's name")
    equal(tell("diff", second, status=10).json, seen, "with the release before")

    seen = tell("diff", second, third, status=10).json
    equal([image["image"] for image in seen["changed"]], ["ground", "leaf", "side"])
    ground = seen["changed"][0]
    equal([(one["what"], one["from"], one["to"]) for one in ground["config"]], [("env.LANG", "C", "C.UTF-8")])
    equal({ground["base"][side]["reference"] for side in ("from", "to")}, {OUTSIDE})
    assert ground["base"]["from"]["digest"] != ground["base"]["to"]["digest"]
    for how in ([], ["--format", "markdown"]):
        text = tell("diff", second, third, *how, status=10, text=True).out
        for part in ("env.LANG: C → C.UTF-8", ground["base"]["to"]["digest"], "3 images changed"):
            assert part in text, text
    equal(tell("diff", "stable", first).json["changed"], [], "no difference")


@test
def an_image_has_its_own_history():
    first, second, third = (answer.json["commit"] for answer in releases)
    commits = [release["commit"] for release in tell("history", "leaf").json["releases"]]
    equal(commits, [third, second, first])
    of_ground = tell("history", "ground").json["releases"]
    equal([release["commit"] for release in of_ground], [third, first])
    leaf = tell("history", "leaf").json["releases"][0]["images"][0]
    equal(leaf["lineage"][0], {"image": "ground", "digest": digests(2)["ground"]})
    equal(leaf["lineage"][1]["reference"], OUTSIDE)
    tell("history", "laef", status=2)


@test
def why_looks_back_over_releases():
    first, second, third = (answer.json["commit"] for answer in releases)

    def told(image, *args):
        found = stack.laminate("why", image, *args).image(image)["releases"]
        return [(one["commit"], [reason["kind"] for reason in one["reasons"]]) for one in found]

    equal(told("leaf"), [(third, ["parent", "base", "config"]), (second, ["file"]), (first, ["new"])])
    equal(told("leaf", "--in", second), [(second, ["file"])])
    equal(told("side", "--in", second), [])
    equal(told("side", "--since", "stable"), [(third, ["parent", "base", "config"])])
    text = stack.laminate("why", "leaf", json=False).out
    assert "images/leaf/list.txt changed" in text and "ground: `env` changed" in text, text
    assert "releases" not in stack.laminate("why", "leaf", "--offline").image("leaf")


@test
def what_a_release_was_built_from_gives_the_same_keys():
    release = tell("show", "stable").json
    seen = tell("rebuild", "stable").json
    equal(seen["commit"], release["commit"])
    equal(seen["files_of_commit"], ["images/leaf/list.txt"])
    text = tell("rebuild", "stable", text=True).out
    assert f"base: {OUTSIDE}@sha256:" in text and "env:\n    LANG: C\n" in text, text
    # The commands as they are printed, but for the last: it plans instead of building.
    folder = stack.folder / "bin"
    folder.mkdir()
    (folder / "laminate").symlink_to(BINARY)
    (stack.folder / "again").mkdir()
    *before, last = seen["commands"]
    assert last.endswith(" build"), last
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "LAMINATE_REGISTRY": stack.registry,
           "BUILDKIT_HOST": ENGINE}
    script = "\n".join(["set -e", *before, last.removesuffix(" build") + " --json plan"])
    ran = subprocess.run(["sh", "-c", script], cwd=stack.folder, env=env, text=True, capture_output=True)
    equal(ran.returncode, 0, ran.stderr)
    plan = ran.stdout[ran.stdout.index("\n{") + 1:]
    planned = {image["image"]: (image["action"], image["key"]) for image in json.loads(plan)["images"]}
    equal(planned, {image["image"]: ("reuse", image["key"]) for image in release["images"]})
    refused = stack.laminate("rebuild", "stable", "--out", "again", status=2, json=False)
    assert "not empty" in refused.err, refused.err


if __name__ == "__main__":
    main()
