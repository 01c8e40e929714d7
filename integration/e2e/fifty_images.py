"""Fifty images in a tree of depth five: one solve, siblings at the same time."""
from world import Stack, content, digest, equal, histories, main, test

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

spec = 'stack: fifty\ntags: ["t-${commit7}"]\nimages:\n'
for name in names:
    spec += f"  {name}:\n    base: {parents[name] or 'BASE'}\n    steps:\n"
    spec += f"      - run: |\n          date +%s%N >/{name}\n          sleep 0.5\n          date +%s%N >>/{name}\n"
stack = Stack(spec)


@test
def fifty_images_are_one_record_and_siblings_overlap():
    before = set(histories())
    answer = stack.laminate("build", "--push")
    equal(len(set(histories()) - before), 1, "records in the engine's history")
    equal(answer.json["solves"], 1)
    equal(answer.actions(), {name: "built" for name in names})
    spans = {}
    for name in names:
        equal(digest(f"{stack.namespace}/{name}", f"t-{stack.commit7}"), answer.image(name)["digest"], name)
        start, end = content(f"{stack.namespace}/{name}", f"t-{stack.commit7}", name).split()
        spans[name] = (int(start), int(end))
    for depth in (1, 2, 3, 4):
        level = sorted(spans[name] for name in names if level_of[name] == depth)
        overlaps = sum(1 for one, two in zip(level, level[1:]) if two[0] < one[1])
        assert overlaps, f"no two images of level {depth} ran at the same time: {level}"


@test
def again_adds_no_record():
    before = histories()
    answer = stack.laminate("build", "--push")
    equal(set(answer.actions().values()), {"reused"})
    equal(answer.json["solves"], 0)
    equal(histories(), before)


if __name__ == "__main__":
    main()
