"""The config of the base is inherited, including keys laminate does not know."""

EXTRA = {
    "Healthcheck": {"Test": ["CMD-SHELL", "exit 0"], "Interval": 30000000000, "Retries": 3},
    "Shell": ["/bin/bash", "-o", "pipefail", "-c"],
    "StopSignal": "SIGRTMIN+3",
    "Volumes": {"/data": {}, "/other": {}},
    "Labels": {"org.example.base": "kept", "org.example.over": "base"},
    "ExposedPorts": {"9999/udp": {}},
    "Entrypoint": ["/bin/base"],
    "X-Unknown": {"has": ["this", 1.5, None, True]},
}
EXTRA_TOP = {"os.version": "12", "x-top": {"nested": [1, 2, 3]}, "author": "somebody"}


def change(whole):
    whole["config"] |= EXTRA
    return whole | EXTRA_TOP


def test_every_key_that_is_not_set_is_inherited(make_stack, registry):
    stack = make_stack("""
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
        """.replace("OWNBASE", f"{registry.address}/odd/base:1"))
    registry.put_image("odd/base", "1", change)
    before = registry.config("odd/base", "1")
    stack.laminate("build", "--push")
    for name in ("first", "second"):
        after = stack.config(name, f"k-{stack.commit7}")
        for key, value in EXTRA.items():
            if key == "Labels":
                value = {"org.example.base": "kept", "org.example.over": "child"}
                assert {label: after["config"][key].get(label) for label in value} == value, f"{name}: {key}"
            else:
                assert after["config"].get(key) == value, f"{name}: {key}"
        for key, value in EXTRA_TOP.items():
            assert after.get(key) == value, f"{name}: {key}"
        assert after["config"]["WorkingDir"] == "/srv"
        assert after["config"]["Env"] == before["config"]["Env"], f"{name}: environment"
        assert after["history"][: len(before["history"])] == before["history"], f"{name}: history"
        assert after["rootfs"]["diff_ids"][:1] == before["rootfs"]["diff_ids"], f"{name}: layers"


def test_what_is_of_the_base_alone_is_not_inherited(make_stack, registry):
    stack = make_stack("""
        stack: own
        tags: ["o-${commit7}"]
        images:
          first:
            base: OWNBASE
            env: { PATH: "/opt/x/bin:${env:PATH}", GONE: null }
            steps: [{ run: "id -u >/user; [ -z \\"${GONE+x}\\" ]" }]
        """.replace("OWNBASE", f"{registry.address}/odd/triggers:1"), name="own")

    def with_triggers(whole):
        labels = {"org.opencontainers.image.version": "12", "org.example.base": "kept"}
        whole["config"] |= {"OnBuild": ["RUN make"], "Labels": labels, "Env": ["GONE=1"]}
        return whole

    registry.put_image("odd/triggers", "1", with_triggers)
    for command in ("plan", "build"):
        answer = stack.laminate(command, status=3)
        assert "unsupported ONBUILD triggers" in answer.err and f"specs.yml:{stack.line('base:')}" in answer.err
    stack.replace("specs.yml", "    env:", "    config: { onbuild: ignore }\n    env:")
    stack.commit()
    stack.laminate("build", "--push")
    config = stack.config("first", f"o-{stack.commit7}")["config"]
    assert "OnBuild" not in config
    assert config["Labels"] == {"org.example.base": "kept"}
    default = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert config["Env"] == [f"PATH=/opt/x/bin:{default}"]
