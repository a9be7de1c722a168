#!/bin/sh
# Installs featinv for CPU-only audits into a Python environment: the steps of the Dockerfile, which also run without Docker.
#   docker/install.sh PYTHON SOURCE    the interpreter of the environment, and this repository, a wheel or an sdist
set -eu
python="${1:?usage: docker/install.sh PYTHON SOURCE}"
source="${2:?usage: docker/install.sh PYTHON SOURCE}"
# torch and torchvision come from one index: builds of two indexes do not fit each other.
"$python" -c 'import torch, torchvision' 2>/dev/null ||
  "$python" -m pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
"$python" -m pip install --no-cache-dir "$source"
"$python" -m featinv doctor
