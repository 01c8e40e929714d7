"""Times of commands, the requests and the CPU time they cost, and the table of all of them."""
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import typing

from registry import Requests

ROUNDS = int(os.environ.get("LAMINATE_ROUNDS", "5"))
REAL_ROUNDS = int(os.environ.get("LAMINATE_REAL_ROUNDS", "1"))
LAMINATE = "laminate"


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Call:
    """A command that ended with status 0: its output, its peak memory in bytes, the time and the CPU time it took,
    seconds."""

    out: str
    err: str
    peak: int
    seconds: float
    cpu: float

    @property
    def json(self):
        return json.loads(self.out)


class Peak(threading.Thread):
    """Reads the largest memory that a process had, in bytes (VmHWM of proc(5)), until it ends. That of wait4(2) would
    count this program's own, which the new process has until it executes the command."""

    def __init__(self, process):
        super().__init__()
        self.status = pathlib.Path(f"/proc/{process.pid}/status")
        self.ended, self.bytes = threading.Event(), 0

    def run(self):
        while not self.ended.wait(0.005):
            with contextlib.suppress(OSError):
                found = re.search(r"VmHWM:\s+(\d+) kB", self.status.read_text())
                self.bytes = max(self.bytes, int(found[1]) * 1024) if found else self.bytes

    def stop(self):
        self.ended.set()
        self.join()


def cpu_of_children():
    """Returns the CPU time of the processes that this one has started and waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def call(*command, text="", expected=(0,), **options):
    """Runs a command to its end."""
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        given.write(text)
        given.seek(0)
        before, start = cpu_of_children(), time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdin=given, stdout=out, stderr=err, **options)
        peak = Peak(process)
        peak.start()
        process.wait()
        seconds = time.perf_counter() - start
        peak.stop()
        out.seek(0)
        err.seek(0)
        answer = Call(out.read(), err.read(), peak.bytes, seconds, cpu_of_children() - before)
    assert process.returncode in expected, (
        f"{' '.join(map(str, command))} ended with {process.returncode}\n{answer.out[-2000:]}\n{answer.err[-4000:]}")
    return answer


class Server:
    """What the processes of a server have used: those that were started with certain arguments."""

    def __init__(self, *arguments):
        mark = "".join(f"{argument}\0" for argument in arguments).encode()
        self.processes = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "cmdline").read_bytes():
                    self.processes.append(folder)

    def seconds(self):
        """Returns the CPU time of the server and of what it has started and waited for."""
        total = 0
        for folder in self.processes:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            # user, system, and those of children (proc(5), fields 14 to 17)
            total += sum(map(int, fields[11:15]))
        return total / os.sysconf("SC_CLK_TCK")


class Engine(Server):
    """What the engine has used."""

    def __init__(self, address):
        super().__init__("--addr", address)

    def rest(self, quiet=7, limit=300):
        """Waits until the engine has done nothing for a while, seconds: some seconds after a build has ended it begins to
        write its history and traces, for a minute after a bake of a hundred targets. Returns its CPU time then."""
        end, since, before = time.monotonic() + limit, time.monotonic(), self.seconds()
        while time.monotonic() < end and time.monotonic() - since < quiet:
            time.sleep(0.5)
            now = self.seconds()
            if now - before > 0.02:
                since = time.monotonic()
            before = now
        return before


@dataclasses.dataclass
class Sample:
    seconds: float = None
    requests: int = None
    client_seconds: float = None
    engine_seconds: float = None
    registry_seconds: float = None
    peak: int = None
    bytes: int = None
    solves: int = None


class Row:
    """One kind of work, done by laminate and by others in turn."""

    all: typing.ClassVar[list] = []

    def __init__(self, number, what, goal=""):
        self.number, self.what, self.goal = number, what, goal
        self.samples = {}
        Row.all.append(self)

    def add(self, who, sample):
        self.samples.setdefault(who, []).append(sample)

    def time(self, parts, who, work, with_engine=True):
        """Does the work once with the engine at rest, and returns what it returns; work of one `Call` returns that, which
        has its own time, peak memory and CPU time. The engine's time includes what it does after the work."""
        engine = Engine(parts.engine.address)
        registry = Server("serve", parts.registry.configuration)
        before, registry_before = engine.rest() if with_engine else 0, registry.seconds()
        with Requests(parts.registry.log) as requests:
            start = time.perf_counter()
            answer = work()
            sample = Sample(time.perf_counter() - start)
        sample.registry_seconds = registry.seconds() - registry_before
        sample.engine_seconds = engine.rest() - before if with_engine else None
        sample.requests = len(requests.all)
        if isinstance(answer, Call):
            sample.seconds, sample.peak, sample.client_seconds = answer.seconds, answer.peak, answer.cpu
        self.add(who, sample)
        say(f"{self.number} {who}: {sample.seconds:.2f} s")
        return answer

    def measured(self, who):
        """Returns the median of what the row is about: seconds, or the bytes of layers."""
        samples = self.samples[who]
        return statistics.median(sample.bytes if sample.seconds is None else sample.seconds for sample in samples)

    def lines(self):
        own = self.measured(LAMINATE) if LAMINATE in self.samples else None
        for who, samples in self.samples.items():
            ratio = f"{self.measured(who) / own:.2f}" if own and who != LAMINATE else ""
            times = [sample.seconds for sample in samples if sample.seconds is not None]
            yield [self.number, self.what, who, spread(times) if times else "", ratio,
                   middle(samples, "requests"), cpu(samples), middle(samples, "peak", 1e6), middle(samples, "bytes", 1e6),
                   self.goal if who == LAMINATE else ""]


def spread(times):
    digits = 3 if max(times) < 0.3 else 2 if max(times) < 20 else 0
    text = f"{statistics.median(times):.{digits}f}"
    return text if len(times) == 1 else f"{text} ({min(times):.{digits}f}–{max(times):.{digits}f})"


def cpu(samples):
    """Returns the CPU time of the client, the engine and the registry; nothing for one that was not measured."""
    parts = [middle(samples, f"{who}_seconds", digits=2) for who in ("client", "engine", "registry")]
    return " + ".join(part or "–" for part in parts) if any(parts) else ""


def middle(samples, name, unit=1, digits=0):
    values = [value for sample in samples if (value := getattr(sample, name)) is not None]
    return f"{statistics.median(values) / unit:.{digits}f}" if values else ""


HEAD = ["row", "work", "tool", "seconds", "÷ laminate", "requests", "CPU: client + engine + registry, s",
        "peak, MB", "layers, MB", "goal"]


def table(rows):
    lines = [HEAD, *(line for row in rows for line in row.lines())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")


def document(rows, versions):
    """Returns all samples and the machine as a value for JSON."""
    return {
        "machine": {"cores": os.cpu_count(), "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
                    "system": platform.release()},
        "versions": versions,
        "rows": [{"row": row.number, "work": row.what, "goal": row.goal,
                  "tools": {who: [dataclasses.asdict(sample) for sample in samples]
                            for who, samples in row.samples.items()}} for row in rows],
    }


def in_turn(number, works):
    """Returns the works in an order that changes from round to round."""
    works = list(works)
    return works if number % 2 == 0 else works[::-1]
