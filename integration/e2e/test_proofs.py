"""Tests in the solve: on exactly the bytes that are tagged, in the request that builds them."""
import json

import pytest

SPEC = """
    stack: proven
    tags: ["p-${commit7}"]
    info:
      packages: { title: System packages, run: dpkg-query -W }
      broken: { run: "echo nothing; echo no good >&2; exit 3" }
    tests:
      common: { run: "test -e /ground" }
    images:
      ground:
        base: BASE
        steps:
          - run: |
              echo ground >/ground
              useradd --uid 1000 --create-home someone
              mkdir /work
        config: { user: "1000:1000", workdir: /work, env: { ROLE: tester } }
        tests:
          who: { run: 'test "$(id -u)" = 1000 && test "$PWD" = /work && test "$ROLE" = tester && ! touch /forbidden 2>/dev/null' }
          folder: { script: check.sh }
      left: { base: ground, steps: [{ run: echo left >/tmp/left }] }
      right:
        base: ground
        steps: [{ run: echo right >/tmp/right }]
        tests: { who: { skip: "it is somebody else's" }, own: { run: "grep -q right /tmp/right" } }
"""
FILES = {"images/ground/check.sh": "#!/bin/sh\necho from a script\ntouch /tmp/trace\ntest -e /ground\n"}


@pytest.fixture
def stack(make_stack):
    return make_stack(SPEC, FILES, executable=["images/ground/check.sh"])


@pytest.fixture
def first(stack):
    """Its first release."""
    return stack.laminate("build", "--push")


def test_suites_run_in_the_one_request_as_users_start_the_image(stack, engine):
    before = engine.solves()
    first = stack.laminate("build", "--push")
    assert first.json["solves"] == 1
    assert engine.solves() - before == 1, "requests"
    assert sorted(first.verdicts("ground")) == ["common", "folder", "who"]
    assert sorted(first.verdicts("left")) == ["common", "folder", "who"]
    assert sorted(first.verdicts("right")) == ["common", "folder", "own"]
    assert first.image("right")["dropped"] == [{"suite": "who", "reason": "it is somebody else's"}]
    assert all(v["passed"] for image in ("ground", "left", "right") for v in first.verdicts(image).values())
    assert first.verdicts("left")["folder"]["from"] == "ground"


def test_an_info_that_fails_is_reported_and_stops_nothing(first):
    info = {i["name"]: i for i in first.image("left")["info"]}
    assert info["broken"]["exit"] == 3
    assert info["packages"]["packages"] > 50
    assert "info `broken` failed (3): no good" in first.err


def test_nothing_of_a_test_is_in_an_image(make_stack):
    plain = make_stack(SPEC.split("    tests:\n      common")[0] + """    images:
      ground:
        base: BASE
        steps:
          - run: |
              echo ground >/ground
              useradd --uid 1000 --create-home someone
              mkdir /work
        config: { user: "1000:1000", workdir: /work, env: { ROLE: tester } }
      left: { base: ground, steps: [{ run: echo left >/tmp/left }] }
      right: { base: ground, steps: [{ run: echo right >/tmp/right }] }
""", name="plain")
    epoch = {"SOURCE_DATE_EPOCH": "1750000000"}
    alone = plain.laminate("build", "--push", env=epoch)
    stack = make_stack(SPEC, FILES, executable=["images/ground/check.sh"], name="tested")
    tested = stack.laminate("build", "--push", env=epoch)
    for name in ("ground", "left", "right"):
        assert tested.image(name)["digest"] == alone.image(name)["digest"], name
        for layer in stack.layers(name, tested.image(name)["tags"][0])[1:]:
            names = [member.name for member in stack.open_layer(name, layer)]
            assert not [n for n in names if "laminate" in n or "trace" in n or "forbidden" in n], names


def test_a_proven_suite_is_not_run_again(stack, first, engine):
    before = engine.solves()
    again = stack.laminate("build", "--push")
    assert engine.solves() == before, "requests"
    assert again.json["solves"] == 0
    assert all(v["cached"] for v in again.verdicts("left").values())
    assert stack.laminate("plan").status == 0


def test_a_failed_suite_tags_nothing_and_runs_alone_once_repaired(stack, first, registry):
    stack.replace("specs.yml", "grep -q right /tmp/right", "echo looking; grep -q wrong /tmp/right")
    stack.replace("specs.yml", "echo left >/tmp/left", "echo more >/tmp/left")
    commit = stack.commit("a wrong test")
    with registry.recorded() as requests:
        failed = stack.laminate("build", "--push", status=6)
    assert failed.json["solves"] == 1
    assert failed.json["published"] is False
    assert not [r for r in requests.all if r[0] == "PUT" and r[1].endswith(f"/manifests/p-{commit}")]
    assert stack.digest("left", f"p-{commit}") is None
    own = failed.verdicts("right")["own"]
    assert (own["passed"], own["reason"]) == (False, "exit code 1")
    for text in ("image `right`: suite `own` failed: exit code 1", "specs.yml", "| looking"):
        assert text in failed.err
    assert [v["suite"] for v in failed.verdicts("left").values() if not v["passed"]] == []
    # Only that test is repaired.
    stack.replace("specs.yml", "grep -q wrong", "grep -q right")
    stack.commit("the test repaired")
    passed = stack.laminate("build", "--push")
    assert passed.actions() == {"ground": "reused", "left": "reused", "right": "reused"}
    assert passed.image("right")["digest"] == failed.image("right")["digest"]
    assert passed.suites_run() == [("right", "own")]
    assert passed.json["solves"] == 1


def test_the_tested_digests_are_the_tagged_ones(stack, first, registry):
    _, manifest = registry.manifest(stack.repository("proven"), f"release-{stack.commit7}")
    record = json.loads(manifest["annotations"]["io.laminate.document"])
    assert len(record["images"]) == 3
    for image in record["images"]:
        assert image["verdicts"] and image["tags"], image
        for tag in image["tags"]:
            assert stack.digest(image["image"], tag) == image["digest"]
        for verdict in image["verdicts"]:
            assert (verdict["digest"], verdict["passed"]) == (image["digest"], True)


def test_the_command_test_runs_suites_and_builds_nothing(stack, first):
    again = stack.laminate("test", "right", "--retest=own")
    assert again.suites_run() == [("right", "own")]
    stack.laminate("test", "--retest=onw", status=2)
    stack.replace("specs.yml", "echo ground >/ground", "echo other >/ground")
    answer = stack.laminate("test", status=4)
    assert "not built yet: ground, left, right" in answer.err


def test_a_build_that_tags_no_image_proves_those_that_were_selected(stack, first, tmp_path):
    stack.replace("specs.yml", "test -e /ground", "test -e /ground -a -e /")
    some = stack.laminate("build", "left")
    assert some.suites_run() == [("left", "common")]
    for words in (["test", "right"], ["build", "right", "--dry-run"]):
        rows = stack.laminate(*words, json=False).out
        assert rows.splitlines()[1].startswith("right ") and "ground" not in rows and "left" not in rows
    stack.commit()
    rest = stack.laminate("build", "--push", "left")
    assert rest.suites_run() == [("ground", "common")]
    # An archive has all images.
    stack.replace("specs.yml", "grep -q right /tmp/right", "exit 3")
    assert stack.laminate("build", "left").suites_run() == []
    archive = stack.laminate("build", "left", f"--export=oci:{tmp_path}/x.tar", status=6)
    assert archive.suites_run() == [("right", "own")] and not (tmp_path / "x.tar").exists()


def test_a_suite_that_takes_too_long_is_stopped(make_stack):
    slow = make_stack("""
        stack: slow
        tags: ["s-${commit7}"]
        images:
          one: { base: BASE, steps: [{ run: echo x >/x }], tests: { slow: { run: "echo begun; sleep 600", timeout: 2s }, fast: { run: "true" } } }
    """, name="slow")
    answer = slow.laminate("build", status=6)
    found = answer.verdicts("one")
    assert found["slow"]["reason"] == "it was stopped after 2 s"
    assert found["fast"]["passed"] is True
    assert "| begun" in answer.err, answer.err
    assert answer.json["seconds"] < 60, answer.json["seconds"]


def test_an_image_is_started_as_a_hub_starts_it(make_stack):
    served = make_stack("""
        stack: served
        tags: ["s-${commit7}"]
        images:
          one:
            base: BASE
            apt: [python3]
            steps:
              - write:
                  /serve.py: |
                    import http.server, os, sys
                    print("starting as", os.getuid(), os.environ.get("WHO"))
                    class Handler(http.server.BaseHTTPRequestHandler):
                        def do_GET(self):
                            self.send_response(200 if self.path == "/api" else 404)
                            self.end_headers()
                            self.wfile.write(os.environ.get("WHO", "unset").encode())
                    http.server.HTTPServer(("127.0.0.1", 8888), Handler).serve_forever()
                  /ask.py: |
                    import sys, urllib.request
                    answer = urllib.request.urlopen("http://127.0.0.1:8888/api").read().decode()
                    print("answered", answer)
                    sys.exit(answer != sys.argv[1])
            config: { entrypoint: [python3, -u], cmd: [/serve.py], user: "1234" }
            tests:
              api: { serve: 8888, ready: /api, then: { run: python3 /ask.py unset } }
              other: { serve: 8888, as: "4321:100", env: { WHO: somebody }, then: { run: "test $(id -u) = 4321 && python3 /ask.py somebody" } }
              wrong: { serve: 9999, timeout: 5s }
              missing: { serve: 8888, ready: /missing, timeout: 5s }
              alone: { serve: 8888 }
    """, name="served")
    answer = served.laminate("build", status=6)
    found = answer.verdicts("one")
    assert {name: v["passed"] for name, v in found.items()} == {"alone": True, "api": True, "missing": False, "other": True,
                                                                 "wrong": False}
    assert found["wrong"]["reason"] == "it was stopped after 5 s"
    assert "waiting for port 9999" in answer.err
    # Once, although it is asked for many times.
    assert answer.err.count("python: HTTP Error 404") == 1 and "waiting for /missing" in answer.err
    # A process started by the test instead of the image's own command proves nothing.
    served.replace("specs.yml", "alone: { serve: 8888 }", "alone: { serve: 8888, then: { run: 'true' } }")
    served.replace("specs.yml", "cmd: [/serve.py]", "cmd: [/nothing.py]")
    served.commit()
    answer = served.laminate("build", status=6)
    assert answer.verdicts("one")["alone"]["reason"] == "the image's own command ended with exit code 2 before port 8888 answered"


def test_pytest_comes_beside_the_image_and_its_report_is_read(make_stack):
    python = make_stack("""
        stack: python
        tags: ["p-${commit7}"]
        tests: { common: { pytest: tests_common } }
        images:
          one:
            base: BASE
            apt: [python3, python3-venv]
            steps:
              - run: python3 -m venv /opt/venv
            env: { PATH: "/opt/venv/bin:${env:PATH}" }
            config: { user: "1000" }
    """, {"images/tests_common/test_it.py": """
        import os, subprocess, sys
        import pytest

        def test_it_is_the_user():
            assert os.getuid() == 1000

        def test_pip_does_not_know_pytest():
            found = subprocess.run([sys.executable, "-m", "pip", "list"], capture_output=True, text=True).stdout
            assert "pytest" not in found

        @pytest.mark.parametrize("number", [1, 2])
        def test_numbers(number):
            assert number == 1

        @pytest.mark.skip(reason="not today")
        def test_skipped():
            assert False
    """}, name="python")
    failed = python.laminate("build", status=6, env={"LAMINATE_JUNIT": str(python.folder / "junit.xml")})
    common = failed.verdicts("one")["common"]
    assert (common["tests"], common["failed"], common["skipped"]) == (5, 1, 1)
    assert common["failures"][0]["name"] == "test_numbers[2]"
    for text in ("suite `common` failed: 1 of 5 failed", "test_it::test_numbers[2]: assert 2 == 1", "specs.yml",
                 "| images/tests_common/test_it.py:14: in test_numbers"):
        assert text in failed.err, f"no {text!r} in {failed.err}"
    assert "test_numbers[2]" in (python.folder / "junit.xml").read_text()
    (python.folder / "junit.xml").unlink()
    # Editing a test builds nothing; it runs on the digest that is there.
    python.replace("images/tests_common/test_it.py", "assert number == 1", "assert number")
    passed = python.laminate("test")
    assert passed.verdicts("one")["common"]["passed"] is True
    assert passed.image("one")["digest"] == failed.image("one")["digest"]


def test_only_a_report_proves_that_tests_ran(make_stack):
    python = make_stack("""
        stack: reports
        tags: ["p-${commit7}"]
        images:
          one:
            base: BASE
            apt: [python3, python3-venv]
            steps:
              - run: python3 -m venv /opt/venv
            env: { PATH: "/opt/venv/bin:${env:PATH}" }
            tests:
              silent: { pytest: silent }
              nothing: { pytest: nothing }
              brought: { pytest: brought, requirements: brought/requirements.txt }
              hidden: { run: 'echo "the word is $(cat /run/secrets/word)"; exit 1', secrets: [word] }
          old:
            base: one
            pip: { packages: [pytest==7.4.4, pluggy==1.4.0], tool: pip }
            tests: { hidden: { skip: "once is enough" }, silent: { skip: "once" }, nothing: { skip: "once" } }
    """, {
        "images/one/silent/test_it.py": "import os\ndef test_it():\n    os._exit(0)\n",
        "images/one/nothing/helper.py": "",
        "images/one/brought/test_it.py": "import colorama, sys\ndef test_it():\n    assert sys.prefix == '/opt/venv'\n",
        "images/one/brought/requirements.txt": "-r more.txt\n",
        "images/one/brought/more.txt": "colorama==0.4.6\n",
    }, name="reports")
    answer = python.laminate("build", "--secret", "word=env:WORD", status=6, env={"WORD": "open sesame"})
    one, old = answer.verdicts("one"), answer.verdicts("old")
    assert {name: v["passed"] for name, v in one.items()} == {"brought": True, "hidden": False, "nothing": False, "silent": False}
    assert one["silent"]["reason"] == "pytest ended without a report of any test, while test_it.py::test_it ran"
    assert one["nothing"]["reason"] == "no test was found"
    assert {name: v["passed"] for name, v in old.items()} == {"brought": True}, "an image with a pytest of its own"
    assert "the word is [secret]" in answer.err and "open sesame" not in answer.err.split("error: image")[1], answer.err
