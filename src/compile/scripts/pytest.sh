# shellcheck shell=sh
## The test of a `pytest` suite.
python=$(command -v python || command -v python3) || { echo 'laminate: the image has no python on its PATH' >&2; exit 127; }
"$python" @PLACE@/texts/run_pytest.py @PLACE@/pytest @ARGUMENTS@-o cache_dir=@RESULTS@/cache --color=no --rootdir=@FOLDER@ --junitxml=@RESULTS@/junit.xml @TESTS@
