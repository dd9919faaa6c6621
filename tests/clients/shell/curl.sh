#!/usr/bin/env bash
# Tests curl over HTTP/1.1 and HTTP/2, with POST and GET.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./checks.sh

http=--http1.1
encoding=$(mktemp)
trap 'rm -f "$encoding"' EXIT

# call PROCEDURE TOKEN JSON
call() {
  curl -sS "$http" --oauth2-bearer "$2" --json "$3" "$SERVICE/$1"
}

list() {
  call ListTokens "$1" "$2"
}

session() {
  local token child id reply
  token=$(by_password "by password" | curl -sS "$http" --json @- "$SERVICE/CreateToken" | jq -r .token)
  check "$http: creates a token by password" admin \
    "$(curl -sS "$http" --oauth2-bearer "$token" --json '{}' "$HALLPASS/hallpass.v1.AuthnService/GetCurrentUser" | jq -r .user.username)"
  child=$(call CreateToken "$token" '{"note": "by token"}' | jq -r .token)
  id=$(id_of "$child")
  check "$http: creates a token by token, gets it" "by token" \
    "$(call GetToken "$token" "{\"tokenId\": \"$id\"}" | jq -r .token.note)"
  check "$http: lists it" true "$(list "$token" '{}' | jq "[.tokens[].id] | contains([\"$id\"])")"
  check "$http: deletes it" '{}' "$(call DeleteToken "$token" "{\"tokenId\": \"$id\"}")"
  check "$http: is then unauthenticated" "unauthenticated TOKEN_DELETED" "$(list "$child" '{}' | error_of)"
  check "$http: reads an error's reason and field" "invalid_argument INVALID_FIELD token_id" \
    "$(call GetToken "$token" '{}' | error_of)"
  check "$http: gets a WWW-Authenticate challenge" \
    'Bearer realm="hallpass", error="invalid_token", error_description="the token was revoked"' \
    "$(curl -sS "$http" -o /dev/null -w '%header{www-authenticate}' --oauth2-bearer "$child" --json '{}' "$SERVICE/ListTokens")"

  for note in 1 2 3; do
    call CreateToken "$token" "{\"note\": \"$note\"}" >/dev/null
  done
  check "$http: walks pages of 2 over 5 tokens" "2 2 1" "$(pages_of list "$token")"

  check "$http: keeps a deadline" deadline_exceeded \
    "$(by_password late | curl -sS "$http" -H 'Connect-Timeout-Ms: 1' --json @- "$SERVICE/CreateToken" | jq -r .code)"

  reply=$(jq -nc '{note: ("x" * 1000)}' | gzip | curl -sS "$http" --oauth2-bearer "$token" -H 'Content-Type: application/json' \
    -H 'Content-Encoding: gzip' --data-binary @- "$SERVICE/CreateToken")
  check "$http: sends gzip" 1000 "$(jq '.metadata.note | length' <<<"$reply")"
  reply=$(curl -sS "$http" --compressed -w '%{stderr}%header{content-encoding}' --oauth2-bearer "$token" --json '{}' \
    "$SERVICE/ListTokens" 2>"$encoding" | jq '.tokens | length')
  check "$http: receives gzip" "6 gzip" "$reply $(<"$encoding")"

  # A GET: the message is in the query, the token in the header.
  reply=$(curl -sS "$http" -G --oauth2-bearer "$token" --data-urlencode 'connect=v1' --data-urlencode 'encoding=json' \
    --data-urlencode 'message={"pageSize": 1}' "$SERVICE/ListTokens" | jq '.tokens | length')
  check "$http: lists by GET" 1 "$reply"

  # Leaves nothing for the next session: child tokens are deleted with their parent.
  call DeleteToken "$token" "{\"tokenId\": \"$(id_of "$token")\"}" >/dev/null
}

session
http=--http2-prior-knowledge
session
