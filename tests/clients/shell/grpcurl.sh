#!/usr/bin/env bash
# Tests grpcurl, which learns the services by reflection.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./checks.sh

readonly ADDRESS=${HALLPASS#http://}

# call PROCEDURE TOKEN JSON
call() {
  grpcurl -plaintext -H "Authorization: Bearer $2" -d "$3" "$ADDRESS" "hallpass.v1.$1"
}

list() {
  call TokenService/ListTokens "$1" "$2"
}

check "lists services by reflection" hallpass.v1.TokenService \
  "$(grpcurl -plaintext "$ADDRESS" list | grep -x hallpass.v1.TokenService)"
check "describes a message by reflection" "string token_id = 1;" \
  "$(grpcurl -plaintext "$ADDRESS" describe hallpass.v1.GetTokenRequest | grep -o 'string token_id = 1;')"
check "asks for the server's health" SERVING \
  "$(grpcurl -plaintext "$ADDRESS" grpc.health.v1.Health/Check | jq -r .status)"

token=$(by_password "by password" | grpcurl -plaintext -d @ "$ADDRESS" hallpass.v1.TokenService/CreateToken | jq -r .token)
check "creates a token by password" admin "$(call AuthnService/GetCurrentUser "$token" '{}' | jq -r .user.username)"
child=$(call TokenService/CreateToken "$token" '{"note": "by token"}' | jq -r .token)
id=$(id_of "$child")
check "creates a token by token, gets it" "by token" \
  "$(call TokenService/GetToken "$token" "{\"tokenId\": \"$id\"}" | jq -r .token.note)"
check "lists it" true "$(list "$token" '{}' | jq "[.tokens[].id] | contains([\"$id\"])")"
check "deletes it" '{}' "$(call TokenService/DeleteToken "$token" "{\"tokenId\": \"$id\"}" | jq -c .)"
check "is then unauthenticated" "  Code: Unauthenticated" "$(list "$child" '{}' 2>&1 | grep '^  Code:')"
error=$(call TokenService/GetToken "$token" '{}' 2>&1 || true)
check "reads an error's reason and field" "InvalidArgument INVALID_FIELD token_id" \
  "$(grep -oE 'InvalidArgument|INVALID_FIELD|"token_id"' <<<"$error" | tr -d '"' | xargs)"

for note in 1 2 3; do
  call TokenService/CreateToken "$token" "{\"note\": \"$note\"}" >/dev/null
done
check "walks pages of 2 over 5 tokens" "2 2 1" "$(pages_of list "$token")"
# The deadline may end the dialing or the call.
check "keeps a deadline" "deadline exceeded" "$(by_password late |
  grpcurl -plaintext -max-time 0.01 -d @ "$ADDRESS" hallpass.v1.TokenService/CreateToken 2>&1 |
  grep -oE 'DeadlineExceeded|deadline exceeded' | head -n 1 | sed 's/DeadlineExceeded/deadline exceeded/')"
