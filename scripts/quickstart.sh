#!/usr/bin/env bash
# Two versions of a real folder go in; labels, a list, a diff, both come out again and are compared with what went in.
# Usage: quickstart.sh [FOLDER], with sheaf on PATH. Without a folder it is Python's standard library. FOLDER is only read;
# all that is written, the store too, goes to .quickstart/ (or SHEAF_QUICKSTART), made anew each time.
set -euo pipefail

work=${SHEAF_QUICKSTART:-$PWD/.quickstart}
if [ -n "${1:-}" ] && [ ! -d "$1" ]; then
  echo "quickstart: there is no folder '$1': name one that is there, such as DATA=~/photos" >&2
  exit 2
fi
rm -rf "$work" && mkdir -p "$work/home" && work=$(cd "$work" && pwd)
data=${1:+$(cd "$1" && pwd)}

copy_standard_library() {
  local from
  from=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
  mkdir "$1"
  (cd "$from" && find . \( -name __pycache__ -o -name site-packages -o -name dist-packages -o -name test \
    -o -name idlelib -o -name 'config-*' -o -name '*.so' \) -prune -o -type f -print0 |
    tar cf - --null -T -) | tar xf - -C "$1"
}

edit() { # a file added, one changed, one renamed, one removed, as far as there are files
  python3 - "$1" <<'PY'
import os, sys
root = sys.argv[1]
files = (os.path.join(folder, name) for folder, folders, names in os.walk(root) for name in sorted(names))
three = [path for path, _ in zip((path for path in files if not os.path.islink(path)), range(3))]
for path, what in zip(three, ("change", "rename", "remove")):
    if what == "change":
        with open(path, "rb") as file:
            data, mode = file.read(), os.fstat(file.fileno()).st_mode
        os.remove(path)
        with open(path, "wb") as file:
            file.write(data + b"# one more line\n")
        os.chmod(path, mode)
    elif what == "rename":
        os.rename(path, path + ".renamed")
    else:
        os.remove(path)
with open(os.path.join(root, "added-by-quickstart.txt"), "w") as file:
    file.write("made by the quickstart\n")
PY
}

bold=$([ -t 1 ] && printf '\033[1m' || true) plain=$([ -t 1 ] && printf '\033[0m' || true)
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { # the command as one would type it, and what it prints
  local word line='$'
  for word in "$@"; do
    case $word in *[\ \']*) line+=" \"$word\"" ;; *) line+=" $word" ;; esac
  done
  printf '%s\n' "$line" && "$@"
}

cd "$work"
if [ -n "$data" ]; then
  say "Your folder $data, and an edited copy of it"
  cp -a "$data" first
else
  say "Python's standard library, and an edited copy of it"
  copy_standard_library first
fi
cp -a first second
edit second
du -sh first second

export HOME=$work/home XDG_CONFIG_HOME=$work/home/.config XDG_CACHE_HOME=$work/home/.cache
unset "${!SHEAF_@}"
export SHEAF_STORE=$work/store

say "A store in a folder, and a repo in it"
show sheaf store init "$SHEAF_STORE"
show sheaf repo create --repo demo --description "What the quickstart keeps"

say "Both versions go in: a bundle each, with a label"
show sheaf bundle upload --repo demo --path first --message "as it was" --label v1
before=$(du -sk store | cut -f1)
show sheaf bundle upload --repo demo --path second --message "a few edits" --label v2
echo "(the second version took $(($(du -sk store | cut -f1) - before)) KiB more)"

say "What is there"
show sheaf bundle list --repo demo
show sheaf label list --repo demo
show sheaf diff demo@v1 demo@v2 --stat

say "Both come out again, every byte verified"
show sheaf bundle download --repo demo --label v1 --destination out1
show sheaf bundle download --repo demo --label v2 --destination out2
show sheaf bundle verify --repo demo --bundle v2
show sheaf store check --read-data

say "And are what went in"
compare=(diff -r)  # where diff can, symlinks themselves are compared, not what they lead to
diff -r --no-dereference out1 out1 2>/dev/null && compare+=(--no-dereference)
show "${compare[@]}" first out1
show "${compare[@]}" second out2
echo "identical"

printf '\nLook around: export SHEAF_STORE=%s\n' "$SHEAF_STORE"
