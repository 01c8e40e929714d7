"""A step that fails: its place is shown, siblings finish and are kept, nothing is tagged."""
import pytest

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
FILES = {"images/scripted/fails.sh": "#!/bin/sh\nset -e\necho words of a script\nfalse\n"}


@pytest.fixture
def stack(make_stack):
    return make_stack(SPEC, FILES, executable=["images/scripted/fails.sh"])


def test_the_place_is_shown_and_siblings_finish(stack):
    answer = stack.laminate("build", "--push", status=5)
    assert answer.actions() == {"ground": "built", "broken": "failed", "sibling": "built", "child": "skipped",
                             "scripted": "failed"}
    assert answer.json["published"] is False
    error = answer.image("broken")["error"]
    assert (error["kind"], error["where"]["file"], error["exit_code"]) == ("step", "specs.yml", 3)
    line = SPEC.split("\n").index("      - run: |") + 1
    assert error["where"]["line"] in (line, line + 1), error["where"]
    assert any("the last words of broken" in said for said in error["log_tail"]), error["log_tail"]
    for text in ("the last words of broken", f"specs.yml:{error['where']['line']}", "broken", "words of a script"):
        assert text in answer.err
    for name in ("ground", "broken", "sibling", "child", "scripted"):
        assert stack.tags(name) == [], f"tags of {name}"


def test_after_the_repair_only_what_failed_is_built(stack):
    stack.laminate("build", "--push", status=5)
    stack.replace("specs.yml", "exit 3", "true")
    stack.write("images/scripted/fails.sh", "#!/bin/sh\ntrue\n")
    stack.commit()
    answer = stack.laminate("build", "--push")
    assert answer.actions() == {"ground": "reused", "broken": "built", "sibling": "reused", "child": "built",
                             "scripted": "built"}
    for image in answer.json["images"]:
        assert stack.digest(image["image"], f"f-{stack.commit7}") == image["digest"]
