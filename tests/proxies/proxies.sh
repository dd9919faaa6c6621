# shellcheck shell=bash disable=SC2034
# How each proxy is started, and in what it differs from the others. $PWD is a folder of its own. $1 names the variant, $2
# is the port of Hallpass, $3 a sed script that changes the example.

start_nginx() {
  cp "$SOURCES/nginx-main.conf" nginx.conf
  place nginx.conf "$2" "$3" >site.conf
  background "$1" nginx -p "$PWD" -c "$PWD/nginx.conf" -e stderr
}

start_caddy() {
  # It would listen at fixed ports for orders and for plain HTTP, too.
  place Caddyfile "$2" "$3" | sed 's/default_bind/admin off\n\tauto_https disable_redirects\n\t&/' >caddy.conf
  background "$1" env HOME="$PWD" XDG_DATA_HOME="$PWD" XDG_CONFIG_HOME="$PWD" \
    caddy run --config caddy.conf --adapter caddyfile
}

start_haproxy() {
  cp "$EXAMPLES/hallpass.lua" .
  place haproxy.cfg "$2" "$3" >haproxy.conf
  background "$1" haproxy -db -f haproxy.conf
}

start_apache() {
  local options=()
  ((EUID)) || options=(-D AS_ROOT)
  sed "s|FOLDER|$PWD|" "$SOURCES/apache-main.conf" >apache.conf
  place apache.conf "$2" "$3" >site.conf
  background "$1" env HALLPASS_TOKEN="$VERIFIER" apache2 -f "$PWD/apache.conf" -D FOREGROUND "${options[@]}"
}

start_traefik() {
  place traefik.yml "$2" "$3" >static.yml
  place traefik-hallpass.yml "$2" "$3" >hallpass.yml
  background "$1" traefik --configFile=static.yml
}

# Takes the question to Hallpass out, and nothing else.
declare -A WITHOUT_QUESTION=(
  [nginx]='/auth_request /d'
  [caddy]='/forward_auth/,/^\t\t}/d'
  [haproxy]='/lua\.hallpass/d; /http-request deny/d'
  [apache]='/AuthType/d; /<RequireAny>/,/<\/RequireAny>/d'
  [traefik]='/middlewares: \[hallpass/d'
)

# Leaves the client's token in, and nothing else.
declare -A WITH_CREDENTIAL=(
  [nginx]='/Authorization ""/d'
  [caddy]='/-Authorization/d'
  [haproxy]='/del-header authorization/d'
  [apache]='/unset Authorization/d'
  [traefik]='s/\[hallpass, without-token\]/[hallpass]/'
)

# Leaves less room than a browser's head needs: without the example's lines for it, or where it needs none, with one.
declare -A WITH_SMALL_HEADS=(
  [nginx]='/large_client_header_buffers/d'
  [caddy]='s/default_bind .*/&\n\tservers {\n\t\tmax_header_size 16KiB\n\t}/'
  [haproxy]='/tune\.http/d' # of too many bytes it would hang up over its own refusal
  [apache]='/LimitRequest/d'
  [traefik]='s/aliasHeadersStrategy/maxHeaderBytes: 16384\n      &/'
)
declare -A WHEN_TOO_LARGE=([nginx]=400 [caddy]=431 [haproxy]=400 [apache]=400 [traefik]=431)

# A token as the password of Basic: mod_auth_openidc takes Bearer alone.
declare -A WHEN_BASIC=([nginx]='200 ' [caddy]='200 ' [haproxy]='200 ' [apache]='401 ' [traefik]='200 ')

# How gRPC ends that goes through the proxy to Hallpass: with its status, but for Apache.
declare -A GRPC_STATUS=([nginx]=0 [caddy]=0 [haproxy]=0 [apache]='' [traefik]=0)

# What the client gets if Hallpass is down, if it does not answer in time, and if it answers 503.
declare -A WHEN_DOWN=([nginx]=500 [caddy]=502 [haproxy]=503 [apache]=401 [traefik]=502)
declare -A WHEN_SLOW=([nginx]=500 [caddy]=504 [haproxy]=503 [apache]=401 [traefik]=504)
declare -A WHEN_FAILING=([nginx]=500 [caddy]=503 [haproxy]=503 [apache]=401 [traefik]=503)

# Introspection does not tell the client's address, so there a token that is bound to networks is not valid.
declare -A WHEN_BOUND=([nginx]=200 [caddy]=200 [haproxy]=200 [apache]=401 [traefik]=200)

# What becomes of X_Auth_User and its like: it is dropped, or the request is refused.
declare -A WHEN_ALIASED=([nginx]=200 [caddy]=200 [haproxy]=200 [apache]=400 [traefik]=200)
