# shellcheck shell=sh
## Runs a command (`$@`), then gives what it changed below the writable paths to the group.
##
## A file was changed if its change time is newer than a marker. The marker is made first, and the
## command starts only when the clock of the file system has advanced: two files of one tick have the
## same time. The corrections run as the step's user; what that user cannot correct fails the step.
set -e
marker=@PLACE@/marker
: >"$marker"
: >"$marker.now"
while [ -z "$(find "$marker.now" -newer "$marker")" ]; do : >"$marker.now"; done
"$@"
# shellcheck disable=SC2043 # there may be several paths
for path in @PATHS@; do
[ -e "$path" ] || continue
find "$path" -cnewer "$marker" ! -group @GID@ -exec chgrp -h @GID@ {} + 2>/dev/null || true
find "$path" -cnewer "$marker" -type d ! -perm -2070 -exec chmod g+rwxs {} + 2>/dev/null || true
find "$path" -cnewer "$marker" -type f ! -perm -0060 -exec chmod g+rw {} + 2>/dev/null || true
find "$path" -cnewer "$marker" -type f -perm -0100 ! -perm -0010 -exec chmod g+x {} + 2>/dev/null || true
wrong=$(find "$path" -cnewer "$marker" '(' ! -group @GID@ -o -type d ! -perm -2070 -o -type f ! -perm -0060 ')' | head -n 5)
if [ -n "$wrong" ]; then
echo "laminate: the step's user cannot make these writable for group @GID@:" >&2
echo "$wrong" >&2
exit 1
fi
done
