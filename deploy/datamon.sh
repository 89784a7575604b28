#!/bin/sh
# Runs `datamon` with the same arguments and exit code, from an environment kept per released version.
#
#   DATAMON_VERSION  the version to run; default: the newest, looked up once a day
#   SHEAF_WHEEL      a local wheel to run instead
#   DATAMON_PYTHON   the Python (3.11 or newer) that environments are made with; default: python3
#
# Environments are in ${XDG_CACHE_HOME:-~/.cache}/sheaf/releases. What pip honours (PIP_INDEX_URL, …) is honoured.
set -eu

package=sheaf-data
releases=${XDG_CACHE_HOME:-$HOME/.cache}/sheaf/releases
python=${DATAMON_PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '%s\n' "datamon.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

# install REQUIREMENT [NAME]: makes an environment and prints the name that it is kept under. Of two installs at once
# one wins; both end with a whole environment, since a name is given only to what is complete.
install() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "$python is not Python 3.11 or newer: set DATAMON_PYTHON"
    mkdir -p "$releases"
    fresh=$(mktemp -d "$releases/.new-XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    say "installing $1"
    "$python" -m venv "$fresh" >&2 || fail "$python can't make an environment: is its venv module installed?"
    "$fresh/bin/python" -m pip install --quiet "$1" >&2 || fail "can't install $1"
    name=${2:-$(installed_version "$fresh")}
    if ln -sn "$fresh" "$releases/$name" 2>/dev/null; then trap - EXIT; fi
    printf '%s\n' "$name"
}

installed_version() {
    "$1/bin/python" -c "from importlib.metadata import version; print(version('$package'))"
}

# The newest version that can be had, asked for with an environment that is there.
newest_version() {
    "$1/bin/python" -m pip install --quiet --dry-run --no-deps --ignore-installed --report - "$package" 2>/dev/null |
        "$1/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["install"][0]["metadata"]["version"])' 2>/dev/null
}

latest() {
    known=$(cat "$releases/latest" 2>/dev/null) || known=
    if [ -n "$known" ] && [ -x "$releases/$known/bin/datamon" ]; then
        if [ -n "$(find "$releases/latest" -mtime -1)" ]; then
            printf '%s\n' "$known"
            return
        fi
        version=$(newest_version "$releases/$known") || { say "can't look for a newer version; using $known"; version=$known; }
        [ -x "$releases/$version/bin/datamon" ] || version=$(install "$package==$version" "$version")
    else
        version=$(install "$package")
    fi
    printf '%s\n' "$version" >"$releases/latest.$$" && mv "$releases/latest.$$" "$releases/latest"
    printf '%s\n' "$version"
}

if [ -n "${SHEAF_WHEEL:-}" ]; then
    [ -f "$SHEAF_WHEEL" ] || fail "SHEAF_WHEEL=$SHEAF_WHEEL is no file"
    version=wheel-$(cksum <"$SHEAF_WHEEL" | tr ' ' '-')
    [ -x "$releases/$version/bin/datamon" ] || install "$SHEAF_WHEEL" "$version" >/dev/null
elif [ -n "${DATAMON_VERSION:-}" ]; then
    version=$DATAMON_VERSION
    case $version in *[!A-Za-z0-9.+!-]* | .*) fail "DATAMON_VERSION=$version is not a version" ;; esac
    [ -x "$releases/$version/bin/datamon" ] || install "$package==$version" "$version" >/dev/null
else
    version=$(latest)
fi
exec "$releases/$version/bin/datamon" "$@"
