# shellcheck shell=sh
## Fetches uv into a tree of its own.
python=$(command -v python || command -v python3)
"$python" -m pip install --no-deps --quiet --target @PLACE@/uv uv==@VERSION@
