#!/bin/bash
# Starts JupyterLab, or JupyterHub's single-user server if a hub started the container.
set -e
# Files that a user creates are writable for the group, like those of the image.
umask 002
if [ -n "${JUPYTERHUB_API_TOKEN:-}" ]; then
    exec jupyterhub-singleuser "$@"
fi
exec jupyter lab "$@"
