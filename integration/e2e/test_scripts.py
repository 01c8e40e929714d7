"""The scripts of `integration` fail readably when a download fails."""
import os
import subprocess

from parts import ROOT


def test_a_broken_mirror_is_reported_with_the_log(tmp_path, parts):
    mirror = "http://127.0.0.1:1/debian"
    result = subprocess.run(
        ["bash", "-c", "set -euo pipefail; . integration/lib.sh; make_base; echo not reached"], cwd=ROOT, text=True,
        capture_output=True, env={**os.environ, "LAMINATE_WORK": str(tmp_path), "LAMINATE_DEBIAN_MIRROR": mirror})
    assert (result.returncode, result.stdout) == (1, "")
    assert "FAILED: cannot make the base image: mmdebstrap failed three times" in result.stderr
    assert mirror in result.stderr, "the log of mmdebstrap"
    assert result.stderr.count("trying again") == 2
    assert os.listdir(tmp_path) == [], "the folder of the run is removed"


def test_a_failed_download_of_go_modules_is_reported(tmp_path, parts):
    go = tmp_path / "bin/go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\n[ \"$1\" = env ] && echo go1.24.0 && exit\necho no network >&2\nexit 1\n")
    go.chmod(0o755)
    result = subprocess.run([ROOT / "integration/install", "tools"], text=True, capture_output=True, env={
        **os.environ, "LAMINATE_TOOLS": str(tmp_path / "tools"), "PATH": f"{go.parent}:{os.environ['PATH']}"})
    assert result.returncode == 1
    assert result.stderr.count("no network") == 3
    assert "cannot build buildkitd" in result.stderr
    assert list(tmp_path.glob("tools/*")) == []
