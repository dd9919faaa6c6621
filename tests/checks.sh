# shellcheck shell=bash disable=SC2034
# Makes and counts checks: one line each, `ok - …` or `FAIL - …`.

passed=0
failed=0

# check NAME EXPECTED ACTUAL
check() {
  if [[ "$2" == "$3" ]]; then
    echo "ok - $1"
  else
    printf 'FAIL - %s: expected %q, got %q\n' "$1" "$2" "$3"
    a_check_failed=yes
  fi
}

# The public ID inside a token's text.
id_of() {
  cut -d_ -f2 <<<"$1"
}

# is_selected NAME: whether the script's arguments, in ONLY, select this part of it.
is_selected() {
  ((${#ONLY[@]} == 0)) || [[ " ${ONLY[*]} " == *" $1 "* ]]
}

# run_checks NAME EXPECTED COMMAND...: runs a command that must make this many checks. Sets ok and bad, their counts.
run_checks() {
  local name=$1 expected=$2 log ended=0
  log=$(mktemp)
  timeout 120 "${@:3}" </dev/null >"$log" 2>&1 || ended=$?
  cat "$log"
  ok=$(grep -c '^ok - ' "$log" || true)
  bad=$(grep -c '^FAIL - ' "$log" || true)
  rm "$log"
  if ((ended)); then
    echo "FAIL - $name: ended with $ended"
    ((bad += 1))
  fi
  if ((ok + bad < expected)); then
    echo "FAIL - $name: made $ok of $expected checks"
    ((bad += expected - ok - bad))
  elif ((ok > expected)); then
    echo "FAIL - $name: made $ok checks, not the $expected that this script expects"
    ((bad += 1))
  fi
}

# add_checks NAME STARTED: adds ok and bad to the totals and prints them.
add_checks() {
  ((passed += ok, failed += bad)) || true
  echo "--- $1: $ok passed, $bad failed in $((SECONDS - $2)) s"
}

# finish_checks: prints the totals; fails unless all passed.
finish_checks() {
  echo
  echo "$passed passed, $failed failed"
  ((failed == 0 && passed > 0))
}
