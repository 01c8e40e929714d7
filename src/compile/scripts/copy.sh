# shellcheck shell=sh
## The `copy` step: one file, link or folder of the stack.
mkdir -p @FOLDER@
if [ -d @FROM@ ] && [ ! -L @FROM@ ]; then mkdir -p @TO@; else rm -f @TO@; cp -P --preserve=mode @FROM@ @TO@; fi
