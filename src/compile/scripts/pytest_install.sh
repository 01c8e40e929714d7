# shellcheck shell=sh disable=SC2154 # `python.sh` sets `python`
## Fetches pytest and the suite's requirements into a tree of their own, with uv: the image needs no pip.
## The versions the image has are the constraints: its code was made for them, and nothing else may come
## before them.
@PYTHON@
[ -n "$python" ] || { echo 'laminate: the image has no Python 3 on its PATH' >&2; exit 127; }
@UNLESS_INSTALLED@
uv=@PLACE@/uv/bin/uv
$uv pip freeze --python "$python" 2>/dev/null | grep -E '^[A-Za-z0-9._-]+==' >@PLACE@/constraints.txt || true
$uv pip install --quiet --python "$python" --target @PLACE@/pytest -c @PLACE@/constraints.txt@REQUIREMENTS@
