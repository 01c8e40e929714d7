"""Tests of every image of the stack. They run in the image, as its user."""
import shutil
import subprocess
import sys

import pytest


def test_python_is_that_of_the_environment():
    assert sys.prefix == "/opt/conda"


@pytest.mark.parametrize("command", ["git", "jq", "jupyter", "rsync", "start-notebook"])
def test_command_is_there(command):
    assert shutil.which(command)


def test_installed_packages_fit_together():
    # -B: the test must not leave files next to the packages it imports.
    found = subprocess.run([sys.executable, "-B", "-m", "pip", "check"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_user_may_add_packages():
    """Students install their own packages: the environment is writable for them."""
    site = subprocess.run([sys.executable, "-c", "import site; print(site.getsitepackages()[0])"],
                          capture_output=True, text=True, check=True).stdout.strip()
    probe = f"{site}/brought.pth"
    with open(probe, "w", encoding="utf-8"):
        pass
