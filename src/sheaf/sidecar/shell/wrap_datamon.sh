#!/bin/sh
# The sidecar of the kind `fuse`, under Datamon's name and with its arguments:
#
#   wrap_datamon.sh [-s] -c DIR -d COMMAND... [-i FILE]
#   dm_fuse_params=FILE_OR_YAML wrap_datamon.sh
#
# `sheaf sidecar fuse --help` lists further options.
exec sheaf sidecar fuse "$@"
