"""A conda channel of packages that are built here, served on loopback with a log of its requests."""
import contextlib
import functools
import http.server
import json
import threading

from rattler_build import Stage0Recipe

PLACE = "$PREFIX/lib/python3.11/site-packages"


def build(folder, name, version, script, run=(), noarch=None, entry_points=()):
    """Builds a package into a channel, with py-rattler-build."""
    recipe = {
        "package": {"name": name, "version": version},
        "build": {"number": 0, "script": list(script)},
        "requirements": {"run": list(run)},
    }
    if noarch:
        recipe["build"]["noarch"] = noarch
    if entry_points:
        recipe["build"]["python"] = {"entry_points": list(entry_points)}
    Stage0Recipe.from_yaml(json.dumps(recipe)).run_build(
        output_dir=folder, channels=[], no_build_id=True, no_include_recipe=True)


def module(name, version, run=("python >=3.8",)):
    """Returns the arguments that build a module with a command of its name."""
    return {"name": name, "version": version, "noarch": "python", "run": run, "entry_points": [f"{name} = {name}:main"],
            "script": [f"mkdir -p {PLACE}/{name}",
                       f"printf \"VERSION = '{version}'\\ndef main():\\n    print('{name}', VERSION)\\n\" >{PLACE}/{name}/__init__.py"]}


def tool(version):
    """Returns the arguments that build a program which knows its environment, with a post-link script."""
    return {"name": "tool", "version": version, "script": [
        "mkdir -p $PREFIX/bin", f"printf '#!/bin/sh\\necho tool {version} '$PREFIX'\\n' >$PREFIX/bin/tool",
        "printf '#!/bin/sh\\necho $PKG_NAME >$PREFIX/post-link\\n' >$PREFIX/bin/.tool-post-link.sh",
        "chmod 755 $PREFIX/bin/tool $PREFIX/bin/.tool-post-link.sh"]}


# Debian's python as the package of an environment: the environment has its own modules, as a venv does.
PYTHON = {"name": "python", "version": "3.11.2", "script": [
    f"mkdir -p $PREFIX/bin {PLACE}", "ln -s /usr/bin/python3.11 $PREFIX/bin/python3.11",
    "ln -s python3.11 $PREFIX/bin/python", "ln -s python3.11 $PREFIX/bin/python3",
    "echo 'home = /usr/bin' >$PREFIX/pyvenv.cfg", f"echo x >{PLACE}/README"]}
PACKAGES = [
    PYTHON, module("leaf", "1.0"), module("leaf", "2.0"), tool("1.0"), tool("2.0"),
    module("needy", "1.0", run=["python >=3.8", "leaf <2"]),
    {"name": "broken", "version": "1.0", "run": ["leaf <2", "leaf >=2"], "script": ["mkdir -p $PREFIX/x", "echo x >$PREFIX/x/x"]},
]


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        self.server.requests.append(f"{self.command} {self.path}")


@contextlib.contextmanager
def served(folder):
    """Builds the packages into a folder, and serves it; yields the server, with its `folder`, `url` and `requests`."""
    for package in PACKAGES:
        build(folder, **package)
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.requests = []
        server.folder = folder
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
