#!/usr/bin/env bash
# Installs what pip is told to, and says how far it is: scripts/install.sh PYTHON WHAT PIP-ARGUMENTS…
set -euo pipefail
python=$1 what=$2
shift 2

wanted=0
for argument in "$@"; do
  if [ -f "$argument" ]; then wanted=$((wanted + $(grep -c '==' "$argument" || true))); fi
done
echo "$what$([ "$wanted" = 0 ] || echo ": $wanted packages")"

# pip's own lines are several hundred: here are those that say what takes the time.
"$python" -m pip --disable-pip-version-check install --progress-bar off --no-color "$@" | awk '
  /^ *Downloading .*metadata/ || /^ *Using cached/ || /^ *Preparing/ { next }
  /^ *Collecting / { n += 1; next }
  /^ *Downloading / { sub(/^ */, ""); printf "  %d of '"$wanted"': %s\n", n, $0; fflush() }
  /^ *Building wheel for / { sub(/^ */, ""); print "  " $0; fflush() }
  /^ *Installing collected packages/ { print "  installing what was collected"; fflush() }
'
