# shellcheck shell=sh
## Runs a command as a user (`$1`: USER or USER:GROUP) who is also in other groups (`$2`, separated by
## spaces), by what /etc/passwd and /etc/group have of them, as a runtime does. `$3` is `set` if the image
## sets HOME. It starts as root; a failure is a result of the suite.
failed() {
echo "laminate: $1" | tee @RESULTS@/log
echo "$1" >@RESULTS@/reason
echo 127 >@RESULTS@/exit
exit 0
}
asked=$1
wanted=$2
has_home=$3
shift 3
user=${asked%%:*}
uid=$user gid=0 home=/ name=
while IFS=: read -r known _ number group _ folder _ || [ -n "$known" ]; do
if [ "$known" = "$user" ] || [ "$number" = "$user" ]; then
uid=$number gid=$group home=$folder name=$known
break
fi
done </etc/passwd
case $uid in '' | *[!0-9]*) failed "the image has no user \`$user\`" ;; esac
group_id() {
case $1 in *[!0-9]*) ;; *) echo "$1" && return ;; esac
while IFS=: read -r known _ number _ || [ -n "$known" ]; do
if [ "$known" = "$1" ]; then
case $number in '' | *[!0-9]*) return 1 ;; esac
echo "$number" && return
fi
done </etc/group
return 1
}
all=
case $asked in
*:*) gid=$(group_id "${asked#*:}") || failed "the image has no group \`${asked#*:}\`" ;;
*)
while IFS=: read -r group _ number members || [ -n "$group" ]; do
case ",$members," in *",$name,"*) [ -z "$name" ] || all=$all,$number ;; esac
done </etc/group
;;
esac
for group in $wanted; do
number=$(group_id "$group") || failed "the image has no group \`$group\`"
all=$all,$number
done
all=$gid$all
if [ "$has_home" != set ]; then export HOME="$home"; fi
case $(setpriv --help 2>&1) in
*--reuid*) exec setpriv --reuid="$uid" --regid="$gid" --groups="$all" "$@" ;;
esac
python=$(command -v python3 || command -v python) || failed 'groups of a suite need setpriv (package util-linux) or python in the image'
exec "$python" -c 'import os, sys
os.setgroups([int(group) for group in sys.argv[3].split(",")])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[1]))
os.execvp(sys.argv[4], sys.argv[4:])' "$uid" "$gid" "$all" "$@"
