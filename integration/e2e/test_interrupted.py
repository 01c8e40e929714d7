"""Ctrl-C, an unclean tree, a missing secret: nothing is tagged, and the message shows what to do."""
import os
import signal
import subprocess
import time

import pytest
from parts import as_root

SPEC = """
    stack: stopped
    tags: ["i-${commit7}"]
    images:
      quick:
        base: BASE
        steps: [{ run: echo quick >/quick }]
      slow:
        base: quick
        steps: [{ run: echo begun; sleep 120 }]
    """


def interrupt(process):
    """Presses Ctrl-C, waits until the command has stopped, and returns what it wrote to stderr."""
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert time.monotonic() - start < 15, "it took long to stop"
    return errors


def test_an_interrupt_stops_the_step_and_tags_nothing(make_stack):
    stack = make_stack(SPEC)
    process = stack.start("build", "--push", "-v", "--progress", "plain", stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True)
    for line in process.stderr:
        if "begun" in line:
            break
    assert "interrupted" in interrupt(process)
    for name in ("quick", "slow"):
        assert stack.tags(name) == []


@pytest.fixture
def halfway(make_stack):
    """A stack whose image was built before one of its suites was edited so that it takes long, and the others too."""
    stack = make_stack("""
        stack: halfway
        tags: ["h-${commit7}"]
        images:
          one:
            base: BASE
            steps: [{ run: echo one >/one }]
            tests: { good: { run: "true" }, bad: { run: "true" }, slow: { run: "true" } }
        """)
    stack.laminate("build", "--push")
    stack.replace("specs.yml", 'good: { run: "true" }, bad: { run: "true" }, slow: { run: "true" }',
                  'good: { run: echo again }, bad: { run: "exit 1" }, slow: { run: sleep 120 }')
    stack.commit()
    return stack


def test_suites_that_ended_before_an_interrupt_do_not_run_again(halfway):
    stack = halfway
    process = stack.start("build", "--push", "--progress", "plain", stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ended = 0
    for line in process.stderr:
        ended += "test good" in line or "test bad" in line
        if ended == 2:
            break
    interrupt(process)
    stack.replace("specs.yml", "sleep 120", "echo slow")
    stack.commit()
    verdicts = stack.laminate("build", "--push", status=6).verdicts("one")
    assert {name: (verdict["passed"], verdict["cached"]) for name, verdict in verdicts.items()} == {
        "good": (True, True), "bad": (False, False), "slow": (True, False)}


def test_suites_that_ended_before_another_image_failed_do_not_run_again(halfway):
    stack = halfway
    stack.replace("specs.yml", "images:\n", "images:\n  two: { base: one, steps: [{ run: sleep 5; exit 1 }] }\n")
    stack.commit()
    stack.laminate("build", "--push", "--fail-fast", status=5, json=False)
    stack.replace("specs.yml", "sleep 5; exit 1", "true")
    stack.replace("specs.yml", "sleep 120", "echo slow")
    stack.commit()
    verdicts = stack.laminate("build", "--push", status=6).verdicts("one")
    assert {name: verdict["cached"] for name, verdict in verdicts.items()} == {"good": True, "bad": False, "slow": False}


def test_an_unclean_tree_is_published_only_with_a_flag(make_stack):
    stack = make_stack(SPEC.replace("sleep 120", "true"))
    stack.write("images/quick/x", "not committed\n")
    stack.replace("specs.yml", "echo quick", "echo quicker")
    answer = stack.laminate("build", "--push", status=7, json=False)
    assert "--allow-dirty" in answer.err, answer.err
    assert stack.tags("quick") == []
    before = stack.laminate("build", "--push", "--allow-dirty", "--dry-run")
    assert before.json["dry_run"] is True
    assert stack.tags("quick") == []
    stack.laminate("build", "--push", "--allow-dirty")
    assert stack.digest("quick", f"i-{stack.commit7}")


def test_secrets_reach_their_step_and_nothing_else(make_stack):
    stack = make_stack("""
        stack: secret
        tags: ["s-${commit7}"]
        images:
          one:
            base: BASE
            steps:
              - run: wc -c </run/secrets/token >/size
                secrets: { token: /run/secrets/token }
        """)
    answer = stack.laminate("build", "--push", status=4, json=False)
    assert "token" in answer.err and "--secret" in answer.err, answer.err
    stack.laminate("build", "--push", "--secret", "token=env:TOKEN", env={"TOKEN": "s3cret"})
    assert stack.content("one", f"s-{stack.commit7}", "/size") == b"6\n"


@pytest.mark.skipif(os.getuid() != 0, reason="an engine without root needs rootlesskit")
def test_an_engine_of_its_own_is_started_and_stopped(make_stack, parts):
    stack = make_stack(SPEC.replace("sleep 120", "true"), name="own")
    # In the folder of the run: what an engine that was killed has mounted is unmounted at its end.
    state = parts.scratch / "own-state"
    env = {"XDG_STATE_HOME": str(state)}
    answer = stack.laminate("build", "--push", engine="", env=env)
    assert set(answer.actions().values()) == {"built"}
    running = as_root("pgrep", "-f", "--", f"--root {state}").stdout.split()
    assert running == [], "engines left"
    assert (state / "laminate/engine/buildkitd.log").exists()
    again = stack.laminate("build", "--no-reuse", engine="", env=env)
    assert sum(image["seconds"] for image in again.json["images"]) < 1, "its state was not kept"
