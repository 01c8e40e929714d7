"""What every image of the stack owes its users. Run as the image's user, in the image."""
import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest


def test_python_is_that_of_the_environment():
    assert sys.prefix == "/opt/conda"


@pytest.mark.parametrize("command", ["git", "jq", "jupyter", "rsync", "start-notebook"])
def test_command_is_there(command):
    assert shutil.which(command)


def test_installed_packages_fit_together():
    found = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("folder", ["/opt/conda", "/home/jovyan"])
def test_group_may_write(folder):
    wrong = []
    for at, folders, files in os.walk(folder):
        for path in [pathlib.Path(at), *(pathlib.Path(at, name) for name in files)]:
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                continue
            wanted = 0o2070 if stat.S_ISDIR(found.st_mode) else 0o060
            if found.st_gid != 100 or found.st_mode & wanted != wanted:
                wrong.append(str(path))
    assert wrong == []
