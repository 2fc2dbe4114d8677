#!/usr/bin/env bash
# Builds the image `hirebase` from a base that cannot change: named by its digest, or, if it was made
# on this machine and so has no digest, by its id. PYTHON_IMAGE names the base; arguments go to the build.
set -euo pipefail
cd "$(dirname "$0")/../.."

name=${PYTHON_IMAGE:-python:3.13-slim}
docker image inspect "$name" >/dev/null 2>&1 || docker pull "$name"
digests=$(docker image inspect --format '{{join .RepoDigests "\n"}}' "$name")
pinned=${digests%%$'\n'*}
digest=${pinned#*@}
if [ -z "$pinned" ]; then
  digest=$(docker image inspect --format '{{.Id}}' "$name")
  pinned=hirebase-base:${digest:7:12}
  docker tag "$name" "$pinned"
fi
echo "Base: $pinned"
docker build --file Containerfile --tag hirebase \
  --build-arg PYTHON_IMAGE="$pinned" --build-arg BASE_NAME="$name" --build-arg BASE_DIGEST="$digest" \
  --build-arg VERSION="$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
  --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(git show -s --format=%cI HEAD)" "$@" .
