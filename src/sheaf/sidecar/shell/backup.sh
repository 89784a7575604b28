#!/bin/sh
# Saves folders as bundles and deletes their old files, under Datamon's name and with its arguments:
#
#   backup.sh -d DIR | -f LIST [-u NAME] [-t true|false]
#
# `sheaf sidecar backup --help` lists further options.
exec sheaf sidecar backup "$@"
