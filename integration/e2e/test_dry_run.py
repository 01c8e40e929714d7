"""Every command that writes has a dry run: it writes nothing, counted at the registry, and reports what
the real run then does."""
import subprocess

import pytest

SPEC = """
    stack: dry
    tags: ["d-${commit7}", "1.${n}"]
    channels: { stable: { tag: stable, gates: [own, gpu] } }
    policy: { user: not-root }
    images:
      ground: { base: BASE, steps: [{ run: echo ground >/ground }], config: { user: "1000" } }
      leaf: { base: ground, steps: [{ run: echo leaf >/tmp/leaf }], tests: { own: { run: test -e /tmp/leaf } } }
"""


@pytest.fixture
def stack(make_stack):
    return make_stack(SPEC)


@pytest.fixture
def built(stack):
    """The stack with a release, and evidence for its gate."""
    stack.laminate("build", "--push")
    for image in ("ground", "leaf"):
        stack.laminate("evidence", "add", "--gate", "gpu", image, "--passed")
    return stack


@pytest.fixture
def dry(stack, registry):
    """Runs a dry run and checks that it wrote nothing, neither to the registry nor to the folder."""

    def run(*command, json=True):
        before = stack.git("status", "--porcelain")
        with registry.recorded() as requests:
            answer = stack.laminate(*command, "--dry-run", json=json)
        assert requests.writes == [], f"writes of {command}"
        assert stack.git("status", "--porcelain") == before, "the folder"
        return answer

    return run


def test_build(stack, dry):
    plan = dry("build", "--push")
    assert plan.actions() == {"ground": "build", "leaf": "build"}
    text = dry("build", "--push", json=False).out
    assert stack.tags("dry") == []
    done = stack.laminate("build", "--push")
    assert done.actions() == {"ground": "built", "leaf": "built"}
    for image in done.json["images"]:
        assert image["tags"]
        for tag in image["tags"]:
            assert f"{image['repository']}:{tag} would be tagged" in text
    suites = {i["image"]: [s["action"] for s in i["proofs"]["suites"]] for i in plan.json["images"]}
    assert suites == {"ground": [], "leaf": ["run"]}
    assert dry("build", "--push").actions() == {"ground": "reuse", "leaf": "reuse"}


def test_test(built, dry):
    plan = dry("test", "--retest")
    assert [s["why"] for i in plan.json["images"] for s in i["proofs"]["suites"]] == ["requested by --retest"]


def test_evidence(built, dry):
    command = ("evidence", "add", "--gate", "gpu", "leaf", "--passed")
    plan = dry(*command)
    assert plan.json["evidence"] == built.laminate(*command).json["evidence"]


def test_promote(built, dry):
    plan = dry("promote", "--to", "stable")
    done = built.laminate("promote", "--to", "stable")
    for key in ("channel", "release", "to", "moved", "unchanged", "numbered", "seq"):
        assert plan.json[key] == done.json[key], key
    assert built.digest("leaf", "1.1") == built.digest("leaf", "stable")


def test_revert(built, dry):
    built.laminate("promote", "--to", "stable")
    built.replace("specs.yml", "echo leaf", "echo other")
    built.commit()
    built.laminate("build", "--push")
    built.laminate("promote", "--to", "stable", "--waive", "gpu", "--reason", "a test")
    plan = dry("revert", "stable")
    done = built.laminate("revert", "stable")
    for key in ("channel", "release", "to", "moved", "unchanged", "seq"):
        assert plan.json[key] == done.json[key], key


def test_lock(stack, dry):
    plan = dry("lock")
    done = stack.laminate("lock")
    assert plan.json["bases"] == done.json["bases"]
    assert (stack.folder / "specs.lock").exists()


def test_docs(built, dry, tmp_path):
    wiki, pages = tmp_path / "wiki.git", tmp_path / "pages"
    subprocess.run(["git", "init", "--quiet", "--bare", wiki], check=True)
    plan = dry("docs", "--push-wiki", str(wiki), "--out", str(pages))
    assert not pages.exists()
    branches = subprocess.run(["git", "-C", wiki, "branch"], capture_output=True, text=True, check=True).stdout
    assert branches == ""
    done = built.laminate("docs", "--push-wiki", str(wiki))
    assert sorted(p["path"] for p in plan.json["pages"]) == sorted(p["path"] for p in done.json["pages"])
