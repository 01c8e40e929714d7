"""What goes into an image is what git would track; thousands of files arrive whole, in one tree."""
import os
import stat as modes

import pytest

SPEC = """
    stack: context
    tags: ["c-${commit7}"]
    images:
      ground:
        base: BASE
        copy: { /opt/app/: app/, /opt/req.txt: req.txt, "/opt/notes.txt": "notes[1].txt" }
      top:
        base: ground
        copy: { /opt/many/: many/ }
"""


@pytest.fixture
def stack(make_stack):
    many = {f"images/top/many/{number}": f"{number:020}" * 1000 for number in range(1000)}
    stack = make_stack(SPEC, {
        ".gitignore": ".env\ndist/\n",
        "images/ground/app/main.py": "print(1)\n",
        "images/ground/app/sub/deep.py": "print(2)\n",
        "images/ground/notes[1].txt": "a note\n",
        "images/shared/req.txt": "six\n",
        **many,
    })
    os.symlink("../shared/req.txt", stack.folder / "images/ground/req.txt")
    os.symlink("main.py", stack.folder / "images/ground/app/link.py")
    stack.commit("links")
    return stack


def entries(stack, image, reference):
    """Returns path → entry of the tar archives of all layers, the upper over the lower."""
    found = {}
    for layer in stack.layers(image, reference):
        with stack.open_layer(image, layer) as archive:
            found |= {entry.name.strip("/"): entry for entry in archive}
    return found


def test_what_git_tracks_is_in_the_image(stack):
    stack.write("images/ground/app/.env", "secret\n")
    stack.write("images/ground/app/dist/x.js", "x\n")
    stack.write("images/.pytest_cache/README.md", "x\n")
    (stack.folder / "images/ground/app/pipes").mkdir()
    os.mkfifo(stack.folder / "images/ground/app/pipes/pipe")
    stack.git("config", "log.showSignature", "true")
    env = {"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere"}
    assert stack.laminate("plan", env=env, status=10).json["dirty"] is False
    stack.laminate("build", "--push", env=env)
    tag = f"c-{stack.commit7}"
    ground = entries(stack, "ground", tag)
    app = sorted(path for path in ground if path.startswith("opt/app/"))
    assert app == ["opt/app/link.py", "opt/app/main.py", "opt/app/sub", "opt/app/sub/deep.py"]
    assert ground["opt/app/link.py"].linkname == "main.py"
    assert ground["opt/req.txt"].isfile()
    assert stack.content("ground", tag, "/opt/req.txt") == b"six\n"
    assert stack.content("ground", tag, "/opt/notes.txt") == b"a note\n"
    top = entries(stack, "top", tag)
    many = [entry for path, entry in top.items() if path.startswith("opt/many/")]
    assert len(many) == 1000
    assert {(modes.S_IMODE(entry.mode), entry.uid, entry.gid) for entry in many} == {(0o644, 0, 0)}
    assert stack.content("top", tag, "/opt/many/7") == (f"{7:020}" * 1000).encode()


def test_files_that_differ_from_the_commit_are_named(stack):
    stack.git("config", "status.showUntrackedFiles", "no")
    stack.git("update-index", "--assume-unchanged", "images/ground/app/main.py")
    stack.write("images/ground/app/main.py", "print(2)\n")
    stack.write("images/ground/app/new.py", "print(3)\n")
    answer = stack.laminate("build", "--push", status=7)
    for name in ("images/ground/app/main.py (modified)", "images/ground/app/new.py (untracked)"):
        assert name in answer.json["error"]["text"]


def test_without_git_nothing_is_published(stack, tmp_path):
    env = {"PATH": str(tmp_path)}
    answer = stack.laminate("build", "--push", env=env, status=4)
    assert "`git` not found on PATH" in answer.json["error"]["text"]


def test_the_files_of_a_stack_can_be_in_a_submodule(make_stack):
    stack = make_stack("""
        stack: linked
        tags: ["l-${commit7}"]
        images:
          one: { base: BASE, copy: { /opt/a: a } }
        """, {"inner/images/one/a": "from the submodule\n"}, name="linked")
    inner = stack.folder.with_name(f"{stack.folder.name}-inner")
    (stack.folder / "inner").rename(inner)
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "files"]):
        stack.git("-C", str(inner), *arguments)
    stack.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")
    (stack.folder / "images").rmdir()
    os.symlink("sub/images", stack.folder / "images")
    stack.commit("linked")
    stack.laminate("build", "--push")
    assert stack.content("one", f"l-{stack.commit7}", "/opt/a") == b"from the submodule\n"
    stack.write("sub/images/one/b", "new\n")
    changed = stack.laminate("build", "--push", status=7)
    assert "sub/images/one/b (untracked)" in changed.err


def test_folders_that_are_too_deep_are_an_error(make_stack):
    stack = make_stack('''
        stack: deep
        images:
          a: { base: "example.com/base:1", steps: [{ copy: { /x/: d/ } }] }
        ''', {"images/a/d/x": "x"}, name="deep")
    folder = os.open(stack.folder / "images/a/d", os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    answer = stack.laminate("plan", "--offline", status=3, engine="", json=False)
    assert "File name too long" in answer.err, answer.err
