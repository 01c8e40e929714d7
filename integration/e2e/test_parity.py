"""An image compared with the one it replaces."""

SPEC = """
    stack: parity
    tags: ["p-${commit7}"]
    images:
      old: { dockerfile: Dockerfile }
      new:
        base: BASE
        env: { LEVEL: "4" }
        user: "1000:100"
        config: { cmd: [start], labels: { owner: campus }, ports: [8888] }
        steps:
          - copy: { /srv/app/server.py: { from: server.py, owner: "1000:100" } }
          - run: "mkdir /srv/data && echo data >/srv/data/x && chmod 4711 /srv/data/x && rm /etc/issue"
            as: root
"""
FILES = {
    "images/old/Dockerfile": """
        FROM BASE
        ENV LEVEL=4
        COPY --chown=1000:100 server.py /srv/app/
        RUN mkdir /srv/data && echo data >/srv/data/x && chmod 4711 /srv/data/x && rm /etc/issue
        RUN echo log >/var/log/build.log
        LABEL owner=campus
        EXPOSE 8888
        USER 1000:100
        CMD ["start"]
        """,
    "images/old/server.py": "print()\n",
    "images/new/server.py": "print()\n",
}


def test_an_image_of_steps_is_compared_with_that_of_a_dockerfile(make_stack):
    stack = make_stack(SPEC, FILES)
    error = stack.laminate("parity", "new", "--with", f"{stack.registry}/old:p-{stack.commit7}", status=4).json["error"]
    assert "is not built" in error["text"] and "laminate build" in error["help"]
    stack.laminate("build", "--push")
    old = f"{stack.registry}/old:p-{stack.commit7}"
    same = stack.laminate("parity", "new", "--with", old)
    assert same.json["same"] and same.json["ignored"] == 1, same.out

    stack.replace("specs.yml", "chmod 4711 /srv/data/x && rm /etc/issue", "ln -s x /srv/data/y")
    stack.replace("specs.yml", 'LEVEL: "4"', 'LEVEL: "5"')
    stack.replace("images/new/server.py", "print()", "print(1)")
    stack.commit()
    stack.laminate("build", "--push")
    found = stack.laminate("parity", "new", "--with", old, status=10)
    assert [(it["what"], it["first"], it["second"]) for it in found.json["config"]] == [("Env LEVEL", "5", "4")]
    files = {it["what"]: (it["first"], it["second"]) for it in found.json["files"]}
    assert set(files) == {"/etc/issue", "/srv/app/server.py", "/srv/data/x", "/srv/data/y"}
    assert files["/srv/data/x"] == ("mode 644", "mode 4711")
    assert files["/etc/issue"][1] is None and files["/srv/data/y"][0].startswith("link to x")
    text = stack.laminate("parity", "new", "--with", old, status=10, json=False).out
    assert text.startswith(f"stack:     new\nreference: {old}\n\nconfig\n  Env LEVEL: stack 5; reference 4\n"), text
    table = stack.laminate("parity", "new", "--with", old, "--ignore", "/srv/**", "--format", "markdown", status=10,
                           json=False).out
    assert "| `Env LEVEL` | 5 | 4 |" in table and "/srv" not in table, table


VARIANTS = """
    stack: variants
    variants: { "1.0": { vars: { level: "4" } }, "2.0": { vars: { level: "5" } } }
    tags: ["${variant}-${commit7}"]
    images: { a: { base: BASE, env: { LEVEL: "${level}" } } }
"""


def test_a_variant_with_dots_is_not_a_registry(make_stack):
    stack = make_stack(VARIANTS, name="variants")
    stack.laminate("build", "--push")
    text = stack.laminate("parity", "1.0/a", "--with", "2.0/a", status=10, json=False).out
    assert text.startswith("first:  1.0/a\nsecond: 2.0/a\n\nconfig\n  Env LEVEL: first 4; second 5\n"), text
    reference = f"{stack.registry}/a:2.0-{stack.commit7}"
    assert stack.laminate("parity", "2.0/a", "--with", reference).json["same"]
    assert "is more than one image" in stack.laminate("parity", "a", "--with", reference, status=2, json=False).err
    assert "unknown image" in stack.laminate("parity", "nosuch", "--with", reference, status=2, json=False).err
