# shellcheck shell=sh
## Adds a source of packages, and the key that may sign it, to the image.
key=/etc/apt/keyrings/@NAME@.gpg
if grep -q -e '-----BEGIN PGP' @KEY@; then key=/etc/apt/keyrings/@NAME@.asc; fi
mkdir -p /etc/apt/keyrings /etc/apt/sources.list.d
rm -f "$key" /etc/apt/sources.list.d/@NAME@.sources
cp @KEY@ "$key"
chmod 644 "$key"
printf '%s\n' @LINES@ "Signed-By: $key" >/etc/apt/sources.list.d/@NAME@.sources
