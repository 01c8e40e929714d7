"""Installs packages of conda channels into an environment, with py-rattler.

`conda_install.py PREFIX REQUEST RATTLER CACHE`: REQUEST is a JSON document, RATTLER a folder with py-rattler. Nothing of
the settings of the python that runs it counts; those of conda in the image (`.condarc`) do.
"""
import asyncio
import json
import os
import pathlib
import re
import subprocess
import sys
import time

PREFIX, REQUEST, CACHE = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[4])
sys.path.insert(0, sys.argv[3])
os.environ["RATTLER_CACHE_DIR"] = str(CACHE)

import rattler  # noqa: E402
from rattler import exceptions  # noqa: E402

META = PREFIX / "conda-meta"
DEFAULTS = ["https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r"]
BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]


def end(code):
    """Ends at once: threads of py-rattler that still run would crash python while it finalizes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fail(text):
    print(f"laminate: {text}", file=sys.stderr)
    end(1)


def plain(text):
    """Returns a scalar of YAML without its quotes, comment and variables."""
    text = text.strip()
    quoted = re.match(r"'([^']*)'|\"([^\"]*)\"", text)
    text = (quoted.group(1) or quoted.group(2) or "") if quoted else re.split(r"\s#", text)[0].strip()
    return os.path.expandvars(text)


def read_settings(path):
    """Returns the keys of a `.condarc`: scalars, lists and mappings of scalars, all that conda's own settings use."""
    settings, key = {}, None
    for line in path.read_text().splitlines():
        if not line.strip() or line.lstrip().startswith("#") or line.strip() in ("---", "..."):
            continue
        top = re.match(r"([A-Za-z_]+)\s*:\s*(.*)$", line)
        item = re.match(r"\s*-\s+(.*)$", line)
        entry = re.match(r"\s+([^\s:#]+|\"[^\"]+\"|'[^']+')\s*:\s+(.*)$", line)
        if top:
            key, value = top.group(1), re.split(r"(?:^|\s)#", top.group(2))[0].strip()
            if value.startswith("["):
                settings[key] = [plain(text) for text in value.strip("[]").split(",") if text.strip()]
            else:
                settings[key] = plain(value) if value else None
        elif item and key:
            settings[key] = [*(settings[key] if isinstance(settings.get(key), list) else []), plain(item.group(1))]
        elif entry and key:
            known = settings[key] if isinstance(settings.get(key), dict) else {}
            settings[key] = {**known, plain(entry.group(1)): plain(entry.group(2))}
        else:
            fail(f"cannot read the line `{line.strip()}` of {path}")
    return settings


def condarc():
    """Returns the settings of conda in the image; lists of the most specific file come first."""
    home, root = pathlib.Path.home(), PREFIX.parent.parent if PREFIX.parent.name == "envs" else PREFIX
    folders = [pathlib.Path("/etc/conda"), pathlib.Path("/var/lib/conda"), root, home / ".config/conda", home / ".conda"]
    paths = [folder / name for folder in folders for name in (".condarc", "condarc")]
    paths += [home / ".condarc", PREFIX / ".condarc", pathlib.Path(os.environ.get("CONDARC") or "/nonexistent")]
    merged = {}
    for path in dict.fromkeys(paths):
        if path.is_file():
            for key, value in read_settings(path).items():
                if isinstance(value, list):
                    merged[key] = list(dict.fromkeys([*value, *(merged.get(key) or [])]))
                elif isinstance(value, dict):
                    merged[key] = {**(merged.get(key) or {}), **value}
                elif value is not None:
                    merged[key] = value
    return merged


def channels_of(request, settings):
    """Returns the channels: those of the step, then those of the image; conda-forge if there are none."""
    names = list(request["channels"])
    if "nodefaults" not in names:
        names += settings.get("channels") or []
    names = [name for name in names if name != "nodefaults"]
    if not names and not request["urls"]:
        names = ["conda-forge"]
    names += [text.split("::")[0] for text in request["asked"] if "::" in text]
    alias = settings.get("channel_alias") or "https://conda.anaconda.org"
    config = rattler.ChannelConfig(alias.rstrip("/") + "/", os.getcwd())
    custom = settings.get("custom_channels") or {}
    urls = []
    for name in names:
        if name == "defaults":
            urls += settings.get("default_channels") or DEFAULTS
        else:
            urls.append(f"{custom[name].rstrip('/')}/{name}" if name in custom else name)
    return [rattler.Channel(url, config) for url in dict.fromkeys([*urls, *request["urls"]])]


def priority_of(request, settings):
    """Returns how channels compete: as the step says, or the image; strict, the default of mamba, otherwise."""
    name = request["priority"] or settings.get("channel_priority") or "strict"
    name = {"true": "flexible", "false": "disabled"}.get(name.lower(), name.lower())
    try:
        return rattler.ChannelPriority[name.capitalize()]
    except KeyError:
        fail(f"unknown `channel_priority: {name}` in the image's .condarc")


def name_of(spec):
    return spec.name.as_package_name().normalized if spec.name.as_package_name() else str(spec.name)


def specs_of(texts, where):
    """Returns the specifications of packages by their names."""
    specs = {}
    for text in texts:
        try:
            spec = rattler.MatchSpec(text, strict=False)
            specs.setdefault(name_of(spec), []).append(spec)
        except exceptions.InvalidMatchSpecError as error:
            fail(f"invalid package `{text}` in {where}: {error}")
    return specs


def pinned_by_url(text):
    """Returns a package that is named by its URL and digest as a channel, a specification and one for the history:
    py-rattler does not check the digest of a URL, but that of a package of a channel."""
    url, digest = text.split("#", 1)
    digest = digest.rpartition(":")[2]
    channel, subdir, file = url.rsplit("/", 2)
    parts = re.sub(r"\.(conda|tar\.bz2)$", "", file).rsplit("-", 2)
    if len(parts) != 3:
        fail(f"`{url}` is not the URL of a conda package")
    kind = "sha256" if len(digest) == 64 else "md5"
    name, version, build = parts
    spec = f'{channel}::{name}[version="=={version}", build="{build}", subdir="{subdir}", {kind}="{digest}"]'
    return channel, spec, f"{name}=={version}={build}"


def requested_before(installed):
    """Returns what users asked for in earlier installations, by name: in the history, and in the records."""
    texts = {}
    history = META / "history"
    for line in history.read_text().splitlines() if history.is_file() else []:
        found = re.match(r"# (update|install|remove|uninstall|neutered) specs: *(.*)$", line)
        if not found:
            continue
        try:
            words = [str(word) for word in json.loads(found.group(2).replace("'", '"'))]
        except ValueError:
            words = found.group(2).split(",")
        for spec in (word for word in words if word.strip()):
            for name in specs_of([spec], history):
                if found.group(1) in ("remove", "uninstall"):
                    texts.pop(name, None)
                else:
                    texts[name] = [spec]
    for record in installed:
        found = [spec for spec in [*record.requested_specs, record.requested_spec or ""] if spec and spec != "None"]
        if found:
            texts.setdefault(record.name.normalized, found)
    here = {record.name.normalized for record in installed}
    return {name: found for name, found in texts.items() if name in here}


def pinned(settings):
    """Returns the pins of the environment and of the image's settings."""
    texts = [text for text in settings.get("pinned_packages") or []]
    file = META / "pinned"
    for line in file.read_text().splitlines() if file.is_file() else []:
        line = line.split("#")[0].strip()
        if line:
            texts.append(line)
    return specs_of(texts, file)


def virtual_packages():
    """Returns what the machine has, but for its processor: the image also runs on others."""
    os.environ.setdefault("CONDA_OVERRIDE_ARCHSPEC", {"aarch64": "aarch64"}.get(os.uname().machine, os.uname().machine))
    return rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env())


def client():
    """Returns a client of the network. It trusts the certificates of the image, if it has any."""
    if not os.environ.get("SSL_CERT_FILE"):
        bundles = [os.environ.get("REQUESTS_CA_BUNDLE"), os.environ.get("CURL_CA_BUNDLE")]
        bundles = [path for path in bundles if path and os.path.isfile(path)]
        if bundles:
            os.environ["SSL_CERT_FILE"] = bundles[0]
    has_store = os.environ.get("SSL_CERT_FILE") or any(os.path.isfile(path) for path in BUNDLES)
    # Files are copied: the cache is another file system, and no part of the image.
    config = rattler.Config.from_toml(f"""
        tls-root-certs = "{'system' if has_store else 'webpki'}"
        allow-hard-links = false
        allow-ref-links = true
        run-post-link-scripts = "insecure"
    """)
    return config, rattler.Client.from_config(config, user_agent="laminate")


async def solved(request, installed, settings, gateway):
    """Returns the records of the environment after the step, and the specifications it is for."""
    new = specs_of(request["specs"], "the step")
    before = requested_before(installed)
    pins = pinned(settings)
    here = {record.name.normalized: record for record in installed}
    wanted = [spec for name, found in before.items() if name not in new for spec in specs_of(found, META).get(name, [])]
    wanted += [spec for found in new.values() for spec in found]
    constraints = [spec for found in pins.values() for spec in found]
    if "python" in here and "python" not in new and "python" not in pins:
        version = ".".join(str(here["python"].version).split(".")[:2])
        constraints.append(rattler.MatchSpec(f"python {version}.*"))
    kept = [rattler.MatchSpec(name) for name in here if name not in new and name not in before]
    locked = [record for record in installed if not (request["upgrade"] and record.name.normalized in new)]
    options = {
        "sources": channels_of(request, settings),
        "gateway": gateway,
        "platforms": [rattler.Subdir.current(), "noarch"],
        "locked_packages": locked,
        "virtual_packages": virtual_packages(),
        "channel_priority": priority_of(request, settings),
        "constraints": constraints,
    }
    try:
        return await rattler.solve(specs=wanted + kept, **options), new
    except exceptions.SolverError:
        if not kept:
            raise
    # Packages that were not asked for may go.
    return await rattler.solve(specs=wanted, **options), new


def text_of(record):
    return f"{record.name.normalized}-{record.version}-{record.build}"


def changes(before, after):
    """Returns the records that go and those that come."""
    old = {text_of(record): record for record in before}
    new = {text_of(record): record for record in after}
    return [old[text] for text in old if text not in new], [new[text] for text in new if text not in old]


def compile_modules(python, records):
    """Compiles modules of packages without a platform, as conda does, and adds the results to their records."""
    for record in records:
        path = META / f"{text_of(record)}.json"
        document = json.loads(path.read_text())
        files = [file for file in document["files"] if file.endswith(".py")]
        if document.get("noarch") != "python" or not files:
            continue
        names = "".join(f"{PREFIX / file}\n" for file in files)
        command = [python, "-Im", "compileall", "-q", "-l", "-i", "-"]
        subprocess.run(command, input=names, text=True, stdout=subprocess.DEVNULL, check=False)
        for file in files:
            for made in sorted((PREFIX / file).parent.glob(f"__pycache__/{pathlib.Path(file).stem}.*.pyc")):
                name = str(made.relative_to(PREFIX))
                if name not in document["files"]:
                    document["files"].append(name)
                    document["paths_data"]["paths"].append({"_path": name, "path_type": "pyc_file"})
        path.write_text(json.dumps(document, indent=2) + "\n")


def write_history(gone, come, request):
    """Adds the installation to the history, in the form of conda, which reads from it what users asked for."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(int(seconds)) if seconds else time.localtime())
    lines = [f"==> {now} <==", "# cmd: laminate conda", "# conda version: 24.1.0"]
    for sign, records in (("-", gone), ("+", come)):
        for record in sorted(records, key=text_of):
            channel = (record.channel or "unknown").rstrip("/").rsplit("/", 1)[-1]
            lines.append(f"{sign}{channel}/{record.subdir}::{text_of(record)}")
    lines.append(f"# update specs: {json.dumps(request['asked'])}")
    META.mkdir(parents=True, exist_ok=True)
    with (META / "history").open("a") as file:
        file.write("\n".join(lines) + "\n")


class Scripts(rattler.InstallerReporter):
    """Remembers the link scripts that failed."""

    def __init__(self):
        self.started, self.failed = [], []

    def on_post_link_start(self, package_name, script_path):
        self.started.append(package_name)
        return len(self.started) - 1

    def on_post_link_complete(self, index, success):
        if not success:
            self.failed.append(self.started[index])


async def install(request):
    """Solves and installs."""
    config, network = client()
    settings = condarc()
    gateway = rattler.Gateway(cache_dir=CACHE / "repodata", client=network, show_progress=False)
    installed = rattler.PrefixRecord.from_conda_meta(META) if hasattr(rattler.PrefixRecord, "from_conda_meta") else [
        rattler.PrefixRecord.from_path(path) for path in sorted(META.glob("*.json"))]
    records, new = await solved(request, installed, settings, gateway)
    gone, come = changes(installed, records)
    for record in gone:
        print(f"- {text_of(record)}", flush=True)
    for record in come:
        print(f"+ {text_of(record)}", flush=True)
    registry = pathlib.Path.home() / ".conda/environments.txt"
    was = registry.read_text() if registry.is_file() else None
    made = not registry.parent.exists()
    tag = PREFIX / "CACHEDIR.TAG"
    was_tagged = tag.exists()
    scripts = Scripts()
    await rattler.install(
        records, PREFIX, cache_dir=CACHE / "pkgs", installed_packages=installed, client=network, config=config,
        execute_link_scripts=True, show_progress=False, reporter=scripts,
        requested_specs=[spec._match_spec for found in new.values() for spec in found])
    # An image needs no list of the environments on this machine, and its environments are not a cache.
    if not was_tagged:
        tag.unlink(missing_ok=True)
    if was is None and registry.is_file():
        registry.unlink()
        if made:
            registry.parent.rmdir()
    elif was is not None and registry.read_text() != was:
        registry.write_text(was)
    if scripts.failed:
        fail(f"the post-link script of {', '.join(sorted(scripts.failed))} failed")
    python = PREFIX / "bin/python"
    if python.exists():
        compile_modules(python, come)
    write_history(gone, come, request)


def main():
    with open(REQUEST, encoding="utf-8") as file:
        request = json.load(file)
    request |= {"asked": [], "urls": []}
    for number, text in enumerate(request["specs"]):
        asked = text
        if "://" in text and "#" in text:
            channel, request["specs"][number], asked = pinned_by_url(text)
            request["urls"].append(channel)
        request["asked"].append(asked)
    try:
        asyncio.run(install(request))
    except exceptions.SolverError as error:
        fail(f"cannot install {' '.join(request['asked'])} into {PREFIX}:\n{error}")
    except (exceptions.GatewayError, exceptions.FetchRepoDataError) as error:
        fail(f"cannot read a channel: {error}")
    except OSError as error:
        fail(f"cannot install into {PREFIX}: {error}")
    except Exception as error:
        fail(f"cannot install into {PREFIX}: {type(error).__name__}: {error}")
    end(0)


main()
