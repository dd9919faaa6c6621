#!/usr/bin/env bash
# Tests the hallpass command as the client of a remote server: over TLS, through nginx, with a token.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./checks.sh
source ./tls.sh

export HALLPASS_TOKEN=$TOKEN HALLPASS_SERVER=https://$REMOTE
cd "$folder"
hallpass() {
  "$BINARY" "$@"
}

check "the token is not sent to a server with an untrusted certificate" "17 UnknownIssuer" \
  "$(told=$(hallpass user list 2>&1) || echo "$? $(grep -o UnknownIssuer <<<"$told")")"
export SSL_CERT_FILE=$folder/cert.pem
check "a user is read" admin "$(hallpass user get admin --json | jq -r .user.username)"
id=$(hallpass machine create ci-bot --owner admin --json | jq -r .user.id)
child=$(hallpass token create ci-bot --expires 1h --note far 2>/dev/null)
check "a token is created" "$id far" \
  "$(hallpass token get "$(id_of "$child")" --json | jq -r '.token | .userId + " " + .note')"
next=$(hallpass token rotate "$(id_of "$child")" 2>/dev/null)
check "a token is rotated" "$(id_of "$next")" "$(hallpass token list ci-bot --json | jq -r '.tokens[].id')"
check "a stream passes nginx completely" "0" "$(hallpass audit verify --json | jq -r '.breaks | length')"
check "an empty stream passes nginx" "nothing is wrong with the database" "$(hallpass data check)"
echo "$next" >leak
check "a found token is revoked remotely" "$(id_of "$next"): revoked" \
  "$(hallpass scan leak --revoke --yes 2>/dev/null | grep ': revoked')"
check "a certificate for another host is refused" "not valid for name" \
  "$(HALLPASS_SERVER=https://127.0.0.1:$port hallpass user list 2>&1 | grep -o "not valid for name")"
