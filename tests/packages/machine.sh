# shellcheck shell=bash
# A machine with its own systemd, which ends with the script. $machine is its root, $leader its first process.

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/hallpass-packages.XXXXXX")
machine=$folder/machine
container=''
leader=''

finish() {
  local code=$?
  if ((code)) || [[ -n ${a_check_failed:-} ]]; then
    tail -n 30 "$folder"/*.log
    [[ -z $leader ]] || inside journalctl --no-pager --lines 300
  fi
  if [[ -n $container ]]; then
    kill -KILL "$container" 2>/dev/null || true
    [[ -z $leader ]] || kill -KILL "$leader" 2>/dev/null || true
    wait "$container" 2>/dev/null || true
  fi
  rm -rf --one-file-system "$folder"
}
trap finish EXIT

# start_machine ROOT.TAR
start_machine() {
  mkdir "$machine"
  tar -C "$machine" -xpf "$1"
  # Not registered: this machine's systemd, if there is one, has no part in it.
  systemd-nspawn --quiet --directory="$machine" --boot --register=no --keep-unit --private-network --link-journal=no \
    </dev/null >"$folder/boot.log" 2>&1 &
  container=$!
  until leader=$(pgrep --parent "$container") && inside systemctl is-active --quiet multi-user.target 2>/dev/null; do
    kill -0 "$container"
    sleep 0.05
  done
}

# inside COMMAND...
inside() {
  nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup --root --wd -- "$@"
}

# as USER COMMAND...: as sudo does it.
as() {
  inside setpriv --reuid="$1" --regid="$(inside id -g "$1")" --clear-groups --reset-env -- "${@:2}"
}

# The exit code of a command.
code() {
  local code=0
  "$@" >/dev/null 2>&1 || code=$?
  echo "$code"
}

# soon NAME COMMAND...: a check that it succeeds within 20 seconds.
soon() {
  local end=$((SECONDS + 20))
  until "${@:2}"; do
    if ((SECONDS > end)); then
      check "$1" yes no
      return
    fi
    sleep 0.05
  done
  check "$1" yes yes
}

# drop_in LINES: restarts the service with these lines in addition to its unit, or without any.
drop_in() {
  local file=$machine/etc/systemd/system/hallpass.service.d/test.conf
  mkdir -p "${file%/*}"
  printf '[Service]\n%s\n' "$1" >"$file"
  inside systemctl daemon-reload
  inside systemctl restart hallpass
}
