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


def test_the_folder_an_image_starts_in_is_made_for_its_user(make_stack, registry):
    """A suite sees what users get: a runtime makes a missing folder for root."""
    base = f"{registry.address}/odd/elsewhere:1"
    registry.put_image("odd/elsewhere", "1", lambda whole: {**whole, "config": {**whole["config"], "WorkingDir": "/no/where"}})
    stack = make_stack("""
        stack: workdir
        tags: ["w-${commit7}"]
        tests: { own: { run: 'test "$(pwd -P)" = /srv/work/x && touch x' } }
        images:
          numbers: { base: BASE, config: { user: "1000:100", workdir: /srv/work/x } }
          name:
            base: BASE
            steps:
              - run: useradd --uid 1001 --gid 100 app; mkdir -m 700 /srv/work; ln -s /srv/work /srv/way; chmod 755 /srv/work
                as: root
            user: app
            config: { workdir: /srv/way/x }
          shared: { base: BASE, writable: { gid: 100, paths: [/srv/work] }, config: { user: "1000:100", workdir: /srv/work/x } }
          there: { base: numbers, config: { workdir: /srv/work/x } }
        """)
    stack.laminate("build", "--push")
    expected = {"numbers": {"srv/work": (0o755, 1000, 100), "srv/work/x": (0o755, 1000, 100)},
                "name": {"srv/work": (0o755, 0, 0), "srv/work/x": (0o755, 1001, 100)},
                "shared": {"srv/work": (0o2775, 1000, 100), "srv/work/x": (0o2775, 1000, 100)}, "there": {}}
    for image, entries in expected.items():
        layer = stack.layers(image, f"w-{stack.commit7}")[-1]
        with stack.open_layer(image, layer) as archive:
            found = {member.name.strip("./"): (member.mode, member.uid, member.gid) for member in archive}
        assert {path: what for path, what in found.items() if path.startswith("srv/work")} == entries, image

    missing = make_stack(f"""
        stack: missing
        tests: {{ any: {{ run: "true" }} }}
        images:
          a: {{ base: "{base}", steps: [{{ write: {{ /x: x }} }}] }}
        """, name="missing")
    failed = missing.laminate("build", status=6)
    assert "the image has no folder /no/where" in failed.err


def test_a_field_of_another_type_is_reported_with_the_base(make_stack, registry):
    base = f"{registry.address}/odd/types:1"
    registry.put_image("odd/types", "1", lambda whole: {**whole, "config": {**whole["config"], "Shell": "/bin/bash -c"}})
    stack = make_stack(f"""
        stack: types
        images:
          a: {{ base: "{base}", steps: [{{ run: echo a >/a }}] }}
        """, name="types")
    failed = stack.laminate("build", status=None)
    assert failed.status != 0 and base.rsplit(":", 1)[0] in failed.err, failed.err
    assert "`Shell` of its config must be a list of texts" in failed.err
