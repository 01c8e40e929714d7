"""The wiki: pages in a folder and in a git repository; only what changed is written, and pages of others stay."""
import os
import re
import subprocess

import pytest

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


def changed(answer):
    return sorted(page["path"] for page in answer.json["pages"] if page["changed"])


def git(folder, *args):
    result = subprocess.run(["git", "-C", folder, *args], text=True, capture_output=True)
    assert result.returncode == 0, f"git {args}: {result.stderr}"
    return result.stdout


def assert_links_lead_to_pages(folder, ending):
    pages = {path.name for path in folder.glob("*.md")}
    found = 0
    for path in folder.glob("*.md"):
        text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)]*)\)", text):
            assert target + ending in pages, f"{path.name} leads to {target}"
            found += 1
    assert found > 10, found


@pytest.fixture(scope="module")
def released(make_stack):
    """A stack with one release, and the answer of its build. No test changes it."""
    stack = make_stack(SPEC, name="released")
    return stack, stack.laminate("build", "--push")


@pytest.fixture
def stack(make_stack):
    """A stack with one release for one test."""
    stack = make_stack(SPEC)
    stack.laminate("build", "--push")
    return stack


def release_again(stack):
    """Builds a second release in which every image differs; returns both answers of `build`."""
    first = stack.laminate("build", "--push")
    stack.replace("specs.yml", "word: one", "word: two")
    stack.commit()
    return first, stack.laminate("build", "--push")


@pytest.fixture
def bare(tmp_path):
    """An empty bare repository for the wiki."""
    folder = tmp_path / "wiki.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "master", folder], check=True)
    return folder


def test_without_a_release_nothing_is_written(make_stack, tmp_path):
    stack = make_stack(SPEC, name="empty")
    refused = stack.laminate("docs", "--out", str(tmp_path / "pages"), status=2, json=False)
    assert "no release" in refused.err
    assert not (tmp_path / "pages").exists()
    stack.laminate("docs", status=2, json=False)


def test_pages_are_written_and_later_only_what_changed(released, tmp_path):
    stack, first = released
    out = tmp_path / "pages"
    dry = stack.laminate("docs", "--out", str(out), "--dry-run")
    assert not out.exists()
    assert len(changed(dry)) == 9
    answer = stack.laminate("docs", "--out", str(out))
    tag = f"-{first.json['commit'][:7]}"
    assert changed(answer) == sorted(
        ["Home.md", "Stable.md", "Lineage.md", "_Sidebar.md", "ground.md", "leaf.md", f"ground--1{tag}.md",
         f"ground--2{tag}.md", f"leaf--1{tag}.md"])
    assert_links_lead_to_pages(out, ".md")
    page = (out / f"leaf--1{tag}.md").read_text()
    leaf = first.image("leaf", "1")
    for text in (f"`{stack.registry}/leaf:1{tag}`", f"`{stack.registry}/leaf@{leaf['digest']}`",
                 "<code>the &#124; word</code> | ground |", "external base", f"[1/ground](ground--1{tag})", '"image": "leaf"'):
        assert text in page
    assert "no release yet" in (out / "Home.md").read_text()
    assert changed(stack.laminate("docs", "--out", str(out))) == []


def test_a_page_has_the_dockerfile_of_its_release_and_keeps_it(stack, tmp_path):
    page = tmp_path / f"leaf--1-{stack.commit7}.md"
    stack.replace("specs.yml", "echo leaf", "echo later")
    stack.commit()
    stack.laminate("docs", "--out", str(tmp_path))
    assert "No Dockerfile of `" in page.read_text(), "another commit is checked out"
    stack.git("checkout", "--quiet", "HEAD~")
    stack.laminate("docs", "--out", str(tmp_path))
    text = page.read_text()
    assert "Builds the same files as `" in text and "\n```dockerfile\n" in text and "echo leaf >/leaf" in text
    rendered = stack.laminate("render", "--dockerfile", str(tmp_path / "rendered")).json["targets"]
    assert next(target["text"] for target in rendered if target["image"] == "1/leaf").strip() in text
    stack.git("checkout", "--quiet", "main")
    assert changed(stack.laminate("docs", "--out", str(tmp_path))) == []
    assert page.read_text() == text


def test_a_promotion_changes_the_pages_about_channels(stack, tmp_path):
    stack.laminate("docs", "--out", str(tmp_path))
    stack.laminate("promote", "--to", "quarter", "--reason", "looks | good")
    answer = stack.laminate("docs", "--out", str(tmp_path))
    assert changed(answer) == ["Home.md", "Stable.md", "ground.md", "leaf.md"]
    stable = (tmp_path / "Stable.md").read_text()
    digest = stack.digest("leaf", f"1-{stack.commit7}")
    for text in ("- Reason: looks &#124; good", f"`{stack.registry}/leaf:1-stable`", digest):
        assert text in stable


def test_plain_links_point_to_files_and_files_of_others_stay(released, tmp_path):
    stack, _ = released
    (tmp_path / "Home.md").write_text("mine")
    refused = stack.laminate("docs", "--out", str(tmp_path), "--links", "plain", status=4, json=False)
    assert "Home.md" in refused.err and "--overwrite" in refused.err
    assert os.listdir(tmp_path) == ["Home.md"]
    (tmp_path / "Home.md").rename(tmp_path / "mine.md")
    stack.laminate("docs", "--out", str(tmp_path), "--links", "plain")
    assert_links_lead_to_pages(tmp_path, "")
    assert (tmp_path / "mine.md").read_text() == "mine"


def test_an_empty_repository_gets_one_commit_and_then_none(released, bare, tmp_path):
    stack, _ = released
    out = tmp_path / "pages"
    stack.laminate("docs", "--out", str(out))
    dry = stack.laminate("docs", "--push-wiki", str(bare), "--dry-run")
    assert (dry.json["wiki"]["pushed"], len(changed(dry)), git(bare, "branch", "--list")) == (False, 9, "")
    answer = stack.laminate("docs", "--push-wiki", str(bare))
    assert (answer.json["wiki"]["pushed"], answer.json["wiki"]["branch"]) == (True, "master")
    assert git(bare, "log", "--format=%s", "master").splitlines() == [f"docs: release {stack.commit7}"]
    again = stack.laminate("docs", "--push-wiki", str(bare))
    assert (again.json["wiki"]["pushed"], changed(again)) == (False, [])
    assert git(bare, "rev-list", "--count", "master").strip() == "1"
    for path in out.iterdir():
        assert git(bare, "show", f"master:{path.name}") == path.read_text(), path.name


def test_a_release_changes_its_pages_only_beside_those_of_others(stack, bare, tmp_path):
    old = stack.commit7
    stack.laminate("docs", "--push-wiki", str(bare))
    work = tmp_path / "work"
    git(tmp_path, "clone", "--quiet", bare, work)
    (work / "Notes.md").write_text("by hand\n")
    git(work, "add", "--all")
    git(work, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "--message", "notes")
    git(work, "push", "--quiet", "origin", "HEAD")
    _, second = release_again(stack)
    stack.laminate("docs", "--push-wiki", str(bare))
    new = second.json["commit"][:7]
    listed = git(bare, "show", "--name-status", "--format=", "master").splitlines()
    assert dict(reversed(line.split("\t")) for line in listed) == {
        ".laminate-docs.json": "M", "Home.md": "M", "Lineage.md": "M", "ground.md": "M", "leaf.md": "M",
        f"ground--1-{new}.md": "A", f"ground--2-{new}.md": "A", f"leaf--1-{new}.md": "A"}
    assert git(bare, "show", "master:Notes.md") == "by hand\n"
    assert f"(ground--1-{old})" in git(bare, "show", "master:ground.md")


def test_a_push_at_the_same_time_is_not_overwritten(stack, bare):
    stack.laminate("promote", "--to", "quarter")
    stack.laminate("docs", "--push-wiki", str(bare))
    release_again(stack)
    # The hook of the repository adds a commit of somebody else before ours, once.
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
    assert answer.json["wiki"]["pushed"] is True
    assert (bare / "raced").exists()
    assert git(bare, "log", "-2", "--format=%s", "master").splitlines() == [f"docs: release {stack.commit7}", "theirs"]


def test_a_refused_push_is_an_error(stack, bare):
    stack.laminate("docs", "--push-wiki", str(bare))
    hook = bare / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho no >&2; exit 1\n")
    hook.chmod(0o755)
    stack.laminate("promote", "--to", "quarter")
    refused = stack.laminate("docs", "--push-wiki", str(bare), status=4, json=False)
    assert "refuses the push" in refused.err


def test_the_branch_is_that_of_the_repository_unless_given(released, bare, tmp_path):
    stack, _ = released
    stack.laminate("docs", "--push-wiki", str(bare))
    other = tmp_path / "other.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "trunk", other], check=True)
    git(bare, "push", "--quiet", other, "master:trunk")
    answer = stack.laminate("docs", "--push-wiki", str(other))
    assert answer.json["wiki"]["branch"] == "trunk"
    answer = stack.laminate("docs", "--push-wiki", str(other), "--branch", "pages")
    assert (answer.json["wiki"]["branch"], answer.json["wiki"]["pushed"]) == ("pages", True)
    assert git(other, "rev-list", "--count", "pages").strip() == "1"


def test_an_unreachable_repository_is_an_error_without_its_password(released):
    stack, _ = released
    refused = stack.laminate("docs", "--push-wiki", "http://me:s3cret@127.0.0.1:1/x.git", status=4, json=False)
    assert "127.0.0.1" in refused.err
    assert "s3cret" not in refused.err


def test_an_older_release_can_be_the_first_page(stack, tmp_path):
    first, _ = release_again(stack)
    old = first.json["commit"]
    stack.laminate("docs", "--out", str(tmp_path), "--release", old, "--all")
    assert old in (tmp_path / "Home.md").read_text()
    assert_links_lead_to_pages(tmp_path, ".md")
