r"""Texts of run, write and append reach the image byte for byte; values arrive as written."""
import textwrap

TEXT = r"""plain ${HOME} $${x} ${env:PATH} ${nothing} $HOME $$ ${a:-b}
"double" 'single' `back` \ \\ \n \t \" \$ %s %% #no comment
  indented	tab & < > | ; ( ) { } [ ] ! ~ * ? = : , @ é ü 漢 🚀
last line
"""
SPEC = """
stack: texts
tags: ["x-${commit7}"]
vars: { python: 3.10, mode: 0644, switch: off, power: 1e3, month: 2026.10, filled: "${python}-${month}" }
images:
  texts:
    base: BASE
    env: { A: "${python}", B: "${mode}", C: "${switch}", D: "${power}", E: "${month}", F: 3.10, G: 0644, H: off, I: 1e3, J: 2026.10 }
    steps:
      - run: |
          cat >/run.txt <<'THE-END'
RUN
          THE-END
      - write:
          /write.txt: |
WRITE
          /filled.txt: { text: "${filled} $${x}", vars: true }
      - append:
          /write.txt: |
WRITE
    config:
      labels: { org.example.python: 3.10, org.example.off: off }
"""


def block(indent):
    return textwrap.indent(TEXT, " " * indent).rstrip("\n")


def test_texts_and_values_are_as_written(make_stack):
    spec = SPEC.replace("RUN\n", block(10) + "\n").replace("WRITE\n", block(12) + "\n")
    stack = make_stack(spec)
    stack.laminate("build", "--push")
    tag = f"x-{stack.commit7}"
    assert stack.content("texts", tag, "/run.txt").decode() == TEXT, "run"
    assert stack.content("texts", tag, "/write.txt").decode() == TEXT + TEXT, "write and append"
    assert stack.content("texts", tag, "/filled.txt").decode() == "3.10-2026.10 ${x}", "write with vars"
    made = stack.config("texts", tag)["config"]
    env = dict(pair.split("=", 1) for pair in made["Env"])
    wanted = ["3.10", "0644", "off", "1e3", "2026.10"]
    assert [env[name] for name in "ABCDE"] == wanted
    assert [env[name] for name in "FGHIJ"] == wanted
    assert env["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert (made["Labels"]["org.example.python"], made["Labels"]["org.example.off"]) == ("3.10", "off")
