#!/usr/bin/env bash
# Tests the server's own TLS with openssl, curl, gRPC's Go library (in grpcurl) and Node.js. Its servers are its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./checks.sh

folder=$(mktemp -d)
server=''
trap 'kill $server 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"

# certificate_of KEY: cert.pem for this key, which becomes key.pem.
certificate_of() {
  chmod 600 "$1"
  openssl req -x509 -key "$1" -days 30 -subj /CN=x -addext subjectAltName=IP:127.0.0.1 \
    -addext basicConstraints=critical,CA:FALSE -out cert.pem 2>/dev/null
  mv "$1" key.pem
}

# Sets ADDRESS. Needs cert.pem and key.pem.
start() {
  : >ready
  "$BINARY" serve --listen 127.0.0.1:0 --database-url "sqlite:$folder/hallpass.db" --tls-cert "${1:-cert.pem}" \
    --tls-key "${2:-key.pem}" >ready 2>>log &
  server=$!
  until grep -q '^hallpass listening on https://' ready; do
    kill -0 "$server" 2>/dev/null || return 1
    sleep 0.02
  done
  ADDRESS=$(sed -n 's|^hallpass listening on https://||p' ready)
}

stop() {
  kill "$server"
  wait "$server"
}

ask() {
  curl -s --cacert cert.pem "$@" "https://$ADDRESS/readyz"
}

# session OPTION...: what openssl says of a connection to which stdin is sent.
session() {
  timeout 20 openssl s_client -connect "$ADDRESS" -CAfile cert.pem "$@" 2>&1 || true
}

readonly GET='GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n' LAST='GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'

openssl genpkey -algorithm ed25519 -out ed25519 2>/dev/null
openssl genrsa -traditional -out pkcs1 2048 2>/dev/null
openssl genrsa -out pkcs8 3072 2>/dev/null
openssl ecparam -genkey -noout -name secp384r1 -out sec1 2>/dev/null
openssl ecparam -genkey -name prime256v1 -out with-parameters 2>/dev/null
for kind in ed25519 pkcs1 pkcs8 sec1 with-parameters; do
  certificate_of "$kind"
  start
  check "a key of the kind $kind is used" ready "$(ask)"
  stop
done
openssl pkey -in key.pem -aes256 -passout pass:secret -out encrypted.pem 2>/dev/null
chmod 600 encrypted.pem
check "an encrypted key is refused with what to do" "decrypt it with" \
  "$("$BINARY" config check --tls-cert cert.pem --tls-key encrypted.pem 2>&1 | grep -o 'decrypt it with')"

start
check "curl speaks HTTP/2 and HTTP/1.1" "2 1.1" \
  "$(ask -o ignored -w '%{http_version}') $(ask --http1.1 -o ignored -w '%{http_version}')"
check "TLS 1.2 and 1.3 are spoken" "ready ready" "$(ask --tls-max 1.2) $(ask --tlsv1.3)"
check "TLS 1.1 is not" "no" "$(ask --tlsv1.1 --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 || echo no)"
check "an unknown protocol in ALPN is refused" "no application protocol" \
  "$(session -alpn spdy/1 </dev/null | grep -o 'no application protocol')"
for name in -noservername '-servername 127.0.0.1' '-servername other.example'; do
  # shellcheck disable=SC2086
  check "$name is served" "HTTP/1.1 200 OK" \
    "$({ printf "$LAST"; sleep 1; } | session -quiet $name | grep -ao 'HTTP/1.1 200 OK')"
done
check "renegotiation is refused" "no renegotiation" \
  "$({ printf "$GET"; sleep 1; echo R; sleep 1; } | session -tls1_2 | grep -ao 'no renegotiation')"
check "keys may be updated" 2 \
  "$({ printf "$GET"; sleep 1; for _ in 1 2 3; do echo K; sleep 0.2; done; printf "$GET"; sleep 1; } |
    session -tls1_3 | grep -ac 'HTTP/1.1 200')"
check "plain HTTP is told to use https" "this server speaks HTTPS: use https://" "$(curl -s "http://$ADDRESS/")"
check "plain HTTP/2 is closed" no "$(curl -s --http2-prior-knowledge "http://$ADDRESS/" || echo no)"
check "TLS to a server without it fails at once" 35 \
  "$(curl -s "https://${HALLPASS#http://}/readyz" || echo $?)"
check "gRPC reflection is served" hallpass.v1.TokenService \
  "$(grpcurl -cacert cert.pem "$ADDRESS" list | grep -x hallpass.v1.TokenService)"
check "gRPC health is served" SERVING \
  "$(grpcurl -cacert cert.pem "$ADDRESS" grpc.health.v1.Health/Check | jq -r .status)"
check "Node.js fetches" ready \
  "$(NODE_EXTRA_CA_CERTS=cert.pem node -e 'fetch(process.argv[1]).then(async r => console.log(await r.text()))' "https://$ADDRESS/readyz")"
stop

# As Kubernetes mounts a Secret, and swaps it: key and certificate are links through a link that is replaced.
mkdir one two mount
cp cert.pem key.pem one
openssl genpkey -algorithm ed25519 -out new 2>/dev/null
certificate_of new
cp cert.pem key.pem two
ln -s ../one mount/..data
ln -s ..data/cert.pem mount/cert.pem
ln -s ..data/key.pem mount/key.pem
start mount/cert.pem mount/key.pem
check "the first certificate is not the second" no "$(ask || echo no)"
ln -s ../two mount/..new
mv -T mount/..new mount/..data
for _ in $(seq 200); do
  ask >/dev/null && break
  sleep 0.05
done
check "a swapped link is followed" ready "$(ask)"
stop
