#!/bin/sh
# The sidecar of the kind `fuse`, under Datamon's name and with its arguments:
#
#   wrap_datamon.sh [-s] -c DIR -d COMMAND... [-i FILE]
#   dm_fuse_params=FILE_OR_YAML wrap_datamon.sh
#
# `sheaf sidecar fuse --help` lists what it takes besides.
exec sheaf sidecar fuse "$@"
