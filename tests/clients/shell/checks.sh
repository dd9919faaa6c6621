# What the clients that are commands share: a check prints one line, which tests/clients/run counts.
# Needs $HALLPASS (the server's address) and $PASSWORD_FILE.

readonly SERVICE=$HALLPASS/hallpass.v1.TokenService

# check NAME EXPECTED ACTUAL
check() {
  if [[ "$2" == "$3" ]]; then
    echo "ok - $1"
  else
    printf 'FAIL - %s: expected %q, got %q\n' "$1" "$2" "$3"
  fi
}

# A CreateToken request that signs in. The password goes from file to pipe, never into an argument.
by_password() {
  jq -nc --rawfile password "$PASSWORD_FILE" --arg note "$1" \
    '{username: "admin", password: ($password | rtrimstr("\n")), note: $note}'
}

# The public ID inside a token's text.
id_of() {
  cut -d_ -f2 <<<"$1"
}

# An error's code, its reason and the field: the details' protobuf bytes hold the names as plain text.
error_of() {
  jq -r '(.details | map(.value | @base64d) | join("")) as $details
    | [.code, ($details | match("INVALID_FIELD|TOKEN_DELETED|token_id"; "g").string)] | join(" ")'
}

# The sizes of the pages of 2 that the function $1 TOKEN FIELDS brings, until there is no next one.
pages_of() {
  local page next='' sizes=()
  for _ in 1 2 3 4 5; do
    page=$("$1" "$2" "{\"pageSize\": 2, \"pageToken\": \"$next\"}")
    sizes+=("$(jq '.tokens | length' <<<"$page")")
    next=$(jq -r '.nextPageToken // empty' <<<"$page")
    [[ -n $next ]] || break
  done
  echo "${sizes[*]}"
}
