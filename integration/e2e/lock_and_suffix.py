"""specs.lock pins the outside base; other bytes for one commit get the next suffix."""
from world import REGISTRY, Stack, digest, equal, main, put_image, test

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


def make(name):
    moving, still = f"{name}/moving", f"{name}/still"
    first = put_image(moving, "1", labelled("one"))
    put_image(still, "1", labelled("still"))
    stack = Stack(SPEC.replace("MOVING", f"{REGISTRY}/{moving}:1").replace("STILL", f"{REGISTRY}/{still}:1"), name=name)
    return stack, moving, first


@test
def with_a_lock_a_moved_base_changes_nothing_until_the_lock_moves():
    stack, moving, first = make("pinned")
    stack.laminate("lock")
    assert first in (stack.folder / "specs.lock").read_text()
    stack.commit("the lock")
    stack.laminate("build", "--push")
    second = put_image(moving, "1", labelled("two"))
    equal(set(stack.laminate("plan").actions().values()), {"reuse"})

    said = stack.laminate("lock", "--update", json=False)
    assert first[7:19] in said.out + said.err and second[7:19] in said.out + said.err, said.out + said.err
    text = (stack.folder / "specs.lock").read_text()
    assert second in text and first not in text, text
    stack.commit("the lock moves")
    plan = stack.laminate("plan", status=10)
    equal(plan.actions(), {"ground": "build", "other": "reuse"})
    assert {reason["kind"] for reason in plan.image("ground")["reasons"]} <= {"lock", "base"}, plan.out


@test
def other_bytes_for_one_commit_get_the_next_suffix_on_every_image():
    stack, moving, _ = make("suffix")
    tag = f"l-{stack.commit7}"
    first = stack.laminate("build", "--push")
    put_image(moving, "1", labelled("two"))
    plan = stack.laminate("plan", status=10)
    equal(plan.actions(), {"ground": "build", "other": "reuse"})
    equal([image["tags"] for image in plan.json["images"]], [[f"{tag}.2"]] * 2)
    second = stack.laminate("build", "--push")
    for name in ("ground", "other"):
        repository = f"{stack.namespace}/{name}"
        equal(digest(repository, tag), first.image(name)["digest"], f"{name}: the old tag")
        equal(digest(repository, f"{tag}.2"), second.image(name)["digest"], f"{name}: the new tag")
    equal(second.image("other")["digest"], first.image("other")["digest"])

    third = stack.laminate("build", "--push", "--refresh", "other")
    equal(third.actions(), {"ground": "reused", "other": "built"})
    equal([image["tags"] for image in third.json["images"]], [[f"{tag}.3"]] * 2)
    assert third.image("other")["digest"] != first.image("other")["digest"]
    equal(digest(f"{stack.namespace}/other", tag), first.image("other")["digest"])
    equal(digest(f"{stack.namespace}/ground", f"{tag}.3"), second.image("ground")["digest"])


if __name__ == "__main__":
    main()
