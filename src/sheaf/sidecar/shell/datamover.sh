#!/bin/sh
# Saves a folder as a bundle and deletes its old files with -u, under Datamon's name and with its arguments:
#
#   datamover.sh -d DIR [-l LABEL] [-t TIME] [-f LISTDIR] [-c CONCURRENCY] [-u]
#
# `sheaf sidecar datamover --help` lists further options.
exec sheaf sidecar datamover "$@"
