"""uv and pytest work on images that were not prepared for them, and are fetched once."""


def test_a_python_without_pip_and_settings_of_pip_do_not_matter(make_stack, registry):
    def change(config):
        env = [*config["config"].get("Env", []), "PIP_USER=1", "PIP_REQUIRE_VIRTUALENV=1", "PIP_NO_INDEX=1", "PIP_TARGET=/x"]
        return {**config, "config": {**config["config"], "Env": env}}

    registry.put_image("tools/base", "1", change)
    stack = make_stack(f"""
        stack: tools
        tags: ["t-${{commit7}}"]
        images:
          a:
            base: {registry.address}/tools/base:1
            apt: [python3]
            steps:
              - pip: [six==1.16.0]
              - group: [{{ pip: [idna==3.10] }}, {{ run: "true" }}]
                as: root
              - run: test ! -e /x && python3 -Bc 'import six, idna'
            tests:
              unit: {{ pytest: tests }}
          b:
            base: a
            steps:
              - pip: {{ packages: [tomli==2.0.1], args: [--compile-bytecode] }}
              - run: |
                  python3 -Bc '
                  import importlib.util, os, six, tomli
                  compiled = [os.path.exists(importlib.util.cache_from_source(it.__file__)) for it in (six, tomli)]
                  assert compiled == [False, True], compiled'
        """, {"images/a/tests/test_it.py": "def test_it():\n    import six\n"})
    answer = stack.laminate("build", "--push")
    assert answer.verdicts("a")["unit"]["passed"], answer.err
    sent = [line for line in answer.err.splitlines() if "fetching uv" in line]
    assert len(sent) <= 1, answer.err


def test_an_image_without_python_is_told_so(make_stack):
    stack = make_stack("""
        stack: nopython
        images:
          a: { base: BASE, pip: [six] }
        """)
    answer = stack.laminate("build", status=5)
    assert "the image has no Python 3 on its PATH" in answer.err
    assert answer.image("a")["error"]["where"]["line"] == stack.line("pip: [six]")
