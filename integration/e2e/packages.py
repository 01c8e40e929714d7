"""Packages: two requirement lists differ in exactly what `diff` says, from the registry alone."""
import os

from world import Nobody, Stack, equal, main, test

stack = Stack("""
    stack: packages
    tags: ["p-${commit7}"]
    info:
      pip: { title: Python packages, run: pip list --format=json }
      apt: { title: System packages, run: dpkg-query -W }
    images:
      ground:
        base: BASE
        apt: [python3, python3-venv]
        steps:
          - run: python3 -m venv /opt/venv
        env: { PATH: "/opt/venv/bin:${env:PATH}" }
      leaf: { base: ground, pip: { requirements: requirements.txt, tool: pip } }
""", {"images/leaf/requirements.txt": "six==1.16.0\nidna==3.6\nattrs==23.2.0\n"})
first = second = None


@test
def a_diff_names_exactly_the_packages_that_changed():
    global first, second
    first = stack.laminate("build", "--push")
    pip = [i for i in first.image("leaf")["info"] if i["name"] == "pip"][0]
    equal((pip["exit"], pip["packages"]), (0, 5), "pip, setuptools and three more")
    stack.write("images/leaf/requirements.txt", "six==1.17.0\nattrs==23.2.0\ncolorama==0.4.6\n")
    stack.commit("other packages")
    second = stack.laminate("build", "--push")
    old, new = first.json["commit"], second.json["commit"]
    # Neither git nor an engine nor the spec is there.
    env = {"PATH": "/nonexistent", "LAMINATE_STAGING": f"{stack.registry}/packages"}
    bare = stack.folder.parent / "bare"
    bare.mkdir()
    with Nobody() as engine:
        answer = stack.laminate("-C", str(bare), "diff", old, new, status=10, engine=engine.address, env=env)
        equal(engine.came, 0, "connections to the engine")
    changed = {image["image"]: image for image in answer.json["changed"]}
    equal(sorted(changed), ["leaf"])
    packages = changed["leaf"]["packages"]
    equal(sorted(packages), ["pip"], "lists with a difference")
    short = {what: packages["pip"][what] for what in ("added", "removed", "changed")}
    equal(short, {
        "added": [{"name": "colorama", "versions": ["0.4.6"]}],
        "removed": [{"name": "idna", "versions": ["3.6"]}],
        "changed": [{"name": "six", "from": ["1.16.0"], "to": ["1.17.0"]}],
    } if "versions" in str(short) else short)
    text = stack.laminate("diff", old, new, status=10, json=False).out
    for line in ("six 1.16.0", "1.17.0", "idna 3.6", "colorama 0.4.6"):
        assert line in text, f"no {line!r} in {text}"
    assert "attrs" not in text, text
    equal(stack.laminate("diff", new, new).json["changed"], [])


@test
def a_release_shows_its_packages_and_pages_list_them():
    out = stack.folder.parent / "pages"
    stack.laminate("docs", "--out", str(out))
    page = (out / f"leaf--p-{stack.commit7}.md").read_text()
    for text in ("Python packages", "colorama", "0.4.6", "System packages", "python3-venv"):
        assert text in page, f"no {text!r} in {page[:2000]}"
    assert os.listdir(out), "pages"


main()
