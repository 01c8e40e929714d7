"""How files are placed: as COPY of a Dockerfile does it, with the same layer in a step and in a group."""
import hashlib
import json
import os
import random
import subprocess

import pytest

BIG = "big\n" * 20_000


def case(setup, step, dockerfile, files=None, executable=()):
    return {"setup": setup, "step": step, "dockerfile": dockerfile, "files": files or {}, "executable": executable}


TREE = {"tree/a": "a", "tree/sub/b": "b", "tree/sub/big": BIG, "tree/.hidden": "h", "tree/empty": ""}
MANY = {f"tree/{number}": str(number) for number in range(420)}
# `@` is the case's own folder, in the image and below images/.
CASES = {
    "new file": case("", "copy: { @/x: f }", "COPY f @/x", {"f": "f"}),
    "new executable": case("", "copy: { @/x: f }", "COPY f @/x", {"f": "f"}, ["f"]),
    "existing file": case("echo old >x; chown 5:6 x; chmod 600 x", "copy: { @/x: f }", "COPY f @/x", {"f": "f"}),
    "existing file gets a mode": case(
        "echo old >x; chown 5:6 x; chmod 600 x", 'copy: { @/x: { from: f, mode: "640", owner: "7:8" } }',
        "COPY --chmod=640 --chown=7:8 f @/x", {"f": "f"}),
    "a big existing file": case(
        "echo old >x; chown 5:6 x; chmod 600 x", 'copy: { @/x: { from: f, mode: "640", owner: "7:8" } }',
        "COPY --chmod=640 --chown=7:8 f @/x", {"f": BIG}),
    "link at the target": case(
        "echo old >x-3; ln -s x-3 x", 'copy: { @/x: { from: f, mode: "640", owner: "7:8" } }',
        "COPY --chmod=640 --chown=7:8 f @/x", {"f": "f"}),
    "link to nothing at the target": case("ln -s y x", "copy: { @/x: f }", "COPY f @/x", {"f": "f"}),
    "link in a folder that is copied into": case(
        "mkdir d; echo old >y; ln -s ../y d/f", "copy: { @/d/: f }", "COPY f @/d/", {"f": "f"}),
    "owner by number": case("", 'copy: { @/x: { from: f, owner: "1000" } }', "COPY --chown=1000 f @/x", {"f": "f"}),
    "owner by name": case("", "copy: { @/x: { from: f, owner: j } }", "COPY --chown=j f @/x", {"f": "f"}),
    "owner by both names": case(
        "", 'copy: { @/x: { from: f, owner: "j:mail" } }', "COPY --chown=j:mail f @/x", {"f": "f"}),
    "folders above get the owner": case(
        "", 'copy: { @/p/q/x: { from: f, owner: "1000:100" } }', "COPY --chown=1000:100 f @/p/q/x", {"f": "f"}),
    "a link on the way": case(
        "mkdir real; ln -s real way", 'copy: { @/way/p/x: { from: f, owner: "1000:100" } }',
        "COPY --chown=1000:100 f @/way/p/x", {"f": "f"}),
    "a setgid folder": case("mkdir d; chgrp 100 d; chmod 2775 d", "copy: { @/d/x: f }", "COPY f @/d/x", {"f": "f"}),
    "a link to nothing on the way": case(
        "mkdir q; ln -s ../nowhere q/way", 'copy: { @/q/way/p/x: { from: f, owner: "7:8" } }', "COPY --chown=7:8 f @/q/way/p/x",
        {"f": "f"}),
    "a link to nothing, for a folder": case("ln -s nowhere d", "copy: { @/d: tree/ }", "COPY tree/ @/d", TREE),
    "a link to nothing, from an image": case(
        "ln -s no/where x", "copy: { @/x: { image: SOURCE, from: /src/tool } }", "COPY --from=SOURCE /src/tool @/x"),
    "a link whose folder is missing": case(
        "ln -s no/where x", 'copy: { @/x: { from: f, owner: "7:8" } }', "COPY --chown=7:8 f @/x", {"f": "f"}),
    "a link to a link whose folder is missing": case(
        "ln -s y x; ln -s $PWD/no/where y", "write: { @/x: text }", "COPY text @/x", {"text": "text"}),
    "a FIFO at the target": case("mkfifo x", "copy: { @/x: f }", "COPY f @/x", {"f": "f"}),
    "a FIFO behind a link": case("mkfifo p; ln -s p x", "write: { @/x: text }", "COPY text @/x", {"text": "text"}),
    "a device at the target": case("mknod x c 1 3", "copy: { @/x: f }", "COPY f @/x", {"f": BIG}),
    "a FIFO at the target, from an image": case(
        "mkfifo x", "copy: { @/x: { image: SOURCE, from: /src/tool } }", "COPY --from=SOURCE /src/tool @/x"),
    "a FIFO in a folder that is copied into": case(
        "mkdir d; mkfifo d/a", "copy: { @/d: tree/ }", "COPY tree/ @/d", TREE),
    "a FIFO of an image": case(
        "", 'copy: { @/x: { image: SOURCE, from: /src/fifo, owner: "7:8" } }', "COPY --from=SOURCE --chown=7:8 /src/fifo @/x"),
    "a folder of an image with a FIFO": case(
        "", "copy: { @/x: { image: SOURCE, from: /src, owner: j } }", "COPY --from=SOURCE --chown=j /src @/x"),
    "a capability": case("", "copy: { @/x: { image: SOURCE, from: /src/cap } }", "COPY --from=SOURCE /src/cap @/x"),
    "a capability, with an owner": case(
        "", 'copy: { @/x: { image: SOURCE, from: /src/cap, owner: "7:8", mode: "700" } }',
        "COPY --from=SOURCE --chown=7:8 --chmod=700 /src/cap @/x"),
    "a link, in a setgid folder": case(
        "mkdir d; chgrp 100 d; chmod 2775 d", "link: { @/d/x: -t }",
        "RUN ln -s -- -t @/d/x && chown -h 0:0 @/d/x"),
    "a folder of an image, in a setgid folder": case(
        "mkdir d; chgrp 100 d; chmod 2775 d", "copy: { @/d/p: { image: SOURCE, from: /src/ } }",
        "COPY --from=SOURCE /src/ @/d/p"),
    "symbolic mode with several operators": case(
        "", 'copy: { @/x: { from: f, mode: "u+x-w,go=" } }', "COPY --chmod=u+x-w,go= f @/x", {"f": "f"}),
    "symbolic mode for all": case("", 'copy: { @/x: { from: f, mode: "+w,u+s" } }', "COPY --chmod=+w,u+s f @/x", {"f": "f"}),
    "special mode": case("", 'copy: { @/x: { from: f, mode: "4755" } }', "COPY --chmod=4755 f @/x", {"f": "f"}),
    "symbolic mode": case("", 'copy: { @/x: { from: f, mode: "u+x,g+rwX" } }', "COPY --chmod=u+x,g+rwX f @/x", {"f": "f"}),
    "a new folder": case("", "copy: { @/d: tree/ }", "COPY tree/ @/d", TREE, ["tree/sub/b"]),
    "a new folder in a setgid folder": case(
        "mkdir d; chgrp 100 d; chmod 2775 d", "copy: { @/d: tree/ }", "COPY tree/ @/d", TREE),
    "a new folder with an owner": case(
        "", 'copy: { @/d/e: { from: tree/, owner: "1000:100" } }', "COPY --chown=1000:100 tree/ @/d/e", TREE),
    "into a folder that exists": case(
        "mkdir -p d/sub; chmod 700 d d/sub; chown 5:6 d d/sub; echo old >d/a; chmod 600 d/a; ln -s ../x d/sub/b",
        "copy: { @/d: tree/ }", "COPY tree/ @/d", TREE),
    "a mode for a folder": case(
        "mkdir -p d/sub", 'copy: { @/d: { from: tree/, mode: "750" } }', "COPY --chmod=750 tree/ @/d", TREE),
    "a symbolic mode for a folder": case(
        "mkdir d", 'copy: { @/d: { from: tree/, mode: "go-rX" } }', "COPY --chmod=go-rX tree/ @/d", TREE),
    "a link to a folder at the target": case(
        "mkdir real; ln -s real d", "copy: { @/d: tree/ }", "COPY tree/ @/d", TREE),
    "a group as owner, of a folder that exists": case(
        "mkdir -p d/sub; chown 5:6 d d/sub; echo old >d/sub/b; chown 5:6 d/sub/b",
        'copy: { @/d: { from: tree/, owner: ":100" } }', "COPY --chown=0:100 tree/ @/d", TREE),
    "many files": case("", "copy: { @/d: tree/ }", "COPY tree/ @/d", MANY, ["tree/3"]),
    "many files with an owner, into a folder that exists": case(
        "mkdir d; chgrp 100 d; chmod 2775 d; echo old >d/7; chmod 600 d/7; ln -s ../x d/8; ln -s nowhere d/201; mkfifo d/399",
        'copy: { @/d: { from: tree/, owner: j } }', "COPY --chown=j tree/ @/d", MANY, ["tree/3", "tree/250"]),
    "a pattern": case("", 'copy: { @/d/: "*.txt" }', "COPY *.txt @/d/", {"a.txt": "a", "b.txt": BIG, "c": "c"}),
    "a text": case(
        "echo old >x; chown 5:6 x; chmod 600 x", "write: { @/x: { text: text, mode: \"600\", owner: \"7:8\" } }",
        "COPY --chmod=600 --chown=7:8 text @/x", {"text": "text"}),
    "names for a shell": case("", "copy: { \"@/a b;(*)\": f }", 'COPY ["f", "@/a b;(*)"]', {"f": "f"}),
    "from an image": case("", "copy: { @/x: { image: SOURCE, from: /src/tool } }", "COPY --from=SOURCE /src/tool @/x"),
    "a link of an image": case("", "copy: { @/x: { image: SOURCE, from: /src/link } }", "COPY --from=SOURCE /src/link @/x"),
    "a folder of an image": case(
        "mkdir -p d/in; chmod 700 d/in; echo old >d/tool",
        "copy: { @/d: { image: SOURCE, from: /src/ } }", "COPY --from=SOURCE /src/ @/d"),
    "a file of an image into a new folder": case(
        "", "copy: { @/d/: { image: SOURCE, from: /src/tool, mode: \"750\", owner: \"7:8\" } }",
        "COPY --from=SOURCE --chmod=750 --chown=7:8 /src/tool @/d/"),
    "a file of an image into a folder": case(
        "mkdir d; chmod 700 d", "copy: { @/d/: { image: SOURCE, from: /src/tool, mode: \"750\" } }",
        "COPY --from=SOURCE --chmod=750 /src/tool @/d/"),
    "a new folder with a special mode": case(
        "", 'copy: { @/d/: { from: tree/, mode: "7750" } }', "COPY --chmod=7750 tree/ @/d/", TREE),
    "a new folder with a symbolic mode": case(
        "", 'copy: { @/d/: { from: tree/, mode: "g+rwX,o=" } }', "COPY --chmod=g+rwX,o= tree/ @/d/", TREE),
    **{f"files of an image with {mode}": case(
        "", f'copy: {{ @/d/: {{ image: SOURCE, from: /modes/, mode: "{mode}" }} }}', f"COPY --from=SOURCE --chmod={mode} /modes/ @/d/")
       for mode in ["g+rwX", "u=rwX,go=rX", "o=", "o+t", "a=rX", "g=u,o=g", "u+s,g-s", "+t", "u=rwx,g=u-w,o=", "-x+X", "7750", "=r"]},
    "a folder behind an absolute link of an image": case(
        "", "copy: { @/d/: { image: SOURCE, from: /links/current/lib/ } }", "COPY --from=SOURCE /links/current/lib/ @/d/"),
    "a file behind links of an image": case(
        "", "copy: { @/x: { image: SOURCE, from: /links/up/links/alternative/lib/so } }",
        "COPY --from=SOURCE /links/up/links/alternative/lib/so @/x"),
    "a folder of an image with an owner": case(
        "", "copy: { @/p/d: { image: SOURCE, from: /src, owner: \"1000:100\", mode: go-w } }",
        "COPY --from=SOURCE --chown=1000:100 --chmod=go-w /src @/p/d"),
}
GROUND = """
    adduser --uid 1000 --gid 100 --disabled-password --gecos '' j
    mkdir -p /src/in/deep; echo tool >/src/tool; chown 5:6 /src/tool; chmod 4711 /src/tool
    ln -s in/file /src/link; echo file >/src/in/file; chmod 2750 /src/in; chown 1000:100 /src/in/deep
    mkdir -p /modes/in /links/v1/lib; echo so >/links/v1/lib/so; ln -s /links/v1 /links/alternative; ln -s /links/alternative /links/current
    ln -s ../../.. /links/up; for mode in 644 600 755 711 4755 2750 1777 0; do
      echo $mode >/modes/f$mode; chmod $mode /modes/f$mode; mkdir /modes/d$mode; chmod $mode /modes/d$mode; done
    mkfifo /src/fifo; cp /bin/true /src/cap; setcap cap_net_raw+ep /src/cap
    """


def random_case(seed):
    """Returns a case with a random tree that is copied onto a random tree."""
    rng = random.Random(seed)
    names = ["a", "b", ".c", "d e"]

    def tree(depth):
        found = {}
        for name in rng.sample(names, rng.randint(1, 3)):
            if depth and rng.random() < 0.5:
                found |= {f"{name}/{path}": text for path, text in tree(depth - 1).items()}
            else:
                found[name] = rng.choice(["", "x", BIG[:70_000]])
        return found

    files, there = tree(2), tree(2)
    setup = ["mkdir t"]
    folders = {path.rsplit("/", 1)[0] for path in files if "/" in path}
    for path in there:
        above = path.split("/")[:-1]
        # What is a folder in one of them and a file in the other is an error; others test that.
        if path in folders or any(part in files for part in ["/".join(above[:i + 1]) for i in range(len(above))]):
            continue
        if any(other.startswith(path + "/") for other in files):
            continue
        if above:
            setup.append(f"mkdir -p 't/{'/'.join(above)}' && chmod {rng.choice(['700', '2775', '755'])} 't/{'/'.join(above)}'")
        setup.append(rng.choice([f"echo old >'t/{path}'; chmod 601 't/{path}'; chown 3:4 't/{path}'", f"ln -s nowhere 't/{path}'"]))
    owner, mode = rng.choice([None, "9:8", "j"]), rng.choice([None, "750", "g+rwX,o-r"])
    keys = "".join(f', {key}: "{value}"' for key, value in [("owner", owner), ("mode", mode)] if value)
    flags = "".join(f"--{key}={value} " for key, value in [("chown", owner), ("chmod", mode)] if value)
    return case("; ".join(setup), f"copy: {{ @/t: {{ from: src/{keys} }} }}", f"COPY {flags}src/ @/t",
                {f"src/{path}": text for path, text in files.items()})


ALL = CASES | {f"random {seed}": random_case(seed) for seed in range(30)}


def here(text, number):
    return text.replace("@", f"/c/{number}")


@pytest.fixture(scope="module")
def layers(make_stack, parts):
    """The layers of the ways: a list for each, with an entry for each case."""
    steps, files, executable = {"step": [], "group": []}, {}, []
    setup = ["set -e", *GROUND.strip().splitlines()]
    for number, made in enumerate(ALL.values()):
        setup.append(f"mkdir -p /c/{number}; cd /c/{number}; {here(made['setup'], number)}")
        step = here(made["step"], number)
        for name, text in made["files"].items():
            files[f"images/shared/{number}/{name}"] = text
        executable += [f"images/shared/{number}/{name}" for name in made["executable"]]
        for old in ("f }", "f,", "tree/ }", "tree/,", "src/ }", "src/,"):
            step = step.replace(f": {old}", f": ../shared/{number}/{old}")
        step = step.replace('"*.txt"', f'"../shared/{number}/*.txt"')
        steps["step"].append(f"- {{ {step} }}")
        steps["group"].append(f"- {{ group: [{{ {step} }}, {{ run: \"true\" }}], as: root }}")
    files["images/ground/setup.sh"] = "#!/bin/sh\n" + "\n".join(setup) + "\n"
    executable.append("images/ground/setup.sh")
    ground = make_stack("""
        stack: ground
        tags: ["p-${commit7}"]
        images:
          ground: { base: BASE, apt: [libcap2-bin], steps: [{ script: setup.sh, as: root }] }
        """, {name: text for name, text in files.items() if name.startswith("images/ground")}, ["images/ground/setup.sh"])
    ground.laminate("build", "--push")
    base = f"{ground.registry}/ground:p-{ground.commit7}"
    spec = 'stack: placing\ntags: ["p-${commit7}"]\nimages:\n'
    for way, list_of in steps.items():
        spec += f"  {way}:\n    base: {base}\n    steps:\n"
        spec += "".join(f"      {step.replace('SOURCE', json.dumps(base))}\n" for step in list_of)
    kept = {name: text for name, text in files.items() if "/shared/" in name}
    stack = make_stack(spec, kept, [name for name in executable if "/shared/" in name])
    stack.laminate("build", "--push")
    found = {way: own_layers(stack, way, f"p-{stack.commit7}", len(ALL)) for way in steps}

    context = parts.scratch / "placing-context"
    lines = [f"FROM {base}"]
    for number, made in enumerate(ALL.values()):
        for name, text in made["files"].items():
            path = context / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name in made["executable"] else 0o644)
        line = here(made["dockerfile"], number).replace("SOURCE", base)
        for old in ("f ", "tree/ ", "src/ ", "text ", "*.txt "):
            line = line.replace(f" {old}/c", f" {number}/{old}/c")
        lines.append(line.replace('["f"', f'["{number}/f"'))
    for folder, _, _ in os.walk(context):
        os.chmod(folder, 0o755)
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")
    made = subprocess.run(
        ["buildctl", "--addr", parts.engine.address, "build", "--frontend", "dockerfile.v0", "--progress", "plain",
         "--local", f"context={context}", "--local", f"dockerfile={context}",
         "--output", f"type=image,name={stack.registry}/dockerfile:p,push=true,registry.insecure=true"],
        capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-4000:]
    found["dockerfile"] = own_layers(stack, "dockerfile", "p", len(ALL))
    return found


def own_layers(stack, image, tag, count):
    """Returns the entries of the last layers, by path."""
    found = []
    for layer in stack.layers(image, tag)[-count:]:
        entries = {}
        with stack.open_layer(image, layer) as archive:
            for member in archive:
                name = member.name.strip("./")
                if not name.startswith("c/"):
                    continue
                data = archive.extractfile(member).read() if member.isfile() else b""
                entries[name] = (member.type.decode(), f"{member.mode:o}", member.uid, member.gid, member.linkname,
                                 hashlib.sha256(data).hexdigest()[:8],
                                 member.pax_headers.get("SCHILY.xattr.security.capability"))
        found.append(entries)
    return found


@pytest.mark.parametrize("name", ALL)
def test_a_step_gives_the_layer_of_copy(layers, name):
    number = list(ALL).index(name)
    assert layers["step"][number] == layers["dockerfile"][number]


@pytest.mark.parametrize("name", ALL)
def test_a_group_gives_the_layer_of_a_step(layers, name):
    number = list(ALL).index(name)
    assert layers["group"][number] == layers["step"][number]


FAULTS = {
    "file onto a folder": ("mkdir x", "copy: { /c/x: f }"),
    "big file onto a folder": ("mkdir x", "copy: { /c/x: big }"),
    "text onto a folder": ("mkdir x", "write: { /c/x: text }"),
    "folder onto a file": ("touch x", "copy: { /c/x: tree/ }"),
    "folder onto a file below": ("mkdir x; touch x/d", "copy: { /c/x: tree/ }"),
    "owner that does not exist": ("", 'copy: { /c/x: { from: f, owner: no-such } }'),
    "group that does not exist": ("", 'write: { /c/x: { text: t, owner: "0:no-such" } }'),
    "link onto a folder": ("mkdir x; touch x/kept", "link: { /c/x: /data }"),
    "append to a FIFO": ("mkfifo x", "append: { /c/x: text }"),
    "append to a device": ("mknod x c 1 3", "append: { /c/x: text }"),
    "link of a user that does not exist": ("", "link: { /c/x: /data }, as: no-such"),
}


@pytest.mark.parametrize("way", ["step", "group"])
@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_placed_fails_on_its_line(make_stack, name, way):
    setup, step = FAULTS[name]
    step, _, user = step.partition(", as: ")
    step = f"{{ group: [{{ {step} }}, {{ run: 'true' }}], as: {user or 'root'} }}" if way == "group" else (
        f"{{ {step}, as: {user or 'root'} }}")
    stack = make_stack(f"""
        stack: faults
        images:
          a:
            base: BASE
            steps:
              - run: mkdir /c; cd /c; {setup or "true"}
                as: root
              - {step}
        """, {"images/a/f": "f", "images/a/big": BIG, "images/a/tree/d/x": "x"})
    answer = stack.laminate("build", status=5)
    error = answer.image("a")["error"]
    assert error["where"]["line"] == stack.line("no-such" if "exist" in name else "/c/x"), answer.err


def test_a_link_can_replace_a_folder(make_stack):
    stack = make_stack("""
        stack: replace
        tags: ["r-${commit7}"]
        images:
          a:
            base: BASE
            steps:
              - run: mkdir -p /c/x /c/y
                as: root
              - link: { /c/x: { to: /data, replace: true } }
              - group: [{ link: { /c/y: { to: /data, replace: true } } }, { run: "true" }]
                as: root
        """)
    stack.laminate("build", "--push")
    for layer, path in zip(stack.layers("a", f"r-{stack.commit7}")[-2:], ["c/x", "c/y"], strict=True):
        with stack.open_layer("a", layer) as archive:
            assert {member.name.strip("./"): member.linkname for member in archive}[path] == "/data"


LINKS = """
    stack: links
    tags: ["l-${commit7}"]
    images:
      good:
        base: BASE
        steps:
          - run: mkdir /c; cd /c; ln -s no/file x; ln -s none way; echo a >old; chmod 640 old; chown 5:6 old; ln -s old y
            as: root
          - append: { /c/x: text, /c/way/p/z: text, /c/y: b }
          - group: [{ append: { /c/x: text, /c/way/q/z: text, /c/y: b } }]
      hosts: { base: BASE, steps: [{ run: ln -s /etc/hosts /x }, { group: [{ write: { /x: a } }] }] }
      device: { base: BASE, steps: [{ run: ln -s /dev/null /y }, { append: { /y: b } }] }
    """


def test_append_follows_links_and_nothing_goes_below_a_mount(make_stack):
    stack = make_stack(LINKS, name="links")
    answer = stack.laminate("build", status=5)
    for image, line, path in (("hosts", "hosts: {", "/etc/hosts"), ("device", "device: {", "/dev/null")):
        error = answer.image(image)["error"]
        assert error["where"]["line"] == stack.line(line)
        assert f"leads to {path}, which cannot be changed" in "\n".join(error["log_tail"]), error
    spec = (stack.folder / "specs.yml").read_text()
    stack.write("specs.yml", "".join(line for line in spec.splitlines(True) if "run: ln" not in line))
    stack.commit()
    stack.laminate("build", "--push")
    found = {}
    for layer in stack.layers("good", f"l-{stack.commit7}")[-2:]:
        with stack.open_layer("good", layer) as archive:
            found |= {member.name.strip("./"): (f"{member.mode:o} {member.uid}:{member.gid}", archive.extractfile(member).read())
                      for member in archive if member.isfile()}
    assert found == {"c/no/file": ("644 0:0", b"texttext"), "c/none/p/z": ("644 0:0", b"text"),
                     "c/none/q/z": ("644 0:0", b"text"), "c/old": ("640 5:6", b"a\nbb")}


NUMBERS = """
    stack: numbers
    tags: ["n-${commit7}"]
    images:
      good:
        base: BASE
        steps:
          - run: |
              useradd --uid 4000 --gid 100 x; useradd --uid 4001 y; mkdir -m 777 /c
              echo 4002:x:1:1::/:/bin/sh >>/etc/passwd; echo 4002:x:1: >>/etc/group
            as: root
          - { write: { /c/named/x: { text: text, owner: "4002" } }, as: root }
          - { group: [{ write: { /c/grouped/x: { text: text, owner: "4002" } } }], as: root }
          - { run: mkdir /c/run, finish: [{ perms: { /c/run: { owner: "4002:4002" } } }], as: root }
          - { write: { /c/step/x: text }, as: "4001" }
          - { group: [{ write: { /c/group/x: text } }, { link: { /c/group/y: x } }], as: "4001" }
          - { group: [{ copy: { /c/many: many/ } }], as: "4001" }
          - { group: [{ write: { /c/said/x: text } }], as: "4000:100" }
      bad:
        base: good
        steps:
          - { group: [{ write: { /c/other/x: text } }], as: "4000" }
    """


def test_a_number_as_user_is_also_the_group_of_its_files(make_stack):
    stack = make_stack(NUMBERS, {"images/good/many/a": "a", "images/good/many/sub/b": "b"}, ["images/good/many/a"])
    answer = stack.laminate("build", "--push", status=5)
    error = answer.image("bad")["error"]
    assert error["where"]["line"] == stack.line("/c/other/x")
    assert 'write `as: "4000:100"`' in "\n".join(error["log_tail"]), error
    stack.replace("specs.yml", 'as: "4000" }', 'as: "4000:4000" }')
    stack.commit()
    stack.laminate("build", "--push")
    owners = {}
    for layer in stack.layers("bad", f"n-{stack.commit7}"):
        with stack.open_layer("bad", layer) as archive:
            owners |= {member.name.strip("./"): (member.uid, member.gid) for member in archive}
    found = {path: owners[path] for path in owners if path.startswith("c/")}
    assert found == {
        "c/step": (4001, 4001), "c/step/x": (4001, 4001), "c/group": (4001, 4001), "c/group/x": (4001, 4001),
        "c/group/y": (4001, 4001), "c/many": (4001, 4001), "c/many/a": (4001, 4001), "c/many/sub": (4001, 4001),
        "c/many/sub/b": (4001, 4001), "c/named": (4002, 4002), "c/named/x": (4002, 4002), "c/grouped": (4002, 4002),
        "c/grouped/x": (4002, 4002), "c/run": (4002, 4002), "c/said": (4000, 100), "c/said/x": (4000, 100), "c/other": (4000, 4000),
        "c/other/x": (4000, 4000)}
