#!/usr/bin/env bash
# Tests the server's page in Chromium: directly, behind TLS, and below a path of another site.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./tls.sh

export SSL_CERT_FILE=$folder/cert.pem CURL_CA_BUNDLE=$folder/cert.pem NODE_EXTRA_CA_CERTS=$folder/cert.pem
node ../node/page.js "$folder" "https://$REMOTE"
