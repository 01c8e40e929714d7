"""What a step gets: its user's home folder, its secrets, variables with any name, texts of any length."""
import re

# Longer than an argument can be: `MAX_ARG_STRLEN` is 128 KiB.
LINES = 40_000

SPEC = """\
stack: steps
tags: ["s-${commit7}"]
images:
  ground:
    base: BASE
    steps:
      - run: useradd --create-home --uid 1000 app
  plain:
    base: ground
    user: "1000"
    env: { HOME: /home/app, spark.x: "1 2" }
    shell: [/bin/bash, --login, -c]
    steps:
      - run: "[ $HOME = /root ] && touch ~/of-root"
        as: root
      - run: "[ $HOME = /home/app ] && touch ~/of-app && [ $(stat -c %a:%u /key) = 400:1000 ]"
        secrets: { key: /key }
      - run: "[ $(stat -c %a:%u:%g /key) = 440:0:1000 ]"
        as: root
        secrets: { key: { path: /key, mode: "440", gid: 1000 } }
      - exec: [/usr/bin/grep, -z, "spark.x=1 2", /proc/self/environ]
      - group:
          - exec: [/usr/bin/grep, -z, "spark.x=1 2", /proc/self/environ]
          - exec: [/usr/bin/grep, -z, "spark.y=3", /proc/self/environ]
            env: { spark.y: "3" }
          - run: "[ $PWD = /srv/new/x ] && [ $HOME = /root ]"
            cwd: /srv/new/x
        as: root
      - run: pwd >/tmp/where
        cwd: /opt/new
      - run: |
          LONG
          echo long >/tmp/long
      - group:
          - run: |
              LONG
              echo long >/tmp/long-in-group
          - run: |
              LONG
  stops:
    base: ground
    shell: [/bin/bash, --login, -c]
    steps:
      - group:
          - run: true
          - run: |
              seq 100000; echo the cause >&2; seq 100000
              false
              touch /not-reached
          - run: true
  unknown:
    base: ground
    user: missing
    steps:
      - run: true
"""


def test_steps_get_what_is_theirs_and_failures_are_on_their_line(make_stack, tmp_path):
    key = tmp_path / "key"
    key.write_text("secret")
    spec = re.sub("^( *)LONG\n", lambda found: f"{found[1]}true\n" * LINES, SPEC, flags=re.MULTILINE)
    stack = make_stack(spec)
    answer = stack.laminate("build", "--secret", f"key={key}", status=5)
    assert answer.actions() == {"ground": "built", "plain": "built", "stops": "failed", "unknown": "failed"}, answer.err
    error = answer.image("stops")["error"]
    assert error["where"]["line"] == stack.line("the cause") - 1, "the member of the group"
    assert "the cause" in error["log_tail"]
    assert "laminate;" not in answer.err and "member=" not in answer.err
    error = answer.image("unknown")["error"]
    assert error["text"] == "unknown user `missing`", error
    assert "by `user:` of the image" in answer.err and "as: root" in answer.err
