"""Only what changed is built; a plan says what and why (issue: keys, reasons, names)."""
import os
import shutil
import subprocess

from world import Nobody, Requests, Stack, digest, equal, histories, layers, main, tags, test

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
stack = Stack(SPEC, FILES)


def reasons(answer, name):
    return {(reason["kind"], reason["what"]) for reason in answer.image(name)["reasons"]}


@test
def first_build_is_one_solve_and_everything_is_named():
    before = histories()
    plan = stack.laminate("plan", status=10)
    equal(plan.actions(), {name: "build" for name in IMAGES})
    with Requests() as requests:
        built = stack.laminate("build", "--push")
    equal(built.actions(), {name: "built" for name in IMAGES})
    equal(built.json["solves"], 1)
    equal(built.json["published"], True)
    equal(len(set(histories()) - set(before)), 1, "records in the engine's history")
    for image in built.json["images"]:
        repository = f"{stack.namespace}/{image['image']}"
        equal(image["tags"], [f"r-{stack.commit7}"])
        equal(digest(repository, image["tags"][0]), image["digest"], repository)
    sent = requests.uploads()
    assert sent, f"nothing was uploaded: {requests.all}"
    equal(sorted(sent), sorted(set(sent)), "blobs sent")
    for name in IMAGES:
        equal(requests.sent_to(f"{stack.namespace}/{name}"), [], f"bytes sent to {name}'s own repository")
    equal([(plan.image(name)["key"]) for name in IMAGES], [built.image(name)["key"] for name in IMAGES])


@test
def nothing_to_do_contacts_no_engine_and_asks_the_registry_little():
    before = histories()
    for command in (["plan"], ["build", "--push"]):
        with Nobody() as engine, Requests() as requests:
            answer = stack.laminate(*command, engine=engine.address)
        equal(set(answer.actions().values()), {"reuse" if command == ["plan"] else "reused"})
        equal(engine.came, 0, "connections to the engine")
        assert len(requests.all) <= 2 * len(IMAGES) + 5, f"{command}: {len(requests.all)} requests: {requests.all}"
    equal(histories(), before)


@test
def a_commit_that_changes_no_image_moves_names_only():
    old = {name: digest(f"{stack.namespace}/{name}", f"r-{stack.commit7}") for name in IMAGES}
    stack.write("README.md", "not part of any image\n")
    # Comments, order of keys and whitespace are not the images' either.
    stack.replace("specs.yml", 'tags: ["r-${commit7}"]\nvars: { word: one }\n',
                  '# a comment\nvars:\n\n  word:   one\n\ntags:\n  - "r-${commit7}"\n')
    stack.commit()
    with Nobody() as engine, Requests() as requests:
        answer = stack.laminate("build", "--push", engine=engine.address)
    equal(set(answer.actions().values()), {"reused"})
    equal(answer.json["solves"], 0)
    equal(engine.came, 0, "connections to the engine")
    # No layer is sent: the record of the release, and its spec where its text is another.
    sent = [line[1] for line in requests.all if line[0] == "PATCH" or "/blobs/uploads/" in line[1] and line[0] == "PUT"]
    assert len(sent) <= 2 and all(f"/{stack.namespace}/three/" in path for path in sent), sent
    equal({name: digest(f"{stack.namespace}/{name}", f"r-{stack.commit7}") for name in IMAGES}, old)


@test
def a_changed_file_is_the_reason_and_its_image_the_childrens():
    before = layers(f"{stack.namespace}/ground", f"r-{stack.commit7}")
    stack.write("images/left/left.txt", "left 2\n")
    stack.commit()
    plan = stack.laminate("plan", status=10)
    equal(plan.actions(), {"ground": "reuse", "left": "build", "right": "reuse", "leaf": "build"})
    equal(reasons(plan, "left"), {("file", "images/left/left.txt")})
    equal(reasons(plan, "leaf"), {("parent", "left")})
    answer = stack.laminate("build", "--push")
    equal(answer.actions(), {"ground": "reused", "left": "built", "right": "reused", "leaf": "built"})
    equal(answer.json["solves"], 1)
    equal(layers(f"{stack.namespace}/left", f"r-{stack.commit7}")[: len(before)], before, "the lower layers of left")
    left = layers(f"{stack.namespace}/left", f"r-{stack.commit7}")
    equal(layers(f"{stack.namespace}/leaf", f"r-{stack.commit7}")[: len(left)], left, "the lower layers of leaf")
    for name in IMAGES:
        assert digest(f"{stack.namespace}/{name}", f"r-{stack.commit7}"), f"{name} has no tag of the commit"


@test
def a_changed_variable_and_a_changed_step_are_named():
    stack.replace("specs.yml", "one", "two")
    stack.commit()
    plan = stack.laminate("plan", status=10)
    equal(plan.actions(), {"ground": "reuse", "left": "build", "right": "reuse", "leaf": "build"})
    assert ("var", "word") in reasons(plan, "left"), reasons(plan, "left")
    stack.replace("specs.yml", "two", "one")
    stack.replace("specs.yml", "echo right", "echo wrong")
    stack.commit()
    plan = stack.laminate("plan", status=10)
    equal(plan.actions(), {"ground": "reuse", "left": "reuse", "right": "build", "leaf": "reuse"})
    equal({kind for kind, _ in reasons(plan, "right")}, {"step"})


@test
def two_clones_give_equal_keys():
    wanted = {image["image"]: image["key"] for image in stack.laminate("plan", status=10).json["images"]}
    for number, (umask, env) in enumerate([(0o077, {"TZ": "Asia/Tokyo", "LC_ALL": "C"}),
                                           (0o002, {"TZ": "UTC", "LC_ALL": "de_DE.UTF-8"})]):
        clone = stack.folder.parent / f"clone {number}" / ("deep" * number or "x")
        clone.parent.mkdir()
        subprocess.run(["git", "clone", "--quiet", stack.folder, clone], check=True, umask=umask)
        for at, _, files in os.walk(clone / "images"):
            for name in files:
                os.utime(os.path.join(at, name), (86400 * number + 1, 86400 * number + 1))
        original, stack.folder = stack.folder, clone
        try:
            found = {image["image"]: image["key"] for image in stack.laminate("plan", status=10, env=env).json["images"]}
        finally:
            stack.folder = original
        equal(found, wanted, f"keys in clone {number}")
        shutil.rmtree(clone.parent)


@test
def a_build_without_push_names_nothing():
    answer = stack.laminate("build", "right")
    equal(answer.actions().get("right"), "built")
    equal(tags(f"{stack.namespace}/right").count(f"r-{stack.commit7}"), 0, "tags after a build without --push")


if __name__ == "__main__":
    main()
