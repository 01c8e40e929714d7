"""The steps of promote.yml and revert.yml that move a channel: what people typed arrives as it is, and
never as a part of the script."""
import os
import pathlib
import subprocess
import textwrap

from world import BINARY, Stack, digest, equal, main, test

stack = Stack("""
    stack: flow
    tags: ["f-${commit7}"]
    vars: { word: one }
    channels:
      stable: { tag: stable, gates: [gpu, own] }
    images:
      ground:
        base: BASE
        steps: [{ run: echo "$WORD" >/ground, env: { WORD: "${word}" } }]
    """)
made = []


def shell(workflow):
    """The script of the last step of a workflow: all it has is literal, at one depth."""
    text = pathlib.Path(os.environ["E2E_ROOT"], f".github/workflows/{workflow}.yml").read_text()
    script = textwrap.dedent(text.rsplit("        run: |\n", 1)[1])
    assert "${{" not in script, "an expression in a script"
    return script


def run(workflow, status=0, **given):
    """Runs it as the runner would; gives its log and its summary."""
    folder = pathlib.Path(stack.folder.parent, f"runner-{len(made)}")
    folder.mkdir(exist_ok=True)
    (folder / "summary").write_text("")
    inputs = {"CHANNEL": "stable", "RELEASE": "", "WAIVE": "", "REASON": "", "ACCEPT_DRIFT": "false",
              "LAMINATE_DRY_RUN": "false", **given}
    env = {"PATH": f"{pathlib.Path(BINARY).parent}:{os.environ['PATH']}", "HOME": os.environ["HOME"],
           "LAMINATE_REGISTRY": stack.registry, "RUNNER_TEMP": str(folder), "GITHUB_ACTOR": "somebody",
           "GITHUB_STEP_SUMMARY": str(folder / "summary"), **inputs}
    result = subprocess.run(["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", shell(workflow)],
                            cwd=stack.folder, env=env, text=True, capture_output=True)
    equal(result.returncode, status, result.stdout + result.stderr)
    return result.stdout, (folder / "summary").read_text()


def stable():
    return digest(f"{stack.namespace}/ground", "stable")


@test
def a_channel_is_promoted_by_hand():
    made.append(stack.laminate("build", "--push").image("ground")["digest"])
    out, summary = run("promote", status=6)
    assert "gpu" in out and "gpu" in summary and "not moved" in summary, summary
    waived = {"WAIVE": "gpu own", "REASON": "it's $(touch seen) \"fine\"; `touch seen`"}
    _, summary = run("promote", LAMINATE_DRY_RUN="true", **waived)
    assert "would be" in summary, summary
    equal(stable(), None)
    _, summary = run("promote", **waived)
    equal(stable(), made[0])
    assert f"| `{stack.registry}/ground:stable` | `nothing` | `{made[0]}` |" in summary, summary
    move, = stack.laminate("history").json["moves"]
    equal((move["reason"], move["actor"], move["waived"]), (waived["REASON"], "somebody", ["gpu", "own"]))
    assert not (stack.folder / "seen").exists()
    _, summary = run("promote", **waived)
    assert "there already" in summary, summary


@test
def and_moved_back():
    stack.replace("specs.yml", "word: one", "word: two")
    stack.commit()
    made.append(stack.laminate("build", "--push").image("ground")["digest"])
    run("promote", RELEASE=f"f-{stack.commit7}", WAIVE="gpu own", REASON="looked")
    equal(stable(), made[1])
    _, summary = run("revert", REASON="no good")
    equal(stable(), made[0])
    assert "number 3" in summary, summary
    run("revert", RELEASE=stack.commit7)
    equal(stable(), made[1])
    run("revert", status=2, CHANNEL="--help")
    run("promote", status=2, CHANNEL="unknown", RELEASE="--abort")


if __name__ == "__main__":
    main()
