#!/usr/bin/env bash
# Tests `buf curl` in its three protocols, with the schema from the protobuf files and by reflection. It has no deadline
# per call and sends no gzip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./checks.sh

readonly SCHEMA=../../../proto
protocol=''
schema=()

# call PROCEDURE TOKEN JSON, or JSON on standard input for `@-`
call() {
  buf curl "${schema[@]}" --protocol "$protocol" --http2-prior-knowledge -H "Authorization: Bearer $2" -d "$3" \
    "$HALLPASS/hallpass.v1.$1"
}

list() {
  call TokenService/ListTokens "$1" "$2"
}

session() {
  local token child id error name="$protocol, ${schema[0]}"
  token=$(by_password "by password" | call TokenService/CreateToken "" @- | jq -r .token)
  check "$name: creates a token by password" admin "$(call AuthnService/GetCurrentUser "$token" '{}' | jq -r .user.username)"
  child=$(call TokenService/CreateToken "$token" '{"note": "by token"}' | jq -r .token)
  id=$(id_of "$child")
  check "$name: creates a token by token, gets it" "by token" \
    "$(call TokenService/GetToken "$token" "{\"tokenId\": \"$id\"}" | jq -r .token.note)"
  check "$name: lists it" true "$(list "$token" '{}' | jq "[.tokens[].id] | contains([\"$id\"])")"
  check "$name: deletes it" '{}' "$(call TokenService/DeleteToken "$token" "{\"tokenId\": \"$id\"}")"
  check "$name: is then unauthenticated" unauthenticated "$(list "$child" '{}' 2>&1 | jq -r .code)"
  error=$(call TokenService/GetToken "$token" '{}' 2>&1 || true)
  check "$name: reads an error's reason and field" "invalid_argument INVALID_FIELD token_id" "$(error_of <<<"$error")"
  for note in 1 2 3; do
    call TokenService/CreateToken "$token" "{\"note\": \"$note\"}" >/dev/null
  done
  check "$name: walks pages of 2 over 5 tokens" "2 2 1" "$(pages_of list "$token")"

  call TokenService/CreateToken "$token" "{\"note\": \"$(printf '%1000s' '' | tr ' ' x)\"}" >/dev/null
  schema+=(--verbose)
  check "$name: receives gzip" "encoding: gzip" \
    "$(list "$token" '{}' 2>&1 | grep '< ' | grep -oiE '(content|grpc)-encoding: gzip' | grep -oi 'encoding: gzip' | tail -n 1 | tr E e)"
  schema=("${schema[@]:0:${#schema[@]}-1}")
  call TokenService/DeleteToken "$token" "{\"tokenId\": \"$(id_of "$token")\"}" >/dev/null
}

for protocol in connect grpc grpcweb; do
  schema=(--schema "$SCHEMA")
  session
  schema=(--reflect)
  session
done
