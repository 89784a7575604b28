#!/usr/bin/env bash
# Pins what pyproject.toml and requirements/*.in ask for, with hashes, for Linux and macOS and every Python from 3.11 on.
# Needs uv on PATH; `make requirements` brings it. Arguments go to uv: `--upgrade-package NAME`, say.
set -euo pipefail
cd "$(dirname "$0")/.."

pin() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
    --custom-compile-command 'make requirements' "$@"
}

pin "$@" pyproject.toml -o requirements/runtime.txt
pin "$@" requirements/build.in -o requirements/build.txt
pin "$@" pyproject.toml requirements/test.in -o requirements/test.txt
pin "$@" requirements/bench.in -o requirements/bench.txt
pin "$@" requirements/docs.in -o requirements/docs.txt
pin "$@" requirements/mount.in -o requirements/mount.txt
pin "$@" requirements/programs.in -o requirements/programs.txt
pin "$@" requirements/fuzz.in -o requirements/fuzz.txt
pin "$@" requirements/images.in -o requirements/images.txt
pin "$@" requirements/manifests.in -o requirements/manifests.txt
