# Starts nginx with a self-signed certificate in front of $HALLPASS. Sets folder, which has cert.pem, and REMOTE.

folder=$(mktemp -d)
nginx=''
trap 'kill $nginx 2>/dev/null || true; wait; rm -rf "$folder"' EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=nginx of the Hallpass tests" \
  -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null

# nginx cannot choose a free port and report it, so try some.
for port in 2{1,2,3,4,5,6,7}443; do
  sed "s|HALLPASS|$HALLPASS|; s|TLS_PORT|$port|" nginx.conf >"$folder/nginx.conf"
  sed "s|127.0.0.1:8080|${HALLPASS#http://}|" ../../../examples/proxies/nginx-path.conf >"$folder/path.conf"
  nginx -p "$folder" -c nginx.conf -e stderr 2>"$folder/log" &
  nginx=$!
  until curl -sf --cacert "$folder/cert.pem" "https://localhost:$port/readyz" >/dev/null; do
    kill -0 "$nginx" 2>/dev/null || continue 2
    sleep 0.05
  done
  break
done

REMOTE=localhost:$port
