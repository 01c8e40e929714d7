# shellcheck shell=sh
## The test of a `serve` or `healthcheck` suite: starts the image's own command, waits for its port if it
## has one, runs the test, and stops both. The command writes to a file, which the test can read and suite.sh prints.
##
## Whether something listens is read from the kernel's table (Documentation/networking/proc_net_tcp:
## state 0A), since an image may have no tool for it.
port=@PORT@
hex=@HEX@
ended() {
[ -r "/proc/$1/stat" ] || return 0
read -r line <"/proc/$1/stat"
case $line in *") Z "*) return 0 ;; esac
return 1
}
listens() {
for table in /proc/net/tcp /proc/net/tcp6; do
[ -r "$table" ] || continue
while read -r _ address _ state _; do
case "$address $state" in *":$hex 0A") return 0 ;; esac
done <"$table"
done
return 1
}
# shellcheck disable=SC2317,SC2329 # `answers` calls it
ask() {
@PYTHON@
if command -v curl >/dev/null; then curl --noproxy '*' -fsS -o /dev/null --max-time 5 "$1"
elif [ -n "$python" ]; then "$python" -c 'import sys, urllib.request as u
try: u.build_opener(u.ProxyHandler({})).open(sys.argv[1], timeout=5)
except OSError as error: sys.exit("python: %s" % error)' "$1"
elif command -v wget >/dev/null; then
# Some wget of busybox crash with a timeout.
wget -Y off -q -O /dev/null -T 5 "$1" || { [ $? -ge 128 ] && wget -Y off -q -O /dev/null "$1"; }
else echo "laminate: nothing in the image can ask for $1: curl, python or wget"; stop; exit 127
fi
}
## Asks for a path, and shows why that fails whenever it is for another reason.
# shellcheck disable=SC2317,SC2329 # `wait_for` calls it
answers() {
ask "http://127.0.0.1:$port$1" 2>@PLACE@/ready.log && return
text=$(cat @PLACE@/ready.log)
if [ -n "$text" ] && [ "$text" != "$shown" ]; then echo "$text"; fi
shown=$text
return 1
}
broken() {
echo "$1" >@RESULTS@/reason
echo "laminate: $1"
exit 1
}
gone() {
wait "$server"
broken "the image's own command ended with exit code $? before $1"
}
wait_for() {
until "$@"; do
if ended "$server"; then gone "port $port answered"; fi
sleep 0.2 2>/dev/null || sleep 1
done
}
stop() {
kill -TERM "$server" 2>/dev/null
n=0
while ! ended "$server" && [ "$n" -lt 50 ]; do n=$((n + 1)); sleep 0.2 2>/dev/null || sleep 1; done
# What it started is of its session, where it has one of its own.
kill -KILL "-$server" 2>/dev/null || kill -KILL "$server" 2>/dev/null
}
if [ -n "$port" ] && listens; then broken "port $port is taken before the image's own command is started"; fi
if command -v setsid >/dev/null; then setsid @COMMAND@ >@PLACE@/server.log 2>&1 & else @COMMAND@ >@PLACE@/server.log 2>&1 & fi
server=$!
echo $server >@RESULTS@/server
if [ -n "$port" ]; then
echo "laminate: waiting for port $port"
wait_for listens
@READY@
if ended "$server"; then gone "port $port answered"; fi
fi
(@TEST@
)
code=$?
if [ "$code" != 0 ] && ended "$server"; then
if [ ! -e @RESULTS@/reason ]; then gone "the test passed"; fi
fi
stop
exit $code
