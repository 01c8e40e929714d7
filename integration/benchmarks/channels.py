"""Rows on channels: promote and revert, near and far."""
from far import Far
from measure import LAMINATE, ROUNDS, Row, call, in_turn, say
from peers import crane, named
from stack import Stack

IMAGES = [f"image-{number:02}" for number in range(100)]
RTT = 0.05


def hundred(parts, name, registry):
    """Makes two releases of a hundred images, the channel at the first; returns the stack and their tags."""
    spec = """stack: many
tags: ["r-${commit7}"]
policy: { root: locked }
tests: { common: { run: "test -s /etc/image" } }
channels: { stable: { tag: stable, gates: [checks, common] } }
images:
"""
    for image in IMAGES:
        spec += f'  {image}: {{ base: "BASE", steps: [{{ write: {{ /etc/image: "{image} one" }} }}] }}\n'
    base = parts.registry.base.replace(parts.registry.address, registry)
    stack = Stack(parts, spec.replace("BASE", base), name=name)
    stack.registry = f"{registry}/{stack.namespace}"
    say(f"{name}: two releases of a hundred images")
    first = stack.laminate("build", "--push")
    assert (first.json["solves"], len(first.json["images"])) == (1, 100)
    stack.laminate("promote", "--to", "stable")
    tags = [f"r-{stack.commit7}"]
    stack.replace("specs.yml", " one\"", " two\"")
    stack.commit()
    stack.laminate("build", "--push")
    return stack, [*tags, f"r-{stack.commit7}"]


def move(stack, *arguments):
    answer = call(stack.parts.binary, "--json", *arguments, cwd=stack.folder, env=stack.environment())
    assert len(answer.json["moved"]) == 100
    return answer


def rounds(parts, name, registry, rows, at_once, away):
    """Promotes and reverts in turn with `crane tag`; all tags are looked at afterwards."""
    stack, tags = hundred(parts, name, registry)

    def tag_all(tag, many):
        return crane("tag", [f"{stack.registry}/{image}:{tag} peer-{many}" for image in IMAGES], many)
    for many in at_once:
        tag_all(tags[0], many)
    for number in range(ROUNDS):
        say(f"{name}: round {number + 1} of {ROUNDS}")
        for row, tag, arguments in ((rows[0], tags[1], ("promote", tags[1][2:], "--to", "stable")),
                                    (rows[1], tags[0], ("revert", "stable"))):
            works = [(LAMINATE, lambda: move(stack, *arguments))]
            works += [(named("crane tag", many), lambda many=many: tag_all(tag, many)) for many in at_once]
            for who, work in in_turn(number, works):
                with away():
                    row.time(parts, who, work)
            for image in (IMAGES[0], IMAGES[-1]):
                expected = stack.digest(image, tag)
                for moved in ("stable", *(f"peer-{many}" for many in at_once)):
                    assert stack.digest(image, moved) == expected, f"{image}:{moved}"


def promote(parts):
    """P6 with a registry on this machine, and 50 ms away. crane one by one would then take half a minute."""
    with Far(parts.registry) as far:
        rows = [Row("P6", "promote 100 images", "≤ 0.45 s"), Row("P6", "revert 100 images")]
        rounds(parts, "near", parts.registry.address, rows, (1, 16), lambda: far.away(0))
        away = [Row("P6", f"promote 100 images, registry {RTT * 1000:.0f} ms away", "≤ 1.5 s"),
                Row("P6", f"revert 100 images, registry {RTT * 1000:.0f} ms away")]
        rounds(parts, "far", far.address, away, (16,), lambda: far.away(RTT))
