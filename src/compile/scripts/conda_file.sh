# shellcheck shell=sh
## The `conda` step's `file`, after `conda.sh`.
# shellcheck disable=SC2154 # `conda.sh` sets `tool`
case $tool in
micromamba) micromamba install -y@CHANNELS@ -f @FILE@ ;;
*) "$tool" env update -n "${CONDA_DEFAULT_ENV:-base}" --file @FILE@ ;;
esac
