"""`conda` steps install real packages, of a channel made here, into the environment that the image uses; what fails is
reported on its line."""
import hashlib
import json
import os

import pytest
from channel import served


@pytest.fixture(scope="module")
def channel(tmp_path_factory):
    with served(tmp_path_factory.mktemp("channel")) as channel:
        yield channel


GROUND = """
          ground:
            base: BASE
            apt: [python3]
            steps: [{ run: useradd --uid 1000 --create-home jovyan }]
"""


def test_packages_get_into_the_environment_that_is_meant(make_stack, channel):
    at = f"channels: [\"{channel.url}\"]"
    stack = make_stack(f"""
        stack: conda
        tags: ["c-${{commit7}}"]
        writable: {{ gid: 100, paths: [/opt/conda] }}
        images:{GROUND}
          fresh:
            base: ground
            env: {{ PATH: "/opt/conda/bin:${{env:PATH}}" }}
            steps:
              - conda: {{ packages: [leaf, tool=1], {at}, prefix: /opt/conda }}
              - run: |
                  test "$(leaf)" = 'leaf 2.0'
                  test "$(tool)" = 'tool 1.0 /opt/conda'
                  test "$(cat /opt/conda/post-link)" = tool
                  test "$(python -c 'import leaf, sys; print(sys.prefix)')" = /opt/conda
                  ls /opt/conda/lib/python3.11/site-packages/leaf/__pycache__/__init__.*.pyc
                  test -z "$(find /opt/conda ! -group 100 -o -type d ! -perm -2070 -o -type f ! -perm -0060)"
                  test -z "$(find / -xdev -user root -name '*rattler*' -o -xdev -path /root/.conda -o -xdev -name CACHEDIR.TAG)"
          kept:
            base: fresh
            steps:
              - run: "! grep -q needy /opt/conda/conda-meta/history; echo 'tool 1.*' >/opt/conda/conda-meta/pinned"
              - conda: {{ packages: [tool], {at}, upgrade: true }}
              - run: test "$(tool)" = 'tool 1.0 /opt/conda' && test "$(leaf)" = 'leaf 2.0'
              - group:
                  - conda: {{ packages: [needy], {at} }}
                  - run: test "$(leaf)" = 'leaf 1.0' && needy
              - conda: {{ packages: [tool], {at}, env: r }}
              - run: test "$(/opt/conda/envs/r/bin/tool)" = 'tool 2.0 /opt/conda/envs/r'
          two:
            base: kept
            user: jovyan
            env: {{ PATH: "/home/jovyan/own/bin:${{env:PATH}}" }}
            steps:
              - conda: {{ packages: [tool=2, python], {at}, prefix: /home/jovyan/own }}
              - conda: {{ packages: [leaf=2], {at} }}
              - run: |
                  test "$(leaf)" = 'leaf 2.0' && test "$(/opt/conda/bin/leaf)" = 'leaf 1.0'
                  test -z "$(find /home/jovyan/own ! -user jovyan)"
          file:
            base: ground
            env: {{ PATH: "/opt/conda/bin:${{env:PATH}}" }}
            conda: {{ file: environment.yml, prefix: /opt/conda }}
            steps:
              - run: python -c 'import leaf, six, idna; assert leaf.VERSION == "1.0"'
        """, {
        "images/file/environment.yml":
            f"name: x\nchannels: [\"{channel.url}\", nodefaults]\ndependencies:\n  - python=3.11\n  - leaf<2\n  - pip:\n"
            "    - -r more.txt\n    - idna==3.10\n",
        "images/file/more.txt": "six==1.16.0\n"})
    stack.laminate("build", "--push")
    tag = f"c-{stack.commit7}"
    record = json.loads(stack.content("fresh", tag, "opt/conda/conda-meta/tool-1.0-" + build_of(stack, tag) + ".json"))
    assert record["requested_specs"] == ["tool 1.*"]
    history = stack.content("kept", tag, "opt/conda/conda-meta/history").decode()
    specs = [line for line in history.splitlines() if line.startswith("# update specs:")]
    assert specs == ['# update specs: ["leaf", "tool=1"]', '# update specs: ["tool"]', '# update specs: ["needy"]']

    assert set(stack.laminate("plan").actions().values()) == {"reuse"}
    stack.write("images/file/more.txt", "six==1.16.0\n# another\n")
    assert stack.laminate("plan", status=10).actions()["file"] == "build"


def build_of(stack, tag):
    history = stack.content("fresh", tag, "opt/conda/conda-meta/history").decode()
    return next(line.rsplit("-", 1)[1] for line in history.splitlines() if "::tool-1.0-" in line)


def test_faults_are_on_their_lines(make_stack, channel):
    at = f"channels: [\"{channel.url}\"]"
    steps = {
        "missing": (f"{{ packages: [nope], {at}, prefix: /opt/conda }}", "No candidates were found for nope"),
        "unsolvable": (f"{{ packages: [broken], {at}, prefix: /opt/conda }}", "leaf <2"),
        "unreachable": ("{ packages: [x], channels: [\"http://127.0.0.1:9/c\"], prefix: /opt/conda }", "cannot read a channel"),
        "nowhere": (f"{{ packages: [leaf], {at} }}", "python is /usr/bin/python3, which is not in a conda environment"),
    }
    images = "".join(f"          {name}: {{ base: ground, conda: {step} }}\n" for name, (step, _) in steps.items())
    stack = make_stack(f"""
        stack: conda
        images:{GROUND}{images}""", name="faults")
    answer = stack.laminate("build", status=5)
    for name, (_, text) in steps.items():
        error = answer.image(name)["error"]
        assert error["where"]["line"] == stack.line(f"{name}: "), error
        assert text in "\n".join(answer.image(name)["error"].get("log_tail") or [answer.err]), error


# Packs Debian's python as uv expects one: `python3` sets where its libraries are.
PACK = r"""
mkdir -p /p/python/bin
cp -rL /usr/lib/python3.11 /usr/lib/*-linux-gnu/libexpat.so.1 -t /p/python --parents
mv /p/python/usr/lib /p/python/lib && mv /p/python/lib/*-linux-gnu/* /p/python/lib/
ln -s python3.11 /p/python/lib/python3.13
cp /usr/bin/python3.11 /p/python/bin/real
cd /p/python/bin
printf '#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\nLD_LIBRARY_PATH=$here/../lib exec "$here/real" "$@"\n' >python3
chmod 755 python3
ln -s python3 python3.13
tar -C /p -czf /python.tar.gz python && rm -r /p
"""


def test_a_base_without_a_python_gets_one_for_the_step(make_stack, channel):
    stack = make_stack("""
        stack: conda
        tags: ["c-${commit7}"]
        images:
          store: { base: BASE, apt: [python3], steps: [{ script: pack.sh }] }
        """, {"images/store/pack.sh": "#!/bin/sh\nset -e\n" + PACK}, ["images/store/pack.sh"], name="bare")
    stack.laminate("build", "--push")
    archive = stack.content("store", f"c-{stack.commit7}", "python.tar.gz")
    (channel.folder / "python.tar.gz").write_bytes(archive)
    version = {"major": 3, "minor": 13, "patch": 18, "prerelease": ""}
    build = {"name": "cpython", "arch": {"family": os.uname().machine, "variant": None}, "os": "linux", "libc": "gnu", **version,
             "url": f"{channel.url}/python.tar.gz", "sha256": hashlib.sha256(archive).hexdigest(), "variant": None, "build": "1"}
    (channel.folder / "pythons.json").write_text(json.dumps({"cpython-3.13.18": build}))
    step = f"conda: {{ packages: [tool], channels: [\"{channel.url}\"], prefix: /opt/conda }}"
    none = """
          none:
            base: BASE
            steps:
              - STEP
                env: { UV_PYTHON_INSTALL_MIRROR: "http://127.0.0.1:9" }
        """
    bare = """
          bare:
            base: BASE
            steps:
              - STEP
                env: { UV_PYTHON_DOWNLOADS_JSON_URL: "URL/pythons.json" }
              - run: |
                  ! command -v python3
                  test "$(/opt/conda/bin/tool)" = 'tool 2.0 /opt/conda'
        """
    (stack.folder / "images/store/pack.sh").unlink()

    def build(image, status):
        spec = f"        stack: conda\n        images:{image}".replace("STEP", step).replace("URL/", f"{channel.url}/")
        stack.write("specs.yml", spec)
        return stack.laminate("build", status=status)

    # First, as all steps share the cache that a python is fetched into.
    assert "none could be fetched: add `apt: [python3]`" in build(none, 5).err
    answer = build(bare, 0)
    assert answer.image("bare")["action"] == "built", answer.err
