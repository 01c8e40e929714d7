"""The base's config survives in the child, also what nobody knows of."""
from world import REGISTRY, Stack, config, equal, main, put_image, test

EXTRA = {
    "Healthcheck": {"Test": ["CMD-SHELL", "exit 0"], "Interval": 30000000000, "Retries": 3},
    "Shell": ["/bin/bash", "-o", "pipefail", "-c"],
    "OnBuild": ["RUN echo on build"],
    "StopSignal": "SIGRTMIN+3",
    "Volumes": {"/data": {}, "/other": {}},
    "Labels": {"org.example.base": "kept", "org.example.over": "base"},
    "ExposedPorts": {"9999/udp": {}},
    "Entrypoint": ["/bin/base"],
    "X-Nobody": {"knows": ["this", 1.5, None, True]},
}
EXTRA_TOP = {"os.version": "12", "x-top": {"nested": [1, 2, 3]}, "author": "somebody"}


def change(whole):
    whole["config"] |= EXTRA
    return whole | EXTRA_TOP


@test
def everything_that_was_not_said_is_as_it_was():
    stack = Stack("""
        stack: kept
        tags: ["k-${commit7}"]
        images:
          first:
            base: OWNBASE
            config:
              labels: { org.example.over: child }
              workdir: /srv
          second:
            base: first
            steps:
              - run: |
                  set -o pipefail
                  echo "$0" >/shell
        """.replace("OWNBASE", f"{REGISTRY}/odd/base:1"))
    put_image("odd/base", "1", change)
    before = config("odd/base", "1")
    stack.laminate("build", "--push")
    for name in ("first", "second"):
        after = config(f"{stack.namespace}/{name}", f"k-{stack.commit7}")
        for key, value in EXTRA.items():
            if key == "Labels":
                value = {"org.example.base": "kept", "org.example.over": "child"}
                equal({label: after["config"][key].get(label) for label in value}, value, f"{name}: {key}")
            else:
                equal(after["config"].get(key), value, f"{name}: {key}")
        for key, value in EXTRA_TOP.items():
            equal(after.get(key), value, f"{name}: {key}")
        equal(after["config"]["WorkingDir"], "/srv")
        equal(after["config"]["Env"], before["config"]["Env"], f"{name}: environment")
        equal(after["history"][: len(before["history"])], before["history"], f"{name}: history")
        equal(after["rootfs"]["diff_ids"][:1], before["rootfs"]["diff_ids"], f"{name}: layers")


if __name__ == "__main__":
    main()
