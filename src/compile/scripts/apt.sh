# shellcheck shell=sh
## The `apt` step.
# shellcheck disable=SC2086 # `$ca` is two words or none
ca=${SSL_CERT_FILE:+-o Acquire::https::CAInfo=$SSL_CERT_FILE}
@SOURCES@
## Without this option, apt uses the lists that are in the cache where a source cannot be read, and exits with 0.
## Translations of descriptions are a third of the lists, which are in no image.
apt-get $ca -o APT::Update::Error-Mode=any -o Acquire::Languages=none update || {
  code=$?
  if [ -z "$ca" ] && [ ! -e /etc/ssl/certs/ca-certificates.crt ] && grep -rqs https: /etc/apt/sources.list /etc/apt/sources.list.d; then
    echo 'laminate: the image has no certificates for https sources: install ca-certificates from an http source in an earlier step, or pass --ca' >&2
  fi
  exit $code
}
## A layer is stored when its step has ended: dpkg need not wait for the disk after each file.
apt-get $ca -o DPkg::Options::=--force-unsafe-io install -y @RECOMMENDS@ @PACKAGES@
## Logs and caches of apt and dpkg differ from run to run.
rm -rf /var/log/apt/history.log /var/log/apt/term.log /var/log/apt/eipp.log.xz /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log /var/log/fontconfig.log /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old
