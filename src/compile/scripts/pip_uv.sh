# shellcheck shell=sh disable=SC2154 # `python.sh` sets `python`
## The `pip` step with uv. uv leaves lock files that every user can write to: they are removed, but not
## one that was there before.
@PYTHON@
if [ -z "$python" ]; then
echo 'laminate: the image has no Python 3 on its PATH: install it in an earlier step, or set PATH in env' >&2
exit 127
fi
set --
for folder in "$("$python" -IBc 'import sys; print(sys.prefix)')" @FOLDERS@; do
[ -e "$folder/.lock" ] || set -- "$@" "$folder/.lock"
done
@PLACE@/uv/bin/uv pip install --python "$python"@ARGUMENTS@
rm -f "$@" "${TMPDIR:-/tmp}"/uv-*.lock
