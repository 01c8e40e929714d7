"""Requirements files bring along what they install from `images/`, with both tools, as any user, in a group
and for suites; a change of it rebuilds."""

SPEC = """
    stack: requirements
    tags: ["r-${commit7}"]
    images:
      ground:
        base: BASE
        apt: [python3, python3-venv]
        steps:
          - run: |
              useradd --uid 1000 --create-home jovyan
              python3 -m venv /opt/venv
              chown -R jovyan /opt/venv
              echo six==1.16.0 >/opt/constraints.txt
        env: { PATH: "/opt/venv/bin:${env:PATH}" }
      leaf:
        base: ground
        user: jovyan
        pip: requirements.txt
        steps:
          - pip: { packages: [./mine], tool: pip, upgrade: true }
            name: again
          - group:
              - run: "true"
              - pip: [../shared/other]
        tests:
          own: { pytest: tests, requirements: tests/requirements.txt, network: default }
"""
PROJECT = """
    [build-system]
    requires = ["setuptools"]
    build-backend = "setuptools.build_meta"
    [project]
    name = "NAME"
    version = "1.0"
    [tool.setuptools]
    py-modules = ["NAME"]
"""
TEST = """
    import helper, mine, other, six

    def test_them():
        assert (helper.WORD, mine.WORD, other.WORD, six.__version__) == ("helper", "one", "other", "1.16.0")
"""


def project(name, word):
    return {f"{name}/pyproject.toml": PROJECT.replace("NAME", name), f"{name}/{name}.py": f"WORD = '{word}'\n"}


def test_local_projects_are_installed_and_in_the_key(make_stack):
    files = {"images/leaf/requirements.txt": "\ufeff-r base.txt\r\n-c /opt/constraints.txt\r\n",
             "images/leaf/base.txt": "six \\\n  # which\n./mine\n",
             "images/leaf/tests/requirements.txt": "./helper\n",
             "images/leaf/tests/test_them.py": TEST}
    for folder, name, word in (("leaf", "mine", "one"), ("shared", "other", "other"), ("leaf/tests", "helper", "helper")):
        files |= {f"images/{folder}/{path}": text for path, text in project(name, word).items()}
    stack = make_stack(SPEC, files)
    first = stack.laminate("build", "--push")
    assert first.actions() == {"ground": "built", "leaf": "built"}
    assert first.verdicts("leaf")["own"]["passed"]
    # Nothing of the copies is left.
    tag = f"r-{stack.commit7}"
    for layer in stack.layers("leaf", tag):
        with stack.open_layer("leaf", layer) as archive:
            names = [name for name in archive.getnames() if name.strip("./").startswith("run/laminate/")]
            assert names == [], names

    stack.write("images/leaf/mine/mine.py", "WORD = 'two'\n")
    stack.commit()
    plan = stack.laminate("plan", status=10)
    assert plan.actions() == {"ground": "reuse", "leaf": "build"}
    assert [reason["what"] for reason in plan.image("leaf")["reasons"]] == ["images/leaf/mine/mine.py"]
    stack.write("images/leaf/mine/mine.py", "WORD = 'one'\n")
    stack.write("images/leaf/tests/helper/helper.py", "WORD = 'helper' \n")
    stack.commit()
    plan = stack.laminate("plan", status=10)
    assert plan.actions() == {"ground": "reuse", "leaf": "reuse"}
    [suite] = plan.image("leaf")["proofs"]["suites"]
    assert suite["action"] == "run", "the suite installs what changed"
