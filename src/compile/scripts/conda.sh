# shellcheck shell=sh
## The beginning of the `conda` step: finds the tool of the image.
for tool in mamba micromamba conda; do
command -v "$tool" >/dev/null 2>&1 && break
tool=
done
if [ -z "$tool" ]; then
echo 'laminate: the base has none of mamba, micromamba and conda on its PATH' >&2
exit 1
fi
