# shellcheck shell=sh
## The `conda` step's `packages`, after `conda.sh`.
# shellcheck disable=SC2154 # `conda.sh` sets `tool`
"$tool" install -y@CHANNELS@ @PACKAGES@
