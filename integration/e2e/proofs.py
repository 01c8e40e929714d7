"""Tests in the solve: on exactly the bytes that are named, in the request that builds them."""
import json

from world import Requests, Stack, digest, equal, histories, layers, main, test, tree

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
          who: { run: 'test "$(id -u)" = 1000 && test "$PWD" = /work && test "$ROLE" = tester && ! touch /nobody 2>/dev/null' }
          folder: { script: check.sh }
      left: { base: ground, steps: [{ run: echo left >/tmp/left }] }
      right:
        base: ground
        steps: [{ run: echo right >/tmp/right }]
        tests: { who: { skip: "it is somebody else's" }, own: { run: "grep -q right /tmp/right" } }
"""
FILES = {"images/ground/check.sh": "#!/bin/sh\necho from a script\ntouch /tmp/trace\ntest -e /ground\n"}
stack = Stack(SPEC, FILES)
(stack.folder / "images/ground/check.sh").chmod(0o755)
stack.commit("it can be run")
first = None


def verdicts(answer, name):
    return {v["suite"]: v for v in answer.image(name)["verdicts"]}


@test
def suites_run_in_the_one_request_as_users_start_the_image():
    global first
    before = len(histories())
    first = stack.laminate("build", "--push")
    equal(first.json["solves"], 1)
    equal(len(histories()) - before, 1, "requests")
    equal(sorted(verdicts(first, "ground")), ["common", "folder", "who"])
    equal(sorted(verdicts(first, "left")), ["common", "folder", "who"])
    equal(sorted(verdicts(first, "right")), ["common", "folder", "own"])
    equal(first.image("right")["dropped"], [{"suite": "who", "reason": "it is somebody else's"}])
    assert all(v["passed"] for image in ("ground", "left", "right") for v in verdicts(first, image).values())
    equal(verdicts(first, "left")["folder"]["from"], "ground")


@test
def an_info_that_fails_is_said_and_stops_nothing():
    info = {i["name"]: i for i in first.image("left")["info"]}
    equal(info["broken"]["exit"], 3)
    assert info["packages"]["packages"] > 50, info
    assert "info `broken` failed (3): no good" in first.err, first.err


@test
def nothing_of_a_test_is_in_an_image():
    plain = Stack(SPEC.split("    tests:\n      common")[0] + """    images:
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
    again = Stack(SPEC, FILES, name="tested")
    (again.folder / "images/ground/check.sh").chmod(0o755)
    again.commit()
    tested = again.laminate("build", "--push", env=epoch)
    for name in ("ground", "left", "right"):
        equal(tested.image(name)["digest"], alone.image(name)["digest"], name)
        for layer in layers(f"{again.namespace}/{name}", tested.image(name)["tags"][0])[1:]:
            names = [member.name for member in tree(f"{again.namespace}/{name}", layer)]
            assert not [n for n in names if "laminate" in n or "trace" in n or "nobody" in n], names


@test
def what_is_proven_is_not_run_again():
    before = len(histories())
    again = stack.laminate("build", "--push")
    equal(len(histories()), before, "requests")
    equal(again.json["solves"], 0)
    assert all(v["cached"] for v in verdicts(again, "left").values())
    equal(stack.laminate("plan").status, 0)


@test
def one_red_suite_names_nothing_and_its_repair_runs_it_alone():
    stack.replace("specs.yml", "grep -q right /tmp/right", "echo looking; grep -q wrong /tmp/right")
    stack.replace("specs.yml", "echo left >/tmp/left", "echo more >/tmp/left")
    commit = stack.commit("a wrong test")
    with Requests() as requests:
        red = stack.laminate("build", "--push", status=6)
    equal(red.json["solves"], 1)
    equal(red.json["published"], False)
    assert not [r for r in requests.all if r[0] == "PUT" and r[1].endswith(f"/manifests/p-{commit}")]
    equal(digest(f"{stack.namespace}/left", f"p-{commit}"), None)
    own = verdicts(red, "right")["own"]
    equal((own["passed"], own["reason"]), (False, "exit code 1"))
    for text in ("image `right`: suite `own` is red: exit code 1", "specs.yml", "| looking"):
        assert text in red.err, f"no {text!r} in {red.err}"
    equal([v["suite"] for v in verdicts(red, "left").values() if not v["passed"]], [])
    # Only that test is repaired.
    stack.replace("specs.yml", "grep -q wrong", "grep -q right")
    stack.commit("the test repaired")
    green = stack.laminate("build", "--push")
    equal(green.actions(), {"ground": "reused", "left": "reused", "right": "reused"})
    equal(green.image("right")["digest"], red.image("right")["digest"])
    ran = [(i["image"], v["suite"]) for i in green.json["images"] for v in i["verdicts"] if not v["cached"]]
    equal(ran, [("right", "own")])
    equal(green.json["solves"], 1)


@test
def what_was_tested_is_what_is_named():
    name = f"release-{stack.commit7}"
    from world import blob, manifest
    _, whole = manifest(f"{stack.namespace}/proven", name)
    record = json.loads(blob(f"{stack.namespace}/proven", whole["layers"][0]["digest"]))
    for image in record["images"]:
        assert image["verdicts"], image
        for tag in image["tags"]:
            equal(digest(f"{stack.namespace}/{image['image']}", tag), image["digest"])
        for verdict in image["verdicts"]:
            equal((verdict["digest"], verdict["passed"]), (image["digest"], True))


@test
def test_alone_runs_suites_and_builds_nothing():
    again = stack.laminate("test", "right", "--retest=own")
    ran = [(i["image"], v["suite"]) for i in again.json["images"] for v in i["verdicts"] if not v["cached"]]
    equal(ran, [("right", "own")])
    stack.laminate("test", "--retest=onw", status=2)
    stack.replace("specs.yml", "echo ground >/ground", "echo other >/ground")
    answer = stack.laminate("test", status=4)
    assert "not built yet: ground, left, right" in answer.err, answer.err
    stack.replace("specs.yml", "echo other >/ground", "echo ground >/ground")


@test
def a_suite_that_takes_too_long_is_stopped():
    slow = Stack("""
        stack: slow
        tags: ["s-${commit7}"]
        images:
          one: { base: BASE, steps: [{ run: echo x >/x }], tests: { slow: { run: "echo begun; sleep 600", timeout: 2s }, fast: { run: "true" } } }
    """, name="slow")
    answer = slow.laminate("build", status=6)
    found = verdicts(answer, "one")
    equal(found["slow"]["reason"], "it was stopped after 2 s")
    equal(found["fast"]["passed"], True)
    assert "| begun" in answer.err, answer.err
    assert answer.json["seconds"] < 60, answer.json["seconds"]


@test
def an_image_is_started_as_a_hub_starts_it():
    served = Stack("""
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
                            self.wfile.write(os.environ.get("WHO", "nobody").encode())
                    http.server.HTTPServer(("127.0.0.1", 8888), Handler).serve_forever()
                  /ask.py: |
                    import sys, urllib.request
                    answer = urllib.request.urlopen("http://127.0.0.1:8888/api").read().decode()
                    print("answered", answer)
                    sys.exit(answer != sys.argv[1])
            config: { entrypoint: [python3, -u], cmd: [/serve.py], user: "1234" }
            tests:
              api: { serve: 8888, ready: /api, then: { run: python3 /ask.py nobody } }
              other: { serve: 8888, as: "4321:100", env: { WHO: somebody }, then: { run: "test $(id -u) = 4321 && python3 /ask.py somebody" } }
              wrong: { serve: 9999, timeout: 5s }
              alone: { serve: 8888 }
    """, name="served")
    answer = served.laminate("build", status=6)
    found = verdicts(answer, "one")
    equal({name: v["passed"] for name, v in found.items()},
          {"alone": True, "api": True, "other": True, "wrong": False})
    equal(found["wrong"]["reason"], "it was stopped after 5 s")
    assert "waiting for port 9999" in answer.err
    # What a test starts in the place of the image's own command proves nothing.
    served.replace("specs.yml", "alone: { serve: 8888 }", "alone: { serve: 8888, then: { run: 'true' } }")
    served.replace("specs.yml", "cmd: [/serve.py]", "cmd: [/nothing.py]")
    served.commit()
    answer = served.laminate("build", status=6)
    equal(verdicts(answer, "one")["alone"]["reason"],
          "the image's own command ended with exit code 2 before port 8888 answered")


@test
def pytest_comes_beside_the_image_and_its_report_is_read():
    python = Stack("""
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
    red = python.laminate("build", status=6, env={"LAMINATE_JUNIT": str(python.folder / "junit.xml")})
    common = verdicts(red, "one")["common"]
    equal((common["tests"], common["failed"], common["skipped"]), (5, 1, 1))
    equal(common["failures"][0]["name"], "test_numbers[2]")
    for text in ("suite `common` is red: 1 of 5 failed", "test_it::test_numbers[2]: assert 2 == 1", "specs.yml"):
        assert text in red.err, f"no {text!r} in {red.err}"
    assert "test_numbers[2]" in (python.folder / "junit.xml").read_text()
    (python.folder / "junit.xml").unlink()
    # Editing a test builds nothing and asks for the digest that is there.
    python.replace("images/tests_common/test_it.py", "assert number == 1", "assert number")
    green = python.laminate("test")
    equal(verdicts(green, "one")["common"]["passed"], True)
    equal(green.image("one")["digest"], red.image("one")["digest"])


@test
def only_a_report_says_that_tests_ran():
    python = Stack("""
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
    one, old = verdicts(answer, "one"), verdicts(answer, "old")
    equal({name: v["passed"] for name, v in one.items()},
          {"brought": True, "hidden": False, "nothing": False, "silent": False})
    equal(one["silent"]["reason"], "pytest ended without a report of any test")
    equal(one["nothing"]["reason"], "no test was found")
    equal({name: v["passed"] for name, v in old.items()}, {"brought": True}, "an image with a pytest of its own")
    assert "the word is [secret]" in answer.err and "open sesame" not in answer.err.split("error: image")[1], answer.err


main()
