"""An engine whose worker is containerd, as on machines where containerd runs anyway."""
import os
import pathlib
import subprocess
import time

import pytest

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="containerd runs as root here")

SPEC = """
    stack: containerd
    tags: ["c-${commit7}"]
    images:
      plain: { base: BASE, config: { labels: { org.example.kind: plain } } }
      ground:
        base: BASE
        steps:
          - run: echo ground >/ground
        tests:
          see: { run: "test -s /ground" }
"""


def started(command, ready, log):
    """Starts a program and waits until `ready`, a command, succeeds."""
    with open(log, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    for _ in range(300):
        if subprocess.run(ready, capture_output=True).returncode == 0:
            return process
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def containerd(parts):
    """The folder of a containerd and of an engine on it, which listen at `containerd.sock` and `engine.sock`."""
    folder = pathlib.Path(parts.scratch) / "containerd"
    folder.mkdir()
    (folder / "config.toml").write_text(f"""
        version = 2
        root = "{folder}/root"
        state = "{folder}/state"
        disabled_plugins = ["io.containerd.grpc.v1.cri"]
        [grpc]
        address = "{folder}/containerd.sock"
    """)
    processes = [started(["containerd", "--config", folder / "config.toml"],
                         ["ctr", "--address", folder / "containerd.sock", "version"], folder / "containerd.log")]
    try:
        address = f"unix://{folder}/engine.sock"
        processes.append(started(
            ["buildkitd", "--root", folder / "engine", "--addr", address, "--oci-worker=false",
             "--containerd-worker-addr", folder / "containerd.sock", "--containerd-worker-net=host"],
            ["buildctl", "--addr", address, "debug", "workers"], folder / "engine.log"))
        yield folder
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def test_nothing_stays_in_the_store_of_containerd_and_no_base_is_pulled_for_labels(make_stack, containerd, registry):
    stack = make_stack(SPEC)
    engine = f"unix://{containerd}/engine.sock"
    [base] = registry.layers(*registry.base.partition("/")[2].rsplit(":", 1))
    with registry.recorded() as requests:
        stack.laminate("build", "plain", "--push", engine=engine)
    pulls = [path for method, path, _ in requests.all if method == "GET" and base in path]
    assert not pulls
    answer = stack.laminate("build", "--push", engine=engine)
    assert answer.actions() == {"plain": "reused", "ground": "built"} and answer.verdicts("ground")["see"]["passed"]
    assert stack.content("ground", f"c-{stack.commit7}", "/ground") == b"ground\n"
    stored = subprocess.run(["ctr", "--address", containerd / "containerd.sock", "--namespace", "buildkit", "images", "ls", "-q"],
                            check=True, capture_output=True, text=True).stdout
    assert stored == ""
