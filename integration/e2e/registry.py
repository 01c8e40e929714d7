"""The registry as another client sees it, and the requests it answered."""
import gzip
import hashlib
import io
import json
import pathlib
import re
import subprocess
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
ACCEPT = ", ".join([
    MANIFEST, "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json"])
# What these tests call themselves in the registry's log.
AGENT = "e2e"


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """A registry at `address`, with its access log and a base image."""

    def __init__(self, address, log, base):
        self.address = address
        self.log = pathlib.Path(log)
        self.configuration = self.log.with_suffix(".yml")
        self.base = base

    def request(self, method, path, data=None, headers=None):
        """Sends one request; returns (status, headers, body), also for an error status."""
        url = path if path.startswith("http") else f"http://{self.address}/v2/{path}"
        request = urllib.request.Request(url, data=data, method=method,
                                         headers={"Accept": ACCEPT, "User-Agent": AGENT, **(headers or {})})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    # Reading.

    def manifest(self, repository, reference):
        """Returns (digest, parsed manifest)."""
        status, _, body = self.request("GET", f"{repository}/manifests/{reference}")
        assert status == 200, f"{repository}:{reference}: status {status}"
        return sha256(body), json.loads(body)

    def digest(self, repository, reference):
        """Returns the digest a tag points at, None if there is no such tag."""
        status, _, body = self.request("GET", f"{repository}/manifests/{reference}")
        return sha256(body) if status == 200 else None

    def tags(self, repository):
        status, _, body = self.request("GET", f"{repository}/tags/list")
        return sorted(json.loads(body).get("tags") or []) if status == 200 else []

    def blob(self, repository, digest):
        status, _, body = self.request("GET", f"{repository}/blobs/{digest}")
        assert status == 200, f"{repository}@{digest}: status {status}"
        return body

    def config(self, repository, reference):
        return json.loads(self.blob(repository, self.manifest(repository, reference)[1]["config"]["digest"]))

    def layers(self, repository, reference):
        return [layer["digest"] for layer in self.manifest(repository, reference)[1]["layers"]]

    def open_layer(self, repository, layer):
        """Returns a layer as an open tar file."""
        data = self.blob(repository, layer)
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif data[:4] == b"\x28\xb5\x2f\xfd":
            data = subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
        return tarfile.open(fileobj=io.BytesIO(data))

    def content(self, repository, reference, path):
        """Returns the bytes of a file in an image, from the uppermost layer that has it."""
        for layer in reversed(self.layers(repository, reference)):
            with self.open_layer(repository, layer) as archive:
                for member in archive:
                    if member.name.strip("./") == path.strip("/"):
                        return archive.extractfile(member).read()
        raise AssertionError(f"no {path} in {repository}:{reference}")

    # Writing.

    def put_blob(self, repository, data):
        """Uploads a blob; returns its digest and size as a descriptor has them."""
        status, headers, _ = self.request("POST", f"{repository}/blobs/uploads/", b"")
        assert status == 202, f"begin an upload to {repository}"
        place = headers["Location"]
        status, _, _ = self.request("PUT", f"{place}{'&' if '?' in place else '?'}digest={sha256(data)}", data,
                                    {"Content-Type": "application/octet-stream"})
        assert status == 201, f"upload to {repository}"
        return {"digest": sha256(data), "size": len(data)}

    def put_manifest(self, repository, tag, manifest):
        """Tags a manifest (bytes, or a value written as JSON); returns its digest."""
        body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        status, _, _ = self.request("PUT", f"{repository}/manifests/{tag}", body,
                                    {"Content-Type": json.loads(body)["mediaType"]})
        assert status == 201, f"tag {repository}:{tag}"
        return sha256(body)

    def retag(self, repository, tag, reference, more=b""):
        """Points a tag at another image by hand, or at one that differs in its bytes by `more`."""
        _, _, body = self.request("GET", f"{repository}/manifests/{reference}")
        return self.put_manifest(repository, tag, body + more)

    def put_image(self, repository, tag, change=lambda config: config):
        """Puts the base there, its config changed; returns the digest."""
        source, base_tag = self.base.split("/", 1)[1].rsplit(":", 1)
        _, manifest = self.manifest(source, base_tag)
        for layer in manifest["layers"]:
            status, _, _ = self.request(
                "POST", f"{repository}/blobs/uploads/?mount={layer['digest']}&from={source}", b"")
            assert status == 201, f"mount {layer['digest']} in {repository}"
        data = json.dumps(change(json.loads(self.blob(source, manifest["config"]["digest"])))).encode()
        manifest["config"] |= self.put_blob(repository, data)
        return self.put_manifest(repository, tag, manifest)

    def put_layers(self, repository, tag, archives):
        """Puts an image with these tar archives as its layers; returns the digest."""
        layers = [{"mediaType": LAYER, **self.put_blob(repository, gzip.compress(archive, mtime=0))}
                  for archive in archives]
        source, base_tag = self.base.split("/", 1)[1].rsplit(":", 1)
        config = {
            "architecture": self.config(source, base_tag)["architecture"], "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [sha256(archive) for archive in archives]}}
        return self.put_manifest(repository, tag, {
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
            "config": {"mediaType": CONFIG, **self.put_blob(repository, json.dumps(config).encode())}})

    # Observing.

    def recorded(self):
        """A context manager that records the requests answered inside its `with` block."""
        return Requests(self.log)


class Requests:
    """The requests the registry answered in a `with` block, without those of these tests: `all` is a
    list of (method, path, status)."""

    LINE = re.compile(r'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d+) \d+ "[^"]*" "([^"]*)"')

    def __init__(self, log):
        self.log = log
        self.all = []

    def __enter__(self):
        self.start = self.log.stat().st_size
        return self

    def __exit__(self, *_):
        # The registry writes a line after it has answered.
        time.sleep(0.2)
        with open(self.log, errors="replace") as log:
            log.seek(self.start)
            self.all = [(m[1], urllib.parse.unquote(m[2]), int(m[3])) for m in self.LINE.finditer(log.read())
                        if m[4] != AGENT]

    @property
    def writes(self):
        return [line for line in self.all if line[0] not in ("GET", "HEAD")]

    def uploads(self):
        """Digests of blobs whose bytes were sent, with repetitions."""
        return [found[1] for method, path, status in self.all
                if method == "PUT" and "/blobs/uploads/" in path and status == 201
                and (found := re.search(r"digest=(sha256:[0-9a-f]{64})", path))]

    def sent_to(self, repository):
        return [line for line in self.all if line[1].startswith(f"/v2/{repository}/blobs/uploads/")
                and line[0] in ("PATCH", "PUT")]
