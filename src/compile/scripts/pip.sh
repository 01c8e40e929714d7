# shellcheck shell=sh disable=SC2154 # `python.sh` sets `python`
## The `pip` step with `tool: pip`.
@PYTHON@
if ! "$python" -c 'import pip' 2>/dev/null; then
echo "laminate: ${python:-python} on the image's PATH has no pip: install it in an earlier step, for example with \`apt: [python3-pip]\`, or leave out \`tool: pip\`: uv needs no pip" >&2
exit 127
fi
"$python" -m pip install --no-input@ARGUMENTS@
