"""The wiki: pages in a folder and in a git repository, only what changed, and nothing of others touched."""
import os
import pathlib
import re
import subprocess
import tempfile

from world import SCRATCH, Stack, equal, main, remove, test

SPEC = """
    stack: wiki
    tags: ["${series}-${commit7}"]
    vars: { word: one }
    variants: { "1": {}, "2": { skip: [leaf] } }
    channels:
      quarter: { tag: "${series}-stable" }
    images:
      ground:
        base: BASE
        steps: [{ run: echo "$WORD" >/ground, env: { WORD: "${word}" }, name: the | word }]
      leaf: { base: ground, steps: [{ run: echo leaf >/leaf }] }
"""
stack = Stack(SPEC)
out = stack.folder.parent / "pages"
bare = stack.folder.parent / "wiki.git"
first = second = None


def changed(answer):
    return sorted(page["path"] for page in answer.json["pages"] if page["changed"])


def git(*args, folder=bare, env=None):
    ran = subprocess.run(["git", "-C", folder, *args], text=True, capture_output=True, env={**os.environ, **(env or {})})
    assert ran.returncode == 0, f"git {args}: {ran.stderr}"
    return ran.stdout


def links_lead_to_pages(folder, ending):
    pages = {path.name for path in folder.glob("*.md")}
    found = 0
    for path in folder.glob("*.md"):
        text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)]*)\)", text):
            assert target + ending in pages, f"{path.name} leads to {target}"
            found += 1
    assert found > 10, found


@test
def without_a_release_there_is_nothing_to_write():
    refused = stack.laminate("docs", "--out", str(out), status=2, json=False)
    assert "no release" in refused.err, refused.err
    assert not out.exists()
    stack.laminate("docs", status=2, json=False)


@test
def pages_are_written_and_again_only_if_they_changed():
    global first
    first = stack.laminate("build", "--push")
    dry = stack.laminate("docs", "--out", str(out), "--dry-run")
    assert not out.exists() and len(changed(dry)) == 9, dry.out
    answer = stack.laminate("docs", "--out", str(out))
    tag = f"-{first.json['commit'][:7]}"
    equal(changed(answer), sorted(
        ["Home.md", "Stable.md", "Lineage.md", "_Sidebar.md", "ground.md", "leaf.md", f"ground--1{tag}.md",
         f"ground--2{tag}.md", f"leaf--1{tag}.md"]))
    links_lead_to_pages(out, ".md")
    page = (out / f"leaf--1{tag}.md").read_text()
    leaf = first.image("leaf", "1")
    for text in (f"`{stack.registry}/leaf:1{tag}`", f"`{stack.registry}/leaf@{leaf['digest']}`",
                 "<code>the &#124; word</code> | ground |", "outside base", f"[1/ground](ground--1{tag})", '"image": "leaf"'):
        assert text in page, f"{text!r} is not in\n{page}"
    assert "never promoted to" in (out / "Home.md").read_text()
    equal(changed(stack.laminate("docs", "--out", str(out))), [])


@test
def a_promotion_changes_what_tells_of_channels():
    stack.laminate("promote", "--to", "quarter", "--reason", "looks | good")
    answer = stack.laminate("docs", "--out", str(out))
    equal(changed(answer), ["Home.md", "Stable.md", "ground.md", "leaf.md"])
    stable = (out / "Stable.md").read_text()
    for text in ("- Reason: looks &#124; good", f"`{stack.registry}/leaf:1-stable`", first.image("leaf", "1")["digest"]):
        assert text in stable, f"{text!r} is not in\n{stable}"


@test
def plain_links_name_files_and_files_of_others_stay():
    folder = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
    (folder / "Home.md").write_text("mine")
    refused = stack.laminate("docs", "--out", str(folder), "--links", "plain", status=4, json=False)
    assert "Home.md" in refused.err and "--overwrite" in refused.err, refused.err
    equal(os.listdir(folder), ["Home.md"])
    (folder / "Home.md").rename(folder / "mine.md")
    stack.laminate("docs", "--out", str(folder), "--links", "plain")
    links_lead_to_pages(folder, "")
    equal((folder / "mine.md").read_text(), "mine")
    remove(folder)


@test
def an_empty_repository_gets_one_commit_and_then_none():
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "master", bare], check=True)
    dry = stack.laminate("docs", "--push-wiki", str(bare), "--dry-run")
    equal((dry.json["wiki"]["pushed"], len(changed(dry)), git("branch", "--list")), (False, 9, ""))
    answer = stack.laminate("docs", "--push-wiki", str(bare))
    equal((answer.json["wiki"]["pushed"], answer.json["wiki"]["branch"]), (True, "master"))
    equal(git("log", "--format=%s", "master").splitlines(), [f"docs: release {stack.commit7}"])
    again = stack.laminate("docs", "--push-wiki", str(bare))
    equal((again.json["wiki"]["pushed"], changed(again)), (False, []))
    equal(git("rev-list", "--count", "master").strip(), "1")
    for path in out.iterdir():
        equal(git("show", f"master:{path.name}"), path.read_text(), path.name)


@test
def a_release_changes_only_its_pages_beside_those_of_others():
    global second
    work = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH)) / "work"
    git("clone", "--quiet", bare, work, folder=SCRATCH)
    (work / "Notes.md").write_text("by hand\n")
    git("add", "--all", folder=work)
    git("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "--message", "notes", folder=work)
    git("push", "--quiet", "origin", "HEAD", folder=work)
    stack.replace("specs.yml", "word: one", "word: two")
    stack.commit()
    second = stack.laminate("build", "--push")
    stack.laminate("docs", "--push-wiki", str(bare))
    new = second.json["commit"][:7]
    status = dict(reversed(line.split("\t")) for line in git("show", "--name-status", "--format=", "master").splitlines())
    equal(status, {
        ".laminate-docs.json": "M", "Home.md": "M", "Lineage.md": "M", "ground.md": "M", "leaf.md": "M",
        f"ground--1-{new}.md": "A", f"ground--2-{new}.md": "A", f"leaf--1-{new}.md": "A"})
    equal(git("show", "master:Notes.md"), "by hand\n")
    old = first.json["commit"][:7]
    assert f"(ground--1-{old})" in git("show", "master:ground.md")
    remove(work.parent)


@test
def who_pushes_at_the_same_time_is_not_run_over():
    # The hook of the repository pushes a commit of somebody else in front of ours, once.
    hook = bare / "hooks" / "update"
    hook.write_text("""#!/bin/sh
        [ -e raced ] && exit 0
        touch raced
        unset GIT_QUARANTINE_PATH
        tree=$(git rev-parse master^{tree})
        new=$(git -c user.name=y -c user.email=y@example.org commit-tree -p master -m theirs "$tree")
        git update-ref refs/heads/master "$new"
        exit 0
    """)
    hook.chmod(0o755)
    stack.laminate("promote", "--to", "quarter")
    answer = stack.laminate("docs", "--push-wiki", str(bare))
    equal(answer.json["wiki"]["pushed"], True)
    assert (bare / "raced").exists()
    equal(git("log", "-2", "--format=%s", "master").splitlines(), [f"docs: release {stack.commit7}", "theirs"])
    hook.write_text("#!/bin/sh\necho no >&2; exit 1\n")
    stack.laminate("revert", "quarter")
    refused = stack.laminate("docs", "--push-wiki", str(bare), status=4, json=False)
    assert "refuses the push" in refused.err, refused.err
    hook.unlink()


@test
def the_branch_is_that_of_the_repository_unless_named():
    other = stack.folder.parent / "other.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "trunk", other], check=True)
    git("push", "--quiet", other, "master:trunk")
    answer = stack.laminate("docs", "--push-wiki", str(other))
    equal(answer.json["wiki"]["branch"], "trunk")
    answer = stack.laminate("docs", "--push-wiki", str(other), "--branch", "pages")
    equal((answer.json["wiki"]["branch"], answer.json["wiki"]["pushed"]), ("pages", True))
    equal(git("rev-list", "--count", "pages", folder=other).strip(), "1")


@test
def a_repository_that_is_not_there_is_an_error_without_its_password():
    refused = stack.laminate("docs", "--push-wiki", "http://me:s3cret@127.0.0.1:1/x.git", status=4, json=False)
    assert "127.0.0.1" in refused.err and "s3cret" not in refused.err, refused.err


@test
def an_older_release_can_be_in_front():
    folder = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
    old = first.json["commit"]
    stack.laminate("docs", "--out", str(folder), "--release", old, "--all")
    assert old in (folder / "Home.md").read_text()
    links_lead_to_pages(folder, ".md")
    remove(folder)


if __name__ == "__main__":
    main()
