"""Fifty images in a tree of depth five: one solve, siblings at the same time."""
import itertools

import pytest

# Five levels: 1 + 3 + 6 + 15 + 25.
LEVELS = [1, 3, 6, 15, 25]
parents, names, level_of = {}, [], {}
above = [None]
for depth, count in enumerate(LEVELS):
    level = [f"image-{depth}-{number:02}" for number in range(count)]
    for number, name in enumerate(level):
        parents[name] = above[number % len(above)]
        level_of[name] = depth
    names += level
    above = level

SPEC = 'stack: fifty\ntags: ["t-${commit7}"]\nimages:\n'
for name in names:
    SPEC += f"  {name}:\n    base: {parents[name] or 'BASE'}\n    steps:\n"
    SPEC += f"      - run: |\n          date +%s%N >/{name}\n          sleep 0.5\n          date +%s%N >>/{name}\n"


@pytest.fixture(scope="module")
def built(make_stack, engine, registry):
    """The stack, the answer of its build, how many solves it took, and what the registry was asked. The engine's history has no
    record of it."""
    stack = make_stack(SPEC)
    before, history = engine.solves(), engine.history()
    with registry.recorded() as requests:
        answer = stack.laminate("build", "--push")
    assert engine.history() == history
    return stack, answer, engine.solves() - before, requests


def test_fifty_images_are_one_solve_and_siblings_overlap(built):
    stack, answer, solves, _ = built
    assert (answer.json["solves"], solves) == (1, 1)
    assert answer.actions() == {name: "built" for name in names}
    spans = {}
    for name in names:
        assert stack.digest(name, f"t-{stack.commit7}") == answer.image(name)["digest"], name
        start, end = stack.content(name, f"t-{stack.commit7}", name).split()
        spans[name] = (int(start), int(end))
    for depth in (1, 2, 3, 4):
        level = sorted(spans[name] for name in names if level_of[name] == depth)
        overlaps = sum(1 for one, two in itertools.pairwise(level) if two[0] < one[1])
        assert overlaps, f"no two images of level {depth} ran at the same time: {level}"


def test_manifests_are_pushed_at_the_same_time_and_not_read(built):
    """The engine would push one after the other, with a HEAD and a PUT by digest for each."""
    stack, answer, _, requests = built
    staging = f"/v2/{stack.repository('fifty')}/manifests/"
    images = {image["digest"] for image in answer.json["images"]}
    asked = [method for method, path, _ in requests.all if path.startswith(staging) and path.removeprefix(staging) in images]
    assert "GET" not in asked
    assert asked.count("PUT") < len(names) / 2, asked
    tagged = [path for method, path, _ in requests.all if method == "PUT" and path.startswith(f"{staging}key-")]
    assert len(tagged) == len(names)


def test_a_second_build_solves_nothing(built, engine):
    stack, *_ = built
    before = engine.solves()
    answer = stack.laminate("build", "--push")
    assert set(answer.actions().values()) == {"reused"}
    assert answer.json["solves"] == 0
    assert engine.solves() == before
