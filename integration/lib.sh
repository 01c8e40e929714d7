# Starts what the demo and the end-to-end tests need: a base image, a registry, an engine.
# Sourced by scripts with `set -euo pipefail`; everything started here is stopped when the script ends,
# however it ends.
#
#   $root        the checkout
#   $work        folder of all state; the engine's state and the base image stay there between runs
#   $scratch     folder of this run, removed at its end
#   $binary      laminate, after build_laminate
#   $registry    host:port, after start_registry
#   $base        reference of the base image in it, after push_base
#   $engine      address, after start_engine; $engine_metrics: host:port of its counters
# shellcheck shell=bash

# shellcheck disable=SC2034 # for the scripts that source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work="${LAMINATE_WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/laminate-work}"
mkdir -p "$work"
scratch=$(mktemp -d "$work/run.XXXXXX")
started=()

say() { echo "== $*" >&2; }
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# sudo only where it is needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -E env "PATH=$PATH" "$@"; fi
}

# The same, but replacing the shell: in the background, `$!` is then the PID of the program and not of a
# shell around it.
become() {
    if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -E env "PATH=$PATH" "$@"; fi
}

stop() { # PID
    as_root kill "$1" 2>/dev/null || return 0
    local i
    for ((i = 0; i < 100; i++)); do
        as_root kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    as_root kill -9 "$1" 2>/dev/null || true
}

cleanup() {
    local status=$? pid mount
    trap - EXIT INT TERM
    for pid in ${started[@]+"${started[@]}"}; do stop "$pid"; done
    # Mounts that a killed engine left, deepest first: only of this run and of the engine's state.
    while read -r mount; do
        case $mount in
        "$scratch"/* | "$work"/engine/*) as_root umount -l "$mount" 2>/dev/null || true ;;
        esac
    done < <(awk '{ print $5 }' /proc/self/mountinfo | sort -r)
    if [ -n "${LAMINATE_KEEP:-}" ]; then
        say "kept: $scratch"
    else
        as_root rm -rf "$scratch"
    fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a command that downloads, up to three times.
retry() { # COMMAND…
    local attempt status=0
    for attempt in 1 2 3; do
        status=0
        "$@" || status=$?
        [ "$status" != 0 ] || return 0
        [ "$attempt" = 3 ] || {
            say "failed ($status), trying again: $*"
            sleep "$attempt"
        }
    done
    return "$status"
}

# Builds laminate with a profile of cargo, unless LAMINATE_BINARY is set; sets $binary.
build_laminate() { # debug|release
    binary="${LAMINATE_BINARY:-}"
    if [ -z "$binary" ]; then
        local flags=() target
        [ "$1" = debug ] || flags=(--release)
        say "building laminate"
        target=$(cd "$root" && cargo build --quiet --locked ${flags[@]+"${flags[@]}"} >&2 &&
            cargo metadata --format-version 1 --no-deps --locked | jq -r .target_directory) ||
            fail "cannot build laminate"
        binary="$target/$1/laminate"
    fi
    [ -x "$binary" ] || fail "no binary at $binary"
}

# Prints a free loopback port: the one in FILE if it is still free, so that image references stay the
# same from run to run.
free_port() { # FILE
    python3 - "$1" <<'PY'
import os, socket, sys
file = sys.argv[1]
before = int(open(file).read()) if os.path.exists(file) else 0
for port in (before, 0):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        found = s.getsockname()[1]
    with open(file, "w") as f:
        f.write(str(found))
    print(found)
    break
PY
}

# Starts an empty registry with an access log at $scratch/registry.log; sets $registry. As in the configuration of its
# image, `registry:3`, it keeps in memory which blobs there are (distribution's cmd/registry/config-example.yml).
start_registry() {
    local port i
    port=$(free_port "$work/registry-port")
    registry="127.0.0.1:$port"
    mkdir -p "$scratch/registry"
    cat >"$scratch/registry.yml" <<YML
version: 0.1
log: { level: error, accesslog: { disabled: false } }
storage:
  filesystem: { rootdirectory: $scratch/registry }
  delete: { enabled: true }
  cache: { blobdescriptor: inmemory }
http: { addr: "$registry" }
YML
    env -i PATH="$PATH" OTEL_TRACES_EXPORTER=none registry serve "$scratch/registry.yml" \
        >"$scratch/registry.log" 2>&1 &
    registry_pid=$!
    started+=("$registry_pid")
    for ((i = 0; i < 100; i++)); do
        if python3 -c "import urllib.request as u; u.urlopen('http://$registry/v2/')" 2>/dev/null; then
            return
        fi
        kill -0 "$registry_pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$scratch/registry.log" >&2
    fail "the registry did not start"
}

# Starts a buildkitd; sets $engine, and $engine_metrics to what serves its counters. Its state is kept between runs,
# unless a folder is given.
start_engine() { # [STATE-FOLDER]
    local i state="${1:-$work/engine}"
    engine_socket="$scratch/buildkitd.sock"
    engine="unix://$engine_socket"
    engine_metrics="127.0.0.1:$(free_port "$work/metrics-port")"
    as_root mkdir -p "$state"
    become "$(command -v buildkitd)" --root "$state" --addr "$engine" --group "$(id -g)" \
        --debugaddr "$engine_metrics" --oci-worker-net=host --oci-worker-gc-keepstorage 8000 >"$scratch/buildkitd.log" 2>&1 &
    engine_pid=$!
    started+=("$engine_pid")
    for ((i = 0; i < 300; i++)); do
        if [ -S "$engine_socket" ] && buildctl --addr "$engine" debug workers >/dev/null 2>&1; then
            return
        fi
        kill -0 "$engine_pid" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 30 "$scratch/buildkitd.log" >&2
    fail "buildkitd did not start"
}

# Debian's root filesystem as a tar archive. mmdebstrap sends a signal to its whole process group when
# it fails: in a session of its own, that does not end this script without a word.
debian_archive() { # FILE
    local status=0
    # As root, since Ubuntu allows user namespaces to root only.
    SOURCE_DATE_EPOCH=1750000000 become setsid mmdebstrap --variant=minbase --include=ca-certificates \
        --aptopt='Acquire::Retries "1"' bookworm - ${LAMINATE_DEBIAN_MIRROR:+"$LAMINATE_DEBIAN_MIRROR"} \
        >"$1" 2>"$scratch/mmdebstrap.log" &
    started+=("$!")
    wait "$!" || status=$?
    [ "$status" = 0 ] || tail -n 20 "$scratch/mmdebstrap.log" >&2
    return "$status"
}

# A small Debian as an OCI layout in the cache, made once, from Debian's archive or the mirror in
# LAMINATE_DEBIAN_MIRROR.
make_base() {
    local recipe
    recipe=$(declare -f debian_archive make_base | sha256sum | cut -c1-16)
    base_layout="$work/base-$recipe"
    [ ! -e "$base_layout/index.json" ] || return 0
    say "making the base image: Debian bookworm with mmdebstrap (once)"
    retry debian_archive "$scratch/debian.tar" ||
        fail "cannot make the base image: mmdebstrap failed three times, see its log above"
    # Without dev/: a container has its own, and only root can unpack it.
    tar --delete --wildcards -f - './dev/*' <"$scratch/debian.tar" | gzip -n >"$scratch/base.tar.gz"
    rm "$scratch/debian.tar"
    python3 - "$scratch/base.tar.gz" "$scratch/layout" <<'PY'
import gzip, hashlib, json, os, shutil, sys
layer, layout = sys.argv[1:]
blobs = f"{layout}/blobs/sha256"
os.makedirs(blobs)

def digest(stream):
    made = hashlib.sha256()
    while piece := stream.read(1 << 20):
        made.update(piece)
    return made.hexdigest()

def put(value):
    data = json.dumps(value).encode()
    name = hashlib.sha256(data).hexdigest()
    with open(f"{blobs}/{name}", "wb") as f:
        f.write(data)
    return {"digest": f"sha256:{name}", "size": len(data)}

with open(layer, "rb") as f:
    packed = digest(f)
with gzip.open(layer) as f:
    unpacked = digest(f)
shutil.copy(layer, f"{blobs}/{packed}")
machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
config = put({
    "architecture": machine, "os": "linux", "created": "2025-06-15T15:06:40Z",
    "config": {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["bash"],
        "Labels": {"org.example.base": "mmdebstrap"},
    },
    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{unpacked}"]},
    "history": [{"created": "2025-06-15T15:06:40Z", "created_by": "mmdebstrap bookworm"}],
})
manifest = put({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": f"sha256:{packed}", "size": os.path.getsize(layer)}],
})
with open(f"{layout}/oci-layout", "w") as f:
    f.write('{"imageLayoutVersion":"1.0.0"}')
with open(f"{layout}/index.json", "w") as f:
    json.dump({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest,
        "annotations": {"org.opencontainers.image.ref.name": "bookworm"}}]}, f)
PY
    rm -rf "$base_layout"
    mv "$scratch/layout" "$base_layout"
}

# Makes the base if need be and pushes it; sets $base.
push_base() { # [NAME:TAG]
    make_base
    base="$registry/upstream/${1:-debian:bookworm}"
    retry skopeo copy -q --dest-tls-verify=false "oci:$base_layout:bookworm" "docker://$base" ||
        fail "cannot push the base image to the registry"
}

digest_of() { # REFERENCE
    crane digest --insecure "$1"
}

inspect() { # REFERENCE
    skopeo inspect --tls-verify=false "docker://$1"
}

# Gives steps the certificates of this machine: behind a proxy that intercepts TLS they are more than a
# fresh Debian has.
use_machine_certificates() {
    local bundle="${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}"
    if [ -z "${LAMINATE_CA:-}" ] && [ -r "$bundle" ]; then
        export LAMINATE_CA="$bundle"
    fi
}
