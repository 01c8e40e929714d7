"""A stack of images in a git repository of its own, and laminate run in it."""
import copy
import itertools
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import textwrap

_numbers = itertools.count(1)


class Answer:
    """The result of one call of laminate."""

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
        assert len(found) == 1, f"{len(found)} images `{name}` in {self.out}"
        return found[0]

    def actions(self):
        """Returns image → action; with the variant before it where there is one."""
        return {f"{image['variant']}/{image['image']}" if image.get("variant") else image["image"]:
                image["action"] for image in self.json["images"]}

    def verdicts(self, image):
        """Returns suite → verdict of one image."""
        return {verdict["suite"]: verdict for verdict in self.image(image)["verdicts"]}

    def suites_run(self):
        """Returns (image, suite) of each suite that ran and was not known from before."""
        return [(image["image"], verdict["suite"]) for image in self.json["images"]
                for verdict in image["verdicts"] if not verdict["cached"]]


def default_signals():
    """Has signals end a process, as in a terminal: whoever runs the tests can have had them ignored (nohup, `&`)."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Stack:
    """A stack with a namespace of its own in the registry. `BASE` in a text is the base image."""

    def __init__(self, parts, spec, files=None, executable=(), name="stack"):
        self.parts = parts
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=parts.scratch, prefix=f"{name}-"))
        self.namespace = f"{name}-{next(_numbers)}"
        self.registry = f"{parts.registry.address}/{self.namespace}"
        (self.folder / "images").mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        self.write("specs.yml", spec)
        for path, text in (files or {}).items():
            self.write(path, text)
        for path in executable:
            (self.folder / path).chmod(0o755)
        self.commit("the stack")

    def clone(self, folder=None, **options):
        """Returns the same stack in a second clone, with the same namespace in the registry."""
        clone = copy.copy(self)
        clone.folder = pathlib.Path(folder or tempfile.mkdtemp(dir=self.parts.scratch, prefix="clone-"))
        subprocess.run(["git", "clone", "--quiet", self.folder, clone.folder], check=True, **options)
        return clone

    # The folder.

    def git(self, *args):
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "test", f"GIT_{who}_EMAIL": "test@example.org"}
        return subprocess.run(["git", "-C", self.folder, *args], check=True, env=env, text=True,
                              capture_output=True).stdout

    def write(self, path, text):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(text, bytes):
            text = textwrap.dedent(text).replace("BASE", self.parts.registry.base).encode()
        path.write_bytes(text)

    def replace(self, path, old, new):
        text = (self.folder / path).read_text()
        assert old in text, f"no {old!r} in {path}"
        (self.folder / path).write_text(text.replace(old, new))

    def line(self, text, path="specs.yml"):
        """Returns the number of the line that has a text."""
        lines = (self.folder / path).read_text().splitlines()
        found = [number for number, line in enumerate(lines, 1) if text in line]
        assert len(found) == 1, f"{text!r} is on lines {found}"
        return found[0]

    def commit(self, message="a change"):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.commit7

    @property
    def commit7(self):
        return self.git("rev-parse", "HEAD").strip()[:7]

    # laminate.

    def environment(self, engine=None, env=None):
        engine = self.parts.engine.address if engine is None else engine
        return {**os.environ, "LAMINATE_REGISTRY": self.registry, "BUILDKIT_HOST": engine, "NO_COLOR": "1", **(env or {})}

    def laminate(self, *args, status=0, engine=None, env=None, json=True):
        """Runs laminate in the folder; fails if it ends with another status (None: any)."""
        result = subprocess.run([self.parts.binary, *(["--json"] if json else []), *args], cwd=self.folder,
                                env=self.environment(engine, env), text=True, capture_output=True, timeout=1200)
        answer = Answer(result)
        assert status is None or answer.status == status, (
            f"laminate {' '.join(args)} ended with {answer.status}, not {status}\n"
            f"--- stdout\n{answer.out[-4000:]}\n--- stderr\n{answer.err[-6000:]}")
        return answer

    def start(self, *args, **options):
        """Starts laminate in the folder and returns the process."""
        options.setdefault("preexec_fn", default_signals)
        return subprocess.Popen([self.parts.binary, *args], cwd=self.folder, env=self.environment(), **options)

    # Its images in the registry.

    def repository(self, image):
        return f"{self.namespace}/{image}"

    def digest(self, image, reference):
        return self.parts.registry.digest(self.repository(image), reference)

    def tags(self, image):
        return self.parts.registry.tags(self.repository(image))

    def config(self, image, reference):
        return self.parts.registry.config(self.repository(image), reference)

    def layers(self, image, reference):
        return self.parts.registry.layers(self.repository(image), reference)

    def content(self, image, reference, path):
        return self.parts.registry.content(self.repository(image), reference, path)

    def open_layer(self, image, layer):
        return self.parts.registry.open_layer(self.repository(image), layer)
