#!/usr/bin/env bash
# Starts a MySQL node of compose.cluster.yaml with the options of its host name, such as db-1.
# A node that was in the group before joins it again by itself. Until then it takes no writes:
# otherwise it would accept rows that the group never sees.
set -euo pipefail

options=(--server-id="${HOSTNAME##*-}" --loose-group-replication-local-address="$HOSTNAME:33061")
if compgen -G '/var/lib/mysql/*-group_replication_applier.*' >/dev/null; then
  options+=(--loose-group-replication-start-on-boot=ON --super-read-only=ON)
fi
exec docker-entrypoint.sh "$@" "${options[@]}"
