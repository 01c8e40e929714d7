"""Mounts of steps, which leave nothing in a layer, and several sources of one copy."""

SPEC = """\
stack: mounts
tags: ["m-${commit7}"]
images:
  app:
    base: BASE
    writable: { gid: 100, paths: [/opt/w] }
    steps:
      - run: mkdir -p /opt/w/kept
      - run: |
          cat /mnt/deep/data/sub/a /mnt/file /src/tool /opt/w/src/etc/passwd >/opt/w/all
          if touch /mnt/deep/data/no 2>/dev/null; then exit 1; fi
          touch /mnt/rw/lost /tmp/mem/lost /opt/w/cache/lost
          [ "$PWD" = /mnt/deep/data/sub ]
          [ "$(df -k /tmp/mem | awk 'NR == 2 { print $2 }')" = 1024 ]
        cwd: /mnt/deep/data/sub
        mounts:
          /mnt/deep/data: { bind: data/ }
          /mnt/rw: { bind: data, rw: true }
          /mnt/file: { bind: file }
          /src: { image: tool, from: /made }
          /opt/w/src: { image: "BASE" }
          /opt/w/cache: { cache: "kept" }
          /tmp/mem: { tmpfs: 1m }
      - run: |
          echo run >>/opt/w/cache/runs
          cp /opt/w/cache/runs /opt/w/runs # CHANGE
        as: "1000:100"
        mounts: { /opt/w/cache: { cache: "runs", sharing: locked } }
      - group:
          - write: { /opt/w/kept/x: x }
          - run: cp -a /mnt/data /opt/w/kept/
        as: root
        mounts: { /mnt/data: { bind: data } }
      - copy:
          /opt/app/: [file, data/, "*.py"]
          /opt/made/: { image: tool, from: [/made/tool, /etc/passwd] }
  tool: { base: BASE, steps: [{ run: "mkdir /made; echo tool >/made/tool" }] }
"""
FILES = {"images/app/data/sub/a": "a\n", "images/app/data/b": "b\n", "images/app/file": "file\n",
         "images/app/one.py": "", "images/app/two.py": ""}


def entries(stack, tag, layer):
    with stack.open_layer("app", layer) as tar:
        return {"/" + entry.name.strip("./"): entry for entry in tar}


def test_nothing_of_a_mount_is_in_a_layer(make_stack):
    stack = make_stack(SPEC, FILES)
    first = stack.laminate("build", "--push")
    assert first.actions() == {"app": "built", "tool": "built"}
    tag = f"m-{stack.commit7}"
    layers = stack.layers("app", tag)[-5:]
    of_mounts, of_cache, of_group, of_copy = (entries(stack, tag, layer) for layer in layers[1:])
    assert set(of_mounts) <= {"/", "/opt", "/opt/w", "/opt/w/all", "/tmp", "/etc", "/run"}, of_mounts.keys()
    assert stack.content("app", tag, "/opt/w/all").startswith(b"a\nfile\ntool\n")
    assert of_mounts["/opt/w/all"].gid == 100
    assert "/opt/w/runs" in of_cache and "/opt/w/cache" not in of_cache, of_cache.keys()
    assert {"/opt/w/kept/data/b", "/opt/w/kept/x"} <= set(of_group) and "/mnt" not in of_group, of_group.keys()
    assert {"/opt/app/file", "/opt/app/sub/a", "/opt/app/b", "/opt/app/one.py", "/opt/app/two.py",
            "/opt/made/tool", "/opt/made/passwd"} <= set(of_copy), of_copy.keys()
    assert stack.content("app", tag, "/opt/w/runs") == b"run\n"
    assert {"image": "tool"} in stack.laminate("plan").image("app")["mounts"]

    stack.replace("specs.yml", " # CHANGE", " # changed")
    stack.commit()
    stack.laminate("build", "--push")
    assert stack.content("app", f"m-{stack.commit7}", "/opt/w/runs") == b"run\nrun\n", "the cache is kept"
    stack.replace("images/app/data/b", "b", "c")
    stack.commit()
    plan = stack.laminate("plan", status=10)
    assert "images/app/data/b" in plan.image("app")["reasons"][0]["text"]
