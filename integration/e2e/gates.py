"""Gates: what suites, checks and evidence from outside say before a channel moves; who may move it."""
import json
import subprocess
import threading

from world import Requests, Stack, digest, equal, main, request, tags, test

SPEC = """
    stack: gated
    tags: ["${series}-${commit7}", "${series}.${n}"]
    series: "7"
    channels:
      first: { tag: first, gates: [common, own, checks], auto: true }
      second: { tag: second, from: first, gates: [gpu: [leaf]], auto: true }
      third: { tag: third, gates: [gpu] }
    writable: { gid: 100, paths: [/work] }
    policy: { refs: { publish: [main, "release/*"], promote: [main] } }
    tests: { common: { run: "test -d /work" } }
    images:
      ground:
        base: BASE
        steps: [{ run: "mkdir /work; echo one >/work/file" }]
      leaf: { base: ground, steps: [{ run: echo leaf >/work/leaf }], tests: { own: { run: "test -e /work/leaf" } } }
      other: { base: ground, steps: [{ run: echo other >/work/other }] }
"""
stack = Stack(SPEC)
first = None


def point(repository, tag, to, more=b""):
    """Puts a tag on a manifest by hand, or on one that differs in its bytes."""
    _, headers, body = request("GET", f"{repository}/manifests/{to}")
    request("PUT", f"{repository}/manifests/{tag}", body + more, {"Content-Type": headers["Content-Type"]})


def at(tag, name):
    return digest(f"{stack.namespace}/{name}", tag)


@test
def a_plan_says_which_images_a_gate_says_nothing_about():
    plan = stack.laminate("plan", status=10).json
    found = {(g["channel"], g["gate"]): g["says_nothing_about"] for g in plan["gates"]}
    equal(found, {("first", "own"): ["ground", "other"], ("second", "gpu"): ["ground", "other"]})


@test
def suites_and_checks_prove_a_gate():
    global first
    first = stack.laminate("build", "--push")
    assert all(i["checks"]["passed"] for i in first.json["images"]), first.out
    with Requests() as requests:
        dry = stack.laminate("promote", "--to", "first", "--dry-run")
    equal([r for r in requests.all if r[0] not in ("GET", "HEAD")], [], "a dry run writes nothing")
    done = stack.laminate("promote", "--to", "first")
    equal(dry.json["moved"], done.json["moved"])
    equal(dry.json["numbered"], done.json["numbered"])
    equal(done.json["waived"], [])
    for name in ("ground", "leaf", "other"):
        equal(at("first", name), first.image(name)["digest"])
        equal(at("7.1", name), first.image(name)["digest"], "its version number")


@test
def evidence_from_outside_is_of_one_digest():
    refused = stack.laminate("promote", "--to", "second", status=6)
    assert "gate `gpu` is not proven for leaf" in refused.err, refused.err
    assert "laminate evidence add --gate gpu leaf --passed" in refused.err, refused.err
    equal(at("second", "leaf"), None)
    with Requests() as requests:
        stack.laminate("evidence", "add", "--gate", "gpu", "leaf", "--passed", "--dry-run")
    equal([r for r in requests.all if r[0] not in ("GET", "HEAD")], [], "a dry run writes nothing")
    stack.laminate("evidence", "add", "--gate", "gpu", "leaf", "--failed", "--note", "no card")
    refused = stack.laminate("promote", "--to", "second", status=6)
    assert "gate `gpu` is red for leaf" in refused.err, refused.err
    stack.write("junit.xml", "<testsuite><testcase name='card' time='1.5'/></testsuite>")
    added = stack.laminate("evidence", "add", "--gate", "gpu", "leaf", "--file", "junit.xml")
    equal(added.json["evidence"], [{"image": "leaf", "digest": first.image("leaf")["digest"], "gate": "gpu", "passed": True}])
    stack.laminate("promote", "--to", "second")
    equal(at("second", "other"), first.image("other")["digest"])
    # A channel that names no images wants it of all.
    refused = stack.laminate("promote", "--to", "third", status=6)
    assert "gate `gpu` is not proven for ground, other" in refused.err, refused.err
    states = {(g["channel"], g["gate"]): g["proven"] for g in stack.laminate("evidence", "list").json["gates"]}
    equal(states[("second", "gpu")], True)
    equal(states[("third", "gpu")], False)
    wrong = stack.laminate("evidence", "add", "--gate", "gup", "leaf", "--passed", "--dry-run")
    assert "did you mean `gpu`?" in wrong.err, wrong.err
    stack.laminate("evidence", "add", "--gate", "gpu", "laef", "--passed", status=2)


@test
def nobody_s_word_stands_in_for_a_suite():
    for gate in ("common", "own", "checks"):
        refused = stack.laminate("evidence", "add", "--gate", gate, "leaf", "--passed", status=2)
        assert "`laminate test` proves it" in refused.err, refused.err
    text = (stack.folder / "specs.yml").read_text()
    # A suite that is newer than the release, and a gate that is nearly one.
    stack.replace("specs.yml", "tests: { common:", 'tests: { late: { run: "true" }, common:')
    stack.replace("specs.yml", "third: { tag: third, gates: [gpu] }", "third: { tag: third, gates: [late] }\n  fourth: { tag: fourth, gates: [comon] }")
    refused = stack.laminate("promote", "--to", "third", status=6)
    assert "gate `late` is not proven for ground, leaf, other" in refused.err, refused.err
    assert "`laminate test` runs" in refused.err, refused.err
    assert "did you mean `common`?" in stack.laminate("plan", status=None).err
    stack.laminate("test", "--retest=late")
    stack.laminate("promote", "--to", "third", "--dry-run")
    stack.write("specs.yml", text)


@test
def waiving_and_requiring_are_recorded():
    stack.laminate("promote", "--to", "third", "--waive", "gpu", status=2)
    stack.laminate("promote", "--to", "third", "--waive", "gpx", "--reason", "x", status=2)
    refused = stack.laminate("promote", "--to", "third", "--waive", "gpu", "--reason", "x", "--require", "audit", status=6)
    assert "gate `audit` is not proven" in refused.err, refused.err
    stack.laminate("evidence", "add", "--gate", "audit", stack.commit7, "--passed")
    stack.laminate("promote", "--to", "third", "--waive", "gpu", "--reason", "nobody has a card", "--require", "audit")
    move = [m for m in stack.laminate("history").json["moves"] if m["channel"] == "third"][0]
    equal((move["waived"], move["required"], move["reason"]), (["gpu"], ["audit"], "nobody has a card"))


@test
def a_number_is_given_once_and_grows():
    equal(stack.laminate("promote", "--to", "first").json["numbered"], [f"{stack.registry}/{n}:7.1" for n in ("ground", "leaf", "other")])
    stack.replace("specs.yml", "echo other", "echo another")
    stack.commit()
    stack.laminate("build", "--push")


@test
def a_move_that_is_refused_takes_no_number():
    repository = f"{stack.namespace}/leaf"
    right = at("first", "leaf")
    point(repository, "first", right, b"\n")
    stack.laminate("promote", "--to", "first", status=7)
    equal([t for t in tags(f"{stack.namespace}/gated") if t.startswith("number-")], ["number-000001"])
    point(repository, "first", right)


@test
def auto_moves_what_follows_by_itself_in_order():
    stack.laminate("promote", "--auto", "--waive", "gup", "--reason", "x", status=2)
    text = (stack.folder / "specs.yml").read_text()
    # One that is refused stops only those behind it.
    stack.replace("specs.yml", "gates: [gpu] }", "gates: [gpu], auto: true }\n  fourth: { tag: fourth, from: third, auto: true }")
    dry = stack.laminate("promote", "--auto", "--dry-run", status=6)
    done = stack.laminate("promote", "--auto", status=6)
    for answer in (dry, done):
        equal([c["channel"] for c in answer.json["channels"]], ["first", "second"])
        equal([r["channel"] for r in answer.json["refused"]], ["third"])
        equal([s["channel"] for s in answer.json["skipped"]], ["fourth"])
        assert "gate `gpu` is not proven for ground, other" in answer.err, answer.err
    told = stack.laminate("promote", "--auto", "--dry-run", "--waive", "gpu", "--reason", "x", json=False)
    for name in ("first", "second", "third", "fourth"):
        assert f"channel {name} " in told.out, told.out
    stack.write("specs.yml", text)
    equal(at("7.2", "other"), at("second", "other"))
    equal(at("7.2", "leaf"), at("7.1", "leaf"), "two numbers may be on one digest")
    # An older commit moves nothing back.
    old = first.json["commit"]
    again = stack.laminate("promote", old, "--auto")
    equal(again.json["channels"], [])
    assert "newer release" in again.err, again.err


@test
def refs_and_pull_requests_write_what_they_may():
    stack.git("checkout", "--quiet", "-b", "feature")
    stack.replace("specs.yml", "echo another", "echo feature")
    commit = stack.commit("a feature")
    pull = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/1/merge"}
    for env, words in ((pull, "a pull request writes nothing but staging"), ({}, "`refs/heads/feature` may not publish")):
        refused = stack.laminate("build", "--push", status=7, env=env)
        assert words in refused.err, refused.err
    with Requests() as requests:
        stack.laminate("build", env=pull)
    outside = [r for r in requests.all if r[0] not in ("GET", "HEAD") and f"/{stack.namespace}/gated/" not in r[1]]
    equal(outside, [], "writes beside staging")
    equal([t for name in ("ground", "leaf", "other") for t in tags(f"{stack.namespace}/{name}") if commit in t], [])
    for command in (("promote", first.json["commit"], "--to", "first"), ("revert", "first")):
        stack.laminate(*command, status=7)
        stack.laminate(*command, "--dry-run")
    add = ("evidence", "add", "--gate", "gpu", "leaf", "--release", first.json["commit"], "--failed")
    refused = stack.laminate(*add, status=7, env=pull)
    assert "a pull request may not add evidence" in refused.err, refused.err
    # GitHub names the default branch, and another commit is checked out.
    run = {"GITHUB_EVENT_NAME": "workflow_run", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": first.json["commit"]}
    for command in (("build", "--push"), ("promote", first.json["commit"], "--to", "first"), add):
        stack.laminate(*command, status=7, env=run)
    stack.git("checkout", "--quiet", "-b", "release/1")
    stack.laminate("build", "--push")
    stack.git("checkout", "--quiet", "main")


@test
def two_runs_at_once_on_one_staging_are_both_right():
    # Two checkouts of the same stack, at different commits; both change an image, and one a test.
    copies = []
    for number in range(2):
        folder = stack.folder.parent / f"copy-{number}"
        subprocess.run(["git", "clone", "--quiet", stack.folder, folder], check=True)
        copy = Stack.__new__(Stack)
        copy.folder, copy.namespace, copy.registry = folder, stack.namespace, stack.registry
        copy.replace("specs.yml", "echo leaf >/work/leaf", f"echo leaf {number} >/work/leaf")
        if number:
            copy.replace("specs.yml", "test -d /work", "test -d /work && true")
        copy.commit(f"copy {number}")
        copies.append(copy)
    answers = [None, None]

    def run(number):
        answers[number] = copies[number].laminate("build", "--push")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for copy, answer in zip(copies, answers):
        equal(answer.json["published"], True)
        for image in answer.json["images"]:
            equal(at(f"7-{copy.commit7}", image["image"]), image["digest"])
            assert all(v["passed"] for v in image["verdicts"]), image
        again = copy.laminate("plan", status=None)
        equal({i["image"]: i["action"] for i in again.json["images"]}, {"ground": "reuse", "leaf": "reuse", "other": "reuse"})
        leaf = [i for i in again.json["images"] if i["image"] == "leaf"][0]
        equal([s["action"] for s in leaf["proofs"]["suites"]], ["known", "known"], "its verdicts")
    releases = {r["commit"] for r in stack.laminate("history").json["releases"]}
    for copy in copies:
        assert any(commit.startswith(copy.commit7) for commit in releases), "a release is lost"


@test
def five_images_and_twelve_suites_are_one_request():
    many = Stack("""
        stack: many
        tags: ["m-${commit7}"]
        tests: { a: { run: "true" }, b: { run: "test -e /one" } }
        images:
          one: { base: BASE, steps: [{ run: echo 1 >/one }] }
          two: { base: one, steps: [{ run: echo 2 >/two }], tests: { c: { run: "echo looking; test $(cat /two) = 3" } } }
          three: { base: one, steps: [{ run: echo 3 >/three }] }
          four: { base: BASE, steps: [{ run: echo 4 >/one }] }
          five: { base: four, steps: [{ run: echo 5 >/five }], tests: { d: { run: "test -e /five" } } }
    """, name="many")
    red = many.laminate("build", "--push", status=6)
    equal(red.json["solves"], 1)
    verdicts = [(i["image"], v["suite"], v["passed"]) for i in red.json["images"] for v in i["verdicts"]]
    equal(len(verdicts), 12)
    equal([v for v in verdicts if not v[2]], [("two", "c", False)])
    equal([t for n in ("one", "two", "three", "four", "five") for t in tags(f"{many.namespace}/{n}")], [])
    many.replace("specs.yml", "= 3", "= 2")
    many.commit()
    green = many.laminate("build", "--push")
    equal(set(green.actions().values()), {"reused"})
    equal([(i["image"], v["suite"]) for i in green.json["images"] for v in i["verdicts"] if not v["cached"]], [("two", "c")])
    equal(green.image("two")["digest"], red.image("two")["digest"])
    equal(green.json["published"], True)


main()
