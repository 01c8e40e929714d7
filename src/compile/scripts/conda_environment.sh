# shellcheck shell=sh
## The beginning of the `conda` step: finds the environment that it changes, `prefix`.
##
## An environment is a folder with `conda-meta`. The one that counts is the first on the PATH, as for the programs of the
## image. A python on the PATH before it which is in no environment makes that unclear: what the step installs could
## not be imported there.
is_environment() { [ -n "$1" ] && [ -d "$1/conda-meta" ]; }
prefix=@PREFIX@
name=@NAME@
if [ -z "$prefix" ]; then
other=
set -f
IFS=:
for folder in $PATH; do
folder=${folder%/}
if is_environment "${folder%/*}"; then
prefix=${folder%/*}
break
fi
for python in "$folder/python" "$folder/python3"; do
[ -x "$python" ] || continue
real=$(readlink -f "$python" 2>/dev/null) || real=$python
real=${real%/*}
if [ ! -e "${folder%/*}/pyvenv.cfg" ] && is_environment "${real%/*}"; then
prefix=${real%/*}
break 2
fi
other=${other:-$python}
done
done
unset IFS
set +f
if [ -z "$prefix" ]; then
for folder in "${CONDA_PREFIX-}" "${MAMBA_ROOT_PREFIX-}" /opt/conda; do
if is_environment "$folder"; then
prefix=$folder
break
fi
done
fi
if [ -n "$other" ] && [ -z "$name" ]; then
echo "laminate: python is $other, which is not in a conda environment${prefix:+ ($prefix is one)}: set \`prefix:\` or \`env:\` of the step" >&2
exit 1
fi
if [ -z "$prefix" ]; then
# shellcheck disable=SC2016 # `prefix:` is a key
echo 'laminate: no conda environment in the image: set `prefix:` of the step to make one, for example /opt/conda' >&2
exit 1
fi
if [ -n "$name" ]; then
prefix=${prefix%/envs/*}
[ "$name" = base ] || prefix=$prefix/envs/$name
fi
fi
