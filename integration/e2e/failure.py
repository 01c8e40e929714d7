"""A step that fails: its place is shown, siblings finish and stay, nothing is named."""
from world import Stack, digest, equal, main, tags, test

SPEC = """\
stack: failing
tags: ["f-${commit7}"]
images:
  ground:
    base: BASE
    steps:
      - run: echo ground >/ground
  broken:
    base: ground
    steps:
      - run: |
          echo the last words of broken >&2
          exit 3
  sibling:
    base: ground
    steps:
      - run: sleep 1; echo sibling >/sibling
  child:
    base: broken
    steps:
      - run: echo child >/child
  scripted:
    base: ground
    steps:
      - script: fails.sh
"""
stack = Stack(SPEC, {"images/scripted/fails.sh": "#!/bin/sh\nset -e\necho words of a script\nfalse\n"})
(stack.folder / "images/scripted/fails.sh").chmod(0o755)
stack.commit()


@test
def the_place_is_shown_and_siblings_finish():
    answer = stack.laminate("build", "--push", status=5)
    equal(answer.actions(), {"ground": "built", "broken": "failed", "sibling": "built", "child": "skipped",
                             "scripted": "failed"})
    equal(answer.json["published"], False)
    error = answer.image("broken")["error"]
    equal((error["kind"], error["where"]["file"], error["exit_code"]), ("step", "specs.yml", 3))
    line = SPEC.split("\n").index("      - run: |") + 1
    assert error["where"]["line"] in (line, line + 1), error["where"]
    assert any("the last words of broken" in said for said in error["log_tail"]), error["log_tail"]
    for wanted in ("the last words of broken", f"specs.yml:{error['where']['line']}", "broken", "words of a script"):
        assert wanted in answer.err, f"no {wanted!r} in\n{answer.err}"
    for name in ("ground", "broken", "sibling", "child", "scripted"):
        equal(tags(f"{stack.namespace}/{name}"), [], f"tags of {name}")


@test
def after_the_repair_only_what_failed_is_built():
    stack.replace("specs.yml", "exit 3", "true")
    stack.write("images/scripted/fails.sh", "#!/bin/sh\ntrue\n")
    stack.commit()
    answer = stack.laminate("build", "--push")
    equal(answer.actions(), {"ground": "reused", "broken": "built", "sibling": "reused", "child": "built",
                             "scripted": "built"})
    for image in answer.json["images"]:
        equal(digest(f"{stack.namespace}/{image['image']}", f"f-{stack.commit7}"), image["digest"])


if __name__ == "__main__":
    main()
