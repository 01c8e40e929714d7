# shellcheck shell=sh
## One command of `info:`.
mkdir @FOLDER@
@COMMAND@ >@FOLDER@/out 2>@FOLDER@/err </dev/null
echo $? >@FOLDER@/exit
