"""Files copied from other images: an external one whose tag moves, and one of the stack, in a group and
outside of it, below writable paths and elsewhere."""
import io
import tarfile
import types

import pytest

SPEC = """
    stack: copied
    tags: ["c-${commit7}"]
    writable: { gid: 100, paths: [/srv/kept] }
    images:
      app:
        base: BASE
        steps:
          - copy: { /opt/tool: { image: "TOOL", from: /tool } }
          - copy: { /srv/kept/tool: { image: "TOOL", from: /tool } }
          - copy: { /opt/made: { image: maker, from: /made/ }, /srv/kept/made: { image: maker, from: /made/file } }
          - group:
              - copy: { /opt/grouped/tool: { image: "TOOL", from: /tool }, /opt/grouped/made: { image: maker, from: /made/file } }
              - run: cat /opt/grouped/* >/opt/grouped/all
                as: root
      maker: { base: BASE, steps: [{ run: mkdir /made; echo one >/made/file }] }
      on: { base: app, steps: [{ run: cp /opt/tool /opt/again }] }
"""
REPOSITORY = "copied-images/tool"


def archive(text):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        entry = tarfile.TarInfo("tool")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


@pytest.fixture
def copied(make_stack, registry, request):
    repository = f"{REPOSITORY}-{request.node.name.replace('_', '-')[-20:].strip('-')}"

    def put(text):
        return registry.put_layers(repository, "1", [archive(text)])

    first = put("first\n")
    stack = make_stack(SPEC.replace("TOOL", f"{registry.address}/{repository}:1"))
    return types.SimpleNamespace(stack=stack, put=put, first=first, reference=f"{registry.address}/{repository}:1")


def test_an_external_image_that_moves_is_built_locked_recorded_and_rebuilt(copied, tmp_path):
    stack = copied.stack
    tag = f"c-{stack.commit7}"
    first = stack.laminate("build", "--push")
    assert first.actions() == {"app": "built", "maker": "built", "on": "built"}
    for path in ("/opt/tool", "/srv/kept/tool", "/opt/grouped/tool"):
        assert stack.content("app", tag, path) == b"first\n", path
    for path in ("/opt/made/file", "/srv/kept/made", "/opt/grouped/made"):
        assert stack.content("app", tag, path) == b"one\n", path
    assert sorted(stack.content("app", tag, "/opt/grouped/all").split()) == [b"first", b"one"]

    second = copied.put("second\n")
    plan = stack.laminate("plan", status=10)
    assert plan.actions() == {"app": "build", "maker": "reuse", "on": "build"}
    assert copied.reference in plan.image("app")["reasons"][0]["text"]
    assert {"reference": copied.reference, "digest": second} in plan.image("app")["copies"]
    assert {"image": "maker"} in plan.image("app")["copies"]
    build = stack.laminate("build", "--push")
    assert build.actions() == {"app": "built", "maker": "reused", "on": "built"}
    assert stack.content("app", f"{tag}.2", "/opt/tool") == b"second\n"
    assert stack.content("app", f"{tag}.2", "/srv/kept/made") == b"one\n", "from the reused image"
    assert stack.content("on", f"{tag}.2", "/opt/again") == b"second\n"

    shown = stack.laminate("show", f"{tag}").json["images"]
    [app] = [image for image in shown if image["image"] == "app"]
    maker = first.image("maker")["digest"]
    assert app["copies"] == [{"reference": copied.reference, "digest": copied.first},
                             {"image": "maker", "digest": maker}]
    why = stack.laminate("why", "app", json=False).out
    assert f"{copied.reference}@{second[7:19]}" in why, why

    # The first release again, although the tag has moved on.
    out = tmp_path / "again"
    rebuild = stack.laminate("rebuild", tag, "--out", str(out))
    [resolved] = [image["resolved"] for image in rebuild.json["images"] if image["image"] == "app"]
    assert f"{copied.reference}@{copied.first}" in str(resolved["steps"])
    again = stack.laminate("-f", str(out / "specs.yml"), "plan")
    for name in ("app", "maker", "on"):
        assert again.image(name)["key"] == first.image(name)["key"], name


def test_a_lock_holds_an_external_image_until_it_is_updated(copied):
    stack = copied.stack
    stack.laminate("lock")
    assert copied.first in (stack.folder / "specs.lock").read_text()
    stack.commit("the lock")
    stack.laminate("build")
    second = copied.put("second\n")
    assert set(stack.laminate("plan").actions().values()) == {"reuse"}
    update = stack.laminate("lock", "--update", copied.reference).json["bases"]
    [moved] = [entry for entry in update if entry["reference"] == copied.reference]
    assert moved == {"reference": copied.reference, "old": copied.first, "new": second, "rebuilds": ["app", "on"]}
    plan = stack.laminate("plan", status=10)
    assert plan.actions() == {"app": "build", "maker": "reuse", "on": "build"}
    assert [reason["kind"] for reason in plan.image("app")["reasons"]] == ["lock"]


def test_an_image_of_the_stack_that_changes_is_built_first_and_stops_what_copies_from_it(copied):
    stack = copied.stack
    stack.laminate("build")
    stack.replace("specs.yml", "echo one", "echo two")
    stack.commit()
    plan = stack.laminate("plan", status=10)
    assert [reason["kind"] for reason in plan.image("app")["reasons"]] == ["parent"]
    assert stack.laminate("build", "--push", "app").actions()["maker"] == "built"
    tag = f"c-{stack.commit7}"
    assert stack.content("app", tag, "/opt/made/file") == b"two\n"

    stack.replace("specs.yml", "echo two", "exit 3; echo two")
    stack.commit()
    failed = stack.laminate("build", status=5)
    assert failed.actions() == {"app": "skipped", "maker": "failed", "on": "skipped"}
    graph = stack.laminate("graph", json=False).out
    assert f"app (copies from {copied.reference}, maker)" in graph, graph
