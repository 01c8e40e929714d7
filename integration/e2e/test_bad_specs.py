"""Invalid specs: exit code 3, the place, all errors of a file, and nothing is contacted.

The whole messages are compared by `cargo test`; this is about the program as a whole.
"""
import re

import pytest

GOOD = """\
stack: bad
tags: ["b-${commit7}"]
vars: { word: one }
images:
  ground:
    base: EXTERNAL
    steps:
      - run: echo ground
  child:
    base: ground
    apt: [git]
"""
# Old text, new text, the line of the message, and a word of it.
INVALID = [
    ("stack: bad", "stak: bad", 1, "stak"),
    ("stack: bad", "stack: Bad Name", 1, "Bad Name"),
    ("stack: bad\n", "stack: bad\nstack: again\n", 2, "stack"),
    ("vars: { word: one }", "vars: [word]", 3, "vars"),
    ("vars: { word: one }", "vars: { word: one, word: two }", 3, "word"),
    ("vars: { word: one }", 'vars: { word: "${other}" }', 3, "other"),
    ("vars: { word: one }", 'vars: { word: "${second}", second: "${word}" }', 3, "word"),
    ('tags: ["b-${commit7}"]', 'tags: ["b ${commit7}"]', 2, "tag"),
    ('tags: ["b-${commit7}"]', 'tags: ["${series}-${commit7}"]', 2, "series"),
    ('tags: ["b-${commit7}"]', 'tags: ["${comit7}"]', 2, "comit7"),
    ('tags: ["b-${commit7}"]', "tags: []", 2, "tags"),
    ('tags: ["b-${commit7}"]', 'tags: ["-x"]', 2, "-x"),
    ("base: ground", "base: grund", 10, "ground"),
    ("base: ground", "base: child", 10, "child"),
    ("base: EXTERNAL", "base: child", None, "child"),
    ("base: EXTERNAL", "base: [EXTERNAL]", 6, "base"),
    ("base: EXTERNAL", 'base: "Upper/CASE:x y"', 6, "Upper"),
    ("    base: EXTERNAL\n", "", 5, "base"),
    ("  child:\n", "  ground:\n", 9, "ground"),
    ("  child:\n", "  Child:\n", 9, "Child"),
    ("apt: [git]", "apt: []", 11, "apt"),
    ("apt: [git]", "apt: { package: [git] }", 11, "packages"),
    ("apt: [git]", "apt: git", 11, None),
    ("apt: [git]", "aptt: [git]", 11, "apt"),
    ("apt: [git]", "pip: missing.txt", 11, "missing.txt"),
    ("apt: [git]", "copy: { /x: ../../outside }", 11, "outside"),
    ("apt: [git]", "copy: { /x: /etc/passwd }", 11, "/etc/passwd"),
    ("apt: [git]", "copy: { relative: x }", 11, "relative"),
    ("apt: [git]", "dockerfile: Dockerfile", 10, "dockerfile"),
    ("apt: [git]", "cran: [dplyr]", 11, "cran"),
    ("apt: [git]", "env: { 'A=B': x }", 11, "A=B"),
    ("apt: [git]", "config: { ports: [eight] }", 11, "eight"),
    ("apt: [git]", "config: { usr: x }", 11, "user"),
    ("apt: [git]", "steps: [{ run: x, exec: [y] }]", 11, None),
    ("apt: [git]", "steps: [{ name: nothing }]", 11, None),
    ("apt: [git]", "steps: [{ group: [] }]", 11, "group"),
    ("apt: [git]", "steps: [{ script: none.sh }]", 11, "none.sh"),
    ("apt: [git]", "steps: [{ perms: { /x: { mode: '99' } } }]", 11, "99"),
    ("apt: [git]", "steps: [{ link: { /x: [y] } }]", 11, None),
    ("apt: [git]", "writable: { gid: many, paths: [/x] }", 11, "many"),
    ("apt: [git]", "apt: [git\n", None, None),
    ("images:", "variants: { a: {}, b: {} }\nimages:", None, "tag"),
    ("images:", "variants: { a: { skip: [ground] } }\nimages:", None, "ground"),
    ("images:", "variants: { a: { only: [unused] } }\nimages:", None, "unused"),
]


@pytest.fixture(scope="module")
def stack(make_stack):
    return make_stack(GOOD)


@pytest.mark.parametrize(("old", "new", "line", "word"), INVALID)
def test_each_is_refused_on_its_line(stack, unused_engine, old, new, line, word):
    # The registry, the base image's as well, is the server that must not be contacted.
    base = f"{unused_engine.host}/base:1"
    stack.write("specs.yml", GOOD.replace("EXTERNAL", base))
    stack.replace("specs.yml", old.replace("EXTERNAL", base), new.replace("EXTERNAL", "x"))
    answer = stack.laminate("plan", status=3, engine=unused_engine.address, json=False,
                            env={"LAMINATE_REGISTRY": f"{unused_engine.host}/bad"})
    lines = [int(found) for found in re.findall(r"specs\.yml:(\d+):\d+", answer.err)]
    assert lines, answer.err
    assert not line or line in lines, answer.err
    assert not word or word in answer.err


def test_all_errors_of_a_file_are_shown_at_once(make_stack):
    stack = make_stack(GOOD.replace("EXTERNAL", "BASE").replace("base: ground", "base: grund").replace("apt: [git]", "aptt: [git]")
                  .replace("stack: bad", "stack: bad\nfoo: bar"))
    stack.write("images/unused/file", "a folder without an entry\n")
    answer = stack.laminate("plan", status=3, json=False)
    for word in ("foo", "grund", "aptt", "unused"):
        assert word in answer.err
