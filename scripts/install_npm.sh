#!/usr/bin/env bash
# Installs what a folder's package-lock.json pins, and says how far it is: scripts/install_npm.sh FOLDER
set -euo pipefail
folder=$1
wanted=$(grep -c '"integrity"' "$folder/package-lock.json" || true)
npm ci --prefix "$folder" --no-audit --no-fund --loglevel http 2>&1 | awk '
  /http (fetch|cache)/ { if (/\.tgz/ && ++n % 20 == 0) { printf "  %d of '"$wanted"' packages\n", n; fflush() } next }
  { print "  " $0; fflush() }
'
