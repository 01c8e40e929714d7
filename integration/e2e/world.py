"""What the end-to-end tests share: a stack in a git repository, and the registry and the engine as
somebody else than laminate sees them. `integration/e2e/run` sets the E2E_ variables."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

BINARY = os.environ["E2E_LAMINATE"]
REGISTRY = os.environ["E2E_REGISTRY"]
ENGINE = os.environ["E2E_ENGINE"]
BASE = os.environ["E2E_BASE"]
SCRATCH = pathlib.Path(os.environ["E2E_SCRATCH"])

TYPES = ", ".join([
    "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json"])

_tests = []


def test(function):
    """Marks a function as a test; `main` runs them in order."""
    _tests.append(function)
    return function


def main():
    failed = 0
    for function in _tests:
        name = f"{pathlib.Path(sys.argv[0]).stem}: {function.__name__.replace('_', ' ')}"
        start = time.monotonic()
        try:
            function()
        except BaseException as error:
            failed += 1
            text = traceback.format_exc()
            print(textwrap.indent(text, "    "))
            print(f"not ok {name}", flush=True)
            if isinstance(error, KeyboardInterrupt):
                break
        else:
            print(f"ok {name} ({time.monotonic() - start:.1f} s)", flush=True)
    sys.exit(1 if failed else 0)


def equal(found, wanted, what="value"):
    assert found == wanted, f"{what}:\n  found  {found!r}\n  wanted {wanted!r}"


class Answer:
    """What one call of laminate said."""

    def __init__(self, result):
        self.status = result.returncode
        self.out = result.stdout
        self.err = result.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def image(self, name, variant=None):
        found = [image for image in self.json["images"]
                 if image["image"] == name and (variant is None or image["variant"] == variant)]
        assert len(found) == 1, f"{len(found)} images named {name} in {self.out}"
        return found[0]

    def actions(self):
        """Image → what was done; with the variant before it where there is one."""
        return {f"{image['variant']}/{image['image']}" if image.get("variant") else image["image"]:
                image["action"] for image in self.json["images"]}


class Stack:
    """A stack in a git repository, with a namespace of its own in the registry."""

    _count = 0

    def __init__(self, spec, files=None, name="stack"):
        Stack._count += 1
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH, prefix=f"{name}-"))
        stem = pathlib.Path(sys.argv[0]).stem.replace("_", "-")
        self.namespace = f"{stem}-{name}-{Stack._count}"
        self.registry = f"{REGISTRY}/{self.namespace}"
        (self.folder / "images").mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        self.write("specs.yml", spec)
        for path, text in (files or {}).items():
            self.write(path, text)
        self.commit("the stack")

    def git(self, *args):
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "test", f"GIT_{who}_EMAIL": "test@example.org"}
        return subprocess.run(["git", "-C", self.folder, *args], check=True, env=env, text=True,
                              capture_output=True).stdout

    def write(self, path, text):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        data = text if isinstance(text, bytes) else textwrap.dedent(text).replace("BASE", BASE).encode()
        path.write_bytes(data)

    def replace(self, path, old, new):
        text = (self.folder / path).read_text()
        assert old in text, f"no {old!r} in {path}"
        (self.folder / path).write_text(text.replace(old, new))

    def commit(self, message="a change"):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.commit7

    @property
    def commit7(self):
        return self.git("rev-parse", "HEAD").strip()[:7]

    def laminate(self, *args, status=0, engine=ENGINE, env=None, json=True):
        """Runs laminate in the repository; fails if it ends with another status (None: any)."""
        whole = {name: value for name, value in os.environ.items() if not name.startswith("E2E_")}
        whole |= {"LAMINATE_REGISTRY": self.registry, "BUILDKIT_HOST": engine, "NO_COLOR": "1", **(env or {})}
        result = subprocess.run([BINARY, *(["--json"] if json else []), *args], cwd=self.folder,
                                env=whole, text=True, capture_output=True, timeout=1200)
        answer = Answer(result)
        assert status is None or answer.status == status, (
            f"laminate {' '.join(args)} ended with {answer.status}, not {status}\n"
            f"--- stdout\n{answer.out[-4000:]}\n--- stderr\n{answer.err[-6000:]}")
        return answer


# The registry.

def request(method, path, data=None, headers=None):
    """One request; (status, headers, body), also for a status that says no."""
    asked = urllib.request.Request(f"http://{REGISTRY}/v2/{path}", data=data, method=method,
                                   headers={"Accept": TYPES, "User-Agent": "e2e", **(headers or {})})
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def manifest(repository, reference):
    """(digest, parsed manifest)."""
    status, _, body = request("GET", f"{repository}/manifests/{reference}")
    assert status == 200, f"{repository}:{reference} answers {status}"
    return f"sha256:{hashlib.sha256(body).hexdigest()}", json.loads(body)


def digest(repository, reference):
    """The digest behind a tag; None if there is none."""
    status, _, body = request("GET", f"{repository}/manifests/{reference}")
    return f"sha256:{hashlib.sha256(body).hexdigest()}" if status == 200 else None


def tags(repository):
    status, _, body = request("GET", f"{repository}/tags/list")
    return sorted(json.loads(body).get("tags") or []) if status == 200 else []


def blob(repository, name):
    status, _, body = request("GET", f"{repository}/blobs/{name}")
    assert status == 200, f"{repository}@{name} answers {status}"
    return body


def config(repository, reference):
    return json.loads(blob(repository, manifest(repository, reference)[1]["config"]["digest"]))


def layers(repository, reference):
    return [layer["digest"] for layer in manifest(repository, reference)[1]["layers"]]


def tree(repository, layer):
    """A layer as an open tar file."""
    data = blob(repository, layer)
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return tarfile.open(fileobj=io.BytesIO(data))


def content(repository, reference, path):
    """The bytes of a file in an image: from the uppermost layer that has it."""
    for layer in reversed(layers(repository, reference)):
        with tree(repository, layer) as archive:
            for member in archive:
                if member.name.strip("./") == path.strip("/"):
                    return archive.extractfile(member).read()
    raise AssertionError(f"no {path} in {repository}:{reference}")


def put_blob(repository, data):
    name = f"sha256:{hashlib.sha256(data).hexdigest()}"
    status, headers, _ = request("POST", f"{repository}/blobs/uploads/", b"")
    equal(status, 202, "upload")
    place = headers["Location"]
    asked = urllib.request.Request(place + ("&" if "?" in place else "?") + f"digest={name}", data=data,
                                   method="PUT", headers={"Content-Type": "application/octet-stream"})
    urllib.request.urlopen(asked).close()
    return {"digest": name, "size": len(data)}


def put_manifest(repository, tag, whole):
    body = json.dumps(whole).encode()
    status, _, _ = request("PUT", f"{repository}/manifests/{tag}", body, {"Content-Type": whole["mediaType"]})
    equal(status, 201, "manifest")
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def put_image(repository, tag, changed):
    """Puts the base under another name, its config run through `changed`; gives the digest."""
    source, name = BASE.split("/", 1)[1].rsplit(":", 1)
    _, whole = manifest(source, name)
    for layer in whole["layers"]:
        status, _, _ = request("POST", f"{repository}/blobs/uploads/?mount={layer['digest']}&from={source}", b"")
        equal(status, 201, "mount")
    data = json.dumps(changed(json.loads(blob(source, whole["config"]["digest"])))).encode()
    whole["config"] |= put_blob(repository, data)
    return put_manifest(repository, tag, whole)


def put_layers(repository, tag, archives):
    """Puts an image of tar archives, and of nothing else; gives the digest."""
    layers = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
               **put_blob(repository, gzip.compress(archive, mtime=0))} for archive in archives]
    source, name = BASE.split("/", 1)[1].rsplit(":", 1)
    machine = config(source, name)["architecture"]
    whole = {"architecture": machine, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [
        f"sha256:{hashlib.sha256(archive).hexdigest()}" for archive in archives]}}
    return put_manifest(repository, tag, {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": layers,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   **put_blob(repository, json.dumps(whole).encode())}})


class Requests:
    """Requests the registry answers inside a `with`, without those of these tests."""

    LINE = re.compile(r'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d+) \d+ "[^"]*" "([^"]*)"')

    def __enter__(self):
        self.path = os.environ["E2E_REGISTRY_LOG"]
        self.start = os.path.getsize(self.path)
        return self

    def __exit__(self, *_):
        time.sleep(0.2)
        with open(self.path, errors="replace") as log:
            log.seek(self.start)
            self.all = [(m[1], urllib.parse.unquote(m[2]), int(m[3])) for m in self.LINE.finditer(log.read())
                        if m[4] != "e2e"]

    def uploads(self):
        """Digests of blobs whose bytes were sent, with repetitions."""
        return [found[1] for method, path, status in self.all
                if method == "PUT" and "/blobs/uploads/" in path and status == 201
                and (found := re.search(r"digest=(sha256:[0-9a-f]{64})", path))]

    def sent_to(self, repository):
        return [line for line in self.all if line[1].startswith(f"/v2/{repository}/blobs/uploads/")
                and (line[0] == "PATCH" or line[0] == "PUT")]


# The engine.

def histories():
    """Refs of the builds the engine remembers."""
    out = subprocess.run(["buildctl", "--addr", ENGINE, "debug", "histories", "--format", "{{json .}}"],
                         check=True, capture_output=True, text=True).stdout
    found, at, decoder = [], 0, json.JSONDecoder()
    while at < len(out.rstrip()):
        value, at = decoder.raw_decode(out, at)
        at += len(out[at:]) - len(out[at:].lstrip())
        found.append(value["record"]["Ref"])
    return found


class Nobody:
    """An engine that answers nothing and counts who comes."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.came = 0
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def _count(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.came += 1
            connection.close()

    def __exit__(self, *_):
        self.socket.close()


def as_root(*args, **options):
    command = list(args) if os.getuid() == 0 else ["sudo", "-E", *args]
    return subprocess.run(command, text=True, capture_output=True, **options)


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
