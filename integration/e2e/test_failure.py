"""A step that fails: its place is shown, siblings finish and are kept, nothing is tagged."""
import pytest
from registry import MANIFEST

SPEC = """\
stack: failing
tags: ["f-${commit7}"]
images:
  ground:
    base: BASE
    steps:
      - run: echo ground >/ground
  broken:
    base: ground
    steps:
      - run: |
          echo the last words of broken >&2
          exit 3
  sibling:
    base: ground
    steps:
      - run: sleep 1; echo sibling >/sibling
  child:
    base: broken
    steps:
      - run: echo child >/child
  scripted:
    base: ground
    steps:
      - script: fails.sh
"""
FILES = {"images/scripted/fails.sh": "#!/bin/sh\nset -e\necho words of a script\nfalse\n"}


@pytest.fixture
def stack(make_stack):
    return make_stack(SPEC, FILES, executable=["images/scripted/fails.sh"])


def test_the_place_is_shown_and_siblings_finish(stack):
    answer = stack.laminate("build", "--push", status=5)
    assert answer.actions() == {"ground": "built", "broken": "failed", "sibling": "built", "child": "skipped",
                             "scripted": "failed"}
    assert answer.json["published"] is False
    error = answer.image("broken")["error"]
    assert (error["kind"], error["where"]["file"], error["exit_code"]) == ("step", "specs.yml", 3)
    line = SPEC.split("\n").index("      - run: |") + 1
    assert error["where"]["line"] in (line, line + 1), error["where"]
    assert any("the last words of broken" in said for said in error["log_tail"]), error["log_tail"]
    for text in ("the last words of broken", f"specs.yml:{error['where']['line']}", "broken", "words of a script"):
        assert text in answer.err
    for name in ("ground", "broken", "sibling", "child", "scripted"):
        assert stack.tags(name) == [], f"tags of {name}"


def test_after_the_repair_only_what_failed_is_built(stack):
    stack.laminate("build", "--push", status=5)
    stack.replace("specs.yml", "exit 3", "true")
    stack.write("images/scripted/fails.sh", "#!/bin/sh\ntrue\n")
    stack.commit()
    answer = stack.laminate("build", "--push")
    assert answer.actions() == {"ground": "reused", "broken": "built", "sibling": "reused", "child": "built",
                             "scripted": "built"}
    for image in answer.json["images"]:
        assert stack.digest(image["image"], f"f-{stack.commit7}") == image["digest"]


CAUSES = """\
stack: causes
images:
  script: { base: BASE, steps: [{ script: run.py }] }
  env: { base: BASE, steps: [{ group: [{ script: env.py }] }] }
  shell: { base: BASE, steps: [{ run: "true", shell: [zsh, -c] }] }
  exec: { base: BASE, steps: [{ exec: [/opt/tool] }] }
  empty: { dockerfile: Dockerfile, steps: [{ run: "true" }] }
  late: { base: BASE, steps: [{ run: no-such-command }] }
  twin: { base: BASE, steps: [{ run: "true" }, { run: no-such-command }] }
  https:
    base: BASE
    steps:
      - { run: rm /etc/apt/sources.list /etc/ssl/certs/ca-certificates.crt, as: root }
      - apt: { packages: [git], sources: [{ uri: "https://localhost:1/x", suite: x, components: [main], key: key.asc }] }
  user: { base: BASE, user: "1000", steps: [{ run: mkdir /x }] }
  suites: { base: BASE, tests: { script: { script: run.py }, late: { run: no-such-command } } }
"""


def test_what_a_step_lacks_is_named(make_stack):
    scripts = {f"images/{image}/run.py": "#!/usr/bin/python9 -u\n" for image in ("script", "suites")}
    scripts["images/env/env.py"] = "#!/usr/bin/env python9\n"
    stack = make_stack(CAUSES, scripts | {"images/empty/Dockerfile": "FROM scratch\nCOPY Dockerfile /x\n",
                                           "images/https/key.asc": "-----BEGIN PGP"}, executable=list(scripts))
    answer = stack.laminate("build", status=5, env={"LAMINATE_CA": ""})
    lacks = {"script": "/usr/bin/python9", "env": "python9", "shell": "zsh", "exec": "/opt/tool", "empty": "/bin/sh"}
    for image, program in lacks.items():
        error = answer.image(image)["error"]
        assert error["kind"] == "step" and f"the image has no `{program}`" in error["text"], error
        assert error["where"]["line"] == stack.line(f"  {image}:")
    assert "the first line of `images/script/run.py` names" in answer.err
    assert answer.image("twin")["error"]["where"]["line"] == stack.line("  twin:"), "its operation is that of `late`"
    assert "the image has no certificates" in "\n".join(answer.image("https")["error"]["log_tail"])
    assert answer.image("late")["error"]["text"] == "exit code 127"
    assert "runs as `1000` by `user:` of the image; if it needs root, add `as: root`" in answer.err
    suites = answer.verdicts("suites")
    assert suites["script"]["reason"].startswith("the image has no `/usr/bin/python9`, which the first line of"), suites
    assert "the image has no" not in suites["late"]["reason"]


def test_an_image_for_another_platform_is_found_by_plan(make_stack):
    stack = make_stack("""
        stack: platform
        images:
          based: { base: OTHER }
          copying: { base: BASE, copy: { /x: { image: OTHER, from: /x } } }
          mounting: { base: BASE, steps: [{ run: "true", mounts: { /m: { image: OTHER } } }] }
          dockerfile: { dockerfile: Dockerfile }
        """, {"images/dockerfile/Dockerfile": "FROM BASE\nCOPY --from=OTHER /x /x\n"})
    registry, repository = stack.parts.registry, f"{stack.namespace}/other"
    digest = registry.put_image(repository, "one", lambda config: config | {"architecture": "s390x"})
    size = len(registry.request("GET", f"{repository}/manifests/{digest}")[2])
    entry = {"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": "s390x"}}
    index = "application/vnd.oci.image.index.v1+json"
    registry.put_manifest(repository, "all", {"schemaVersion": 2, "mediaType": index, "manifests": [entry]})
    for file in ("specs.yml", "images/dockerfile/Dockerfile"):
        stack.replace(file, "OTHER", f"{stack.registry}/other:all")
    stack.commit()
    for command in ("plan", "build"):
        problems = stack.laminate(command, status=3).json["error"]["problems"]
        lines = sorted((problem["where"]["file"], problem["where"]["line"]) for problem in problems)
        assert lines == [("images/dockerfile/Dockerfile", 2), *(("specs.yml", line) for line in (4, 5, 6))], problems
    stack.write("specs.yml", f"stack: platform\nimages: {{ a: {{ base: {stack.registry}/other:one }} }}\n")
    (stack.folder / "images/dockerfile/Dockerfile").unlink()
    stack.commit()
    assert "is for linux/s390x, not for linux/" in stack.laminate("plan", status=10).err
