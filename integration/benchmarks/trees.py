"""Rows on trees of many small images: nothing changed, a leaf changed, all rebuilt."""
from far import Far
from measure import LAMINATE, REAL_ROUNDS, ROUNDS, Row, call, in_turn, say
from peers import Bake, yardstick
from stack import Stack

YARDSTICK = "BuildKit's Go client"
COPIED = "the same, copied into the repositories"
BAKE = "buildx bake"


class Tree:
    """A tree of images, each with one small file: a root, a tenth in the middle, and leaves. `texts` is what
    each tool's copy of it has in the files: no tool finds another's result in the engine's cache."""

    def __init__(self, parts, count, name, registry=None):
        self.parts = parts
        registry = registry or parts.registry.address
        self.names = [f"image-{number:04}" for number in range(count)]
        middle = max(count // 10, 2)
        self.parents = {self.names[0]: None}
        for number in range(1, count):
            parent = 0 if number < middle else 1 + number % max(middle - 1, 1)
            self.parents[self.names[number]] = self.names[parent]
        base = parts.registry.base
        spec = ["stack: tree", 'tags: ["r-${commit7}"]', "images:"]
        for image, parent in self.parents.items():
            spec.append(f'  {image}: {{ base: "{parent or base}", steps: [{{ copy: {{ /etc/{image}: text }} }}] }}')
        self.stack = Stack(parts, "\n".join(spec) + "\n", {f"images/{image}/text": "first\n" for image in self.names}, name=name)
        self.stack.registry = f"{registry}/{self.stack.namespace}"
        self.texts = {image: "first" for image in self.names}
        self.number = 0

    def change(self, image):
        self.number += 1
        self.texts[image] = f"change {self.number}"
        self.stack.write(f"images/{image}/text", f"laminate: {self.texts[image]}\n")

    def laminate(self, *arguments):
        return call(self.parts.binary, "--json", *arguments, cwd=self.stack.folder, env=self.stack.environment())

    def bake(self):
        """Returns the work of bake on the tree as it is now."""
        bake = Bake(self.parts, self.parts.scratch / f"{self.stack.namespace}-bake")
        for image, parent in self.parents.items():
            base = "parent" if parent else self.parts.registry.base
            bake.target(image, f"FROM {base}\nCOPY text /etc/{image}\n",
                        [f"{self.stack.registry}-bake/{image}:r-{self.stack.commit7}"], parent,
                        {"text": f"bake: {self.texts[image]}\n"})
        return bake.build

    def pull_base(self):
        """Has the engine pull the base, which the first tool would do for all."""
        tree = [{"name": "base", "base": self.parts.registry.base, "files": {"/etc/base": "base\n"}}]
        yardstick(self.parts, tree, f"{self.stack.registry}-base:1")

    def yardstick(self, who):
        """Returns the work of BuildKit's Go client on the tree as it is now. It pushes into one repository, from where the
        images are copied to one for each as laminate and bake have it, or are not."""
        what = "copied" if who == COPIED else "yardstick"
        tree = [{"name": image, "base": parent or self.parts.registry.base,
                 "files": {f"/etc/{image}": f"{what}: {self.texts[image]}\n"}}
                for image, parent in self.parents.items()]
        reference = f"{self.stack.registry}-{what}:r-{self.stack.commit7}"
        prefix = [f"{self.stack.registry}-{what}"] if who == COPIED else []
        return lambda: yardstick(self.parts, tree, reference, *prefix)

    def build(self, expected):
        """Builds and pushes; fails if another number of images was built."""
        answer = self.laminate("build", "--push")
        built = [image["action"] for image in answer.json["images"]].count("built")
        assert built == expected, f"{built} images were built, not {expected}"
        return answer


def measure(tree, row, number, expected, change=lambda: None, with_bake=True):
    """One round of a row."""
    change()
    tree.stack.commit()
    works = [(LAMINATE, lambda: tree.build(expected)), *((who, tree.yardstick(who)) for who in (YARDSTICK, COPIED))]
    if with_bake:
        works.append((BAKE, tree.bake()))
    for who, work in in_turn(number, works):
        row.time(tree.parts, who, work)


def trees(parts):
    """P1, P2, P3, P9: a hundred images."""
    tree = Tree(parts, 100, "tree")
    first = Row("–", "100 images, first build")
    nothing = Row("P1", "100 images, nothing changed, new tags", "≤ 0.15 s, ≤ 310 requests")
    leaf = Row("P2", "100 images, one leaf changed", "≤ 0.5 s, bake ≥ 5 ×")
    root = Row("P3, P9", "100 images, root changed", "≤ Go client, ≤ 25 MB")
    tree.pull_base()
    measure(tree, first, 0, 100)
    for number in range(ROUNDS):
        say(f"trees: round {number + 1} of {ROUNDS}")
        measure(tree, nothing, number, 0)
        measure(tree, leaf, number, 1, lambda: tree.change(tree.names[-1]))
        measure(tree, root, number, 100, lambda: tree.change(tree.names[0]))


def few(parts):
    """P17: a plan of as many images as the example has."""
    tree = Tree(parts, 13, "few")
    tree.stack.commit()
    tree.build(13)
    row = Row("P17", "`plan`, 13 images, nothing changed", "≤ 30 ms")
    for _ in range(ROUNDS * 4):
        row.time(parts, LAMINATE, lambda: tree.laminate("plan"), with_engine=False)


def trees_far(parts):
    """P1 and P18 on a registry that is far away."""
    with Far(parts.registry) as far:
        tree = Tree(parts, 100, "tree-far", far.address)
        tree.stack.commit()
        tree.build(100)
        row = Row("P1", "the same, registry 50 ms away", "≤ 1 s")
        for number in range(ROUNDS):
            say(f"trees_far: round {number + 1} of {ROUNDS}")
            tree.stack.commit()
            with far.away(0.05):
                row.time(parts, LAMINATE, lambda: tree.build(0))
        slow = Row("P18", "3 small images, registry answers after 2 s", "≤ 40 s")
        small = Tree(parts, 3, "slow", far.address)
        # The engine has the base already: what is measured are laminate's own requests and its push.
        small.stack.commit()
        with far.away(2):
            say("trees_far: a registry that answers after 2 s")
            slow.time(parts, LAMINATE, lambda: small.build(3))


def thousand(parts):
    """P8: a thousand images. bake is left out: it loses targets above two hundred."""
    tree = Tree(parts, 1000, "thousand")
    first = Row("P8", "1,000 images, all built", "≤ 0.7 × Go client")
    nothing = Row("P8", "1,000 images, nothing changed, new tags", "≤ 1.2 s, ≤ 100 MB")
    tree.pull_base()
    for number in range(REAL_ROUNDS):
        say(f"thousand: all built, round {number + 1} of {REAL_ROUNDS}")
        measure(tree, first, number, 1000, lambda: tree.change(tree.names[0]), with_bake=False)
    for number in range(min(ROUNDS, 3)):
        say(f"thousand: round {number + 1}")
        measure(tree, nothing, number, 0, with_bake=False)
