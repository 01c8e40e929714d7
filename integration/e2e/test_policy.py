"""Checks of `policy:`: findings about an image's files, on the line of the step that caused them."""
import gzip
import io
import json
import tarfile

import pytest


def findings(answer, name, variant=None):
    """Returns (path, line, below, text) of each."""
    found = answer.image(name, variant)["checks"]["findings"]
    return [(f["path"], f["where"]["line"], f["below"], f["text"]) for f in found]


def assert_passed(answer, name):
    checks = answer.image(name)["checks"]
    assert (checks["passed"], checks["findings"]) == (True, []), name
    return checks


def assert_shown(answer, *texts):
    for text in texts:
        assert text in answer.err


OPEN = """
    stack: open
    tags: ["o-${commit7}"]
    policy: { root: locked }
    images:
      ground:
        base: BASE
        steps:
          - run: echo one >/var/lib/one
          - run: echo mode; chmod -R 777 /var
          - run: echo three >/var/lib/three
      child:
        base: ground
        steps:
          - run: echo four >/var/lib/four
      leaf: { base: child, steps: [{ run: echo five >/var/lib/five }] }
    """


@pytest.fixture(scope="module")
def open_folder(make_stack):
    """A stack with a folder that a step opens to all, and the answer of its failed build."""
    stack = make_stack(OPEN, name="open")
    return stack, stack.laminate("build", "--push", status=6)


def test_a_folder_opened_to_all_is_shown_once_on_its_step(open_folder):
    stack, failed = open_folder
    (path, where, below, text), *more = findings(failed, "ground")
    assert more == []
    assert (path, where, text) == ("/var", stack.line("chmod -R 777"), "is writable for everybody (mode 0777)")
    assert below > 50, below
    assert failed.image("ground")["checks"]["findings"][0]["step"] == 1
    assert (failed.json["published"], failed.json["solves"]) == (False, 1)
    for name in ("ground", "child", "leaf"):
        assert stack.digest(name, f"o-{stack.commit7}") is None
    assert_shown(failed, f"image `ground`: /var is writable for everybody (mode 0777) (also {below} paths below it)",
                 "made by this step", "echo mode; chmod -R 777 /var", "root: locked")


def test_an_inherited_finding_is_shown_with_its_base(open_folder):
    _, failed = open_folder
    for name, base in (("child", "ground"), ("leaf", "child")):
        found = failed.image(name)["checks"]["findings"]
        assert [(f["path"], f["inherited"], f.get("step")) for f in found] == [("/var", base, None)]
        assert_shown(failed, f"image `{name}` inherits 1 finding from base `{base}`")
    assert failed.err.count("/var is writable") == 1


def test_a_failed_check_is_known_without_a_request_until_repaired(make_stack, engine, registry):
    stack = make_stack(OPEN, name="repaired")
    failed = stack.laminate("build", "--push", status=6)
    before = engine.solves()
    again = stack.laminate("build", "--push", status=6)
    assert (again.json["solves"], engine.solves() - before) == (0, 0)
    assert findings(again, "ground") == findings(failed, "ground")
    stack.replace("specs.yml", "chmod -R 777 /var", "chmod 755 /var")
    stack.commit("repaired")
    repaired = stack.laminate("build", "--push")
    for name in ("ground", "child", "leaf"):
        assert_passed(repaired, name)
        assert stack.digest(name, f"o-{stack.commit7}") == repaired.image(name)["digest"]
    with registry.recorded() as requests:
        again = stack.laminate("build", "--push")
    assert again.json["solves"] == 0
    assert [r for r in requests.all if r[0] == "PUT" and "evidence" in r[1]] == []
    assert_passed(again, "leaf")


def test_the_base_is_read_only_where_the_image_has_what_is_forbidden(make_stack):
    stack = make_stack("""
        stack: base-read
        tags: ["b-${commit7}"]
        policy: { root: locked }
        images: { one: { base: BASE, steps: [{ run: echo one >/etc/one }] } }
        """, name="base-read")
    stack.write(".gitignore", "trace.json\n")
    answer = stack.laminate("build", "--trace", "trace.json")
    assert_passed(answer, "one")
    events = json.loads((stack.folder / "trace.json").read_text())["traceEvents"]
    read = [event["name"].removeprefix("read the folder ") for event in events if event["name"].startswith("read the folder ")]
    # su and passwd of the base are setuid.
    assert read.count("/usr/bin") == 2
    assert read.count("/usr/share") == 1
    assert len([folder for folder in set(read) if read.count(folder) > 1]) < 20, len(read)


def test_below_writable_paths_each_finding_is_on_its_step(make_stack):
    stack = make_stack("""
        stack: writable
        tags: ["w-${commit7}"]
        policy: { writable: { gid: 100, paths: [/opt/conda] } }
        images:
          one:
            base: BASE
            steps:
              - run: mkdir -p /opt/conda/lib && chgrp -R 100 /opt/conda && chmod -R g+w,g+s /opt/conda && echo right
              - run: echo x >/opt/conda/lib/group; chmod 664 /opt/conda/lib/group; chgrp 50 /opt/conda/lib/group
              - run: echo x >/opt/conda/lib/mode; chmod 644 /opt/conda/lib/mode
              - run: mkdir -m 775 /opt/conda/lib/deep; chmod g-s /opt/conda/lib/deep
              - run: for n in $(seq 30); do echo $n >/opt/conda/many$n; done
              - run: ln -s /nowhere /opt/conda/link; touch /opt/conda-other
        """, name="writable")
    answer = stack.laminate("build", status=6)
    found = {path: (where, text) for path, where, _, text in findings(answer, "one")}
    many = {path: found.pop(path) for path in list(found) if "/many" in path}
    assert found == {
        "/opt/conda/lib/group": (stack.line("chgrp 50"), "belongs to group 50, not to 100"),
        "/opt/conda/lib/mode": (stack.line("chmod 644"), "is not writable for group 100 (mode 0644)"),
        "/opt/conda/lib/deep": (stack.line("chmod g-s /opt"), "is not setgid for group 100 (mode 0775)"),
    }
    # Many findings of one step are not all listed.
    assert {where for where, _ in many.values()} == {stack.line("seq 30")}
    elsewhere = [f["elsewhere"] for f in answer.image("one")["checks"]["findings"] if "/many" in f["path"]]
    assert len(many) + sum(elsewhere) == 30
    assert len(many) <= 10, many
    assert_shown(answer, "elsewhere from this step")
    # `writable:` of the stack is applied in each step, and checked although there is no policy.
    stack.replace("specs.yml", "policy: { writable: { gid: 100, paths: [/opt/conda] } }",
                  "writable: { gid: 100, paths: [/opt/conda] }")
    stack.commit()
    assert_passed(stack.laminate("build"), "one")


SETUID = """
    stack: setuid
    tags: ["s-${commit7}"]
    policy:
      root: locked
      allow:
        /usr/bin/nothing: not needed
    images:
      ground:
        base: BASE
        apt: [openssh-client, python3-minimal]
        steps:
          - run: cp /bin/sh /srv/sh && chmod 4755 /srv/sh
          - run: |
              cp /bin/sh /srv/capable
              python3 -c 'import os, struct; os.setxattr("/srv/capable", "security.capability", struct.pack("<5I", 0x2000001, 1 << 7, 0, 0, 0))'
          - run: chmod 4755 /usr/bin/wall
      child: { base: ground, steps: [{ run: chmod g+s /usr/bin/yes }] }
    """


def test_a_new_setuid_file_or_capability_is_found(make_stack):
    stack = make_stack(SETUID, name="setuid")
    answer = stack.laminate("build", status=6)
    keysign = "/usr/lib/openssh/ssh-keysign"
    found = {path: (where, text) for path, where, _, text in findings(answer, "ground")}
    agent = found.pop("/usr/bin/ssh-agent")
    assert agent[0] == stack.line("openssh-client")
    assert agent[1].startswith("is setgid for group "), agent
    assert found == {
        keysign: (stack.line("openssh-client"), "is setuid for user 0 (mode 4755)"),
        "/srv/sh": (stack.line("/srv/sh"), "is setuid for user 0 (mode 4755)"),
        "/srv/capable": (stack.line("- run: |"), "has file capabilities"),
        # It was setgid in the base; that it is setuid is new.
        "/usr/bin/wall": (stack.line("/usr/bin/wall"), "is setuid for user 0 (mode 4755)"),
    }
    own = [f for f in findings(answer, "child") if f[1] == stack.line("/usr/bin/yes")]
    assert [(path, text) for path, _, _, text in own if path == "/usr/bin/yes"] == [("/usr/bin/yes", "is setgid for group 0 (mode 2755)")]
    assert_shown(answer, "image `child` inherits 5 findings from base `ground`",
         "unused `allow` entry: no finding at `/usr/bin/nothing`", "no image needs it",
         f"specs.yml:{stack.line('/usr/bin/nothing')}:")


def test_a_finding_is_allowed_with_a_reason(make_stack):
    stack = make_stack(SETUID, name="allowed")
    stack.laminate("build", status=6)
    stack.replace("specs.yml", "    /usr/bin/nothing: not needed\n", """\
    /usr/bin/nothing: not needed
    /usr/lib/openssh: keys of the host
    /usr/bin/ssh-agent: it comes so
    /usr/bin/yes: a joke of child
""")
    stack.replace("specs.yml", "  child: {", """\
    policy: { allow: { /srv: they are for tests, /usr/bin/wall: all hear it } }
  child: {""")
    stack.commit("allowed")
    answer = stack.laminate("build")
    assert (answer.json["solves"], answer.actions()) == (1, {"ground": "reused", "child": "reused"})
    checks = assert_passed(answer, "ground")
    assert {a["finding"]["path"]: a["reason"] for a in checks["allowed"]} == {
        "/usr/lib/openssh/ssh-keysign": "keys of the host", "/usr/bin/ssh-agent": "it comes so",
        "/srv/sh": "they are for tests", "/srv/capable": "they are for tests", "/usr/bin/wall": "all hear it"}
    # One image that needs it is enough.
    assert answer.err.count("unused `allow` entry") == 1
    assert_shown(answer, "warning: unused `allow` entry: no finding at `/usr/bin/nothing`",
         f"specs.yml:{stack.line('/usr/bin/nothing')}:")


def test_ways_to_become_root_are_found(make_stack):
    stack = make_stack("""
        stack: root
        tags: ["r-${commit7}"]
        policy: { root: locked }
        images:
          one:
            base: BASE
            steps:
              - run: useradd --uid 1000 jovyan && mkdir /etc/sudoers.d
              - run: echo root:x | chpasswd
              - run: "useradd --uid 1001 other; echo 'other ALL=(ALL) ALL # not NOPASSWD' >/etc/sudoers.d/other"
              - run: echo 'jovyan ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/jovyan
              - run: echo x >/usr/local/bin/mine; chown 1000 /usr/local/bin/mine
              - run: echo x >/etc/open; chmod 666 /etc/open
              - run: |
                  mkdir -p "$(printf '/srv/no\\377text/deep')" "$(printf '/srv/two\\nlines')"
                  chmod 777 /srv/no*/deep /srv/two*
              - run: mkdir -m 1777 /srv/tmp; mkdir /opt/mine; chown 1000 /opt/mine
              - write: { /usr/local/bin/group: { text: x, mode: "2755", owner: "0:100" } }
        """, name="root")
    answer = stack.laminate("build", status=6)
    assert {(path, where, text) for path, where, _, text in findings(answer, "one")} == {
        ("/etc/shadow", stack.line("chpasswd"), "has a password for root"),
        ("/etc/sudoers.d/jovyan", stack.line("NOPASSWD:ALL"), "allows sudo as root without a password"),
        ("/usr/local/bin/mine", stack.line("/usr/local/bin/mine"), "belongs to user 1000, not to root"),
        ("/etc/open", stack.line("/etc/open"), "is writable for everybody (mode 0666)"),
        ("/usr/local/bin/group", stack.line("/usr/local/bin/group"), "is setgid for group 100 (mode 2755)"),
        ("/srv/no\\xfftext/deep", stack.line("- run: |"), "is writable for everybody (mode 0777)"),
        ("/srv/two\nlines", stack.line("- run: |"), "is writable for everybody (mode 0777)"),
    }
    assert_shown(answer, "image `one`: /srv/two\\nlines is writable for everybody")


LAYERS = """
    stack: layers
    tags: ["l-${commit7}"]
    policy:
      layers: { LIMITS }
    images:
      one:
        base: BASE
        steps:
          - run: head -c 2000000 /dev/urandom >/srv/big; echo small >/srv/small
          - run: chmod 600 /srv/small
          - run: chmod 600 /srv/big
      two: { base: one, steps: [{ run: echo two >/srv/two }] }
    """


def test_layers_are_counted_and_weighed(make_stack):
    stack = make_stack(LAYERS.replace("LIMITS", "count: 5, size: 1GB, twice: 3MB"), name="layers")
    answer = stack.laminate("build")
    size = answer.image("one")["size"]
    for limits, name, wanted in (
            ("count: 4", "two", ("", stack.line("  two:"), "has 5 layers, and 4 are allowed")),
            ("size: 1MB", "one", ("", stack.line("  one:"), f"layers are {round(size / 1e6)} MB, and 1.0 MB are allowed")),
            ("twice: 1MB", "one", ("/srv/big", stack.line("chmod 600 /srv/big"), "2.0 MB")),
            ("count: 5", "two", None), ("size: 1GB", "two", None), ("twice: 2000100", "one", None)):
        stack.write("specs.yml", LAYERS.replace("LIMITS", limits))
        stack.commit(limits)
        answer = stack.laminate("build", status=6 if wanted else 0)
        assert set(answer.actions().values()) == {"reused"}
        if not wanted:
            assert_passed(answer, "one"), assert_passed(answer, "two")
            continue
        (path, where, _, text), = findings(answer, name)
        assert (path, where) == wanted[:2]
        assert wanted[2] in text, text
        assert_shown(answer, wanted[2])
        if "twice" in limits:
            assert_passed(answer, "two")


def test_an_image_that_runs_as_root_is_found(make_stack):
    stack = make_stack("""
        stack: user
        tags: ["u-${commit7}"]
        policy: { user: not-root }
        images:
          unset: { base: BASE, steps: [{ run: echo toor:x:0:0::/:/bin/sh >>/etc/passwd }] }
          root: { base: unset, config: { user: "root:100" } }
          zero: { base: unset, config: { user: "0" } }
          other: { base: unset, config: { user: toor } }
          someone: { base: root, config: { user: "1000:0" } }
        """, name="user")
    answer = stack.laminate("build", status=6)
    assert [f[3] for f in findings(answer, "unset")] == ["no user is set, so it runs as root"]
    for name in ("root", "zero", "other"):
        text = "it runs as `toor`, which is another name of root" if name == "other" else "it runs as root"
        assert findings(answer, name) == [("", stack.line(f"  {name}:"), 0, text)]
    assert_passed(answer, "someone")


def layer(files):
    """A layer of files: path → (text or None for a folder, mode)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, (text, mode) in files.items():
            member = tarfile.TarInfo(path)
            member.type = tarfile.DIRTYPE if text is None else tarfile.REGTYPE
            member.mode, member.size = mode, len(text or "")
            archive.addfile(member, io.BytesIO((text or "").encode()))
    return out.getvalue()


def test_an_image_without_any_tool_is_checked(make_stack, registry):
    stack = make_stack("""
        stack: bare
        tags: ["b-${commit7}"]
        policy: { root: locked, layers: { count: 9, twice: 100 } }
        images:
          one:
            base: NOTHING
            steps:
              - write: { /etc/mine: "x\\n" }
              - write: { /etc/open: { text: "x\\n", mode: "666" } }
              - copy: { /tool: { from: tool, owner: "1000:1000", mode: "777" } }
          two: { base: one, steps: [{ write: { /other: "y\\n" } }] }
        """.replace("NOTHING", f"{registry.address}/bare:1"), {"images/one/tool": "tool\n"}, name="bare")
    registry.put_layers("bare", "1", [layer({"etc": (None, 0o755), "etc/passwd": ("root:x:0:0::/:/none\n", 0o644),
                                    "old": ("x", 0o4755)})])
    answer = stack.laminate("build", status=6)
    assert {(path, where, text) for path, where, _, text in findings(answer, "one")} == {
        ("/etc/open", stack.line("/etc/open"), "is writable for everybody (mode 0666)"),
        ("/tool", stack.line("/tool"), "is writable for everybody (mode 0777)")}
    stack.replace("specs.yml", 'mode: "666"', 'mode: "644"')
    stack.replace("specs.yml", 'mode: "777"', 'mode: "755"')
    stack.commit()
    assert_passed(stack.laminate("build"), "two")


def lists_in(caches):
    """Returns the inode and the text of each list of files of an image."""
    files = caches.glob("laminate/files/*")
    return {file: (file.stat().st_ino, gzip.decompress(file.read_bytes())) for file in files}


def test_the_files_that_the_check_of_a_build_read_are_those_of_the_published_image(make_stack, tmp_path):
    stack = make_stack("""
        stack: listed
        policy: { root: locked, layers: { count: 9 } }
        writable: { gid: 100, paths: [/opt/w] }
        images:
          ground:
            base: BASE
            steps:
              - run: mkdir -p /opt/w/a; echo b >/opt/w/a/b
              - run: |
                  cd /srv; mkdir -m 1777 one two; echo a >one/a; ln one/a one/b; ln -s /gone one/c; mkfifo -m 600 one/d
                  printf '#!/bin/sh\\n' >two/tool; chmod 4755 two/tool; chown -R 1000:1000 two
              - run: rm /srv/one/d; rm -r /srv/two /usr/share/doc/bash; mkdir /srv/two; chown 7:8 /srv/two; chmod 750 /srv/two
          child: { base: ground, steps: [{ write: { "/srv/\u00e9 f": text } }] }
          pipe: { base: child, steps: [{ run: mkfifo -m 600 /srv/pipe }] }
        """, name="listed")
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    stack.laminate("build", "--push", env=environment)
    kept = lists_in(tmp_path)
    # Not that of `pipe`: it has what may not be in a layer.
    assert sorted("/srv/\u00e9 f".encode() in text for _, text in kept.values()) == [False, True]
    stack.replace("specs.yml", "count: 9", "count: 8")
    stack.commit()
    stack.laminate("test", env=environment)
    after = lists_in(tmp_path)
    assert len(after) == 3
    assert {file: after[file] for file in kept} == kept
    # What is read of the published images is the same.
    for file in kept:
        file.unlink()
    stack.replace("specs.yml", "count: 8", "count: 7")
    stack.commit()
    stack.laminate("test", env=environment)
    again = lists_in(tmp_path)
    assert {file: again[file][1] for file in kept} == {file: text for file, (_, text) in kept.items()}


def test_an_edited_policy_is_checked_on_published_images_and_builds_nothing(make_stack, tmp_path):
    spec = """
        stack: published
        tags: ["p-${commit7}"]
        POLICY
        images:
          ground:
            base: BASE
            steps:
              - run: echo one >/srv/one; chmod 666 /srv/one
              - run: "true"
              - run: echo two >/srv/two
              - run: rm /usr/share/doc/bash/copyright
              - run: chmod 4755 /usr/bin/yes
              - run: "true"
          child:
            base: ground
            steps:
              - run: echo three >>/srv/one
              - run: chmod 666 /srv/two
        """
    stack = make_stack(spec.replace("POLICY", ""), name="published")
    first = stack.laminate("build", "--push")
    assert first.image("ground")["checks"] is None
    stack.write("specs.yml", spec.replace("POLICY", "policy: { root: locked, layers: { count: 9, twice: 1000 } }"))
    commit = stack.commit("a policy")
    wanted = {
        "ground": {("/srv/one", stack.line("/srv/one; chmod")), ("/usr/bin/yes", stack.line("4755"))},
        "child": {("/srv/two", stack.line("chmod 666 /srv/two")), ("/srv/one", stack.line("  child:")),
                  ("/usr/bin/yes", stack.line("  child:"))},
    }

    def assert_found(answer):
        assert answer.actions() == {"ground": "reused", "child": "reused"}
        for name in ("ground", "child"):
            found = {f[:2] for f in findings(answer, name) if not f[3].startswith("is the largest")}
            assert found == wanted[name], name
            assert answer.image(name)["digest"] == first.image(name)["digest"]
            assert stack.digest(name, f"p-{commit}") is None
        twice = [f[:2] for name in ("ground", "child") for f in findings(answer, name) if f[3].startswith("is the largest")]
        assert twice == [("/usr/bin/yes", stack.line("4755"))]
        assert answer.json["solves"] == 1

    caches = {"XDG_CACHE_HOME": str(tmp_path)}

    # An engine without their layers fetches them from staging.
    assert_found(stack.laminate("build", "--push", status=6, engine="", env={
        "XDG_STATE_HOME": str(stack.folder.parent / "engine-state"), "LAMINATE_ENGINE": "",
        "LAMINATE_STAGING": f"{stack.registry}/published", **caches}))
    kept = lists_in(tmp_path)
    assert sorted(b" /srv/two\0" in text for _, text in kept.values()) == [True, True]
    # The other one has them; the policy is a new one. What was read of the images is not read and written again.
    stack.replace("specs.yml", "twice: 1000", "twice: 1001")
    commit = stack.commit("another policy")
    assert_found(stack.laminate("build", "--push", status=6, env=caches))
    assert lists_in(tmp_path) == kept
    # A list that is damaged is read again.
    for file in kept:
        file.write_bytes(file.read_bytes()[:-4])
    stack.replace("specs.yml", "twice: 1001", "twice: 1002")
    commit = stack.commit("a third policy")
    assert_found(stack.laminate("build", "--push", status=6, env=caches))
    assert {text for _, text in lists_in(tmp_path).values()} == {text for _, text in kept.values()}
    stack.write("specs.yml", spec.replace("POLICY", """policy:
          allow: { /srv: for all, /usr/bin/yes: a joke }
          root: locked"""))
    stack.commit("allowed")
    last = stack.laminate("build", "--push")
    assert (last.json["published"], set(last.actions().values())) == (True, {"reused"})


def test_an_image_that_cannot_be_checked_has_not_passed(make_stack, registry):
    stack = make_stack("""
        stack: lost
        tags: ["l-${commit7}"]
        images:
          one: { base: BASE, steps: [{ run: echo one >/srv/one }] }
          two: { base: BASE, steps: [{ run: echo two >/srv/two }] }
        """, name="lost")
    stack.laminate("build", "--push")
    layer = stack.layers("one", f"l-{stack.commit7}")[-1]
    assert registry.request("DELETE", f"{stack.repository('lost')}/blobs/{layer}")[0] == 202
    stack.replace("specs.yml", "images:", "policy: { root: locked }\nimages:")
    stack.replace("specs.yml", "echo two", "echo more")
    commit = stack.commit("a policy, and another step")
    answer = stack.laminate("build", "--push", status=4, engine="", env={
        "XDG_STATE_HOME": str(stack.folder.parent / "lost-state"), "LAMINATE_ENGINE": ""})
    assert answer.json["error"], answer.out
    assert_shown(answer, "error: cannot inspect image `one`: ")
    assert (answer.json.get("published", False), stack.digest("two", f"l-{commit}")) == (False, None)


OF_BASE = """
    stack: of-base
    tags: ["b-${commit7}"]
    writable: { gid: 100, paths: [/usr/local] }
    images:
      one:
        base: BASE
        steps:
          - run: echo
          - write: { /usr/local/share/new/deep/x: "x" }
    """


def test_the_files_of_a_base_are_given_to_the_group_by_one_step(make_stack):
    stack = make_stack(OF_BASE, name="of-base")
    failed = stack.laminate("build", status=6)
    fix = "run: chgrp -R 100 /usr/local"
    assert_shown(failed, "/usr/local belongs to group 0, not to 100", "inherited from the external base", f"`{fix}`")
    stack.replace("specs.yml", "run: echo", fix)
    assert_passed(stack.laminate("build"), "one")
