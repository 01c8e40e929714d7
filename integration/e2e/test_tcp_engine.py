"""An engine at a TCP port, as the README starts one."""
import subprocess
import time

import pytest
from engine import TcpPort

SPEC = """
    stack: tcp
    tags: ["t-${commit7}"]
    images:
      parent: { base: BASE, steps: [{ copy: { /srv/big: big } }] }
      child:
        base: parent
        steps: [{ copy: { /srv/: tree/ } }]
        tests: { files: { run: grep -q 399 /srv/399 } }
    """


@pytest.fixture
def stack(make_stack):
    files = {f"images/child/tree/{number}": str(number) for number in range(400)}
    return make_stack(SPEC, files | {"images/parent/big": "0123456789abcdef" * 500_000})


def test_a_build_over_tcp(stack, engine):
    with TcpPort(engine) as port:
        answer = stack.laminate("build", "--push", engine=port.address)
        assert answer.actions() == {"parent": "built", "child": "built"}
        assert stack.tags("child") == [f"t-{stack.commit7}"]
        answer = stack.laminate("run", "child", "--", "sh", "-c", "ls /srv | wc -l; wc -c </srv/big", engine=port.address, json=False)
    assert answer.out.split() == ["401", "8000000"]


def test_a_connection_that_breaks_ends_the_build(stack, engine):
    stack.replace("specs.yml", "steps: [{ copy: { /srv/big: big } }]", "steps: [{ run: echo begun; sleep 300 }]")
    stack.commit()
    with TcpPort(engine) as port:
        env = stack.environment(port.address, None)
        process = subprocess.Popen([stack.parts.binary, "build"], cwd=stack.folder, env=env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "begun" in line:
                break
        start = time.monotonic()
        port.vanish()
        rest = process.stderr.read()
        assert process.wait(60) == 4, rest
    assert "lost the connection to the engine" in rest
    assert time.monotonic() - start < 30
