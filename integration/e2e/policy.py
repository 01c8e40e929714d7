"""Checks of `policy:`: what is wrong with an image's files, on the line of the step that brought it."""
import io
import tarfile

from world import BASE, Requests, Stack, digest, equal, histories, layers, main, put_layers, request, test


def findings(answer, name, variant=None):
    """(path, line, below, what is wrong) of each."""
    found = answer.image(name, variant)["checks"]["findings"]
    return [(f["path"], f["where"]["line"], f["below"], f["text"]) for f in found]


def green(answer, name):
    checks = answer.image(name)["checks"]
    equal((checks["passed"], checks["findings"]), (True, []), name)
    return checks


def line(stack, text, file="specs.yml"):
    """The line of the spec that has a text."""
    lines = (stack.folder / file).read_text().splitlines()
    found = [number for number, line in enumerate(lines, 1) if text in line]
    assert len(found) == 1, f"{text!r} is on lines {found}"
    return found[0]


def says(answer, *texts):
    for text in texts:
        assert text in answer.err, f"no {text!r} in\n{answer.err}"


open_var = Stack("""
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
    """, name="open")
red = None


@test
def what_a_step_opens_to_all_is_told_once_on_that_step():
    global red
    red = open_var.laminate("build", "--push", status=6)
    (path, where, below, text), *more = findings(red, "ground")
    equal(more, [])
    equal((path, where, text), ("/var", line(open_var, "chmod -R 777"), "is writable for everybody (mode 0777)"))
    assert below > 50, below
    equal(red.image("ground")["checks"]["findings"][0]["step"], 1)
    equal((red.json["published"], red.json["solves"]), (False, 1))
    for name in ("ground", "child", "leaf"):
        equal(digest(f"{open_var.namespace}/{name}", f"o-{open_var.commit7}"), None)
    says(red, f"image `ground`: /var is writable for everybody (mode 0777), and so are {below} paths below it",
         "this step brought it", "echo mode; chmod -R 777 /var", "root: locked")


@test
def what_is_inherited_is_told_with_its_base():
    for name, base in (("child", "ground"), ("leaf", "child")):
        found = red.image(name)["checks"]["findings"]
        equal([(f["path"], f["inherited"], f.get("step")) for f in found], [("/var", base, None)])
        says(red, f"image `{name}` has 1 finding of its base `{base}`")
    equal(red.err.count("/var is writable"), 1)


@test
def what_is_red_stays_so_without_a_request_and_its_repair_is_green():
    before = len(histories())
    again = open_var.laminate("build", "--push", status=6)
    equal((again.json["solves"], len(histories()) - before), (0, 0))
    equal(findings(again, "ground"), findings(red, "ground"))
    open_var.replace("specs.yml", "chmod -R 777 /var", "chmod 755 /var")
    open_var.commit("put right")
    repaired = open_var.laminate("build", "--push")
    for name in ("ground", "child", "leaf"):
        green(repaired, name)
        equal(digest(f"{open_var.namespace}/{name}", f"o-{open_var.commit7}"), repaired.image(name)["digest"])
    with Requests() as requests:
        again = open_var.laminate("build", "--push")
    equal(again.json["solves"], 0)
    equal([r for r in requests.all if r[0] == "PUT" and "evidence" in r[1]], [])
    green(again, "leaf")


@test
def below_writable_paths_each_fault_is_on_its_step():
    stack = Stack("""
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
    equal(found, {
        "/opt/conda/lib/group": (line(stack, "chgrp 50"), "belongs to group 50, not to 100"),
        "/opt/conda/lib/mode": (line(stack, "chmod 644"), "is not writable for group 100 (mode 0644)"),
        "/opt/conda/lib/deep": (line(stack, "chmod g-s /opt"), "is not setgid for group 100 (mode 0775)"),
    })
    # What one step did at many places is not told at each.
    equal({where for where, _ in many.values()}, {line(stack, "seq 30")})
    elsewhere = [f["elsewhere"] for f in answer.image("one")["checks"]["findings"] if "/many" in f["path"]]
    equal(len(many) + sum(elsewhere), 30)
    assert len(many) <= 10, many
    says(answer, "elsewhere from this step")
    # What the stack itself says is put right in each step, and looked at although there is no policy.
    stack.replace("specs.yml", "policy: { writable: { gid: 100, paths: [/opt/conda] } }",
                  "writable: { gid: 100, paths: [/opt/conda] }")
    stack.commit()
    green(stack.laminate("build"), "one")


setuid = Stack("""
    stack: setuid
    tags: ["s-${commit7}"]
    policy:
      root: locked
      allow:
        /usr/bin/nothing: nobody needs it
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
    """, name="setuid")


@test
def a_new_setuid_file_or_capability_is_red():
    answer = setuid.laminate("build", status=6)
    keysign = "/usr/lib/openssh/ssh-keysign"
    found = {path: (where, text) for path, where, _, text in findings(answer, "ground")}
    agent = found.pop("/usr/bin/ssh-agent")
    equal(agent[0], line(setuid, "openssh-client"))
    assert agent[1].startswith("is setgid for group "), agent
    equal(found, {
        keysign: (line(setuid, "openssh-client"), "is setuid for user 0 (mode 4755)"),
        "/srv/sh": (line(setuid, "/srv/sh"), "is setuid for user 0 (mode 4755)"),
        "/srv/capable": (line(setuid, "- run: |"), "has file capabilities"),
        # It was setgid in the base; that it is setuid is new.
        "/usr/bin/wall": (line(setuid, "/usr/bin/wall"), "is setuid for user 0 (mode 4755)"),
    })
    own = [f for f in findings(answer, "child") if f[1] == line(setuid, "/usr/bin/yes")]
    equal([(path, text) for path, _, _, text in own if path == "/usr/bin/yes"],
          [("/usr/bin/yes", "is setgid for group 0 (mode 2755)")])
    says(answer, "image `child` has 5 findings of its base `ground`",
         "nothing is wrong with /usr/bin/nothing", "this allowance is not needed",
         f"specs.yml:{line(setuid, '/usr/bin/nothing')}:")


@test
def what_must_be_so_is_allowed_with_a_reason():
    setuid.replace("specs.yml", "    /usr/bin/nothing: nobody needs it\n", """\
    /usr/bin/nothing: nobody needs it
    /usr/lib/openssh: keys of the host
    /usr/bin/ssh-agent: it comes so
    /usr/bin/yes: a joke of child
""")
    setuid.replace("specs.yml", "  child: {", """\
    policy: { allow: { /srv: they are for tests, /usr/bin/wall: all hear it } }
  child: {""")
    setuid.commit("allowed")
    answer = setuid.laminate("build")
    equal((answer.json["solves"], answer.actions()), (1, {"ground": "reused", "child": "reused"}))
    checks = green(answer, "ground")
    equal({a["finding"]["path"]: a["reason"] for a in checks["allowed"]}, {
        "/usr/lib/openssh/ssh-keysign": "keys of the host", "/usr/bin/ssh-agent": "it comes so",
        "/srv/sh": "they are for tests", "/srv/capable": "they are for tests", "/usr/bin/wall": "all hear it"})
    # One image that needs it is enough.
    equal(answer.err.count("this allowance is not needed"), 1)
    says(answer, "warning: nothing is wrong with /usr/bin/nothing",
         f"specs.yml:{line(setuid, '/usr/bin/nothing')}:")


@test
def nobody_becomes_root_by_a_password_or_a_file_of_his_own():
    stack = Stack("""
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
    equal({(path, where, text) for path, where, _, text in findings(answer, "one")}, {
        ("/etc/shadow", line(stack, "chpasswd"), "has a password for root"),
        ("/etc/sudoers.d/jovyan", line(stack, "NOPASSWD:ALL"), "lets somebody be root by sudo without a password"),
        ("/usr/local/bin/mine", line(stack, "/usr/local/bin/mine"), "belongs to user 1000, not to root"),
        ("/etc/open", line(stack, "/etc/open"), "is writable for everybody (mode 0666)"),
        ("/usr/local/bin/group", line(stack, "/usr/local/bin/group"), "is setgid for group 100 (mode 2755)"),
        ("/srv/no\\xfftext/deep", line(stack, "- run: |"), "is writable for everybody (mode 0777)"),
        ("/srv/two\nlines", line(stack, "- run: |"), "is writable for everybody (mode 0777)"),
    })
    says(answer, "image `one`: /srv/two\\nlines is writable for everybody")


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


@test
def layers_are_counted_and_weighed():
    stack = Stack(LAYERS.replace("LIMITS", "count: 5, size: 1GB, twice: 3MB"), name="layers")
    answer = stack.laminate("build")
    size = answer.image("one")["size"]
    for limits, name, wanted in (
            ("count: 4", "two", ("", line(stack, "  two:"), "has 5 layers, and 4 are allowed")),
            ("size: 1MB", "one", ("", line(stack, "  one:"), f"layers are {round(size / 1e6)} MB, and 1.0 MB are allowed")),
            ("twice: 1MB", "one", ("/srv/big", line(stack, "chmod 600 /srv/big"), "2.0 MB")),
            ("count: 5", "two", None), ("size: 1GB", "two", None), ("twice: 2000100", "one", None)):
        stack.write("specs.yml", LAYERS.replace("LIMITS", limits))
        stack.commit(limits)
        answer = stack.laminate("build", status=6 if wanted else 0)
        equal(set(answer.actions().values()), {"reused"})
        if not wanted:
            green(answer, "one"), green(answer, "two")
            continue
        (path, where, _, text), = findings(answer, name)
        equal((path, where), wanted[:2])
        assert wanted[2] in text, text
        says(answer, wanted[2])
        if "twice" in limits:
            green(answer, "two")


@test
def an_image_does_not_run_as_root():
    stack = Stack("""
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
    equal([f[3] for f in findings(answer, "unset")], ["no user is set, so it runs as root"])
    for name in ("root", "zero", "other"):
        text = "it runs as `toor`, which is another name of root" if name == "other" else "it runs as root"
        equal(findings(answer, name), [("", line(stack, f"  {name}:"), 0, text)])
    green(answer, "someone")


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


@test
def an_image_without_any_tool_is_checked():
    stack = Stack("""
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
        """.replace("NOTHING", BASE.split("/")[0] + "/bare:1"), {"images/one/tool": "tool\n"}, name="bare")
    put_layers("bare", "1", [layer({"etc": (None, 0o755), "etc/passwd": ("root:x:0:0::/:/none\n", 0o644),
                                    "old": ("x", 0o4755)})])
    answer = stack.laminate("build", status=6)
    equal({(path, where, text) for path, where, _, text in findings(answer, "one")}, {
        ("/etc/open", line(stack, "/etc/open"), "is writable for everybody (mode 0666)"),
        ("/tool", line(stack, "/tool"), "is writable for everybody (mode 0777)")})
    stack.replace("specs.yml", 'mode: "666"', 'mode: "644"')
    stack.replace("specs.yml", 'mode: "777"', 'mode: "755"')
    stack.commit()
    green(stack.laminate("build"), "two")


@test
def an_edited_policy_is_asked_of_published_images_and_builds_nothing():
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
    stack = Stack(spec.replace("POLICY", ""), name="published")
    first = stack.laminate("build", "--push")
    equal(first.image("ground")["checks"], None)
    stack.write("specs.yml", spec.replace("POLICY", "policy: { root: locked, layers: { count: 9, twice: 1000 } }"))
    commit = stack.commit("a policy")
    wanted = {
        "ground": {("/srv/one", line(stack, "/srv/one; chmod")), ("/usr/bin/yes", line(stack, "4755"))},
        "child": {("/srv/two", line(stack, "chmod 666 /srv/two")), ("/srv/one", line(stack, "  child:")),
                  ("/usr/bin/yes", line(stack, "  child:"))},
    }

    def holds(answer):
        equal(answer.actions(), {"ground": "reused", "child": "reused"})
        for name in ("ground", "child"):
            found = {f[:2] for f in findings(answer, name) if not f[3].startswith("is the largest")}
            equal(found, wanted[name], name)
            equal(answer.image(name)["digest"], first.image(name)["digest"])
            equal(digest(f"{stack.namespace}/{name}", f"p-{commit}"), None)
        twice = [f[:2] for name in ("ground", "child") for f in findings(answer, name) if f[3].startswith("is the largest")]
        equal(twice, [("/usr/bin/yes", line(stack, "4755"))])
        equal(answer.json["solves"], 1)

    # An engine that never saw them asks staging.
    holds(stack.laminate("build", "--push", status=6, engine="", env={
        "XDG_STATE_HOME": str(stack.folder.parent / "engine-state"), "LAMINATE_ENGINE": "",
        "LAMINATE_STAGING": f"{stack.registry}/published"}))
    # The other one too, in words that were not written down yet.
    stack.replace("specs.yml", "twice: 1000", "twice: 1001")
    commit = stack.commit("another policy")
    holds(stack.laminate("build", "--push", status=6))
    stack.write("specs.yml", spec.replace("POLICY", """policy:
          allow: { /srv: for all, /usr/bin/yes: a joke }
          root: locked"""))
    stack.commit("allowed")
    last = stack.laminate("build", "--push")
    equal((last.json["published"], set(last.actions().values())), (True, {"reused"}))


@test
def what_cannot_be_looked_at_is_not_taken_for_green():
    stack = Stack("""
        stack: lost
        tags: ["l-${commit7}"]
        images:
          one: { base: BASE, steps: [{ run: echo one >/srv/one }] }
          two: { base: BASE, steps: [{ run: echo two >/srv/two }] }
        """, name="lost")
    stack.laminate("build", "--push")
    staging = f"{stack.namespace}/lost"
    equal(request("DELETE", f"{staging}/blobs/{layers(f'{stack.namespace}/one', f'l-{stack.commit7}')[-1]}")[0], 202)
    stack.replace("specs.yml", "images:", "policy: { root: locked }\nimages:")
    stack.replace("specs.yml", "echo two", "echo more")
    commit = stack.commit("a policy, and another step")
    answer = stack.laminate("build", "--push", status=4, engine="", env={
        "XDG_STATE_HOME": str(stack.folder.parent / "lost-state"), "LAMINATE_ENGINE": ""})
    assert answer.json["error"], answer.out
    says(answer, "error: one cannot be looked at: ")
    equal((answer.json.get("published", False), digest(f"{stack.namespace}/two", f"l-{commit}")), (False, None))


main()
