"""Only the steps from the first changed one on run: the others are taken from the last build, on any engine."""
import subprocess

import pytest

SPEC = """
    stack: kept
    tags: ["k-${commit7}"]
    images:
      ground:
        base: BASE
        steps: [{ run: echo ground >/ground }]
      leaf:
        base: ground
        steps:
          - run: cat /proc/sys/kernel/random/uuid >/first
          - run: cat /proc/sys/kernel/random/uuid >/second
          - copy: { /third: third.txt }
          - run: cat /third >/last
      top: { dockerfile: Dockerfile }
"""

# Steps that are kept of `leaf` are inputs of the frontend.
TOP = """
    FROM leaf
    RUN --mount=from=leaf,target=/leaf cat /leaf/last /last >/seen
"""


@pytest.fixture(scope="module")
def stack(make_stack):
    stack = make_stack(SPEC, {"images/leaf/third.txt": "one\n", "images/top/Dockerfile": TOP})
    stack.laminate("build", "--push")
    return stack


def push(stack, *args):
    """Builds and pushes a new commit; returns the layers of `leaf` and what it has in `/last`."""
    stack.commit()
    answer = stack.laminate("build", "--push", *args)
    assert answer.actions()["leaf"] == "built"
    tag = answer.image("leaf")["tags"][0]
    return stack.layers("leaf", tag), stack.content("leaf", tag, "/last"), stack.config("leaf", tag)


def test_steps_before_a_changed_one_keep_their_layers(stack):
    before, config = stack.layers("leaf", f"k-{stack.commit7}"), stack.config("leaf", f"k-{stack.commit7}")
    stack.write("images/leaf/third.txt", "two\n")
    plan = stack.laminate("plan", status=10)
    assert plan.image("leaf")["kept_steps"] == 2
    layers, last, now = push(stack)
    assert last == b"two\n"
    assert stack.content("top", f"k-{stack.commit7}", "/seen") == b"two\ntwo\n"
    assert layers[:-2] == before[:-2]
    assert all(old != new for old, new in zip(layers[-2:], before[-2:], strict=True))
    titles = [[entry.get("created_by") for entry in one["history"]] for one in (config, now)]
    assert titles[0] == titles[1]

    # Once more, on what was built so.
    stack.replace("specs.yml", "cat /third >/last", "cat /third /third >/last")
    again, last, _ = push(stack)
    assert last == b"two\ntwo\n"
    assert again[:-1] == layers[:-1]


def test_all_steps_run_if_the_last_build_is_gone_or_not_to_be_used(stack, parts):
    before = stack.layers("leaf", f"k-{stack.commit7}")
    stack.write("images/leaf/third.txt", "three\n")
    layers, _, _ = push(stack, "--no-reuse", "leaf")
    assert layers[:2] == before[:2] and layers[2] != before[2]

    staging = f"{stack.namespace}/kept"
    digest = parts.registry.digest(stack.repository("leaf"), f"k-{stack.commit7}")
    status, _, _ = parts.registry.request("DELETE", f"{staging}/manifests/{digest}")
    assert status == 202
    stack.write("images/leaf/third.txt", "four\n")
    _, last, _ = push(stack)
    assert last == b"four\nfour\n"


def test_processes_run_on_kept_steps(make_stack):
    """Also in a Dockerfile that is based on an image with kept steps, and where the engine has nothing of them."""
    stack = make_stack(SPEC, {"images/leaf/third.txt": "one\n", "images/top/Dockerfile": TOP}, name="processes")
    stack.laminate("build", "--push")
    first, second = (stack.content("leaf", f"k-{stack.commit7}", path).decode() for path in ("/first", "/second"))
    stack.write("images/leaf/third.txt", "three\n")
    assert stack.laminate("plan", status=10).image("leaf")["kept_steps"] == 2
    at = f"images/top/Dockerfile:{stack.line('RUN', 'images/top/Dockerfile')}"
    for command, out in (
        (["run", "top", "--", "cat", "/seen"], "three\nthree\n"),
        (["shell", "top", "--at", at, "--", "cat", "/seen"], "three\nthree\n"),
        (["shell", "top", "--before", at, "--", "cat", "/third"], "three\n"),
        (["shell", "leaf", "--at", "3", "--", "cat", "/third"], "three\n"),
        (["shell", "leaf", "--before", "3", "--", "cat", "/first", "/second"], first + second),
        (["shell", "leaf", "--before", "2", "--", "cat", "/first"], first),
    ):
        subprocess.run(["buildctl", "--addr", stack.parts.engine.address, "prune", "--all"], check=True, capture_output=True)
        answer = stack.laminate(*command, json=False)
        assert answer.out == out, answer.err
    # The step itself runs, also if it could be kept.
    answer = stack.laminate("shell", "leaf", "--at", "2", "--", "cat", "/first", "/second", json=False)
    assert answer.out.startswith(first) and answer.out != first + second
