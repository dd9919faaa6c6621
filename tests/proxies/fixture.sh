# shellcheck shell=bash disable=SC2034
# The surroundings of a proxy: Hallpass, the application, the certificate, ports, a folder. They end with the script. Needs
# $BINARY.

source ../checks.sh

readonly SOURCES=$PWD
readonly EXAMPLES=$PWD/../../examples/proxies
# Clients use other addresses than the proxy, which Hallpass trusts.
readonly CLIENT=127.0.0.2 OTHER_CLIENT=127.0.0.3

folder=$(mktemp -d)
hallpass=''
children=()

finish() {
  local code=$?
  if [[ -n $hallpass ]]; then
    kill -KILL "$hallpass" 2>/dev/null || true
  fi
  if ((${#children[@]})); then
    kill "${children[@]}" 2>/dev/null || true
    wait "${children[@]}" 2>/dev/null || true
  fi
  if ((code)) || [[ -n ${a_check_failed:-} ]]; then
    tail -n 20 "$folder"/*/*.log
  fi
  rm -rf "$folder"
}
trap finish EXIT
# Workers under another user need access to their files.
chmod 711 "$folder"
mkdir "$folder/logs"

# within SECONDS COMMAND...: whether one of two runs is fast enough; a busy machine may delay the other.
within() {
  local try before
  for try in 1 2; do
    before=$SECONDS
    "${@:2}"
    ((SECONDS - before > $1)) || return 0
  done
  return 1
}

# free_ports N: N free ports, one per line, outside of the range for outgoing connections.
free_ports() {
  python3 - "$1" <<'PYTHON'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    with_port = socket.socket()
    try:
        with_port.bind(("127.0.0.1", random.randrange(20000, 32768)))
        held.append(with_port)
    except OSError:
        with_port.close()
print(*(s.getsockname()[1] for s in held), sep="\n")
PYTHON
}

# background NAME COMMAND...: runs it until the end of the script.
background() {
  "${@:2}" >"$folder/logs/$1.log" 2>&1 &
  children+=($!)
}

# reached PORT: waits until something listens at the port.
reached() {
  local try
  for ((try = 0; try < 500; try++)); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
      return
    fi
    sleep 0.02
  done
  echo "nothing listens at $1" >&2
  return 1
}

start_application() {
  background application python3 "$SOURCES/upstream.py" "$APPLICATION_PORT" "$folder/requests"
  reached "$APPLICATION_PORT"
}

# How many requests the application got so far.
requests() {
  wc -l <"$folder/requests"
}

# Always at the same port, so that a proxy can reconnect.
start_hallpass() {
  : >"$folder/ready"
  HALLPASS_LISTEN=127.0.0.1:$HALLPASS_PORT HALLPASS_TRUSTED_PROXY=127.0.0.1/32 \
    HALLPASS_ADMIN_PASSWORD_FILE=$folder/password \
    "$BINARY" serve >"$folder/ready" 2>>"$folder/logs/hallpass.log" &
  hallpass=$!
  until grep -q '^hallpass listening on ' "$folder/ready"; do
    kill -0 "$hallpass"
    sleep 0.02
  done
}

kill_hallpass() {
  kill -KILL "$hallpass"
  wait "$hallpass" 2>/dev/null || true
  hallpass=''
}

# Creates the machine "bot"; commands use the server's control socket.
make_user() {
  export HALLPASS_DATABASE_URL=sqlite:$folder/hallpass.db
  (umask 077 && head -c 18 /dev/urandom | base64 >"$folder/password")
  start_hallpass
  USER_ID=$("$BINARY" machine create bot --owner admin --json | jq -r .user.id)
}

# token OPTIONS...
token() {
  "$BINARY" token create bot "$@" 2>>"$folder/logs/cli.log"
}

# make_browser: a browser's request headers, 54 KB in 162 fields, as files for curl: $folder/browser-2 has one field per
# cookie, as over HTTP/2, $folder/browser-1.1 all cookies in one field.
make_browser() {
  local n
  for n in {1..12}; do
    echo "Cookie: of-app-$n=$(head -c 3000 /dev/urandom | base64 -w 0)"
  done >"$folder/crumbs"
  for n in {1..150}; do
    echo "Sec-CH-UA-$n: \"Browser\";v=\"$n\""
  done >"$folder/hints"
  COOKIE=$(sed 's/^Cookie: //' "$folder/crumbs" | paste -sd ';' | sed 's/;/; /g')
  cat "$folder/crumbs" "$folder/hints" >"$folder/browser-2"
  (echo "Cookie: $COOKIE" && cat "$folder/hints") >"$folder/browser-1.1"
}

make_certificate() {
  mkdir "$folder/ssl"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 \
    -addext subjectAltName=IP:127.0.0.1,DNS:tokens.example.com -keyout "$folder/ssl/key.pem" -out "$folder/ssl/cert.pem" 2>/dev/null
  cat "$folder/ssl/cert.pem" "$folder/ssl/key.pem" >"$folder/ssl/both.pem"
}

# place FILE HALLPASS_PORT SED: prints the example, changed by the sed script, with this script's ports and folders;
# $proxy_ports are the proxy's.
place() {
  sed -e "$3" "$EXAMPLES/$1" | sed -E \
    -e "s/0\.0\.0\.0/127.0.0.1/; s/:( ?)443\b/:\1${proxy_ports[0]}/; s/:8081\b/:${proxy_ports[1]}/" \
    -e "s/:( ?)8080\b/:\1$2/; s/:( ?)3000\b/:\1$APPLICATION_PORT/" \
    -e "s|/etc/ssl/app|$folder/ssl|g; s|/etc/haproxy|$PWD|; s|/etc/traefik|$PWD|"
}

proxy_ports=()
mapfile -t ports < <(free_ports 3)
readonly HALLPASS_PORT=${ports[0]} APPLICATION_PORT=${ports[1]} TAP_PORT=${ports[2]}
