# shellcheck shell=sh
## The `conda` step, after `conda_environment.sh`: finds `python`, which runs py-rattler. It is one of the image, or
## CPython as uv has it, in the cache: uv knows its digest, and nothing of it is left in the image. Settings of
## python in the image do not count (-I), nor do its packages (-S), and nothing is written beside its modules (-B).
# shellcheck disable=SC2154 # `conda_environment.sh` sets `prefix`
loads() { [ -x "$1" ] && "$1" -ISBc 'import sys; sys.path.insert(0, "@PLACE@/rattler"); import rattler' >/dev/null 2>&1; }
python=
for candidate in /usr/bin/python3 "$(command -v python3)" "$(command -v python)" "$prefix/bin/python"; do
if loads "$candidate"; then
python=$candidate
break
fi
done
if [ -z "$python" ]; then
for library in /lib/ld-musl-*; do
if [ -e "$library" ] && [ ! -e /lib64/ld-linux-x86-64.so.2 ] && [ ! -e /lib/ld-linux-aarch64.so.1 ]; then
echo 'laminate: conda packages need glibc, and the image has musl' >&2
exit 1
fi
done
pythons=@CACHE@/python
# shellcheck disable=SC2016 # `apt` and the others are keys
UV_PYTHON_DOWNLOADS=manual @PLACE@/uv/bin/uv python install --no-config --no-bin --install-dir $pythons @VERSION@ >&2 || {
echo 'laminate: the image has no python 3.10 or newer to run the installer, and none could be fetched: add `apt: [python3]` before the step, set UV_PYTHON_INSTALL_MIRROR in its `env:`, or use `tool: micromamba`' >&2
exit 1
}
for candidate in "$pythons"/cpython-@VERSION@-*/bin/python3; do
if loads "$candidate"; then python=$candidate; fi
done
if [ -z "$python" ]; then
echo 'laminate: the python that was fetched cannot load py-rattler: the glibc of the image is too old, or its architecture another one' >&2
exit 1
fi
fi
