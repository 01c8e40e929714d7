# shellcheck shell=sh
## The `pip` step with `tool: pip`.
python=$(command -v python || command -v python3)
"$python" -m pip install --no-input@ARGUMENTS@
