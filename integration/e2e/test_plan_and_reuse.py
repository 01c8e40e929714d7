"""Only what changed is built; the plan shows what, and why."""
import os

import pytest

SPEC = """
    stack: three
    tags: ["r-${commit7}"]
    vars: { word: one }
    images:
      ground:
        base: BASE
        steps:
          - copy: { /etc/ground.txt: ground.txt }
      left:
        base: ground
        steps:
          - copy: { /etc/left.txt: left.txt }
          - run: printf '%s' "$WORD" >/etc/word
            env: { WORD: "${word}" }
      right:
        base: ground
        steps:
          - run: echo right >/etc/right.txt
      leaf:
        base: left
        steps:
          - write: { /etc/leaf.txt: "leaf\\n" }
"""
FILES = {"images/ground/ground.txt": "ground 1\n", "images/left/left.txt": "left 1\n"}
IMAGES = ["ground", "left", "right", "leaf"]


@pytest.fixture
def stack(make_stack):
    return make_stack(SPEC, FILES)


@pytest.fixture
def built(stack):
    """The stack with its first release."""
    stack.laminate("build", "--push")
    return stack


def reasons(answer, name):
    return {(reason["kind"], reason["what"]) for reason in answer.image(name)["reasons"]}


def test_the_first_build_is_one_solve_and_tags_every_image(stack, engine, registry):
    before = engine.solves()
    plan = stack.laminate("plan", status=10)
    assert plan.actions() == {name: "build" for name in IMAGES}
    with registry.recorded() as requests:
        built = stack.laminate("build", "--push")
    assert built.actions() == {name: "built" for name in IMAGES}
    assert built.json["solves"] == 1
    assert built.json["published"] is True
    assert engine.solves() == before + 1, "one solve"
    for image in built.json["images"]:
        assert image["tags"] == [f"r-{stack.commit7}"]
        assert stack.digest(image["image"], image["tags"][0]) == image["digest"]
    sent = requests.uploads()
    assert sent, f"nothing was uploaded: {requests.all}"
    assert sorted(sent) == sorted(set(sent)), "blobs sent"
    for name in IMAGES:
        assert requests.sent_to(stack.repository(name)) == [], f"bytes sent to {name}'s own repository"
    assert [plan.image(name)["key"] for name in IMAGES] == [built.image(name)["key"] for name in IMAGES]


@pytest.mark.parametrize(("command", "action"), [(["plan"], "reuse"), (["build", "--push"], "reused")])
def test_with_nothing_to_do_no_engine_and_few_requests_are_needed(built, engine, unused_engine, registry, command, action):
    before = engine.solves()
    with registry.recorded() as requests:
        answer = built.laminate(*command, engine=unused_engine.address)
    assert set(answer.actions().values()) == {action}
    assert len(requests.all) <= 2 * len(IMAGES) + 5, f"{len(requests.all)} requests: {requests.all}"
    assert engine.solves() == before


def test_a_commit_that_changes_no_image_moves_tags_only(built, unused_engine, registry):
    old = {name: built.digest(name, f"r-{built.commit7}") for name in IMAGES}
    built.write("README.md", "not part of any image\n")
    # Comments, order of keys and whitespace are part of no image either.
    built.replace("specs.yml", 'tags: ["r-${commit7}"]\nvars: { word: one }\n',
                  '# a comment\nvars:\n\n  word:   one\n\ntags:\n  - "r-${commit7}"\n')
    built.commit()
    with registry.recorded() as requests:
        answer = built.laminate("build", "--push", engine=unused_engine.address)
    assert set(answer.actions().values()) == {"reused"}
    assert answer.json["solves"] == 0
    # No layer is sent: the record of the release, and its spec if the text differs.
    sent = [line[1] for line in requests.all if line[0] == "PATCH" or ("/blobs/uploads/" in line[1] and line[0] == "PUT")]
    assert len(sent) <= 2, sent
    assert all(f"/{built.namespace}/three/" in path for path in sent), sent
    assert {name: built.digest(name, f"r-{built.commit7}") for name in IMAGES} == old


def test_a_changed_file_rebuilds_its_image_and_the_children(built):
    before = built.layers("ground", f"r-{built.commit7}")
    built.write("images/left/left.txt", "left 2\n")
    commit = built.commit()
    plan = built.laminate("plan", status=10)
    assert plan.actions() == {"ground": "reuse", "left": "build", "right": "reuse", "leaf": "build"}
    assert reasons(plan, "left") == {("file", "images/left/left.txt")}
    assert reasons(plan, "leaf") == {("parent", "left")}
    answer = built.laminate("build", "--push")
    assert answer.actions() == {"ground": "reused", "left": "built", "right": "reused", "leaf": "built"}
    assert answer.json["solves"] == 1
    left = built.layers("left", f"r-{commit}")
    assert left[: len(before)] == before, "the lower layers of left"
    assert built.layers("leaf", f"r-{commit}")[: len(left)] == left, "the lower layers of leaf"
    for name in IMAGES:
        assert built.digest(name, f"r-{commit}"), f"{name} has no tag of the commit"


def test_a_changed_variable_is_a_reason(built):
    built.replace("specs.yml", "one", "two")
    built.commit()
    plan = built.laminate("plan", status=10)
    assert plan.actions() == {"ground": "reuse", "left": "build", "right": "reuse", "leaf": "build"}
    assert ("var", "word") in reasons(plan, "left")


def test_a_changed_step_is_the_reason(built):
    built.replace("specs.yml", "echo right", "echo wrong")
    built.commit()
    plan = built.laminate("plan", status=10)
    assert plan.actions() == {"ground": "reuse", "left": "reuse", "right": "build", "leaf": "reuse"}
    assert {kind for kind, _ in reasons(plan, "right")} == {"step"}


@pytest.mark.parametrize(("number", "umask", "env"), [
    (0, 0o077, {"TZ": "Asia/Tokyo", "LC_ALL": "C"}), (1, 0o002, {"TZ": "UTC", "LC_ALL": "de_DE.UTF-8"})])
def test_two_clones_have_equal_keys(stack, tmp_path, number, umask, env):
    expected = {image["image"]: image["key"] for image in stack.laminate("plan", status=10).json["images"]}
    folder = tmp_path / f"clone {number}" / ("deep" * number or "x")
    folder.parent.mkdir()
    clone = stack.clone(folder, umask=umask)
    for path, _, files in os.walk(folder / "images"):
        for name in files:
            os.utime(os.path.join(path, name), (86400 * number + 1, 86400 * number + 1))
    found = {image["image"]: image["key"] for image in clone.laminate("plan", status=10, env=env).json["images"]}
    assert found == expected


def test_a_build_without_push_tags_nothing(built):
    built.replace("specs.yml", "echo right", "echo wrong")
    commit = built.commit()
    answer = built.laminate("build", "right")
    assert answer.actions().get("right") == "built"
    assert f"r-{commit}" not in built.tags("right"), "tags after a build without --push"
