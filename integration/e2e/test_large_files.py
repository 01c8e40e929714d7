"""Files too large for one message reach images byte for byte, are sent once, and stay in the engine."""
import hashlib
import os
import random

import pytest

NUMBERS = random.Random(7)
LARGE = {f"images/ground/part-{number}.bin": NUMBERS.randbytes(6_000_000) for number in range(4)}
SCRIPT = "#!/bin/sh\nwc -c <\"$0\" >/size\nexit 0\n" + "# long\n" * 20_000


@pytest.fixture
def stack(make_stack):
    return make_stack("""
        stack: large
        tags: ["g-${commit7}"]
        images:
          ground:
            base: BASE
            copy: { /data/: "*.bin" }
          top:
            base: ground
            steps:
              - script: big.sh
        """, {**LARGE, "images/top/big.sh": SCRIPT}, executable=["images/top/big.sh"])


def test_large_files_arrive_whole(stack):
    stack.laminate("build", "--push")
    tag = f"g-{stack.commit7}"
    for path, data in LARGE.items():
        found = stack.content("ground", tag, f"/data/{os.path.basename(path)}")
        assert hashlib.sha256(found).hexdigest() == hashlib.sha256(data).hexdigest(), path
    assert stack.content("top", tag, "/size").decode().strip() == str(len(SCRIPT))


def test_the_engine_keeps_them(stack):
    stack.laminate("build", "--no-reuse")
    answer = stack.laminate("build", "--no-reuse")
    assert set(answer.actions().values()) == {"built"}
    seconds = sum(image["seconds"] for image in answer.json["images"])
    assert seconds < 1, f"the steps ran again: {seconds} s"


def test_operations_that_no_message_holds_are_an_error_of_the_image(make_stack):
    text = "x" * 60_000
    steps = "".join(f'      - write: {{ /srv/{number}: "{number} {text}" }}\n' for number in range(290))
    stack = make_stack(f"stack: many\ntags: [\"m-${{commit7}}\"]\nimages:\n  one:\n    base: BASE\n    steps:\n{steps}",
                       name="many")
    failed = stack.laminate("build", status=5)
    assert "the operations with those of the bases have 17 MiB, and an engine accepts 16 MiB" in failed.err
    assert "specs.yml:4:3" in failed.err


def test_configs_that_no_message_holds_are_an_error_until_some_are_built(make_stack):
    images = "".join(f"  i{number}: {{ base: BASE, config: {{ labels: {{ number: \"{number}\", text: \"{'x' * 300_000}\" }} }} }}\n"
                     for number in range(60))
    stack = make_stack(f"stack: wide\ntags: [\"w-${{commit7}}\"]\nimages:\n{images}", name="wide")
    failed = stack.laminate("build", "--push", status=4)
    assert "the configs of the images have 18 MiB, and an engine accepts 16 MiB" in failed.err
    stack.laminate("build", *[f"i{number}" for number in range(30)])
    stack.laminate("build", "--push")
