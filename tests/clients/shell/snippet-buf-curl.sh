buf curl --http2-prior-knowledge -H "Authorization: Bearer $TOKEN" -d '{"pageSize": 10}' \
  $HALLPASS/hallpass.v1.TokenService/ListTokens
