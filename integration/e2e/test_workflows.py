"""The steps of promote.yml and revert.yml that move a channel: input arrives unchanged and is never part
of the script."""
import os
import pathlib
import subprocess
import textwrap

import pytest
from parts import ROOT

SPEC = """
    stack: flow
    tags: ["f-${commit7}"]
    vars: { word: one }
    channels:
      stable: { tag: stable, gates: [gpu, own] }
    images:
      ground:
        base: BASE
        steps: [{ run: echo "$WORD" >/ground, env: { WORD: "${word}" } }]
    """


@pytest.fixture
def stack(make_stack):
    """The stack with its first release."""
    stack = make_stack(SPEC)
    stack.laminate("build", "--push")
    return stack


def shell(workflow):
    """Returns the script of the last step of a workflow, a literal block."""
    text = (ROOT / f".github/workflows/{workflow}.yml").read_text()
    script = textwrap.dedent(text.rsplit("        run: |\n", 1)[1])
    assert "${{" not in script, "an expression in a script"
    return script


@pytest.fixture
def run(stack, parts, tmp_path):
    """Runs the step as the runner would; returns its log and its summary."""

    def run(workflow, status=0, **given):
        summary = tmp_path / "summary"
        summary.write_text("")
        inputs = {"CHANNEL": "stable", "RELEASE": "", "WAIVE": "", "REASON": "", "ACCEPT_DRIFT": "false",
                  "LAMINATE_DRY_RUN": "false", **given}
        env = {"PATH": f"{pathlib.Path(parts.binary).parent}:{os.environ['PATH']}", "HOME": os.environ["HOME"],
               "LAMINATE_REGISTRY": stack.registry, "RUNNER_TEMP": str(tmp_path), "GITHUB_ACTOR": "somebody",
               "GITHUB_STEP_SUMMARY": str(summary), **inputs}
        result = subprocess.run(["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", shell(workflow)],
                                cwd=stack.folder, env=env, text=True, capture_output=True)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout, summary.read_text()

    return run


def test_a_channel_is_promoted_by_hand(stack, run):
    digest = stack.digest("ground", f"f-{stack.commit7}")
    out, summary = run("promote", status=6)
    assert "gpu" in out
    assert "gpu" in summary
    assert "not moved" in summary
    waived = {"WAIVE": "gpu own", "REASON": "it's $(touch seen) \"fine\"; `touch seen`"}
    _, summary = run("promote", LAMINATE_DRY_RUN="true", **waived)
    assert "would be" in summary
    assert stack.digest("ground", "stable") is None
    _, summary = run("promote", **waived)
    assert stack.digest("ground", "stable") == digest
    assert f"| `{stack.registry}/ground:stable` | `nothing` | `{digest}` |" in summary
    move, = stack.laminate("history").json["moves"]
    assert (move["reason"], move["actor"], move["waived"]) == (waived["REASON"], "somebody", ["gpu", "own"])
    assert not (stack.folder / "seen").exists()
    _, summary = run("promote", **waived)
    assert "there already" in summary


def test_a_channel_is_moved_back_by_hand(stack, run):
    first = stack.digest("ground", f"f-{stack.commit7}")
    run("promote", WAIVE="gpu own", REASON="looked")
    stack.replace("specs.yml", "word: one", "word: two")
    stack.commit()
    second = stack.laminate("build", "--push").image("ground")["digest"]
    run("promote", RELEASE=f"f-{stack.commit7}", WAIVE="gpu own", REASON="looked")
    assert stack.digest("ground", "stable") == second
    _, summary = run("revert", REASON="no good")
    assert stack.digest("ground", "stable") == first
    assert "move 3" in summary
    run("revert", RELEASE=stack.commit7)
    assert stack.digest("ground", "stable") == second


def test_input_that_looks_like_an_option_is_refused(run):
    run("revert", status=2, CHANNEL="--help")
    run("promote", status=2, CHANNEL="unknown", RELEASE="--abort")
