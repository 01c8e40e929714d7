"""Ctrl-C, an unclean tree, a missing secret: nothing is named, and the message says what to do."""
import os
import pathlib
import signal
import subprocess
import time

from world import BINARY, ENGINE, Stack, as_root, content, digest, equal, main, tags, test

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


@test
def an_interrupt_stops_the_step_and_names_nothing():
    stack = Stack(SPEC)
    env = {**os.environ, "LAMINATE_REGISTRY": stack.registry, "BUILDKIT_HOST": ENGINE}
    process = subprocess.Popen([BINARY, "build", "--push", "-v", "--progress", "plain"], cwd=stack.folder, env=env,
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "begun" in line:
            break
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    equal(process.returncode, 130, said)
    assert time.monotonic() - start < 15, "it took long to stop"
    assert "interrupted" in said, said
    for name in ("quick", "slow"):
        equal(tags(f"{stack.namespace}/{name}"), [])


@test
def an_unclean_tree_is_not_published_unless_asked():
    stack = Stack(SPEC.replace("sleep 120", "true"))
    stack.write("images/quick/x", "not committed\n")
    stack.replace("specs.yml", "echo quick", "echo quicker")
    answer = stack.laminate("build", "--push", status=7, json=False)
    assert "--allow-dirty" in answer.err, answer.err
    equal(tags(f"{stack.namespace}/quick"), [])
    before = stack.laminate("build", "--push", "--allow-dirty", "--dry-run")
    equal(before.json["dry_run"], True)
    equal(tags(f"{stack.namespace}/quick"), [])
    stack.laminate("build", "--push", "--allow-dirty")
    assert digest(f"{stack.namespace}/quick", f"i-{stack.commit7}")


@test
def secrets_reach_their_step_and_nothing_else():
    stack = Stack("""
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
    equal(content(f"{stack.namespace}/one", f"s-{stack.commit7}", "/size"), b"6\n")


@test
def an_engine_of_its_own_is_started_and_stopped():
    if os.getuid() != 0:
        return
    stack = Stack(SPEC.replace("sleep 120", "true"), name="own")
    state = stack.folder.parent / "own-state"
    env = {"XDG_STATE_HOME": str(state)}
    answer = stack.laminate("build", "--push", engine="", env=env)
    equal(set(answer.actions().values()), {"built"})
    running = as_root("pgrep", "-f", f"--root {state}").stdout.split()
    equal(running, [], "engines left")
    assert pathlib.Path(state / "laminate/engine/buildkitd.log").exists()
    again = stack.laminate("build", "--no-reuse", engine="", env=env)
    assert sum(image["seconds"] for image in again.json["images"]) < 1, "its state was not kept"


if __name__ == "__main__":
    main()
