"""Rows on real images: Debian packages, JupyterLab, scientific Python, R; and an image of many small steps."""
import gzip
import io
import json
import os
import pathlib
import tarfile
import textwrap

from measure import LAMINATE, REAL_ROUNDS, ROUNDS, Row, Sample, call, in_turn, say
from peers import Bake, forget
from registry import CONFIG, LAYER, MANIFEST, sha256
from stack import Stack

BAKE = "buildx bake"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
LAB = "jupyterlab==4.4.9\nnbconvert==7.16.6\nipywidgets==8.1.7\n"
SCIENCE = "\n".join(["numpy==2.2.6", "scipy==1.15.3", "pandas==2.2.3", "scikit-learn==1.6.1", "matplotlib==3.10.3",
                     "seaborn==0.13.2", "statsmodels==0.14.4", "sympy==1.14.0", ""])
START = '#!/bin/sh\nexec jupyter lab --ip 0.0.0.0 "$@"\n'


def with_certificates(parts):
    """Puts a base with the certificates of this machine, which steps need behind a proxy; returns its reference."""
    registry = parts.registry
    source, tag = registry.base.split("/", 1)[1].rsplit(":", 1)
    _, manifest = registry.manifest(source, tag)
    config = registry.config(source, tag)
    data = pathlib.Path(os.environ.get("LAMINATE_CA", f"/{CERTIFICATES}")).read_bytes()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(CERTIFICATES)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    layer = archive.getvalue()
    config["rootfs"]["diff_ids"].append(sha256(layer))
    config["config"]["Env"] += [f"{name}=/{CERTIFICATES}" for name in ("SSL_CERT_FILE", "PIP_CERT")]
    config.pop("history", None)
    repository = "bench/base"
    for digest in [layer["digest"] for layer in manifest["layers"]]:
        registry.request("POST", f"{repository}/blobs/uploads/?mount={digest}&from={source}", b"")
    manifest["layers"].append({"mediaType": LAYER, **registry.put_blob(repository, gzip.compress(layer, mtime=0))})
    manifest["config"] = {"mediaType": CONFIG, **registry.put_blob(repository, json.dumps(config).encode())}
    manifest["mediaType"] = MANIFEST
    registry.put_manifest(repository, "1", manifest)
    return f"{registry.address}/{repository}:1"


class Stacked:
    """A stack that laminate and bake build, each from its own declaration of the same images."""

    def __init__(self, parts, name, spec, files, dockerfiles):
        self.parts, self.dockerfiles = parts, dockerfiles
        self.files = dict(files)
        self.stack = Stack(parts, textwrap.dedent(spec), {f"images/{path}": text for path, text in files.items()},
                           executable=[f"images/{path}" for path in files if path.endswith(".sh")], name=name)
        self.namespace = f"{self.stack.registry}-bake"

    def change(self, path, text):
        self.files[path] = text
        self.stack.write(f"images/{path}", text)

    def laminate(self, expected):
        answer = call(self.parts.binary, "--json", "build", "--push", cwd=self.stack.folder, env=self.stack.environment())
        actions = [image["action"] for image in answer.json["images"]]
        assert actions.count("built") == expected, f"{actions}, not {expected} built"
        return answer

    def bake(self, cache_from=False, cache_to=False):
        bake = Bake(self.parts, self.parts.scratch / f"{self.stack.namespace}-bake")
        for image, (dockerfile, parent) in self.dockerfiles.items():
            files = {path.split("/", 1)[1]: text for path, text in self.files.items() if path.startswith(f"{image}/")}
            for path, text in files.items():
                place = bake.folder / image / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
            bake.target(image, textwrap.dedent(dockerfile), [f"{self.namespace}/{image}:r-{self.stack.commit7}"], parent)
        changes = {}
        if cache_from:
            changes["cache-from"] = lambda name: [f"type=registry,ref={self.namespace}/cache:{image}" for image in self.dockerfiles]
        if cache_to:
            changes["cache-to"] = lambda name: [f"type=registry,ref={self.namespace}/cache:{name},mode=max"]
        return bake.build(**changes)

    def layers(self, registry, image):
        """Returns the bytes of an image's layers in the registry, those of the base included."""
        repository = f"{registry.split('/', 1)[1]}/{image}"
        _, manifest = self.parts.registry.manifest(repository, f"r-{self.stack.commit7}")
        return sum(layer["size"] for layer in manifest["layers"])


def real(parts):
    """P4, P5, P10 to P13: JupyterLab, scientific Python, R."""
    base = with_certificates(parts)
    stacked = Stacked(parts, "campus", f"""
        stack: campus
        tags: ["r-${{commit7}}"]
        images:
          lab:
            base: {base}
            env: {{ PATH: "/opt/venv/bin:${{env:PATH}}" }}
            apt: [git, jq, python3, python3-venv, rsync, tini]
            steps:
              - run: python3 -m venv /opt/venv
              - pip: requirements.txt
              - copy: {{ /usr/local/bin/start.sh: start.sh }}
          science:
            base: lab
            apt: [gfortran, graphviz]
            steps: [{{ pip: requirements.txt }}]
          r:
            base: lab
            apt: [r-base-core, r-cran-dplyr, r-cran-ggplot2]
        """, {"lab/requirements.txt": LAB, "lab/start.sh": START, "science/requirements.txt": SCIENCE}, {
        "lab": (f"""
            FROM {base}
            ENV PATH=/opt/venv/bin:$PATH
            RUN apt-get update && apt-get install -y --no-install-recommends git jq python3 python3-venv rsync tini \\
                && rm -rf /var/lib/apt/lists/*
            RUN python3 -m venv /opt/venv
            COPY requirements.txt /tmp/requirements.txt
            RUN pip install --no-cache-dir -r /tmp/requirements.txt
            COPY start.sh /usr/local/bin/start.sh
            """, None),
        "science": ("""
            FROM parent
            RUN apt-get update && apt-get install -y --no-install-recommends gfortran graphviz && rm -rf /var/lib/apt/lists/*
            COPY requirements.txt /tmp/requirements.txt
            RUN pip install --no-cache-dir -r /tmp/requirements.txt
            """, "lab"),
        "r": ("""
            FROM parent
            RUN apt-get update && apt-get install -y --no-install-recommends r-base-core r-cran-dplyr r-cran-ggplot2 \\
                && rm -rf /var/lib/apt/lists/*
            """, "lab"),
    })
    cold = Row("P4", "JupyterLab, scientific Python, R: engine empty", "≤ 0.4 × bake")
    sizes = {image: Row("P5", f"layers of the {image} image", "≤ 0.4 ×") for image in ("science", "r")}
    leaf = Row("P13", "the same, engine warm, a requirement of a leaf changed", "≤ 0.3 × bake")
    root = Row("P12", "the same, engine warm, a file of the root changed", "≤ 0.4 × bake")
    nothing = Row("P10", "the same, engine empty, nothing changed, new tags", "no bytes pulled")
    fresh = Row("P11", "the same, engine empty, a requirement of a leaf changed", "≤ 0.25 × bake")

    def edit(number):
        stacked.change("science/requirements.txt", f"{SCIENCE}humanize==4.{number}.0\n")
        stacked.stack.commit()

    def run(who, number):
        def build(row, expected, **bake):
            say(f"real: {who}: {row.number}")
            row.time(parts, who, (lambda: stacked.laminate(expected)) if who == LAMINATE else (lambda: stacked.bake(**bake)))
        stacked.change("lab/start.sh", f"{START}# {who} {number}\n")
        stacked.change("science/requirements.txt", SCIENCE)
        stacked.stack.commit()
        forget(parts)
        build(cold, 3)
        registry = stacked.stack.registry if who == LAMINATE else stacked.namespace
        for image, row in sizes.items():
            row.add(who, Sample(bytes=stacked.layers(registry, image)))
        edit(4 + 4 * number)
        build(leaf, 1)
        stacked.change("lab/start.sh", f"{START}# {who} {number} changed\n")
        stacked.stack.commit()
        build(root, 3)
        if who == BAKE:
            say("real: bake: writing its cache to the registry")
            stacked.bake(cache_to=True)
        stacked.stack.commit()
        forget(parts)
        build(nothing, 0, cache_from=True)
        edit(5 + 4 * number)
        forget(parts)
        build(fresh, 1, cache_from=True)
    for number in range(REAL_ROUNDS):
        for who in in_turn(number, (LAMINATE, BAKE)):
            run(who, number)


STEPS = 12


def steps(parts):
    """P14: twelve small steps on a root of sixty thousand files that users may write."""
    base = with_certificates(parts)
    make = ("mkdir -p /opt/conda/lib && cd /opt/conda/lib && for folder in $(seq 600); do mkdir $folder && "
            "(cd $folder && yes $folder | head -c 10000 | split -b 100 -a 2); done")
    fix = ("fix() { for path; do find \"$path\" ! \\( -group 100 -perm -g+rwX \\) -exec chgrp 100 {} + -exec chmod g+rwX {} + ; "
           "find \"$path\" -type d ! -perm -6000 -exec chmod +6000 {} + ; done; }; ")
    small, docker = [], []
    for number in range(STEPS):
        kind = number % 4
        if kind == 0:
            small.append(f"{{ copy: {{ /opt/conda/etc/copied-{number}: text }} }}")
            docker.append(f"COPY text /opt/conda/etc/copied-{number}")
        elif kind == 1:
            small.append(f'{{ append: {{ /etc/profile.d/stack.sh: "export NUMBER={number}" }} }}')
            docker.append(f'RUN echo "export NUMBER={number}" >>/etc/profile.d/stack.sh')
        elif kind == 2:
            small.append(f"{{ run: touch /opt/conda/run-{number} }}")
            docker.append(f"RUN {fix} touch /opt/conda/run-{number} && fix /opt/conda")
        else:
            package = ("idna==3.10", "six==1.17.0", "toml==0.10.2")[number // 4]
            small.append(f"{{ pip: [{package}] }}")
            docker.append(f"RUN {fix} pip install --no-cache-dir {package} && fix /opt/conda")
    listed = "".join(f"\n              - {step}" for step in small)
    lines = "\n            ".join(docker)
    stacked = Stacked(parts, "steps", f"""
        stack: steps
        tags: ["r-${{commit7}}"]
        writable: {{ gid: 100, paths: [/opt/conda] }}
        images:
          root:
            base: {base}
            env: {{ PATH: "/opt/conda/bin:${{env:PATH}}" }}
            apt: [python3, python3-venv]
            steps:
              - run: python3 -m venv /opt/conda
              - run: "{make}"
              - copy: {{ /etc/root: text }}
          leaf:
            base: root
            steps:{listed}
        """, {"root/text": "first\n", "leaf/text": "first\n"}, {
        "root": (f"""
            FROM {base}
            ENV PATH=/opt/conda/bin:$PATH
            RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
            RUN {fix} python3 -m venv /opt/conda && fix /opt/conda
            RUN {fix} {make} && fix /opt/conda
            COPY text /etc/root
            """, None),
        "leaf": (f"""
            FROM parent
            {lines}
            """, "root"),
    })
    row = Row("P14", f"{STEPS} small steps on 60,000 files, a file of the root changed", "≤ 0.8 × bake")
    say("steps: first builds")
    stacked.laminate(2)
    stacked.bake()
    for number in range(ROUNDS):
        say(f"steps: round {number + 1} of {ROUNDS}")
        for who, work in in_turn(number, [(LAMINATE, lambda: stacked.laminate(2)), (BAKE, stacked.bake)]):
            stacked.change("root/text", f"{who} {number}\n")
            stacked.stack.commit()
            row.time(parts, who, work)
