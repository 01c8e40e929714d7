"""Files too large for one message reach images byte for byte, are sent once, and are remembered."""
import hashlib
import os
import random

from world import Stack, content, equal, main, test

random.seed(7)
LARGE = {f"images/ground/part-{number}.bin": random.randbytes(6_000_000) for number in range(4)}
stack = Stack("""
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
    """, {**LARGE, "images/top/big.sh": "#!/bin/sh\nwc -c <\"$0\" >/size\nexit 0\n" + "# long\n" * 20_000})
os.chmod(stack.folder / "images/top/big.sh", 0o755)
stack.commit()


@test
def large_files_arrive_whole():
    stack.laminate("build", "--push")
    tag = f"g-{stack.commit7}"
    for path, data in LARGE.items():
        found = content(f"{stack.namespace}/ground", tag, f"/data/{os.path.basename(path)}")
        equal(hashlib.sha256(found).hexdigest(), hashlib.sha256(data).hexdigest(), path)
    size = os.path.getsize(stack.folder / "images/top/big.sh")
    equal(content(f"{stack.namespace}/top", tag, "/size").decode().strip(), str(size))


@test
def the_engine_remembers_them():
    stack.laminate("build", "--no-reuse")
    answer = stack.laminate("build", "--no-reuse")
    equal(set(answer.actions().values()), {"built"})
    seconds = sum(image["seconds"] for image in answer.json["images"])
    assert seconds < 1, f"the steps ran again: {seconds} s"


if __name__ == "__main__":
    main()
