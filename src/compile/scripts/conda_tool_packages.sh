# shellcheck shell=sh
## Packages of a `conda` step with a `tool` of the image, after `conda_tool.sh`.
# shellcheck disable=SC2154 # `conda_environment.sh` sets `prefix`, and `conda_tool.sh` sets `verb`
@TOOL@ @VERB@ -y -p "$prefix"@OPTIONS@ @PACKAGES@
# shellcheck disable=SC2034 # the next script may use it
verb=install
