buf registry login --token-stdin $REMOTE <<<"$TOKEN"
buf registry whoami $REMOTE
buf alpha registry token list $REMOTE
