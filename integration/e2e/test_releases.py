"""Releases are found, explained, compared and restored from the registry alone."""
import json
import os
import pathlib
import subprocess
import types

import pytest
from engine import UnusedServer

SPEC = """
    stack: telling
    tags: ["s-${commit7}"]
    vars: { word: one }
    channels: { stable: { tag: stable } }
    images:
      ground:
        base: EXTERNAL
        env: { LANG: C }
        steps: [{ run: echo "$WORD" >/ground, env: { WORD: "${word}" } }]
      leaf:
      side: { base: ground, steps: [{ run: echo side >/side }] }
"""
LEAF = """
    base: ground
    steps: [{ copy: { /list: list.txt } }, { run: sort /list >/sorted }]
"""
REPOSITORY = "releases-external/base"


@pytest.fixture(scope="module")
def releases(make_stack, registry):
    """A stack with three releases: in the second a file changed, in the third the base and the
    environment. The first is in the channel. No test changes it."""
    external = f"{registry.address}/{REPOSITORY}:1"
    registry.put_image(REPOSITORY, "1")
    stack = make_stack(SPEC.replace("EXTERNAL", external),
                       {"images/leaf/image.yml": LEAF, "images/leaf/list.txt": "b\na\n"})

    def build():
        env = {"LAMINATE_VAR_undeclared": "s3cret-of-no-use"}
        return stack.laminate("--var", "word=it's", "build", "--push", env=env)

    answers = [build()]
    stack.laminate("promote", "--to", "stable")
    stack.write("images/leaf/list.txt", "c\nb\na\n")
    stack.commit()
    answers.append(build())
    registry.put_image(REPOSITORY, "1", lambda config: config | {
        "config": {**config.get("config", {}), "Labels": {"is": "newer"}}})
    stack.replace("specs.yml", "LANG: C", "LANG: C.UTF-8")
    stack.commit()
    answers.append(build())
    return types.SimpleNamespace(
        stack=stack, external=external, answers=answers, commits=[answer.json["commit"] for answer in answers],
        digests=[{image["image"]: image["digest"] for image in answer.json["images"]} for answer in answers])


@pytest.fixture
def read(releases, registry, tmp_path):
    """Runs a command without git, engine and spec, and checks that it writes nothing."""

    def run(*args, status=0, text=False):
        with UnusedServer() as engine, registry.recorded() as requests:
            answer = releases.stack.laminate(
                "-C", str(tmp_path), "--staging", f"{releases.stack.registry}/telling", *args, status=status,
                json=not text, engine=engine.address, env={"PATH": ""})
        assert engine.connections == 0, "connections to the engine"
        assert requests.writes == []
        return answer

    return run


def test_a_release_is_found_by_each_of_its_names(releases, read):
    commit = releases.commits[0]
    release = releases.stack.laminate("history").json["releases"][-1]["release"]
    run = releases.answers[0].json["run"]
    for name in (release, release[:19], commit, commit[:7], run, f"s-{commit[:7]}", "stable"):
        shown = read("show", name).json
        assert shown["release"] == release, name
    assert shown["channels"] == ["stable"]
    assert {image["image"]: image["digest"] for image in shown["images"]} == releases.digests[0]
    leaf = next(image for image in shown["images"] if image["image"] == "leaf")
    assert leaf["base"] == {"image": "ground", "digest": releases.digests[0]["ground"]}
    assert leaf["size"] == releases.answers[0].image("leaf")["size"]
    text = read("show", "stable", text=True).out
    assert f"{releases.stack.registry}/leaf@{releases.digests[0]['leaf']}" in text
    read("show", "elsewhere", status=2)


def test_a_changed_file_is_shown_as_the_difference(releases, read):
    first, second, _ = releases.commits
    seen = read("diff", first, second, status=10).json
    assert (seen["added"], seen["removed"], seen["unchanged"]) == ([], [], 2)
    assert [image["image"] for image in seen["changed"]] == ["leaf"]
    assert [reason["what"] for reason in seen["changed"][0]["reasons"]] == ["images/leaf/list.txt"]
    assert read("diff", "stable", second, status=10).json == seen, "by the name of a channel"
    assert read("diff", "stable", first).json["changed"] == [], "no difference"


def test_one_release_is_compared_with_the_one_before(releases, read):
    _, second, third = releases.commits
    seen = read("diff", second, third, status=10).json
    assert read("diff", third, status=10).json == seen


def test_a_changed_base_and_environment_are_shown_as_the_difference(releases, read):
    _, second, third = releases.commits
    seen = read("diff", second, third, status=10).json
    assert [image["image"] for image in seen["changed"]] == ["ground", "leaf", "side"]
    ground = seen["changed"][0]
    assert [(one["what"], one["from"], one["to"]) for one in ground["config"]] == [("env.LANG", "C", "C.UTF-8")]
    assert {ground["base"][side]["reference"] for side in ("from", "to")} == {releases.external}
    assert ground["base"]["from"]["digest"] != ground["base"]["to"]["digest"]
    for options in ([], ["--format", "markdown"]):
        text = read("diff", second, third, *options, status=10, text=True).out
        for part in ("env.LANG: C → C.UTF-8", ground["base"]["to"]["digest"], "3 images changed"):
            assert part in text


def test_an_image_has_its_own_history(releases, read):
    first, second, third = releases.commits
    found = read("history", "leaf").json["releases"]
    assert [release["commit"] for release in found] == [third, second, first]
    of_ground = read("history", "ground").json["releases"]
    assert [release["commit"] for release in of_ground] == [third, first]
    leaf = found[0]["images"][0]
    assert leaf["lineage"][0] == {"image": "ground", "digest": releases.digests[2]["ground"]}
    assert leaf["lineage"][1]["reference"] == releases.external
    read("history", "laef", status=2)


def test_why_explains_past_releases(releases):
    first, second, third = releases.commits
    stack = releases.stack

    def reasons(image, *args):
        found = stack.laminate("why", image, *args).image(image)["releases"]
        return [(one["commit"], [reason["kind"] for reason in one["reasons"]]) for one in found]

    assert reasons("leaf") == [(third, ["parent", "base", "config"]), (second, ["file"]), (first, ["new"])]
    assert reasons("leaf", "--in", second) == [(second, ["file"])]
    assert reasons("side", "--in", second) == []
    assert reasons("side", "--since", "stable") == [(third, ["parent", "base", "config"])]
    text = stack.laminate("why", "leaf", json=False).out
    assert "images/leaf/list.txt changed" in text
    assert "ground: `env` changed" in text
    assert "releases" not in stack.laminate("why", "leaf", "--offline").image("leaf")


def test_a_release_is_rebuilt_with_the_same_keys(releases, read, parts, tmp_path):
    release = read("show", "stable").json
    seen = read("rebuild", "stable").json
    assert seen["commit"] == release["commit"]
    assert seen["files_of_commit"] == ["images/leaf/list.txt"]
    text = read("rebuild", "stable", text=True).out
    assert f"base: {releases.external}@sha256:" in text
    assert "env:\n    LANG: C\n" in text
    # The commands as they are printed, but for the last: it plans instead of building.
    stack = releases.stack.clone()
    (tmp_path / "laminate").symlink_to(pathlib.Path(parts.binary).resolve())
    *before, last = seen["commands"]
    assert last.endswith(" build"), last
    script = "\n".join(["set -e", *before, last.removesuffix(" build") + " --json plan"])
    env = stack.environment(env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    ran = subprocess.run(["sh", "-c", script], cwd=stack.folder, env=env, text=True, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    plan = json.loads(ran.stdout[ran.stdout.index("\n{") + 1:])
    planned = {image["image"]: (image["action"], image["key"]) for image in plan["images"]}
    assert planned == {image["image"]: ("reuse", image["key"]) for image in release["images"]}


def test_a_folder_that_is_not_empty_is_not_overwritten(releases):
    stack = releases.stack.clone()
    stack.write("again/file", "mine\n")
    refused = stack.laminate("rebuild", "stable", "--out", "again", status=2, json=False)
    assert "not empty" in refused.err


def test_only_values_of_variables_that_the_spec_uses_are_stored(releases, read):
    answer = read("rebuild", releases.commits[0])
    assert answer.json["vars"] == {"word": "it's"}
    assert "s3cret-of-no-use" not in answer.out
