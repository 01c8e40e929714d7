"""Suites of all kinds on one image: selected tests, groups, a server with arguments and a health check, and the
image started by the tests themselves."""
import contextlib
import pathlib
import shutil
import subprocess

import pytest
from parts import ROOT

SPEC = """
    stack: suites
    tags: ["s-${commit7}"]
    images:
      one:
        base: BASE
        apt: [python3, python3-venv]
        env: { PORT: "8888", APP_UID: "1234" }
        user: "${env:APP_UID}"
        steps:
          - run: |
              useradd --uid 1234 --create-home app
              groupadd --gid 4000 extra
            as: root
          - write:
              /serve.py:
                text: |
                  import http.server, os, sys
                  print("serving as", os.getuid(), os.getgroups(), sys.argv[1:], flush=True)
                  http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
        config:
          entrypoint: [python3]
          cmd: [/serve.py, "--port=${env:PORT}"]
          workdir: /home/app
          healthcheck: { test: "test -e /tmp/healthy || { touch /tmp/healthy; false; }", interval: 1s }
        tests:
          selected: { pytest: own, select: "not absent", marks: "not slow", args: ["-p", "no:cacheprovider"], only: here }
          one: { pytest: own, select: ["test_own.py::test_right"] }
          groups: { run: 'test "$(id -G)" = "1234 4000 5000" && test "$(id -u)" = 1234 && test "$HOME" = /home/app', groups: [extra, 5000] }
          healthy: { serve: 8888, then: { healthcheck: true } }
          health: { healthcheck: true }
          ended: { healthcheck: true, cmd: [-c, "print('gone soon'); raise SystemExit(4)"], only: here }
          arguments: { serve: 8888, args: [more], then: { run: "grep -F more /run/laminate/server.log" } }
          other: { serve: 9999, cmd: [-c, "print('not today'); raise SystemExit(3)"] }
          starts: { pytest: starts, as: root }
      two: { base: one, tests: { other: { skip: "it fails" } } }
      unwell:
        base: two
        config: { healthcheck: { test: "echo not well; test -n nowhere -a -e /nowhere", interval: 1s, retries: 2 } }
        tests: { healthy: { skip: "as health" }, one: { skip: "not here" }, groups: { skip: "not here" },
                 arguments: { skip: "not here" }, starts: { skip: "not here" } }
"""
FILES = {"images/one/own/test_own.py": """
        import pytest

        def test_right():
            pass

        def test_absent():
            assert False

        @pytest.mark.slow
        def test_slow():
            assert False
    """, "images/one/starts/test_starts.py": """
        import os, pathlib

        def test_it_is_started_as_its_user(entrypoint):
            server = entrypoint()
            server.wait_for_port(8888)
            assert "serving as 1234 [1234] ['--port=8888']" in server.output
            assert server.stop() == -15

        def test_another_user_with_files(entrypoint):
            server = entrypoint(user="4242:100", groups=["extra"], env={"PORT": 9000}, files={"/etc/made": "x"})
            server.wait_for_port(9000)
            assert "serving as 4242 [100, 4000]" in server.output
            assert entrypoint(["-c", "print(open('/etc/made').read(), end='!')"]).wait() == 0
            assert entrypoint(["-c", "open('/etc/passwd', 'a').write('x')"], user="root").wait() == 0
            pathlib.Path("/home/app/made").write_text("x")

        def test_each_test_is_fresh(entrypoint):
            assert not os.path.exists("/etc/made") and not os.path.exists("/home/app/made")
            assert not pathlib.Path("/etc/passwd").read_text().endswith("x")
            assert os.stat("/home/app").st_uid == 1234
    """}


def test_suites_see_what_users_get(make_stack):
    stack = make_stack(SPEC, FILES)
    answer = stack.laminate("build", status=6)
    found = answer.verdicts("one")
    passed = {name: verdict["passed"] for name, verdict in found.items()}
    assert passed == {"arguments": True, "ended": False, "groups": True, "health": True, "healthy": True, "one": True,
                      "other": False, "selected": True, "starts": True}, answer.err
    assert (found["selected"]["tests"], found["one"]["tests"], found["starts"]["tests"]) == (1, 1, 3)
    assert found["other"]["reason"].startswith("the image's own command ended with exit code 3")
    assert "| not today" in answer.err, answer.err
    assert found["ended"]["reason"] == "the image's own command ended with exit code 4 before the test passed"
    assert "| gone soon" in answer.err, answer.err
    assert answer.verdicts("two")["health"]["passed"], "the health check is inherited"
    health = answer.verdicts("unwell")["health"]
    assert not health["passed"] and health["reason"] == "the health check failed 2 times"
    assert "| not well" in answer.err and "exit code 1 (2 of 2)" in answer.err and "| serving as 1234" in answer.err
    assert "selected" not in answer.verdicts("two") and "other" not in answer.verdicts("two")

    # The spec written out makes the same image, and its keys do not change.
    written = stack.laminate("plan", "--expand", json=False).out
    keys = {image["image"]: image["key"] for image in stack.laminate("plan", status=None).json["images"]}
    stack.write("specs.yml", written)
    again = stack.laminate("plan", status=None)
    assert {image["image"]: image["key"] for image in again.json["images"]} == keys, written
    assert set(again.actions().values()) == {"reuse"}


@pytest.fixture
def run_script(tmp_path):
    """Runs the script of a suite here, as on an engine without a PID namespace, and returns the files that it leaves."""
    left, place = tmp_path / "left", tmp_path / "place"
    script = (ROOT / "src/compile/scripts/suite.sh").read_text()
    script = script.replace("@RESULTS@", str(left)).replace("@PLACE@", str(place))

    def run(test, seconds, shell="/bin/sh", env=None):
        for folder in (left, place):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        subprocess.run([shell, "-c", script, "laminate", test, seconds], check=True, capture_output=True, env=env)
        return {path.name: path.read_text() for path in left.iterdir()}
    return run


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_nothing_of_a_suite_outlives_it(run_script, shell):
    # A watch can be ended while it begins, so this is tried often; no other process sleeps for so long.
    for _ in range(100):
        assert run_script("true", "86399", shell) == {"exit": "0\n", "log": ""}
    assert run_script("echo begun; sleep 86398", "1", shell) == {"exit": "137\n", "log": "begun\n", "overdue": ""}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # Others end meanwhile.
            assert not path.read_bytes().startswith(b"sleep\x008639")


@pytest.mark.parametrize("missing", ["sleep", "setsid", "tee", "mkfifo"])
def test_a_suite_needs_no_program_but_a_shell(run_script, tmp_path, missing):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in {"sleep", "setsid", "tee", "mkfifo", "cat"} - {missing}:
        (programs / name).symlink_to(shutil.which(name))
    # Which of its processes is first differs from time to time.
    for _ in range(40):
        assert run_script("echo begun; exit 3", "600", env={"PATH": str(programs)}) == {"exit": "3\n", "log": "begun\n"}
