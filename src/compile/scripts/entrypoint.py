"""The fixture `entrypoint` of pytest suites: starts the command of the image as a runtime does."""

import contextlib
import grp
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import pytest

IMAGE = json.loads(pathlib.Path(__file__).with_name("image.json").read_text())
# A runtime mounts these.
MOUNTED = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}


class Process:
    """A started command. `output` is what it has written to standard output and standard error."""

    def __init__(self, args, **options):
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            args, stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
        self.pid = self._process.pid

    @property
    def output(self):
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), size, 0).decode(errors="replace")

    @property
    def returncode(self):
        """The exit code; None while it runs."""
        return self._process.poll()

    def wait(self, timeout=60):
        """Waits for the end, and returns the exit code."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it runs for more than {timeout} s; its output:\n{self.output}") from None

    def wait_for(self, condition, what, timeout=60):
        """Waits until a function returns something true, and returns that; fails if the command ends."""
        end = time.monotonic() + timeout
        while True:
            ended = self.returncode
            found = condition()
            if found:
                return found
            assert ended is None, f"it ended with {ended} before {what}; its output:\n{self.output}"
            assert time.monotonic() < end, f"no {what} within {timeout} s; its output:\n{self.output}"
            time.sleep(0.1)

    def wait_for_port(self, port, timeout=60):
        """Waits until the command listens on a port."""

        def listens():
            with socket.socket() as client:
                client.settimeout(5)
                return client.connect_ex(("127.0.0.1", port)) == 0

        self.wait_for(listens, f"port {port}", timeout)

    def wait_for_output(self, text, timeout=60):
        """Waits until the output has a text."""
        self.wait_for(lambda: text in self.output, f"output `{text}`", timeout)

    def stop(self, timeout=10):
        """Stops it as a runtime does: SIGTERM, then SIGKILL for all that it started."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait(timeout)


class User:
    """A user by `/etc/passwd` and `/etc/group`, as runtimes read `USER` or `USER:GROUP`."""

    def __init__(self, text, groups):
        name, _, group = str(text or "0").partition(":")
        entry = self._entry(name)
        if entry is None and not name.isdigit():
            raise ValueError(f"the image has no user `{name}`")
        self.uid = entry.pw_uid if entry else int(name)
        self.home = entry.pw_dir if entry else "/"
        self.gid = self._group(group) if group else entry.pw_gid if entry else 0
        self.groups = [self.gid, *map(self._group, groups)]
        if entry and not group:
            self.groups += [found.gr_gid for found in grp.getgrall() if entry.pw_name in found.gr_mem]

    @staticmethod
    def _entry(name):
        for entry in pwd.getpwall():
            if name in (entry.pw_name, str(entry.pw_uid)):
                return entry
        return None

    @staticmethod
    def _group(group):
        return int(group) if str(group).isdigit() else grp.getgrnam(group).gr_gid

    def become(self):
        """Runs in the child, before the command."""
        if os.getuid() == 0:
            os.setgroups(self.groups)
            os.setgid(self.gid)
            os.setuid(self.uid)


class Folders:
    """Folders that are put back to what they were."""

    def __init__(self, folders):
        self._copy = tempfile.mkdtemp()
        self._before = {}
        for folder in folders:
            for path in self._below(folder):
                self._before[path] = info = os.lstat(path)
                kept = self._copy + path
                if stat.S_ISDIR(info.st_mode):
                    os.makedirs(kept, exist_ok=True)
                elif stat.S_ISREG(info.st_mode):
                    os.makedirs(os.path.dirname(kept), exist_ok=True)
                    shutil.copy2(path, kept)
                elif stat.S_ISLNK(info.st_mode):
                    os.makedirs(os.path.dirname(kept), exist_ok=True)
                    os.symlink(os.readlink(path), kept)
        self._folders = folders

    @staticmethod
    def _below(folder):
        yield folder
        for above, folders, files in os.walk(folder):
            for name in folders + files:
                path = os.path.join(above, name)
                if path not in MOUNTED:
                    yield path

    def restore(self):
        """Removes what is new, and puts back what changed."""
        for folder in self._folders:
            for path in sorted(self._below(folder), reverse=True):
                if path not in self._before:
                    if os.path.isdir(path) and not os.path.islink(path):
                        shutil.rmtree(path, ignore_errors=True)
                    elif os.path.lexists(path):
                        os.remove(path)
        for path, info in sorted(self._before.items()):
            now = os.lstat(path) if os.path.lexists(path) else None
            if now is not None and now.st_ctime_ns == info.st_ctime_ns:
                continue
            kept = self._copy + path
            if stat.S_ISDIR(info.st_mode):
                os.makedirs(path, exist_ok=True)
            elif os.path.lexists(kept):
                if now is not None:
                    os.remove(path)
                shutil.copy2(kept, path, follow_symlinks=False)
            os.chown(path, info.st_uid, info.st_gid, follow_symlinks=False)
            if not stat.S_ISLNK(info.st_mode):
                os.chmod(path, stat.S_IMODE(info.st_mode))
                os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

    def close(self):
        shutil.rmtree(self._copy, ignore_errors=True)


def write(path, content):
    """Writes a file for a test: a text, bytes, or a pair of one of them and a mode."""
    content, mode = content if isinstance(content, tuple) else (content, 0o644)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    pathlib.Path(path).write_bytes(data)
    os.chmod(path, mode)


@pytest.fixture
def entrypoint():
    """Returns a function that starts the image's entrypoint.

    `entrypoint(cmd=None, user=None, groups=(), env={}, files={}, cwd=None)`: `cmd` replaces the command of the
    image, the others are those of `docker run`; `files` are written before. Another user than that of the
    suite needs `as: root`. After the test, what was started is stopped, and /etc, /home, /root and the
    working directory are as they were.
    """
    is_root = os.getuid() == 0
    folders = [folder for folder in dict.fromkeys(["/etc", "/home", "/root", IMAGE["workdir"]])
               if folder != "/" and os.path.isdir(folder)]
    folders = [folder for folder in folders if not any(folder.startswith(f"{other}/") for other in folders)]
    before = Folders(folders) if is_root else None
    started = []

    def start(cmd=None, user=None, groups=(), env=None, files=None, cwd=None):
        for path, content in (files or {}).items():
            write(path, content)
        someone = User(IMAGE["user"] if user is None else user, groups)
        if not is_root and (someone.uid != os.getuid() or groups):
            pytest.fail("the fixture `entrypoint` needs `as: root` of the suite to start other users", pytrace=False)
        variables = {"HOME": someone.home, **IMAGE["env"], **{name: str(value) for name, value in (env or {}).items()}}
        args = [*IMAGE["entrypoint"], *(IMAGE["cmd"] if cmd is None else cmd)]
        # A program is searched on the PATH that it gets.
        program = shutil.which(args[0], path=variables.get("PATH")) or args[0]
        process = Process(args, executable=program, env=variables, cwd=cwd or IMAGE["workdir"], preexec_fn=someone.become)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()
    if before is not None:
        before.restore()
        before.close()
