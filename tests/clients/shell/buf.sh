#!/usr/bin/env bash
# Tests the buf CLI as the client of a registry: it signs in and manages its tokens. It requires TLS, so nginx
# is in front, as in production. The current buf can no longer create tokens, the old buf-1.15 can.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./checks.sh

source ./tls.sh

export REMOTE HOME=$folder SSL_CERT_FILE=$folder/cert.pem BUF_ALPHA_SUPPRESS_WARNINGS=1
# Without this, buf-1.15 calls api.localhost.
export BUF_DISABLE_API_SUBDOMAIN=1

token=$TOKEN

tokens() {
  "$1" alpha registry token "${@:2}"
}

check "1.75.0 signs in" "Logged in as admin. Credentials saved to $HOME/.netrc." \
  "$(buf registry login --token-stdin "$REMOTE" <<<"$token" 2>&1)"
rm "$HOME/.netrc"
check "1.75.0 signs in, shows its user and lists tokens, as documented" "$HOME/.netrc. Logged in as admin. my laptop" \
  "$(bash snippet-buf.sh 2>&1 | grep -oE "$HOME/.netrc[.]|^Logged in as admin[.]$|my laptop" | xargs)"
rm "$HOME/.netrc"
check "1.15.0 signs in" "Credentials saved to $HOME/.netrc." \
  "$(buf-1.15 registry login --username admin --token-stdin "$REMOTE" <<<"$token" 2>&1)"

child=$(tokens buf-1.15 create --note "from buf" --ttl 1h "$REMOTE")
id=$(id_of "$child")
for buf in buf buf-1.15; do
  version=$("$buf" --version)
  check "$version gets a token" "from buf" "$(tokens "$buf" get --format json --token-id "$id" "$REMOTE" | jq -r .note)"
  check "$version lists it" "$id" "$(tokens "$buf" list --format json "$REMOTE" | jq -r 'select(.note == "from buf").id')"
  check "$version deletes it" "" "$(tokens "$buf" delete --force --token-id "$id" "$REMOTE" 2>&1)"
  check "$version reports an unknown token" "Failure: a token with ID \"$id\" does not exist" \
    "$(tokens "$buf" get --token-id "$id" "$REMOTE" 2>&1)"
  child=$(tokens buf-1.15 create --note "from buf" --ttl 1h "$REMOTE")
  id=$(id_of "$child")
done

for note in 1 2 3; do
  tokens buf-1.15 create --note "$note" "$REMOTE" >/dev/null
done
# buf does not print the token of the next page, so curl requests it.
next=$(curl -sS --oauth2-bearer "$token" --json '{"pageSize": 2}' "$SERVICE/ListTokens" | jq -r .nextPageToken)
for buf in buf buf-1.15; do
  check "$("$buf" --version) lists a page of 2 after the first" "1 2" "$(
    tokens "$buf" list --format json --page-size 2 --page-token "$next" "$REMOTE" | jq -rs 'map(.note) | join(" ")')"
done

tokens buf delete --force --token-id "$id" "$REMOTE"
check "1.75.0 does not sign in with a deleted token" "Failure: invalid token provided for $REMOTE" \
  "$(buf registry login --token-stdin "$REMOTE" <<<"$child" 2>&1)"
