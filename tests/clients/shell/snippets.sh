#!/usr/bin/env bash
# Runs the documented snippets: each prints the user's only token.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./checks.sh

readonly ONE="$(id_of "$TOKEN") my laptop"

check "buf curl" "$ONE" "$(bash snippet-buf-curl.sh | jq -r '.tokens[] | .id + " " + .note')"
check "grpcurl" "$ONE" "$(bash snippet-grpcurl.sh | jq -r '.tokens[] | .id + " " + .note')"
check "connect-go" "$ONE" "$(connect-go-snippet)"
check "connect-node" "$ONE" "$(node ../node/snippet.js)"
check "grpcio" "$ONE" "$(../../../../python/bin/python ../python/snippet.py)"
check "tonic" "$ONE" "$(../../../../../debug/snippet)"
