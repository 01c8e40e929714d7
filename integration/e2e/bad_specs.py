"""Bad specs: exit 3, the place, all errors of a file, and nothing is contacted.

The whole messages are compared by `cargo test`; here the program is seen from outside.
"""
import re

from world import BASE, Nobody, Requests, Stack, equal, main, test

GOOD = """\
stack: bad
tags: ["b-${commit7}"]
vars: { word: one }
images:
  ground:
    base: BASE
    steps:
      - run: echo ground
  child:
    base: ground
    apt: [git]
"""
# What is replaced, by what, the line of the message, and a word of it.
BAD = [
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
    ("base: BASE", "base: child", None, "child"),
    ("base: BASE", "base: [BASE]", 6, "base"),
    ("base: BASE", 'base: "Upper/CASE:x y"', 6, "Upper"),
    ("    base: BASE\n", "", 5, "base"),
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
    ("apt: [git]", "dockerfile: Dockerfile", 11, "dockerfile"),
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
    ("images:", "variants: { a: { only: [nobody] } }\nimages:", None, "nobody"),
]


@test
def each_is_refused_on_its_place():
    stack = Stack(GOOD)
    wrong = []
    with Nobody() as engine, Requests() as requests:
        for old, new, line, word in BAD:
            stack.write("specs.yml", GOOD)
            stack.replace("specs.yml", old.replace("BASE", BASE), new.replace("BASE", "x"))
            try:
                answer = stack.laminate("plan", status=3, engine=engine.address, json=False)
            except AssertionError as error:
                wrong.append(f"{new!r}: {error}")
                continue
            places = [int(found) for found in re.findall(r"specs\.yml:(\d+):\d+", answer.err)]
            if not places or line and line not in places:
                wrong.append(f"{new!r}: is shown on lines {places}, not {line}\n{answer.err}")
            if word and word not in answer.err:
                wrong.append(f"{new!r}: no {word!r} in\n{answer.err}")
    assert len(BAD) >= 40
    assert not wrong, f"{len(wrong)} of {len(BAD)}:\n" + "\n".join(wrong)
    equal(engine.came, 0, "connections to the engine")
    equal(requests.all, [], "requests to the registry")


@test
def all_errors_of_a_file_are_shown_at_once():
    stack = Stack(GOOD.replace("base: ground", "base: grund").replace("apt: [git]", "aptt: [git]")
                  .replace("stack: bad", "stack: bad\nfoo: bar"))
    stack.write("images/nobody/file", "a folder without an entry\n")
    answer = stack.laminate("plan", status=3, json=False)
    for word in ("foo", "grund", "aptt", "nobody"):
        assert word in answer.err, f"no {word!r} in\n{answer.err}"


if __name__ == "__main__":
    main()
