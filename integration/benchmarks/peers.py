"""The tools laminate is compared with."""
import hashlib
import json
import os
import subprocess

from measure import call


def crane(verb, lines, at_once):
    """crane for each line, some of them at once."""
    return call("xargs", "-P", at_once, "-L", "1", "crane", verb, "--insecure", text="\n".join(lines))


def named(command, at_once):
    return f"{command}, {'one by one' if at_once == 1 else f'{at_once} at once'}"


def field(number, value):
    """A field of a protobuf message: a number, a text, bytes or another message."""
    def varint(number):
        low, rest = number & 127, number >> 7
        return bytes([low | 128]) + varint(rest) if rest else bytes([low])
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def machine():
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def command_in(image, command):
    """Returns the LLB of a command in an image (moby/buildkit, solver/pb/ops.proto), as `buildctl build` reads it."""
    platform = field(10, field(1, machine()) + field(2, "linux"))

    def on(op):
        return field(1, field(1, f"sha256:{hashlib.sha256(op).hexdigest()}"))
    source = field(3, field(1, f"docker-image://{image}")) + platform
    meta = b"".join(field(1, part) for part in ["/bin/sh", "-ec", command])
    meta += field(2, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") + field(3, "/")
    execute = on(source) + field(2, field(1, meta) + field(2, field(3, "/"))) + platform
    return b"".join(field(1, op) for op in [source, execute, on(execute)])


def buildctl(parts, files, at_once):
    """`buildctl build` for each file of LLB, some of them at once."""
    return call("xargs", "-P", at_once, "-I", "{}", "sh", "-c",
                f"buildctl --addr {parts.engine.address} build --no-cache --progress plain <{{}}",
                text="\n".join(map(str, files)))


def forget(parts):
    """Empties the engine's cache: it is then as one that was started just now."""
    subprocess.run(["buildctl", "--addr", parts.engine.address, "prune", "--all"], check=True, capture_output=True)


def yardstick(parts, tree, reference, *prefix):
    """Builds a tree in one solve through BuildKit's Go client and pushes it into one repository. With a prefix, each image
    is then copied to a repository of its own."""
    return call("yardstick", parts.engine.address, reference, *prefix, text=json.dumps(tree))


class Bake:
    """`buildx bake` in a folder that has a bake file and Dockerfiles, on the same engine."""

    def __init__(self, parts, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        config = parts.scratch / "buildx"
        self.environment = {**os.environ, "BUILDX_CONFIG": str(config), "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        if not config.exists():
            call("buildx", "create", "--name", "bench", "--driver", "remote", parts.engine.address, env=self.environment)
        self.targets = {}

    def target(self, name, dockerfile, tags, parent=None, files=None):
        """Adds a target with a folder of its own; `FROM parent` is another target."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        for path, text in {"Dockerfile": dockerfile, **(files or {})}.items():
            (place / path).write_text(text)
        self.targets[name] = {"context": name, "tags": tags, "contexts": {"parent": f"target:{parent}"} if parent else {},
                              "output": ["type=image,push=true,oci-mediatypes=true"]}

    def build(self, **changes):
        """Builds and pushes all targets; `changes` gives more keys for each, as functions of its name."""
        targets = {name: {**target, **{key: value(name) for key, value in changes.items()}}
                   for name, target in self.targets.items()}
        file = {"group": {"default": {"targets": list(targets)}}, "target": targets}
        (self.folder / "docker-bake.json").write_text(json.dumps(file))
        return call("buildx", "bake", "--builder", "bench", "--progress", "quiet", "-f", "docker-bake.json",
                    cwd=self.folder, env=self.environment)
