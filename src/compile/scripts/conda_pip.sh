# shellcheck shell=sh
## The `pip:` section of the file of a `conda` step, before `pip_uv.sh`.
# shellcheck disable=SC2016,SC2154 # `pip:` is a key; `conda_environment.sh` sets `prefix`
[ -x "$prefix/bin/python" ] || {
echo 'laminate: the environment has no python for the `pip:` section: add `python` to `dependencies`' >&2
exit 1
}
PATH=$prefix/bin:$PATH
