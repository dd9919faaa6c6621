# shellcheck shell=bash disable=SC2034
# How each proxy is started, and how it differs from the others. $PWD is its folder. $1 names the variant, $2 is the port
# of Hallpass, $3 a sed script that changes the example.

start_nginx() {
  cp "$SOURCES/nginx-main.conf" nginx.conf
  place nginx.conf "$2" "$3" >site.conf
  background "$1" nginx -p "$PWD" -c "$PWD/nginx.conf" -e stderr
}

start_caddy() {
  # Without this, Caddy would also listen at fixed ports for its admin API and for plain HTTP.
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

# Removes only the request to Hallpass.
declare -A WITHOUT_ASKING=(
  [nginx]='/auth_request /d'
  [caddy]='/forward_auth/,/^\t\t}/d'
  [haproxy]='/lua\.hallpass/d; /http-request deny/d'
  [apache]='/AuthType/d; /<RequireAny>/,/<\/RequireAny>/d'
  [traefik]='/middlewares: \[hallpass/d'
)

# Removes only the line that drops the client's token.
declare -A WITH_CREDENTIAL=(
  [nginx]='/Authorization ""/d'
  [caddy]='/-Authorization/d'
  [haproxy]='/del-header authorization/d'
  [apache]='/unset Authorization/d'
  [traefik]='s/\[hallpass, without-token\]/[hallpass]/'
)

# Sets limits below a browser's head: removes the example's lines for it, or adds one where it needs none.
declare -A WITH_SMALL_HEADS=(
  [nginx]='/large_client_header_buffers/d'
  [caddy]='s/default_bind .*/&\n\tservers {\n\t\tmax_header_size 16KiB\n\t}/'
  [haproxy]='/tune\.http/d' # with too many bytes it would close the connection before its response arrives
  [apache]='/LimitRequest/d'
  [traefik]='s/aliasHeadersStrategy/maxHeaderBytes: 16384\n      &/'
)
declare -A WHEN_TOO_LARGE=([nginx]=400 [caddy]=431 [haproxy]=400 [apache]=400 [traefik]=431)

# A token as the password of Basic: mod_auth_openidc accepts only Bearer.
declare -A WHEN_BASIC=([nginx]='200 ' [caddy]='200 ' [haproxy]='200 ' [apache]='401 ' [traefik]='200 ')

# The gRPC status that passes the proxy from Hallpass; Apache drops it.
declare -A GRPC_STATUS=([nginx]=0 [caddy]=0 [haproxy]=0 [apache]='' [traefik]=0)

# What the client gets if Hallpass is down, if it does not respond in time, and if it responds with 503.
declare -A WHEN_DOWN=([nginx]=500 [caddy]=502 [haproxy]=503 [apache]=401 [traefik]=502)
declare -A WHEN_SLOW=([nginx]=500 [caddy]=504 [haproxy]=503 [apache]=401 [traefik]=504)
declare -A WHEN_FAILING=([nginx]=500 [caddy]=503 [haproxy]=503 [apache]=401 [traefik]=503)

# Introspection does not send the client's address, so a token that is bound to networks is invalid there.
declare -A WHEN_BOUND=([nginx]=200 [caddy]=200 [haproxy]=200 [apache]=401 [traefik]=200)

# Headers like X_Auth_User are dropped, or the request is refused.
declare -A WHEN_ALIASED=([nginx]=200 [caddy]=200 [haproxy]=200 [apache]=400 [traefik]=200)
