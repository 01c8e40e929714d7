"""run and shell: a process in an image or in a step of it, with its exit code, streams, signals and terminal."""
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import termios
import time

import pytest
from parts import as_root
from stack import default_signals

SPEC = """
    stack: shell
    images:
      web:
        base: BASE
        env: { A: one }
        user: "1000"
        config: { workdir: /srv, entrypoint: [env, B=two], cmd: [sh, -c, 'echo default $A $B $(id -u) $PWD'] }
        steps:
          - run: echo one >/tmp/one
          - run: echo two >/tmp/two
      failing:
        base: BASE
        steps:
          - run: echo one >/one
          - run: echo two >/two; cat $BOUND/x; exit 4
            env: { BOUND: /etc/bound }
            secrets: [key]
            mounts: { /etc/bound: { bind: conf }, /var/cache/x: { cache: x } }
      built-of:
        dockerfile: Dockerfile
      linked:
        dockerfile: Dockerfile
"""
FILES = {
    "images/failing/conf/x": "of the stack\n",
    "images/built-of/Dockerfile": "FROM BASE\nRUN echo a >/a\nRUN --mount=type=tmpfs,target=/t echo b >/b; exit 6\nRUN true\n",
    "images/linked/Dockerfile": "FROM BASE\nCOPY --link x /x\nRUN cat /x\n",
    "images/linked/x": "of the context\n",
}


@pytest.fixture(scope="module")
def stack(make_stack, tmp_path_factory):
    stack = make_stack(SPEC, FILES)
    key = tmp_path_factory.mktemp("secret") / "key"
    key.write_text("sesame")
    stack.key = f"--secret=key={key}"
    return stack


def call(stack, *args, typed="", status=0):
    """Runs laminate with a text on standard input; returns its output and its messages."""
    result = subprocess.run([stack.parts.binary, *args], cwd=stack.folder, env=stack.environment(), text=True, input=typed,
                            capture_output=True, timeout=300)
    assert result.returncode == status, f"{result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout, result.stderr


class Terminal:
    """A process with a terminal of its own."""

    def __init__(self, stack, *args, env=None):
        self.ours, self.theirs = pty.openpty()
        self.resize(33, 101)
        self.before = termios.tcgetattr(self.theirs)
        self.seen = b""
        self.process = subprocess.Popen(
            [stack.parts.binary, *args], cwd=stack.folder, env=stack.environment(**(env or {})), stdin=self.theirs,
            stdout=self.theirs, stderr=self.theirs, start_new_session=True,
            preexec_fn=self.begin)

    @staticmethod
    def begin():
        default_signals()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, rows, columns):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.ours, text.encode())

    def expect(self, text, seconds=60):
        """Reads until a text comes, and forgets what was before it."""
        end = time.monotonic() + seconds
        while text.encode() not in self.seen:
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            if select.select([self.ours], [], [], 0.2)[0]:
                self.seen += os.read(self.ours, 4096)
        self.seen = self.seen.split(text.encode(), 1)[1]

    @property
    def is_restored(self):
        return termios.tcgetattr(self.theirs) == self.before

    def end(self, status):
        """Waits for laminate, and reads what it writes."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            has_ended = self.process.poll() is not None
            if select.select([self.ours], [], [], 0.2)[0]:
                self.seen += os.read(self.ours, 4096)
            elif has_ended:
                break
        assert self.process.returncode == status, self.seen
        assert self.is_restored


def test_an_image_runs_with_its_config_input_and_exit_code(stack):
    out, err = call(stack, "run", "web")
    assert out == "default one two 1000 /srv\n" and "[web 2/" in err
    out, err = call(stack, "run", "web", "--", "sh", "-c", "cat; echo $B; echo fault >&2; exit 7", typed="typed\n", status=7)
    assert out == "typed\ntwo\n" and err.endswith("fault\n")
    data = os.urandom(300_000).hex()
    assert call(stack, "run", "web", "--", "cat", typed=data)[0] == data
    # A process need not read it, nor keep it open.
    for script in ("sleep 0.5", "read line; sleep 0.5", "exec <&-; sleep 0.5"):
        out, _ = call(stack, "run", "web", "--", "sh", "-c", f"{script}; echo end; exit 9", typed="line\n" * 1_000_000, status=9)
        assert out == "end\n", script
    call(stack, "run", "web", "--", "nosuch", status=127)
    _, err = call(stack, "shell", "web", "--", "/nosuch", status=127)
    assert "the image has no `/nosuch`" in err
    assert not stack.parts.registry.tags(stack.repository("web"))
    out, err = call(stack, "shell", "web", typed="echo $0; cat /tmp/two; exit 3\n", status=3)
    assert out == "bash\ntwo\n"
    # An image of the registry.
    text = stack.laminate("build", "web", json=False).out
    assert f"\nweb: {stack.registry}/shell@sha256:" in text
    out, err = call(stack, "run", "web")
    assert out == "default one two 1000 /srv\n" and "[web" not in err


def test_a_program_that_cannot_be_started_has_the_codes_of_docker(stack):
    for where in ([], ["--at", "2"], ["--before", "2"]):
        for program, status, text in (
            ("nosuch", 127, "`nosuch`"), ("./nosuch", 127, "`./nosuch` not found"),
            ("/etc/passwd", 126, "`/etc/passwd` cannot be executed"), ("/usr", 126, "`/usr` cannot be executed"),
        ):
            _, err = call(stack, "shell", "web", *where, "--", program, status=status)
            assert "error: the process cannot be started: " in err and text in err, err
    call(stack, "run", "web", "--", "sh", "-c", "echo exec: x; exit 1", status=1)


def test_output_that_cannot_be_written_is_a_fault_of_laminate(stack):
    with open("/dev/full", "w") as full:
        process = stack.start("run", "web", "--", "sh", "-c", "echo one; sleep 60", stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, text=True)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 125
    assert "cannot write to standard output: No space left on device" in messages


def test_a_signal_at_the_start_reaches_the_process(stack):
    call(stack, "run", "web", "--", "true")
    script = "trap 'exit 42' TERM; for i in $(seq 50); do sleep 0.1; done"
    codes = set()
    for number in range(10):
        process = stack.start("run", "web", "--progress", "quiet", "--", "bash", "-c", script, stdin=subprocess.DEVNULL)
        time.sleep(0.05 * number)
        process.send_signal(signal.SIGTERM)
        codes.add(process.wait(60))
    # Without a container yet, the signal ends laminate itself: by its default action, or in order.
    assert 42 in codes and codes <= {42, 130, -signal.SIGTERM}


def test_faults_of_laminate_have_one_exit_code(stack):
    _, err = call(stack, "run", "nosuch", status=125)
    assert "nosuch" in err
    _, err = call(stack, "run", "failing", stack.key, status=125)
    command = re.search("help: open a shell at the failure: `laminate (shell failing --at 2 .*)`", err)
    words = shlex.split(command[1])
    assert words[-2:] == ["--secret", stack.key.removeprefix("--secret=")], "the options of the command"
    out, _ = call(stack, *words, typed="cat /one; exit 0\n")
    assert out == "one\n"
    _, err = call(stack, "shell", "web", "--at", "9", status=125)
    assert "no step `9` in image `web`" in err
    call(stack, "--json", "run", "web", status=125)
    answer = stack.laminate("build", "failing", stack.key, status=5)
    assert answer.image("failing")["error"]["shell"] == "laminate shell failing --at 2"


def test_a_shell_is_at_the_failure_of_a_step_and_before_and_after_it(stack):
    script = "cat /one /two /run/secrets/key $BOUND/x; touch /var/cache/x/y; exit 0\n"
    failed = ("shell", "failing", stack.key)
    for at in ("2", f"specs.yml:{stack.line('echo two >/two')}"):
        out, err = call(stack, *failed, "--at", at, typed=script)
        assert out == "one\ntwo\nsesameof the stack\n" and "at the failure of step 2" in err
    out, err = call(stack, *failed, "--before", "2", typed="ls /two; " + script)
    assert out == "one\nsesameof the stack\n" and "before step 2" in err
    out, err = call(stack, *failed, "--at", "1", "--", "sh", "-c", "ls /one /two /etc/bound; exit 0")
    assert out == "/one\n" and "after step 1" in err
    _, err = call(stack, *failed, "--at", "2", "--", "sh", "-c", "exit 8", status=8)


def test_a_shell_is_at_an_instruction_of_a_dockerfile(stack):
    _, err = call(stack, "run", "built-of", status=125)
    at = f"images/built-of/Dockerfile:{stack.line('exit 6', 'images/built-of/Dockerfile')}"
    assert f"laminate shell built-of --at {at}" in err
    out, err = call(stack, "shell", "built-of", "--at", at, typed="cat /a /b; grep -c ' /t tmpfs' /proc/mounts\n")
    assert out == "a\nb\n1\n" and "at the failure of step" in err
    # The frontend makes two operations of it.
    for at in ("images/linked/Dockerfile:2", "1"):
        out, err = call(stack, "shell", "linked", "--at", at, "--", "cat", "/x")
        assert out == "of the context\n" and "[linked 1/2] COPY --link x /x" in err


def test_a_terminal_has_a_size_and_ctrl_c_is_of_the_process(stack):
    terminal = Terminal(stack, "shell", "web")
    terminal.expect("$ ")
    terminal.type("stty size; echo $TERM\n")
    terminal.expect("33 101")
    terminal.expect("xterm")
    terminal.expect("$ ")
    terminal.resize(44, 77)
    time.sleep(0.3)
    terminal.type("stty size\n")
    terminal.expect("44 77")
    terminal.expect("$ ")
    # bash may lose what is typed before its prompt, and a Ctrl-C before it waits for the command.
    terminal.type("sh -c 'echo be\"\"gun; exec sleep 100'\n")
    terminal.expect("begun")
    terminal.type("\x03")
    terminal.expect("$ ")
    terminal.type("echo code=$?\n")
    terminal.expect("code=130")
    terminal.expect("$ ")
    assert not terminal.is_restored
    terminal.type("exit 9\n")
    terminal.end(9)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_for_laminate_restores_the_terminal(stack, number):
    terminal = Terminal(stack, "shell", "web")
    terminal.expect("$ ")
    terminal.process.send_signal(number)
    terminal.end(130)


@pytest.mark.skipif(os.getuid() != 0, reason="an engine without root needs rootlesskit")
def test_an_engine_that_is_gone_restores_the_terminal(stack, parts):
    state = parts.scratch / "shell-gone"
    terminal = Terminal(stack, "shell", "web", env={"engine": "", "env": {"XDG_STATE_HOME": str(state)}})
    terminal.expect("$ ", 120)
    terminal.type("echo be''gun\n")
    terminal.expect("begun")
    for process in as_root("pgrep", "-f", "--", f"--root {state}").stdout.split():
        as_root("kill", "-9", process)
    terminal.end(125)
    assert b"lost the connection to the engine" in terminal.seen


@pytest.mark.skipif(os.getuid() != 0, reason="an engine without root needs rootlesskit")
def test_an_engine_that_was_started_stops_by_itself(stack, parts):
    env = stack.environment(engine="", env={"XDG_STATE_HOME": str(parts.scratch / "shell-stops")})
    run = [stack.parts.binary, "run", "web", "--"]

    def stops(command, status, stdout=subprocess.PIPE):
        process = subprocess.Popen(command, cwd=stack.folder, env=env, stdin=subprocess.DEVNULL, stdout=stdout,
                                   stderr=subprocess.PIPE, text=True)
        if stdout == subprocess.PIPE:
            process.stdout.readline()
            process.stdout.close()
        assert process.wait(60) == status
        stderr = process.stderr.read()
        assert "stopping the engine" in stderr and "was killed" not in stderr, stderr

    stops([*run, "sh", "-c", "exit 3"], 3, subprocess.DEVNULL)
    stops([*run, "no-such-program"], 127, subprocess.DEVNULL)
    # The pipe of a process that would go on is closed.
    stops([*run, "sh", "-c", "while :; do echo y; done"], 141)


def test_signals_go_to_a_process_without_a_terminal(stack):
    script = "trap 'echo got INT' INT; trap 'echo got USR1' USR1; echo begun; while :; do sleep 0.1; done"
    process = stack.start("run", "web", "--", "sh", "-c", script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == "got USR1\n"
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "got INT\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "one more stops laminate" in process.stderr.read()


def test_a_process_ends_when_nobody_reads_its_output(stack):
    process = stack.start("run", "web", "--", "sh", "-c", "while :; do echo y; done", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(60) == 141
