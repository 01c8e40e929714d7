#!/bin/bash
# Starts JupyterLab: as JupyterHub's server of one user if a hub started the container.
set -e
# What a user makes stays writable for the group, as what the image brought.
umask 002
if [ -n "${JUPYTERHUB_API_TOKEN:-}" ]; then
    exec jupyterhub-singleuser "$@"
fi
exec jupyter lab "$@"
