# shellcheck shell=sh
## The `pip` step with uv. uv leaves lock files that every user can write to: they are removed, but not
## one that was there before.
python=$(command -v python || command -v python3) || {
echo 'laminate: the image has no python on its PATH: install it in an earlier step, or set PATH in env' >&2
exit 127
}
lock=$("$python" -IBc 'import sys; print(sys.prefix)')/.lock
[ ! -e "$lock" ] || lock=
@PLACE@/uv/bin/uv pip install --python "$python"@ARGUMENTS@
rm -f ${lock:+"$lock"} /tmp/uv-*.lock
