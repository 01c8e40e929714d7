# shellcheck shell=sh disable=SC2154 # `python.sh` sets `python`
## The test of a `pytest` suite.
@PYTHON@
[ -n "$python" ] || { echo 'laminate: the image has no Python 3 on its PATH' >&2; exit 127; }
"$python" @PLACE@/texts/run_pytest.py @PLACE@/pytest @RESULTS@/running @ARGUMENTS@-o cache_dir=@RESULTS@/cache --color=no --rootdir=@FOLDER@ --junitxml=@RESULTS@/junit.xml @TESTS@
