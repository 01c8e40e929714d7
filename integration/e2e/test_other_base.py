"""A release whose images are not on the bases that it has is never published."""
import os

import pytest

SPEC = """
stack: two
tags: ["t-${commit7}"]
images:
  low:
    base: BASE
    steps:
      - run: date +%N >/low
  high:
    base: low
    steps:
      - run: cp /low /high
  top:
    base: high
    steps:
      - run: cp /high /top
"""
NAMES = ("low", "high", "top")


@pytest.fixture
def stack(make_stack):
    return make_stack(SPEC, name="two")


@pytest.mark.skipif(os.getuid() != 0, reason="an engine without root needs rootlesskit")
def test_a_base_that_was_built_again_is_not_published_below_an_older_child(stack, parts):
    """The bytes of `low` differ each time it is built, and its key does not. The second engine has nothing in its cache."""
    other = {"engine": "", "env": {"XDG_STATE_HOME": str(parts.scratch / "other-state")}}
    stack.laminate("build", "--push")
    stack.write("README.md", "another commit\n")
    stack.commit()
    failed = stack.laminate("build", "--push", "--no-reuse", "low", status=7, **other)
    assert "nothing was tagged: image `high` was built on another build of `low`" in failed.err
    assert "laminate build --push --no-reuse high+" in failed.err
    tag = f"t-{stack.commit7}"
    assert tag not in stack.tags("low") + stack.tags("high")
    answer = stack.laminate("build", "--push", "--no-reuse", "high+", **other)
    assert answer.actions() == {"low": "reused", "high": "built", "top": "built"}
    assert len({stack.content(name, tag, f"/{name}") for name in NAMES}) == 1
    assert stack.content("top", tag, "/low") == stack.content("low", tag, "/low")
