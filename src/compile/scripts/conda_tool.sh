# shellcheck shell=sh disable=SC2034,SC2154
## The `conda` step with a `tool` of the image, after `conda_environment.sh`.
command -v @TOOL@ >/dev/null 2>&1 || {
# shellcheck disable=SC2016 # `tool:` is a key
echo 'laminate: the image has no @TOOL@ on its PATH: install it in an earlier step, or remove `tool:`' >&2
exit 127
}
verb=create
if is_environment "$prefix"; then verb=install; fi
