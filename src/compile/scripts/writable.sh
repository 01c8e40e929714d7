# shellcheck shell=sh
## Runs a command (`$@`), then gives what it changed below the writable paths to the group.
##
## A file was changed if its change time is newer than a marker. The marker is made first, and the
## command starts only when the clock of the file system has advanced: two files of one tick have the
## same time. On overlayfs a folder that nothing was changed in is not entered: each step begins with an
## empty upper layer, and a folder that is copied up into it, as all folders above a changed file are,
## gets a new change time (fs/overlayfs/copy_up.c). The corrections run as the step's user; what that
## user cannot correct fails the step. Private keys keep their modes (src/stack/writable.rs), and so do
## setuid and setgid files; capabilities are set again.
set -e
marker=@PLACE@/marker
list=@PLACE@/changed
: >"$marker"
: >"$marker.now"
tools=
for tool in find stat; do command -v $tool >/dev/null || tools="$tools $tool"; done
if [ -n "$tools" ]; then
echo "laminate: writable paths need these programs in the image:$tools" >&2
exit 1
fi
gnu=
if find "$marker" -maxdepth 0 -cnewer "$marker" -perm /0077 -true 2>/dev/null && command -v xargs >/dev/null; then gnu=yes; fi
start=$(date +%s)
if [ -n "$gnu" ]; then
while [ -z "$(find "$marker.now" -newer "$marker")" ]; do : >"$marker.now"; done
else
while [ "$(date +%s)" = "$start" ]; do sleep 1; done
fi
"$@"
## EXPRESSION: what was changed and is to be the group's.
changed() {
find "$path" @MOUNTED@"$skip" -type d ! -cnewer "$marker" -prune -o '(' -name .ssh -o -name .gnupg ')' -prune -o \
-cnewer "$marker" ! '(' -type f -perm /6000 ')' \
! '(' -type f ! -perm /0077 '(' -name 'id_*' -o -name '*_key' -o -name '*.key' -o -name .netrc -o -name .pgpass ')' ')' "$@"
}
## EXPRESSION: those of the changed files that are still there, by GNU find.
again() {
xargs -0 /bin/sh -c "find \"\$@\" -maxdepth 0 $1" laminate <"$list"
}
correct() {
skip=-false
corrected=
if [ "$(stat -f -c %t "$path")" = 794c7630 ]; then skip=-true; fi
wrong=
## What was changed is looked for once: in a folder with very many files this takes seconds.
changed -print0 >"$list" || true
if [ ! -s "$list" ]; then return; fi
capabilities=
if command -v getcap >/dev/null; then capabilities=$(again '-type f -perm /0111 ! -group @GID@ -exec getcap {} +' 2>/dev/null || true); fi
if again '\( \( \( -type d -o -type f -o -type l \) ! -group @GID@ -exec chgrp -h @GID@ {} + \) , \
\( -type d ! -perm -2070 -exec chmod g+rwxs {} + \) , \
\( -type f ! -perm -0060 -exec chmod g+rw {} + \) , \
\( -type f -perm -0100 ! -perm -0010 -exec chmod g+x {} + \) \)' 2>/dev/null; then corrected=yes; fi
if [ -n "$capabilities" ]; then
echo "$capabilities" | while read -r line; do
file=${line% *}
setcap "${line##* }" "${file% =}"
done
fi
# The kernel ignores setgid without an error where the user is not in the group, but not for root.
if [ -n "$corrected" ] && [ "$(id -u)" = 0 ]; then return; fi
wrong=$(again '\( -type l ! -group @GID@ -o -type d \( ! -group @GID@ -o ! -perm -2070 \) -o -type f \( ! -group @GID@ -o ! -perm -0060 \) \) -print' | head -n 5)
}
## The same without GNU find: all files are looked at, and times are whole seconds.
correct_all() {
wrong=$(find "$path" @MOUNTED@-exec stat -c '%Z %g %a %n' {} + | while read -r time group mode name; do
if [ "$time" -le "$start" ]; then continue; fi
case $name in */.ssh | */.ssh/* | */.gnupg | */.gnupg/*) continue ;; esac
if [ ! -L "$name" ] && [ -f "$name" ]; then
case $mode in [2-7]???) continue ;; esac
case $mode:${name##*/} in *00:id_* | *00:*_key | *00:*.key | *00:.netrc | *00:.pgpass) continue ;; esac
bits=g+rw
if [ -x "$name" ]; then bits=g+rwx; fi
elif [ ! -L "$name" ] && [ -d "$name" ]; then
bits=g+rwxs
elif [ -L "$name" ]; then
bits=
else
continue
fi
if [ "$group" != @GID@ ] && ! chgrp -h @GID@ "$name" 2>/dev/null; then
echo "$name"
elif [ -n "$bits" ] && ! chmod "$bits" "$name" 2>/dev/null; then
echo "$name"
fi
done | head -n 5)
}
# shellcheck disable=SC2043 # there may be several paths
for path in @PATHS@; do
[ -e "$path" ] || continue
if [ -n "$gnu" ]; then correct; else correct_all; fi
if [ -n "$wrong" ]; then
echo "laminate: the step's user cannot make these writable for group @GID@:" >&2
echo "$wrong" >&2
exit 1
fi
done
