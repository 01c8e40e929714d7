# shellcheck shell=sh disable=SC2016 # the shells it starts expand what they are given
## Runs a suite (`$1`) for at most `$2` seconds and keeps its output and its exit code. It always ends
## with 0: a failed suite is a result, and its files are needed.
##
## A rootless engine without a PID namespace leaves behind whatever outlives a step. Therefore the suite and
## the image's own command have sessions of their own, where the image has `setsid`, and are killed with
## them; a watch that is killed ends what it waits for.
left=@RESULTS@
own=
command -v setsid >/dev/null && own=setsid
end() {
[ -n "$1" ] || return 0
kill -KILL "-$1" 2>/dev/null || kill -KILL "$1" 2>/dev/null
}
## Waits for `$1` seconds in a subshell, and ends that in an image without `sleep`: laminate stops the suite then. Until
## `sleep` is started, `$!` there is what was started before.
after() {
command -v sleep >/dev/null || exit
before=$!
trap '[ "$!" = "$before" ] || kill -KILL "$!"; exit' TERM
sleep "$1" &
wait $!
}
reader=
log=$left/log
if command -v tee >/dev/null && mkfifo @PLACE@/pipe 2>/dev/null; then
tee $left/log <@PLACE@/pipe &
reader=$!
log=@PLACE@/pipe
fi
$own /bin/sh -c "$1" >$log 2>&1 </dev/null &
suite=$!
{
after "$2"
# Not `:`, which ends the shell if the file cannot be made.
true >$left/overdue
end $suite
if [ -e $left/server ]; then end "$(cat $left/server)"; fi
} >/dev/null 2>&1 </dev/null &
watch=$!
wait $suite
code=$?
kill $watch 2>/dev/null
[ -z "$own" ] || end $suite
if [ -e $left/server ]; then end "$(cat $left/server)"; fi
if [ -n "$reader" ]; then
# Something the suite left running may hold the pipe open.
{
after 2
kill $reader
} >/dev/null 2>&1 </dev/null &
rest=$!
wait $reader
kill $rest 2>/dev/null
else
cat $left/log
fi
if [ "$code" != 0 ] && [ -s @PLACE@/server.log ]; then
{
echo "laminate: the end of the output of the image's own command:"
if command -v tail >/dev/null; then tail -n 30 @PLACE@/server.log; else cat @PLACE@/server.log; fi
} >@PLACE@/server.end
cat @PLACE@/server.end
cat @PLACE@/server.end >>$left/log
fi
echo $code >$left/exit
exit 0
