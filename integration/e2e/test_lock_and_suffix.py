"""specs.lock pins the external base; other bytes for the same commit get the next suffix."""
import types

import pytest

SPEC = """
    stack: locked
    tags: ["l-${commit7}"]
    images:
      ground:
        base: MOVING
        steps:
          - run: echo ground >/ground
      other:
        base: STILL
        steps:
          - run: date +%N >/other
"""


def labelled(value):
    def change(whole):
        whole["config"]["Labels"] = {"version": value}
        return whole
    return change


@pytest.fixture
def locked(make_stack, registry, request):
    """A stack on two bases of its own, the first digest of one, and a function that moves that one."""
    name = request.node.name.replace("_", "-")
    first = registry.put_image(f"{name}/moving", "1", labelled("one"))
    registry.put_image(f"{name}/still", "1", labelled("still"))
    spec = SPEC.replace("MOVING", f"{registry.address}/{name}/moving:1").replace("STILL", f"{registry.address}/{name}/still:1")
    return types.SimpleNamespace(stack=make_stack(spec), first=first,
                                 move=lambda: registry.put_image(f"{name}/moving", "1", labelled("two")))


def test_with_a_lock_a_moved_base_changes_nothing_until_the_lock_moves(locked):
    stack, first = locked.stack, locked.first
    stack.laminate("lock")
    assert first in (stack.folder / "specs.lock").read_text()
    stack.commit("the lock")
    stack.laminate("build", "--push")
    second = locked.move()
    assert set(stack.laminate("plan").actions().values()) == {"reuse"}

    update = stack.laminate("lock", "--update", json=False)
    for digest in (first, second):
        assert digest[7:19] in update.out + update.err
    text = (stack.folder / "specs.lock").read_text()
    assert second in text and first not in text, text
    stack.commit("the lock moves")
    plan = stack.laminate("plan", status=10)
    assert plan.actions() == {"ground": "build", "other": "reuse"}
    assert {reason["kind"] for reason in plan.image("ground")["reasons"]} <= {"lock", "base"}, plan.out


def test_other_bytes_for_the_same_commit_get_the_next_suffix_on_every_image(locked):
    stack = locked.stack
    tag = f"l-{stack.commit7}"
    first = stack.laminate("build", "--push")
    locked.move()
    plan = stack.laminate("plan", status=10)
    assert plan.actions() == {"ground": "build", "other": "reuse"}
    assert [image["tags"] for image in plan.json["images"]] == [[f"{tag}.2"]] * 2
    second = stack.laminate("build", "--push")
    for name in ("ground", "other"):
        assert stack.digest(name, tag) == first.image(name)["digest"], f"{name}: the old tag"
        assert stack.digest(name, f"{tag}.2") == second.image(name)["digest"], f"{name}: the new tag"
    assert second.image("other")["digest"] == first.image("other")["digest"]

    third = stack.laminate("build", "--push", "--refresh", "other")
    assert third.actions() == {"ground": "reused", "other": "built"}
    assert [image["tags"] for image in third.json["images"]] == [[f"{tag}.3"]] * 2
    assert third.image("other")["digest"] != first.image("other")["digest"]
    assert stack.digest("other", tag) == first.image("other")["digest"]
    assert stack.digest("ground", f"{tag}.3") == second.image("ground")["digest"]
