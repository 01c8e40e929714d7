"""Signals and broken pipes: nothing aborts, no engine stays, and tags are whole or it is said which are set."""
import os
import pathlib
import signal
import subprocess
import time

import pytest
from parts import as_root
from stack import default_signals

SPEC = """
    stack: signals
    tags: ["s-${commit7}"]
    images:
      slow:
        base: BASE
        steps: [{ run: echo begun; sleep 60 }]
    """


def start(stack, state, *words, **options):
    """Starts laminate with an engine of its own, in a process group of its own. Signals that these tests ignore, as
    below nohup, would be ignored by laminate as well."""
    env = stack.environment(engine="", env={"XDG_STATE_HOME": str(state)})
    return subprocess.Popen([stack.parts.binary, *words], cwd=stack.folder, env=env, start_new_session=True,
                            preexec_fn=default_signals, **options)


def engines(state):
    return as_root("pgrep", "-f", "--", f"--root {state}").stdout.split()


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def runtime_folder(state):
    """The folder that a run noted; none until it has one, since it forgets that of the run before first."""
    try:
        noted = (state / "laminate/engine/runtime").read_text()
    except FileNotFoundError:
        return None
    return pathlib.Path(noted) if noted else None


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="an engine without root needs rootlesskit")


@needs_root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_an_engine_ends_with_laminate_whose_stderr_is_closed(make_stack, parts, number):
    stack = make_stack(SPEC, name=f"closed-{number}")
    state = parts.scratch / f"signals-{number}"
    process = start(stack, state, "build", "--push", "-v", "--progress", "plain", stderr=subprocess.PIPE)
    for line in process.stderr:
        if b"begun" in line:
            break
    process.stderr.close()
    process.send_signal(number)
    assert process.wait(60) == (-9 if number == signal.SIGKILL else 130)
    wait_until(lambda: not engines(state))
    if number == signal.SIGKILL:
        left = runtime_folder(state)
        assert left is not None and left.exists()
        again = start(stack, state, "build", "--push", stderr=subprocess.PIPE)
        wait_until(lambda: runtime_folder(state) not in (None, left))
        assert not left.exists(), "the folder of the killed run is left"
        again.send_signal(signal.SIGINT)
        again.communicate(timeout=60)
        wait_until(lambda: not engines(state))
    assert stack.tags("slow") == []


def test_a_failing_step_keeps_its_exit_code_when_stderr_is_closed(make_stack):
    stack = make_stack(SPEC.replace("sleep 60", "exit 3"), name="fails")
    process = stack.start("build", "--progress", "plain", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(120) == 5


def test_an_archive_goes_through_a_fifo_which_stays(make_stack, tmp_path):
    stack = make_stack(SPEC.replace("sleep 60", "true"), name="fifo")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = subprocess.Popen(["tar", "-tf", fifo], stdout=subprocess.PIPE, text=True)
    stack.laminate("build", "--export", f"oci:{fifo}")
    names, _ = reader.communicate(timeout=60)
    assert "index.json" in names.split() and fifo.is_fifo()
    for target in ("-", str(tmp_path)):
        answer = stack.laminate("build", "--export", f"oci:{target}", status=2, json=False)
        assert answer.err.startswith("error: "), answer.err


def test_an_engine_on_another_machine_needs_a_flag(make_stack):
    stack = make_stack(SPEC, name="remote")
    answer = stack.laminate("build", engine="tcp://192.0.2.1:1234", status=2, json=False)
    assert "--insecure-engine" in answer.err, answer.err
