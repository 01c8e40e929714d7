# shellcheck shell=sh disable=SC2034
## Finds the image's Python 3; `python` is empty without one. `-I` is of Python 3.4: an older one fails.
for name in python python3; do
python=$(command -v $name) && "$python" -IBc '' 2>/dev/null && break
python=
done
