# shellcheck shell=sh
## Places files in a group, with the result of the engine's copy: an existing file gets the new owner and
## mode, a link at the target is followed, links below it are replaced, folders are merged.
##
## Needs mkdir, rmdir, rm, ln, cp, mv, stat, touch, chown, chmod and readlink, of GNU or of busybox. An empty OWNER or MODE
## keeps that of the source; files of a step that does not run as root are its user's. The bodies are
## subshells, so that each call has variables of its own.
laminate_uid=$(id -u)
laminate_xattrs=
laminate_fail() {
  echo "laminate: $1" >&2
  exit 1
}
## USER: fails if the user's group does not have the same number, which files of `as: USER` get.
laminate_group() {
  laminate_gid=$(id -g)
  if [ "$laminate_gid" = "$1" ]; then return; fi
  laminate_fail "\`as: $1\` gives files to group $1, but user $1 has group $laminate_gid in this image: write \`as: \"$1:$laminate_gid\"\` or \`as: \"$1:$1\"\`"
}
## LINK: prints the path that a link leads to; only the link itself is followed.
laminate_led_to() {
  laminate_text=$(readlink "$1")
  case $laminate_text in
  /*) printf %s "$laminate_text" ;;
  *) printf %s "${1%/*}/$laminate_text" ;;
  esac
}
## FOLDER OWNER [LINKS]: makes a folder and those above it; new ones get the owner. Where a link to nothing
## is on the way, the folder that it leads to is made. LINKS is the number of those that were followed.
laminate_folder() (
  if [ -z "$1" ] || [ -d "$1" ]; then exit 0; fi
  laminate_folder "${1%/*}" "$2" "${3:-0}"
  if [ -L "$1" ]; then
    if [ "${3:-0}" = 40 ]; then laminate_fail "too many links at $1"; fi
    laminate_folder "$(laminate_led_to "$1")" "$2" "$((${3:-0} + 1))"
    exit 0
  fi
  mkdir "$1"
  if [ -n "$2" ]; then chown "$2" "$1"; fi
)
## FROM TO OWNER: sets the owner of one file, folder or link. The zero keeps chown from looking for a user whose name is
## the number.
laminate_owner() (
  if [ -n "$3" ]; then
    chown -h "$3" "$2"
  elif [ "$laminate_uid" = 0 ]; then
    chown -h "$(stat -c 0%u:0%g "$1")" "$2"
  else
    chown -h "0$laminate_uid:0$(id -g)" "$2"
  fi
)
## MODE BITS FOLDER: prints the permission bits after a symbolic mode, as the engine computes them (crate::compile::mode):
## programs for that differ in setuid, setgid and sticky. FOLDER is not empty for folders.
laminate_bits() (
  old=$((0$2))
  bits=$old
  rest=$1,
  while [ -n "$rest" ]; do
    clause=${rest%%,*}
    rest=${rest#*,}
    who=${clause%%[-+=]*}
    clause=${clause#"$who"}
    while [ -n "$clause" ]; do
      permissions=${clause#?}
      operator=${clause%"$permissions"}
      permissions=${permissions%%[-+=]*}
      clause=${clause#?"$permissions"}
      change=0
      mask=0
      for class in u g o; do
        case $who in
        '' | *a* | *"$class"*) ;;
        *) continue ;;
        esac
        case $class in
        u) place=6 special=04000 ;;
        g) place=3 special=02000 ;;
        o) place=0 special=0 ;;
        esac
        case $permissions in
        [ugo]) mask=$((mask | 7 << place)) ;;
        *) mask=$((mask | 7 << place | special)) ;;
        esac
        case $permissions in *r*) change=$((change | 4 << place)) ;; esac
        case $permissions in *w*) change=$((change | 2 << place)) ;; esac
        case $permissions in *x*) change=$((change | 1 << place)) ;; esac
        case $permissions in *X*) if [ -n "$3" ] || [ $((old & 0111)) != 0 ]; then change=$((change | 1 << place)); fi ;; esac
        case $permissions in *s*) change=$((change | special)) ;; esac
        case $permissions in *u*) change=$((change | (bits >> 6 & 7) << place)) ;; esac
        case $permissions in *g*) change=$((change | (bits >> 3 & 7) << place)) ;; esac
        case $permissions in *o*) change=$((change | (bits & 7) << place)) ;; esac
      done
      case $who in '' | *a*) case $permissions in *t*) change=$((change | 01000)) ;; esac ;; esac
      case $operator in
      +) bits=$((bits | change)) ;;
      -) bits=$((bits & ~change)) ;;
      =) bits=$((bits & ~mask | change)) ;;
      esac
    done
  done
  printf %o "$bits"
)
## FROM TO OWNER MODE: copies owner, mode and time of one file or folder. A new owner drops file capabilities,
## which only GNU cp can copy.
laminate_attributes() (
  laminate_owner "$1" "$2" "$3"
  case $4 in
  '') chmod "00$(stat -c %a "$1")" "$2" ;;
  [0-7]*) chmod "$4" "$2" ;;
  *)
    folder=
    if [ -d "$1" ]; then folder=yes; fi
    chmod "00$(laminate_bits "$4" "$(stat -c %a "$1")" "$folder")" "$2"
    ;;
  esac
  if [ -n "$laminate_xattrs" ] && [ -f "$1" ]; then cp --attributes-only --preserve=xattr "$1" "$2" 2>/dev/null || true; fi
  touch -r "$1" "$2"
)
## FROM TO OWNER MODE: a file, a link, or a folder with what is in it; a link at TO is not followed.
laminate_entry() (
  if [ -L "$1" ]; then
    if [ ! -L "$2" ] && [ -d "$2" ]; then laminate_fail "cannot replace the folder $2 by a link"; fi
    rm -f "$2"
    cp -P "$1" "$2"
    laminate_owner "$1" "$2" "$3"
  elif [ -d "$1" ]; then
    if [ -L "$2" ] || { [ -e "$2" ] && [ ! -d "$2" ]; }; then laminate_fail "cannot copy a folder to $2, which is not a folder"; fi
    if [ ! -d "$2" ]; then mkdir "$2"; fi
    laminate_contents "$1" "$2" "$3" "$4"
    laminate_attributes "$1" "$2" "$3" "$4"
  else
    if [ ! -L "$2" ] && [ -d "$2" ]; then laminate_fail "cannot replace the folder $2 by a file"; fi
    rm -f "$2"
    cp -a "$1" "$2"
    laminate_attributes "$1" "$2" "$3" "$4"
  fi
)
## TO OWNER FILE...: copies files without setuid and setgid to a folder that has none of them.
laminate_files() (
  to=$1
  owner=$2
  shift 2
  cp -p "$@" "$to/"
  if [ -z "$owner" ]; then
    if [ "$laminate_uid" = 0 ]; then exit 0; fi
    owner=0$laminate_uid:0$(id -g)
  fi
  for entry in "$@"; do
    set -- "$@" "$to/${entry##*/}"
    shift
  done
  chown -h "$owner" "$@"
)
## FROM TO OWNER MODE: what is in a folder. Each program takes some milliseconds to start, so new files are copied many at
## a time.
laminate_contents() (
  from=$1
  folder=${2%/}
  owner=$3
  mode=$4
  set --
  for entry in "$from"/* "$from"/.[!.]* "$from"/..?*; do
    to=$folder/${entry##*/}
    if [ -z "$mode$laminate_xattrs" ] && [ -f "$entry" ] && [ ! -L "$entry" ] && [ ! -u "$entry" ] && [ ! -g "$entry" ] &&
      [ ! -e "$to" ] && [ ! -L "$to" ]; then
      set -- "$@" "$entry"
      if [ $# = 200 ]; then
        laminate_files "$folder" "$owner" "$@"
        set --
      fi
    elif [ -e "$entry" ] || [ -L "$entry" ]; then
      if [ -z "$owner$mode" ] && [ -d "$entry" ] && [ ! -e "$to" ] && [ ! -L "$to" ]; then
        if [ -g "$folder/" ]; then
          # In a folder with setgid, folders that cp makes have it as well.
          room=$folder/.laminate
          mkdir "$room"
          chmod 00700 "$room"
          cp -a "$entry" "$room/new"
          mv "$room/new" "$to"
          rmdir "$room"
        else
          cp -a "$entry" "$to"
        fi
      else
        laminate_entry "$entry" "$to" "$owner" "$mode"
      fi
    fi
  done
  if [ $# != 0 ]; then laminate_files "$folder" "$owner" "$@"; fi
)
## PATH OWNER: prints where a file at PATH is written, and makes the folders above it: a link there is followed, and
## the folder that it leads to is made. What a runtime mounts something over would be lost.
laminate_target() (
  laminate_folder "${1%/*}" "$2"
  to=$1
  links=0
  while [ -L "$to" ] && [ ! -e "$to" ] && [ $links -lt 40 ]; do
    to=$(laminate_led_to "$to")
    laminate_folder "${to%/*}" "$2"
    links=$((links + 1))
  done
  if [ -L "$to" ]; then
    to=$(readlink -f "$to") || laminate_fail "cannot follow the link $1"
  fi
  real=$(cd -P "${to%/*}/" && pwd)/${to##*/}
  case $real in
  /proc/* | /sys/* | /dev/* | /etc/hosts | /etc/resolv.conf)
    laminate_fail "$1 leads to $real, which cannot be changed: every runtime mounts something over it"
    ;;
  esac
  printf %s "$to"
)
## FROM TO OWNER MODE: a file to a path.
laminate_file() (
  to=$(laminate_target "$2" "$3") || exit 1
  laminate_entry "$1" "$to" "$3" "$4"
)
## FROM TO: appends a file to another, or to a new one. A FIFO would never end, and a device takes what is written.
laminate_append() (
  to=$(laminate_target "$2" "") || exit 1
  if [ -e "$to" ] && [ ! -f "$to" ]; then laminate_fail "cannot append to $2, which is not a regular file"; fi
  cat "$1" >>"$to"
)
## FROM TO OWNER MODE NEW: what is in a folder, to a folder; a new one gets the mode NEW, an existing one
## keeps its owner and mode. NEW has three digits: a new one has setgid if the folder above has it.
laminate_tree() (
  laminate_folder "${2%/*}" "$3"
  if [ -n "$2" ] && [ ! -d "$2" ]; then
    if [ -e "$2" ]; then laminate_fail "cannot copy a folder to $2, which is not a folder"; fi
    umask "$(printf %o "$((0777 & ~0$5))")"
    laminate_folder "$2" "$3"
    umask 022
  fi
  laminate_contents "$1" "$2/" "$3" "$4"
)
## MOUNT PATH: prints where a path of another image is in its mount. Links are followed in that image, also those of folders
## on the way.
laminate_in_image() (
  rest=$2
  at=$1
  links=0
  while [ -n "$rest" ]; do
    part=${rest%%/*}
    case $rest in
    */*) rest=${rest#*/} ;;
    *) rest= ;;
    esac
    case $part in
    '' | .) ;;
    ..) if [ "$at" != "$1" ]; then at=${at%/*}; fi ;;
    *)
      if [ -L "$at/$part" ]; then
        links=$((links + 1))
        if [ $links -gt 40 ]; then laminate_fail "too many links at $2 of the image"; fi
        to=$(readlink "$at/$part")
        case $to in /*) at=$1 ;; esac
        rest=$to/$rest
      else
        at=$at/$part
      fi
      ;;
    esac
  done
  printf %s "$at"
)
## MOUNT PATH TO OWNER MODE: a file of another image, or what is in a folder of it. A new folder gets the mode if it is a
## number, without setuid, setgid and sticky.
laminate_image() (
  laminate_xattrs=yes
  from=$(laminate_in_image "$1" "$2") || exit 1
  case $5 in
  [0-7]*) new=${5#"${5%???}"} ;;
  *) new=755 ;;
  esac
  if [ -d "$from" ]; then
    laminate_tree "$from" "$3" "$4" "$5" "$new"
  elif [ "$2" != "${2%/}" ]; then
    laminate_fail "$2 of the image is not a folder"
  elif [ -d "$3" ]; then
    laminate_file "$from" "$3/${2##*/}" "$4" "$5"
  else
    laminate_file "$from" "$3" "$4" "$5"
  fi
)
## TEXT PATH REPLACE: a symbolic link; a folder at PATH is removed if REPLACE is not empty.
laminate_link() (
  laminate_folder "${2%/*}" ""
  if [ ! -L "$2" ] && [ -d "$2" ]; then
    if [ -z "$3" ]; then laminate_fail "cannot replace the folder $2 by a link; set \`replace: true\` to remove it"; fi
    rm -rf "$2"
  fi
  rm -f "$2"
  ln -s -- "$1" "$2"
  chown -h "0$laminate_uid:0$(id -g)" "$2"
)
