"""Gates: the suites, checks and outside evidence a channel requires before it moves, and who may move it."""
import threading

import pytest

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
IMAGES = ["ground", "leaf", "other"]


@pytest.fixture
def stack(make_stack):
    return make_stack(SPEC)


@pytest.fixture
def first(stack):
    """Its first release."""
    return stack.laminate("build", "--push")


def add_evidence(stack, *args, **options):
    return stack.laminate("evidence", "add", "--gate", "gpu", *args, **options)


def test_plan_lists_the_images_a_gate_does_not_cover(stack):
    plan = stack.laminate("plan", status=10).json
    found = {(g["channel"], g["gate"]): g["says_nothing_about"] for g in plan["gates"]}
    assert found == {("first", "own"): ["ground", "other"], ("second", "gpu"): ["ground", "other"]}


def test_suites_and_checks_prove_a_gate(stack, first, registry):
    assert all(i["checks"]["passed"] for i in first.json["images"]), first.out
    with registry.recorded() as requests:
        dry = stack.laminate("promote", "--to", "first", "--dry-run")
    assert requests.writes == [], "a dry run writes nothing"
    done = stack.laminate("promote", "--to", "first")
    assert dry.json["moved"] == done.json["moved"]
    assert dry.json["numbered"] == done.json["numbered"]
    assert done.json["waived"] == []
    for name in IMAGES:
        assert stack.digest(name, "first") == first.image(name)["digest"]
        assert stack.digest(name, "7.1") == first.image(name)["digest"], "its version number"
    again = stack.laminate("promote", "--to", "first")
    assert again.json["numbered"] == [f"{stack.registry}/{name}:7.1" for name in IMAGES], "a release has one number"


def test_outside_evidence_is_about_one_digest(stack, first, registry):
    stack.laminate("promote", "--to", "first")
    refused = stack.laminate("promote", "--to", "second", status=6)
    assert "gate `gpu` is not proven for leaf" in refused.err
    assert "laminate evidence add --gate gpu leaf --passed" in refused.err
    assert stack.digest("leaf", "second") is None
    with registry.recorded() as requests:
        add_evidence(stack, "leaf", "--passed", "--dry-run")
    assert requests.writes == [], "a dry run writes nothing"
    add_evidence(stack, "leaf", "--failed", "--note", "no card")
    refused = stack.laminate("promote", "--to", "second", status=6)
    assert "gate `gpu` failed for leaf" in refused.err
    stack.write("junit.xml", "<testsuite><testcase name='card' time='1.5'/></testsuite>")
    added = add_evidence(stack, "leaf", "--file", "junit.xml")
    digest = first.image("leaf")["digest"]
    assert added.json["evidence"] == [{"image": "leaf", "digest": digest, "gate": "gpu", "passed": True}]
    stack.laminate("promote", "--to", "second")
    assert stack.digest("other", "second") == first.image("other")["digest"]


def test_a_gate_without_images_requires_evidence_of_all(stack, first):
    add_evidence(stack, "leaf", "--passed")
    refused = stack.laminate("promote", "--to", "third", status=6)
    assert "gate `gpu` is not proven for ground, other" in refused.err
    states = {(g["channel"], g["gate"]): g["proven"] for g in stack.laminate("evidence", "list").json["gates"]}
    assert (states[("second", "gpu")], states[("third", "gpu")]) == (True, False)


def test_unknown_gates_and_images_are_not_recorded(stack, first):
    wrong = stack.laminate("evidence", "add", "--gate", "gup", "leaf", "--passed", "--dry-run")
    assert "did you mean `gpu`?" in wrong.err
    add_evidence(stack, "laef", "--passed", status=2)


def test_evidence_cannot_replace_a_suite(stack, first):
    for gate in ("common", "own", "checks"):
        refused = stack.laminate("evidence", "add", "--gate", gate, "leaf", "--passed", status=2)
        assert "cannot add evidence for" in refused.err and "run `laminate test`" in refused.err
    # A suite that is newer than the release, and a gate that is nearly one.
    stack.replace("specs.yml", "tests: { common:", 'tests: { late: { run: "true" }, common:')
    stack.replace("specs.yml", "third: { tag: third, gates: [gpu] }",
                  "third: { tag: third, gates: [late] }\n  fourth: { tag: fourth, gates: [comon] }")
    refused = stack.laminate("promote", "--to", "third", status=6)
    assert "gate `late` is not proven for ground, leaf, other" in refused.err
    assert "run `laminate test`, or pass --waive" in refused.err
    assert "did you mean `common`?" in stack.laminate("plan", status=None).err
    stack.laminate("test", "--retest=late")
    stack.laminate("promote", "--to", "third", "--dry-run")


def test_waived_and_required_gates_are_recorded(stack, first):
    stack.laminate("promote", "--to", "third", "--waive", "gpu", status=2)
    stack.laminate("promote", "--to", "third", "--waive", "gpx", "--reason", "x", status=2)
    refused = stack.laminate("promote", "--to", "third", "--waive", "gpu", "--reason", "x", "--require", "audit", status=6)
    assert "gate `audit` is not proven" in refused.err
    stack.laminate("evidence", "add", "--gate", "audit", stack.commit7, "--passed")
    stack.laminate("promote", "--to", "third", "--waive", "gpu", "--reason", "there is no card", "--require", "audit")
    move, = [m for m in stack.laminate("history").json["moves"] if m["channel"] == "third"]
    assert (move["waived"], move["required"], move["reason"]) == (["gpu"], ["audit"], "there is no card")


def test_a_refused_move_takes_no_number(stack, first, registry):
    stack.laminate("promote", "--to", "first")
    stack.replace("specs.yml", "echo other", "echo another")
    stack.commit()
    stack.laminate("build", "--push")
    right = stack.digest("leaf", "first")
    registry.retag(stack.repository("leaf"), "first", right, b"\n")
    stack.laminate("promote", "--to", "first", status=7)
    assert [t for t in stack.tags("gated") if t.startswith("number-")] == ["number-000001"]


def test_auto_moves_the_channels_that_follow_in_order(stack, first):
    stack.laminate("promote", "--to", "first")
    add_evidence(stack, "leaf", "--passed")
    stack.replace("specs.yml", "echo other", "echo another")
    stack.commit()
    stack.laminate("build", "--push")
    stack.laminate("promote", "--auto", "--waive", "gup", "--reason", "x", status=2)
    spec = (stack.folder / "specs.yml").read_text()
    # One that is refused stops only those behind it.
    stack.replace("specs.yml", "gates: [gpu] }",
                  "gates: [gpu], auto: true }\n  fourth: { tag: fourth, from: third, auto: true }")
    dry = stack.laminate("promote", "--auto", "--dry-run", status=6)
    done = stack.laminate("promote", "--auto", status=6)
    for answer in (dry, done):
        assert [c["channel"] for c in answer.json["channels"]] == ["first", "second"]
        assert [r["channel"] for r in answer.json["refused"]] == ["third"]
        assert [s["channel"] for s in answer.json["skipped"]] == ["fourth"]
        assert "gate `gpu` is not proven for ground, other" in answer.err
    text = stack.laminate("promote", "--auto", "--dry-run", "--waive", "gpu", "--reason", "x", json=False)
    for name in ("first", "second", "third", "fourth"):
        assert f"channel {name} " in text.out
    assert stack.digest("other", "7.2") == stack.digest("other", "second")
    assert stack.digest("leaf", "7.2") == stack.digest("leaf", "7.1"), "two numbers may be on one digest"
    stack.write("specs.yml", spec)
    # An older commit moves nothing back.
    again = stack.laminate("promote", first.json["commit"], "--auto")
    assert again.json["channels"] == []
    assert "newer release" in again.err


def test_refs_and_pull_requests_write_only_what_they_may(stack, first, registry):
    stack.laminate("promote", "--to", "first")
    stack.git("checkout", "--quiet", "-b", "feature")
    stack.replace("specs.yml", "echo other", "echo feature")
    commit = stack.commit("a feature")
    pull = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/1/merge"}
    for env, words in ((pull, "a pull request may not publish: it may write to staging only"), ({}, "`refs/heads/feature` may not publish")):
        refused = stack.laminate("build", "--push", status=7, env=env)
        assert words in refused.err
    with registry.recorded() as requests:
        stack.laminate("build", env=pull)
    beside = [line for line in requests.writes if f"/{stack.namespace}/gated/" not in line[1]]
    assert beside == [], "writes beside staging"
    assert [t for name in IMAGES for t in stack.tags(name) if commit in t] == []
    for command in (("promote", first.json["commit"], "--to", "first"), ("revert", "first")):
        stack.laminate(*command, status=7)
    stack.laminate("promote", first.json["commit"], "--to", "first", "--dry-run")
    add = ("evidence", "add", "--gate", "gpu", "leaf", "--release", first.json["commit"], "--failed")
    refused = stack.laminate(*add, status=7, env=pull)
    assert "a pull request may not add evidence" in refused.err
    # GitHub sends the default branch, and another commit is checked out.
    run = {"GITHUB_EVENT_NAME": "workflow_run", "GITHUB_REF": "refs/heads/main", "GITHUB_SHA": first.json["commit"]}
    for command in (("build", "--push"), ("promote", first.json["commit"], "--to", "first"), add):
        stack.laminate(*command, status=7, env=run)
    stack.git("checkout", "--quiet", "-b", "release/1")
    stack.laminate("build", "--push")


def test_a_dry_revert_is_allowed_on_every_ref(stack, first):
    stack.laminate("promote", "--to", "first")
    stack.replace("specs.yml", "echo other", "echo another")
    stack.commit()
    stack.laminate("build", "--push")
    stack.laminate("promote", "--to", "first")
    stack.git("checkout", "--quiet", "-b", "feature")
    stack.laminate("revert", "first", status=7)
    stack.laminate("revert", "first", "--dry-run")


def test_two_runs_at_once_on_one_staging_are_both_right(stack, first):
    # Two clones of the same stack at different commits; both change an image, and one a suite.
    clones = []
    for number in range(2):
        clone = stack.clone()
        clone.replace("specs.yml", "echo leaf >/work/leaf", f"echo leaf {number} >/work/leaf")
        if number:
            clone.replace("specs.yml", "test -d /work", "test -d /work && true")
        clone.commit(f"clone {number}")
        clones.append(clone)
    answers = [None, None]

    def run(number):
        answers[number] = clones[number].laminate("build", "--push")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for clone, answer in zip(clones, answers, strict=True):
        assert answer.json["published"] is True
        for image in answer.json["images"]:
            assert stack.digest(image["image"], f"7-{clone.commit7}") == image["digest"]
            assert all(v["passed"] for v in image["verdicts"]), image
        again = clone.laminate("plan", status=None)
        assert again.actions() == {"ground": "reuse", "leaf": "reuse", "other": "reuse"}
        assert [s["action"] for s in again.image("leaf")["proofs"]["suites"]] == ["known", "known"], "its verdicts"
    releases = {r["commit"] for r in stack.laminate("history").json["releases"]}
    for clone in clones:
        assert any(commit.startswith(clone.commit7) for commit in releases), "a release is lost"


def test_five_images_and_twelve_suites_are_one_request(make_stack):
    stack = make_stack("""
        stack: many
        tags: ["m-${commit7}"]
        tests: { a: { run: "true" }, b: { run: "test -e /one" } }
        images:
          one: { base: BASE, steps: [{ run: echo 1 >/one }] }
          two: { base: one, steps: [{ run: echo 2 >/two }], tests: { c: { run: "echo looking; test $(cat /two) = 3" } } }
          three: { base: one, steps: [{ run: echo 3 >/three }] }
          four: { base: BASE, steps: [{ run: echo 4 >/one }] }
          five: { base: four, steps: [{ run: echo 5 >/five }], tests: { d: { run: "test -e /five" } } }
    """)
    failed = stack.laminate("build", "--push", status=6)
    assert failed.json["solves"] == 1
    verdicts = [(i["image"], v["suite"], v["passed"]) for i in failed.json["images"] for v in i["verdicts"]]
    assert len(verdicts) == 12
    assert [v for v in verdicts if not v[2]] == [("two", "c", False)]
    assert [t for name in ("one", "two", "three", "four", "five") for t in stack.tags(name)] == []
    stack.replace("specs.yml", "= 3", "= 2")
    stack.commit()
    passed = stack.laminate("build", "--push")
    assert set(passed.actions().values()) == {"reused"}
    assert passed.suites_run() == [("two", "c")]
    assert passed.image("two")["digest"] == failed.image("two")["digest"]
    assert passed.json["published"] is True
