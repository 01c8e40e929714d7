"""Everything that writes can be tried: a dry run writes nothing, counted at the registry, and says what
the real one then does."""
import subprocess

from world import Requests, Stack, digest, equal, main, tags, test

stack = Stack("""
    stack: dry
    tags: ["d-${commit7}", "1.${n}"]
    channels: { stable: { tag: stable, gates: [own, gpu] } }
    policy: { user: not-root }
    images:
      ground: { base: BASE, steps: [{ run: echo ground >/ground }], config: { user: "1000" } }
      leaf: { base: ground, steps: [{ run: echo leaf >/tmp/leaf }], tests: { own: { run: test -e /tmp/leaf } } }
""")
STAGING = f"{stack.namespace}/dry"


def dry(*command, status=0, json=True):
    """The answer of a dry run that wrote nothing: neither to the registry nor to the folder."""
    before = stack.git("status", "--porcelain")
    with Requests() as requests:
        answer = stack.laminate(*command, "--dry-run", status=status, json=json)
    equal([r for r in requests.all if r[0] not in ("GET", "HEAD")], [], f"writes of {command}")
    equal(stack.git("status", "--porcelain"), before, "the folder")
    return answer


@test
def build():
    said = dry("build", "--push")
    equal({i["image"]: i["action"] for i in said.json["images"]}, {"ground": "build", "leaf": "build"})
    text = dry("build", "--push", json=False).out
    equal(tags(STAGING), [])
    done = stack.laminate("build", "--push")
    equal(done.actions(), {"ground": "built", "leaf": "built"})
    for image in done.json["images"]:
        for tag in image["tags"]:
            assert f"{image['repository']}:{tag} gets its tag" in text, text
    equal({i["image"]: [s["action"] for s in i["proofs"]["suites"]] for i in said.json["images"]}, {"ground": [], "leaf": ["run"]})
    said = dry("build", "--push")
    equal({i["image"]: i["action"] for i in said.json["images"]}, {"ground": "reuse", "leaf": "reuse"})


@test
def proving():
    said = dry("test", "--retest")
    equal([s["why"] for i in said.json["images"] for s in i["proofs"]["suites"]], ["--retest asks for it"])
    said = dry("evidence", "add", "--gate", "gpu", "leaf", "--passed")
    done = stack.laminate("evidence", "add", "--gate", "gpu", "leaf", "--passed")
    equal(said.json["evidence"], done.json["evidence"])
    stack.laminate("evidence", "add", "--gate", "gpu", "ground", "--passed")


@test
def moving():
    said = dry("promote", "--to", "stable")
    done = stack.laminate("promote", "--to", "stable")
    for key in ("channel", "release", "to", "moved", "unchanged", "numbered", "seq"):
        equal(said.json[key], done.json[key], key)
    equal(digest(f"{stack.namespace}/leaf", "1.1"), digest(f"{stack.namespace}/leaf", "stable"))
    stack.replace("specs.yml", "echo leaf", "echo other")
    stack.commit()
    stack.laminate("build", "--push")
    stack.laminate("promote", "--to", "stable", "--waive", "gpu", "--reason", "a test")
    said = dry("revert", "stable")
    done = stack.laminate("revert", "stable")
    for key in ("channel", "release", "to", "moved", "unchanged", "seq"):
        equal(said.json[key], done.json[key], key)


@test
def files():
    said = dry("lock")
    done = stack.laminate("lock")
    equal(said.json["bases"], done.json["bases"])
    assert (stack.folder / "specs.lock").exists()
    (stack.folder / "specs.lock").unlink()
    wiki = stack.folder.parent / "dry-wiki.git"
    subprocess.run(["git", "init", "--quiet", "--bare", wiki], check=True)
    said = dry("docs", "--push-wiki", str(wiki), "--out", str(stack.folder.parent / "dry-pages"))
    assert not (stack.folder.parent / "dry-pages").exists()
    equal(subprocess.run(["git", "-C", wiki, "branch"], capture_output=True, text=True).stdout, "")
    done = stack.laminate("docs", "--push-wiki", str(wiki))
    equal(sorted(p["path"] for p in said.json["pages"]), sorted(p["path"] for p in done.json["pages"]))


main()
