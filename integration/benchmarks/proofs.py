"""Rows on suites and policies."""
import os
import shutil

from channels import IMAGES
from measure import LAMINATE, ROUNDS, Row, call, in_turn, say
from peers import buildctl, command_in
from stack import Stack

SUITE = "dpkg -l >/dev/null && test -s /etc/image"


def suites(parts):
    """P15: one suite on each of twenty images. The peers store no result."""
    images = IMAGES[:20]
    spec = f"""stack: tested
tags: ["t-${{commit7}}"]
tests: {{ common: {{ run: "{SUITE}" }} }}
images:
"""
    for image in images:
        spec += f'  {image}: {{ base: "BASE", steps: [{{ write: {{ /etc/image: "{image} tested" }} }}] }}\n'
    stack = Stack(parts, spec, name="tests")
    say("suites: twenty images")
    built = stack.laminate("build", "--push")
    files = []
    for image in images:
        files.append(parts.scratch / f"{image}.llb")
        files[-1].write_bytes(command_in(f"{stack.registry}/{image}@{built.image(image)['digest']}", SUITE))

    def all_at_once():
        answer = call(parts.binary, "--json", "test", "--retest", cwd=stack.folder, env=stack.environment())
        ran = [verdict for image in answer.json["images"] for verdict in image["verdicts"]]
        assert (len(ran), any(verdict["cached"] for verdict in ran)) == (20, False)
        return answer
    row = Row("P15", "a suite on each of 20 images", "≤ 1.0 s")
    works = [(LAMINATE, all_at_once),
             ("buildctl build, one by one", lambda: buildctl(parts, files, 1)),
             ("buildctl build, 4 at once", lambda: buildctl(parts, files, 4))]
    buildctl(parts, files, 1)
    for number in range(ROUNDS):
        say(f"suites: round {number + 1} of {ROUNDS}")
        for who, work in in_turn(number, works):
            row.time(parts, who, work)


def rules(root):
    """Returns commands that find what `root: locked` forbids, as far as find can."""
    folders = " ".join(f"{root}/{name}" for name in ("usr", "etc", "bin/", "sbin/", "lib*/", "boot"))
    return (f"find {root}/ -xdev \\( -type f -perm /6000 -o ! -type l -perm -0002 ! \\( -type d -perm -1000 \\) \\)\n"
            f"find {folders} -xdev ! -uid 0\n")


def policy(parts):
    """P16: an edited policy over an image of forty thousand files."""
    stack = Stack(parts, """
        stack: looked-at
        compression: gzip   # umoci 0.4 does not read zstd
        tags: ["l-${commit7}"]
        policy: { root: locked, layers: { count: 100 } }
        images:
          large:
            base: "BASE"
            steps:
              - run: |
                  for folder in $(seq 400); do
                      mkdir -p /opt/large/$folder
                      (cd /opt/large/$folder && yes $folder | head -c 100000 | split -b 1000 -a 2)
                  done
        """, name="policy")
    say("policy: an image of forty thousand files")
    image = stack.laminate("build", "--push").image("large")
    assert image["checks"]["passed"]
    reference = f"{stack.registry}/large@{image['digest']}"
    looked = parts.scratch / "rules.llb"
    looked.write_bytes(command_in(reference, rules("")))
    folder = parts.scratch / "unpacked"

    def check():
        answer = call(parts.binary, "--json", "test", cwd=stack.folder, env=stack.environment())
        (found,) = answer.json["images"]
        assert (answer.json["solves"], found["checks"]["passed"]) == (1, True)
        return answer

    def unpack():
        call("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", f"oci:{folder}/oci:it")
        call("umoci", "unpack", *([] if os.getuid() == 0 else ["--rootless"]), "--image",
             f"{folder}/oci:it", f"{folder}/bundle")
        call("sh", "-c", rules(f"{folder}/bundle/rootfs"))

    row = Row("P16", "an edited policy on 40,000 files", "≤ 0.5 s")
    works = [(LAMINATE, check), ("find, run by buildctl", lambda: buildctl(parts, [looked], 1)),
             ("skopeo, umoci unpack, find", unpack)]
    buildctl(parts, [looked], 1)
    for number in range(ROUNDS):
        say(f"policy: round {number + 1} of {ROUNDS}")
        stack.replace("specs.yml", f"count: {100 + number}", f"count: {101 + number}")
        stack.commit()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for who, work in in_turn(number, works):
            row.time(parts, who, work)
