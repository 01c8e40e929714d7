# shellcheck shell=sh disable=SC2154 # the group sets `member`, the trap `code`
## The beginning of the script of a group. `member` is the number of the member that runs: if one fails, it is
## reported in an escape sequence, which is not shown (src/run/track.rs).
set -e
trap 'code=$?; [ $code = 0 ] || printf "\033]laminate;%s\033\\\\" "$member" >&2; exit $code' EXIT
