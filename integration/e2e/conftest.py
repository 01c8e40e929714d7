"""Fixtures of the end-to-end tests. Each test makes its stack itself, or takes one that a fixture makes
for it, and can run alone."""
import pathlib
import sys

import pytest
from engine import UnusedServer
from parts import started
from stack import Stack

sys.dont_write_bytecode = True


@pytest.fixture(scope="session")
def parts():
    """laminate, the registry and the engine."""
    with started() as parts:
        yield parts


@pytest.fixture(scope="session")
def registry(parts):
    return parts.registry


@pytest.fixture(scope="session")
def engine(parts):
    return parts.engine


@pytest.fixture
def unused_engine():
    """An engine that must not be contacted; the test fails if it was."""
    with UnusedServer() as server:
        yield server
    assert server.connections == 0, "connections to the engine"


@pytest.fixture(scope="module")
def make_stack(parts, request):
    """Makes a new stack: spec, files, executable, name."""
    module = pathlib.Path(request.module.__file__).stem.removeprefix("test_").replace("_", "-")

    def make(spec, files=None, executable=(), name="stack"):
        return Stack(parts, spec, files, executable, name=f"{module}-{name}")

    return make
