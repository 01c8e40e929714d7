"""Packages: `diff` reports exactly how two requirement lists differ, from the registry alone."""
import pytest

SPEC = """
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
"""
OLD = "six==1.16.0\nidna==3.6\nattrs==23.2.0\n"
NEW = "six==1.17.0\nattrs==23.2.0\ncolorama==0.4.6\n"


@pytest.fixture(scope="module")
def releases(make_stack):
    """A stack with two releases, and the answers of their builds. No test changes it."""
    stack = make_stack(SPEC, {"images/leaf/requirements.txt": OLD})
    first = stack.laminate("build", "--push")
    stack.write("images/leaf/requirements.txt", NEW)
    stack.commit("other packages")
    return stack, first, stack.laminate("build", "--push")


def test_a_diff_lists_exactly_the_packages_that_changed(releases, unused_engine, tmp_path):
    stack, first, second = releases
    pip, = [i for i in first.image("leaf")["info"] if i["name"] == "pip"]
    assert (pip["exit"], pip["packages"]) == (0, 5), "pip, setuptools and three more"
    old, new = first.json["commit"], second.json["commit"]
    # Without git, engine and spec.
    env = {"PATH": "/nonexistent", "LAMINATE_STAGING": f"{stack.registry}/packages"}
    answer = stack.laminate("-C", str(tmp_path), "diff", old, new, status=10, engine=unused_engine.address, env=env)
    leaf, = answer.json["changed"]
    assert leaf["image"] == "leaf"
    assert sorted(leaf["packages"]) == ["pip"], "lists with a difference"
    pip = leaf["packages"]["pip"]
    assert {what: pip[what] for what in ("added", "removed", "changed")} == {
        "added": [{"name": "colorama", "version": "0.4.6", "inherited": False}],
        "removed": [{"name": "idna", "version": "3.6", "inherited": False}],
        "changed": [{"name": "six", "from": "1.16.0", "to": "1.17.0", "inherited": False}],
    }
    text = stack.laminate("diff", old, new, status=10, json=False).out
    for line in ("six 1.16.0", "1.17.0", "idna 3.6", "colorama 0.4.6"):
        assert line in text
    assert "attrs" not in text
    assert stack.laminate("diff", new, new).json["changed"] == []


def test_the_pages_of_a_release_list_its_packages(releases, tmp_path):
    stack, _, _ = releases
    stack.laminate("docs", "--out", str(tmp_path))
    page = (tmp_path / f"leaf--p-{stack.commit7}.md").read_text()
    for text in ("Python packages", "colorama", "0.4.6", "System packages", "python3-venv"):
        assert text in page
