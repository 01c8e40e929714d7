# shellcheck shell=sh
## The file of a `conda` step with a `tool` of the image, after `conda_tool.sh`: an `environment.yml`.
# shellcheck disable=SC2034,SC2154,SC2195 # the tool is filled in; `conda_environment.sh` sets `prefix`, and `conda_tool.sh` sets `verb`
case @TOOL@:$verb in
micromamba:*) micromamba "$verb" -y -p "$prefix"@OPTIONS@ -f @FILE@ ;;
*:create) @TOOL@ env create -p "$prefix" --file @FILE@ ;;
*) @TOOL@ env update -p "$prefix" --file @FILE@ ;;
esac
verb=install
