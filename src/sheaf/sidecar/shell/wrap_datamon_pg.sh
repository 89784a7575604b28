#!/bin/sh
# The sidecar of the kind `postgres`, under Datamon's name and with its variables:
#
#   SIDECAR_CONFIG=FILE_OR_YAML wrap_datamon_pg.sh
#   dm_pg_opts=... dm_pg_db_NAME=... wrap_datamon_pg.sh
#
# `sheaf sidecar postgres --help` lists options, which this script passes on.
exec sheaf sidecar postgres "$@"
