"""The measurements of `integration/bench`."""
import asyncio
import contextlib
import hashlib
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "e2e"))

from parts import started
from registry import Requests
from stack import Stack

ROUNDS = int(os.environ.get("LAMINATE_ROUNDS", "5"))
IMAGES = [f"image-{number:02}" for number in range(100)]
RTT = 0.05
SUITE = "dpkg -l >/dev/null && test -s /etc/image"
# What is measured against; `main` starts it.
PARTS = None


# Measuring.

def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


MEASUREMENTS = []


class Measure:
    """One kind of work, done by laminate and by others in turn."""

    def __init__(self, what):
        self.what = what
        self.times, self.counts = {}, {}
        MEASUREMENTS.append(self)

    def time(self, who, work, count=None):
        """Does the work once; `count` counts the requests to the registry or the engine meanwhile."""
        counting = count() if count else contextlib.nullcontext()
        with counting:
            start = time.perf_counter()
            work()
            took = time.perf_counter() - start
        self.times.setdefault(who, []).append(took)
        if count:
            self.counts[who] = counting.number
            self.counted = count.counted

    def rows(self):
        own, *others = self.times
        for other in others:
            ratio = statistics.median(self.times[other]) / statistics.median(self.times[own])
            counts = [str(self.counts[who]) for who in (own, other) if who in self.counts]
            requests = f"{self.counted}: {' and '.join(counts)}" if len(counts) == 2 else ""
            yield [self.what, spread(self.times[own]), other, spread(self.times[other]), f"{ratio:.2f}", requests]


def spread(times):
    return f"{statistics.median(times):.2f} ({min(times):.2f}–{max(times):.2f})"


class RegistryRequests(Requests):
    """Counts the requests to the registry."""

    counted = "registry"

    def __init__(self):
        super().__init__(PARTS.registry.log)

    def __exit__(self, *error):
        super().__exit__(*error)
        self.number = len(self.all)


class Solves:
    """Counts the requests to the engine."""

    counted = "engine"

    def __enter__(self):
        self.before = len(PARTS.engine.histories())

    def __exit__(self, *_):
        self.number = len(PARTS.engine.histories()) - self.before


def table():
    head = ["what", "laminate, s", "peer", "peer, s", "peer ÷ laminate", "requests to"]
    rows = [head, *(row for measure in MEASUREMENTS for row in measure.rows())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    rows.insert(1, ["-" * width for width in widths])
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    print(f"\nmedian (least–most) of {ROUNDS} rounds in turn, {os.cpu_count()} cores")


# The peers.

def run(*command, **options):
    done = subprocess.run(command, capture_output=True, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


def crane(verb, lines, at_once):
    """crane for each line, some of them at once."""
    run("xargs", "-P", str(at_once), "-L", "1", "crane", verb, "--insecure", input="\n".join(lines).encode())


def field(number, value):
    """A field of a protobuf message: a number, a text, bytes or another message."""
    def varint(number):
        low, rest = number & 127, number >> 7
        return bytes([low | 128]) + varint(rest) if rest else bytes([low])
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def command_in(image, command):
    """Returns the LLB of a command in an image (moby/buildkit, solver/pb/ops.proto); there is no
    Dockerfile frontend here."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    platform = field(10, field(1, machine) + field(2, "linux"))

    def on(op):
        return field(1, field(1, f"sha256:{hashlib.sha256(op).hexdigest()}"))
    source = field(3, field(1, f"docker-image://{image}")) + platform
    meta = b"".join(field(1, part) for part in ["/bin/sh", "-ec", command])
    meta += field(2, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") + field(3, "/")
    execute = on(source) + field(2, field(1, meta) + field(2, field(3, "/"))) + platform
    return b"".join(field(1, op) for op in [source, execute, on(execute)])


def buildctl(files, at_once):
    """`buildctl build` for each file of LLB, some of them at once."""
    run("xargs", "-P", str(at_once), "-I", "{}", "sh", "-c", f"buildctl --addr {PARTS.engine.address} build --no-cache --progress plain <{{}}",
        input="\n".join(map(str, files)).encode())


# A registry far away.

async def _carry(reader, writer, delay, start):
    """Passes bytes on, each later by half of the way there and back, the first of them after `start`."""
    queue = asyncio.Queue()

    async def take():
        while data := await reader.read(1 << 16):
            queue.put_nowait((max(time.monotonic() + delay.value / 2, start), data))
        queue.put_nowait((0, b""))
    taking = asyncio.create_task(take())
    with contextlib.suppress(ConnectionError):
        while (item := await queue.get())[1]:
            await asyncio.sleep(max(0, item[0] - time.monotonic()))
            writer.write(item[1])
            await writer.drain()
    taking.cancel()
    writer.close()


def _proxy(target, port, delay):
    async def connection(reader, writer):
        host, number = target.split(":")
        upper, lower = await asyncio.open_connection(host, int(number))
        # A connection costs the way there and back before anything can be sent.
        start = time.monotonic() + delay.value * 1.5
        await asyncio.gather(_carry(reader, lower, delay, start), _carry(upper, writer, delay, 0),
                             return_exceptions=True)

    async def serve():
        server = await asyncio.start_server(connection, "127.0.0.1", 0)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()
    asyncio.run(serve())


class Far:
    """The registry at another address, `delay` away (seconds, there and back)."""

    def __enter__(self):
        self.delay, port = multiprocessing.Value("d", 0.0), multiprocessing.Value("i", 0)
        self.process = multiprocessing.Process(target=_proxy, args=(PARTS.registry.address, port, self.delay), daemon=True)
        self.process.start()
        while not port.value:
            time.sleep(0.01)
        self.address = f"127.0.0.1:{port.value}"
        return self

    def __exit__(self, *_):
        self.process.terminate()


# The measures.

def hundred(name, registry):
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
    base = PARTS.registry.base.replace(PARTS.registry.address, registry)
    stack = Stack(PARTS, spec.replace("BASE", base), name=name)
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


def measure_hundred(name, place, registry, at_once, set_delay=lambda on: None):
    stack, tags = hundred(name, registry)
    promote, revert, nothing = (Measure(f"{what}{place}") for what in (
        "promote 100 images", "revert 100 images", "nothing to do, 100 images"))

    def tag_all(tag, many):
        crane("tag", [f"{stack.registry}/{image}:{tag} peer-{many}" for image in IMAGES], many)
    for many in at_once:
        tag_all(tags[0], many)
    set_delay(True)
    for number in range(ROUNDS):
        say(f"{name}: round {number + 1} of {ROUNDS}")
        count = RegistryRequests if number == 0 else None
        moved = []
        for measure, tag, arguments in ((promote, tags[1], ("promote", tags[1][2:], "--to", "stable")),
                                        (revert, tags[0], ("revert", "stable"))):
            measure.time("laminate", lambda: moved.append(stack.laminate(*arguments)), count)
            assert len(moved[-1].json["moved"]) == 100
            for many in at_once:
                measure.time(peer("crane tag", many), lambda: tag_all(tag, many), count)
            for image in (IMAGES[0], IMAGES[-1]):
                expected = stack.digest(image, tag)
                for moved_tag in ("stable", *(f"peer-{many}" for many in at_once)):
                    assert stack.digest(image, moved_tag) == expected, f"{image}:{moved_tag}"
        answers = []
        nothing.time("laminate", lambda: answers.append(stack.laminate("build", "--push")), count)
        assert (answers[0].json["solves"], set(answers[0].actions().values())) == (0, {"reused"})
        lines = [f"{stack.registry}/{image}:{tags[1]}" for image in IMAGES]
        for many in at_once:
            nothing.time(peer("crane digest", many), lambda: crane("digest", lines, many), count)
    set_delay(False)


def peer(command, many):
    return f"{command}, {'one by one' if many == 1 else f'{many} at once'}"


def promote():
    measure_hundred("near", "", PARTS.registry.address, (1, 16))


def far():
    """The effect of latency. crane one by one would take half a minute a round and is left out."""
    with Far() as away:
        def set_delay(on):
            away.delay.value = RTT if on else 0.0
        measure_hundred("far", f", registry {RTT * 1000:.0f} ms away", away.address, (16,), set_delay)


def tests():
    images = IMAGES[:20]
    spec = f"""stack: tested
tags: ["t-${{commit7}}"]
tests: {{ common: {{ run: "{SUITE}" }} }}
images:
"""
    for image in images:
        spec += f'  {image}: {{ base: "BASE", steps: [{{ write: {{ /etc/image: "{image} tested" }} }}] }}\n'
    stack = Stack(PARTS, spec, name="tests")
    say("tests: twenty images")
    built = stack.laminate("build", "--push")
    files = []
    for image in images:
        found = built.image(image)
        files.append(PARTS.scratch / f"{image}.llb")
        files[-1].write_bytes(command_in(f"{stack.registry}/{image}@{found['digest']}", SUITE))

    def all_at_once():
        ran = [v for i in stack.laminate("test", "--retest").json["images"] for v in i["verdicts"]]
        assert (len(ran), any(v["cached"] for v in ran)) == (20, False)

    def one_by_one():
        for image in images:
            stack.laminate("test", image, "--retest")
    measure = Measure("a suite on each of 20 images")
    buildctl(files, 1)
    for number in range(ROUNDS):
        say(f"tests: round {number + 1} of {ROUNDS}")
        count = Solves if number == 0 else None
        measure.time("laminate", all_at_once, count)
        measure.time("buildctl build, one by one", lambda: buildctl(files, 1), count)
        measure.time("buildctl build, 4 at once", lambda: buildctl(files, 4), count)
        measure.time("laminate test IMAGE, one by one", one_by_one, count)


def rules(root):
    """Returns commands that find what `root: locked` forbids, as far as find can."""
    folders = " ".join(f"{root}/{name}" for name in ("usr", "etc", "bin/", "sbin/", "lib*/", "boot"))
    return (f"find {root}/ -xdev \\( -type f -perm /6000 -o ! -type l -perm -0002 ! \\( -type d -perm -1000 \\) \\)\n"
            f"find {folders} -xdev ! -uid 0\n")


def policy():
    stack = Stack(PARTS, """
        stack: looked-at
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
    looked = PARTS.scratch / "rules.llb"
    looked.write_bytes(command_in(reference, rules("")))
    folder = PARTS.scratch / "unpacked"

    def unpack():
        run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", f"oci:{folder}/oci:it")
        run("umoci", "unpack", *([] if os.getuid() == 0 else ["--rootless"]), "--image",
            f"{folder}/oci:it", f"{folder}/bundle")
        run("sh", "-c", rules(f"{folder}/bundle/rootfs"))
    measure = Measure("an edited policy on 40,000 files")
    buildctl([looked], 1)
    for number in range(ROUNDS):
        say(f"policy: round {number + 1} of {ROUNDS}")
        stack.replace("specs.yml", f"count: {100 + number}", f"count: {101 + number}")
        stack.commit()
        answers = []
        measure.time("laminate", lambda: answers.append(stack.laminate("test")))
        assert (answers[0].json["solves"], answers[0].image("large")["checks"]["passed"]) == (1, True)
        measure.time("find, run by buildctl", lambda: buildctl([looked], 1))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        measure.time("skopeo, umoci unpack, find", unpack)


MEASURES = {measure.__name__: measure for measure in (promote, far, tests, policy)}


def main():
    global PARTS
    for name in sys.argv[1:]:
        if name not in MEASURES:
            sys.exit(f"unknown measurement `{name}`: expected {', '.join(MEASURES)}")
    with started("release") as PARTS:
        for name in sys.argv[1:] or MEASURES:
            MEASURES[name]()
        table()


if __name__ == "__main__":
    main()
