# Shared by the command-line clients. Needs $HALLPASS (the server's address) and $PASSWORD_FILE.

source ../../checks.sh

readonly SERVICE=$HALLPASS/hallpass.v1.TokenService

# A CreateToken request that signs in. The password goes from file to pipe, never into an argument.
by_password() {
  jq -nc --rawfile password "$PASSWORD_FILE" --arg note "$1" \
    '{username: "admin", password: ($password | rtrimstr("\n")), note: $note}'
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
