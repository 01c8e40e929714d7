"""What the tests run against: laminate, a registry with a base image, a build engine. They are real
programs, started by `integration/parts`."""
import contextlib
import dataclasses
import os
import pathlib
import subprocess

from engine import Engine
from registry import Registry

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Parts:
    binary: str
    registry: Registry
    engine: Engine
    scratch: pathlib.Path


@contextlib.contextmanager
def started(profile="debug"):
    """Starts the parts, and stops them at the end of the `with` block."""
    process = subprocess.Popen([ROOT / "integration/parts", profile], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    values = {}
    try:
        for line in process.stdout:
            if line == "ready\n":
                break
            name, value = line.rstrip("\n").split("=", 1)
            values[name] = value
        else:
            raise RuntimeError(f"integration/parts ended with {process.wait()} before it was ready")
        os.environ["PATH"] = values["PATH"]
        # Settings of the machine would change what is tested.
        for name in [name for name in os.environ if name.startswith(("LAMINATE_", "GITHUB_"))]:
            del os.environ[name]
        if values["ca"]:
            os.environ["LAMINATE_CA"] = values["ca"]
        yield Parts(binary=values["binary"], engine=Engine(values["engine"], values["engine_metrics"]), scratch=pathlib.Path(values["scratch"]),
                    registry=Registry(values["registry"], values["registry_log"], values["base"]))
    finally:
        process.stdin.close()
        process.wait()


def as_root(*command, **options):
    """Runs a command as root and returns its result."""
    command = list(command) if os.getuid() == 0 else ["sudo", "-E", *command]
    return subprocess.run(command, text=True, capture_output=True, **options)
